"""One block on its runtime against the simulation, and how far apart they may lie.

Two correct implementations differ by float rounding, and where a value falls on the border
between two integers, by a step. What that does to a block is measured on the simulation itself:
every product's output is shaken by what its own arithmetic may be off (check_operators.py):

    float, dynamic   2^-20 of the outputs' root mean square: thousands of float32 terms summed in
                     another order; dynamic products then also flip some of their rounded inputs
    static           one step of the output grid
    integers         nothing: both compute the same bits

The bound is FACTOR times the largest relative L2 change over DRAWS shaken simulations; the
factor stands for draws that were not made.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from export.lowering.model import blocks_of
from export.runtimes.contract import Runtime
from quant.affine import Range, scale_zero_point
from quant.dot_general import STATIC_GRIDS
from quant.integer.reasoner import IntegerReasoner
from quant.simulation import PlanDotGeneral, Simulation
from trm_jax.models.build import build
from trm_jax.types import DotGeneral, SiteDotGeneral

FLOAT_ERROR = 2.0**-20
DRAWS, FACTOR = 3, 3.0


class BlockCheck(NamedTuple):
    """Relative L2 distance of one network's output, and its bound."""

    graph: str
    distance: float
    bound: float

    @property
    def passed(self) -> bool:
        return self.distance <= self.bound


@dataclass(frozen=True)
class Shaken:
    """The products of a plan, with outputs shaken; hashable, as products are.

    Attributes:
      output_steps: (site, step of the output's grid) of static products.
    """

    exact: SiteDotGeneral
    output_steps: tuple[tuple[str, float], ...]
    seed: int

    def __call__(self, site: str) -> DotGeneral:
        product, size = self.exact(site), dict(self.output_steps).get(site)
        site_seed = sum(site.encode()) * 1000 + self.seed

        def shaken(*arguments: Any, **options: Any) -> Array:
            y = product(*arguments, **options)
            noise = jax.random.uniform(jax.random.key(site_seed), y.shape, y.dtype, -1.0, 1.0)
            if size is not None:  # whole steps: -1, 0 or 1
                return y + jnp.round(1.5 * noise) * jnp.asarray(size, y.dtype)
            return y + noise * (jnp.sqrt(jnp.mean(jnp.square(y))) * FLOAT_ERROR)

        return shaken


def output_steps(products: SiteDotGeneral) -> tuple[tuple[str, float], ...]:
    """List the output steps of the static products of a plan."""
    if not isinstance(products, PlanDotGeneral):
        return ()
    steps = []
    for site, (_, ends) in products.ranges:
        grid = STATIC_GRIDS.get(products.activations_of(site))
        if grid is not None:
            span = Range(*(jnp.float32(end) for end in ends))
            steps.append((site, float(scale_zero_point(span, grid).scale)))
    return tuple(steps)


def check_blocks(
    twin: Simulation, runtime: Runtime, z: np.ndarray, injection: np.ndarray
) -> list[BlockCheck]:
    """Compare every network on one input.

    Args:
      z, injection: states of a trajectory, one group of the graphs' batch, in real numbers.
    """
    exact = twin.reasoner
    if isinstance(exact, IntegerReasoner):
        return [_check_integers(exact, runtime, z, injection)]
    found = []
    names = dict(zip(blocks_of(exact.config), ("update_L", "update_H"), strict=True))
    products = exact.module.dot_general
    steps = output_steps(products)
    for graph, update in names.items():
        want = _apply(twin, products, update, z, injection)
        changes = [
            distance(_apply(twin, Shaken(products, steps, i), update, z, injection), want)
            for i in range(DRAWS)
        ]
        got = runtime.run(graph, {"z": z, "injection": injection})["z"]
        found.append(BlockCheck(graph, distance(got, want), FACTOR * max(changes)))
    return found


def _check_integers(
    exact: IntegerReasoner, runtime: Runtime, z: np.ndarray, injection: np.ndarray
) -> BlockCheck:
    """Compare in integers; the bound is 0."""
    fed = {
        name: np.asarray(exact.integers(jnp.asarray(x), name))
        for name, x in (("z", z), ("injection", injection))
    }
    update = jax.jit(exact.networks.update_L)
    want = update({}, jnp.asarray(z), jnp.asarray(injection))
    got = runtime.run("block", fed)["z"]
    return BlockCheck("block", distance(got, np.asarray(exact.integers(want, "z"))), 0.0)


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """Measure |a - b| / |b|."""
    return float(np.linalg.norm(a.astype(np.float64) - b) / np.linalg.norm(b))


def _apply(
    twin: Simulation, products: Any, update: str, z: np.ndarray, injection: np.ndarray
) -> np.ndarray:
    reasoner = dataclasses.replace(build(twin.reasoner.config, products), store=twin.reasoner.store)
    network = jax.jit(getattr(reasoner.networks, update))
    out = network(twin.weights.params, jnp.asarray(z), jnp.asarray(injection))
    return np.asarray(out, np.float64)
