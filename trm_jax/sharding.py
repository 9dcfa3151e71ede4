"""Data parallelism: slots over devices, everything else on each of them.

One axis, `batch`. Draws are functions of (seed, step) and do not depend on the layout, so a run
on several devices differs from one on a single device by the order of float sums alone.
Not here: several hosts, and splitting a model (its 7 million weights fit anywhere).
"""

from typing import TypeVar

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from trm_jax.types import Batch

AXIS = "batch"
Tree = TypeVar("Tree")


def device_mesh() -> Mesh:
    """Line up all local devices."""
    return Mesh(np.asarray(jax.local_devices()), (AXIS,))


def check_divides(size: int, mesh: Mesh, name: str) -> None:
    """Check that a batch splits evenly.

    Raises:
      ValueError: it does not.
    """
    if size % mesh.size:
        raise ValueError(f"{name} must be a multiple of the {mesh.size} devices, got {name}={size}")


def over_batch(mesh: Mesh) -> NamedSharding:
    """Split the first axis."""
    return NamedSharding(mesh, PartitionSpec(AXIS))


def shard_batch(batch: Batch) -> Batch:
    """Lay a batch out over all local devices along its first axis.

    Raises:
      ValueError: the devices do not divide the batch.
    """
    mesh = device_mesh()
    check_divides(batch.inputs.shape[0], mesh, "batch_size")
    return jax.device_put(batch, over_batch(mesh))


def everywhere(mesh: Mesh) -> NamedSharding:
    """Keep a copy on each device."""
    return NamedSharding(mesh, PartitionSpec())


def replicate(tree: Tree, mesh: Mesh) -> Tree:
    """Copy arrays to each device."""
    return jax.device_put(tree, everywhere(mesh))
