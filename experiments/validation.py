"""Validation inside a training run: the averaged weights at 1, 4 and all supervision steps."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh

from trm_jax.metrics import correct_cells, puzzle_exact
from trm_jax.models.act import predictions, rollout
from trm_jax.models.reasoner import Reasoner
from trm_jax.sharding import over_batch
from trm_jax.types import IGNORE_LABEL, Batch, Latents, Weights

CHUNK = 256  # puzzles per device and rollout: attention scores of 30x30 mazes then take 7 GB


@partial(jax.jit, static_argnames="reasoner")
def answers(reasoner: Reasoner, weights: Weights, batch: Batch) -> tuple[Array, Array]:
    """Run to the end; give exactness and right cells after each supervision step."""

    def read(latents: Latents) -> tuple[Array, Array]:
        predicted = predictions(reasoner.read_out(weights.params, latents.z_H).logits)
        return puzzle_exact(predicted, batch.labels), correct_cells(predicted, batch.labels)

    steps = reasoner.config.halt_max_steps
    _, (exact, cells) = rollout(reasoner, weights, batch, steps=steps, observe=read)
    return exact[:, -1], cells[:, -1]  # after the last H-cycle of each step


def validate(reasoner: Reasoner, weights: Weights, valid: Batch, mesh: Mesh) -> dict[str, float]:
    """Measure weights on puzzles that training does not see.

    Returns:
      `valid_exact_n1`, ...: share of puzzles without a wrong cell after n supervision steps;
      `valid_cell`: share of right cells after all of them.
    """
    size = valid.inputs.shape[0]
    chunk = min(CHUNK, -(-size // mesh.size)) * mesh.size
    parts = []
    for begin in range(0, size, chunk):
        # the last chunk wraps around, so that all have one shape; what is surplus is cut off
        index = jnp.arange(begin, begin + chunk) % size
        part = jax.device_put(jax.tree.map(lambda a, i=index: a[i], valid), over_batch(mesh))
        seen = answers(reasoner, weights, part)
        parts.append([np.asarray(a)[:, : size - begin] for a in seen])
    exact, cells = (np.concatenate(arrays, axis=1) for arrays in zip(*parts, strict=True))
    last = reasoner.config.halt_max_steps
    row = {f"valid_exact_n{n}": float(exact[n - 1].mean()) for n in sorted({1, min(4, last), last})}
    scored = int(np.sum(np.asarray(valid.labels) != IGNORE_LABEL))
    return row | {"valid_cell": float(cells[-1].sum() / scored)}
