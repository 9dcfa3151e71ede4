"""Ask a model ARC questions under augmentations, its puzzle rows streamed batch by batch.

The puzzle table is never an argument of the model: each batch brings the rows it needs, read
from wherever the table lies (a mapped file, as a rule). Rows of augmentations the model was not
trained on come after the table's: the mean row, or trained ones (trm_jax/training/puzzle_rows.py).
"""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from experiments.arc.rows import VoteKey, VoteRow, VoteSpec, write_grid
from experiments.models import Model
from quant.scheme import parse
from quant.simulation import Simulation, simulate
from trm_jax.data.arc.augment import Augmentation, inverse_augment
from trm_jax.data.arc.canvas import crop
from trm_jax.data.arc.dataset import Group
from trm_jax.data.arc.task_files import TEST, Pair
from trm_jax.data.arc.test_time import TestTime, question_batches
from trm_jax.data.batches import PuzzleBatch
from trm_jax.metrics import puzzle_exact
from trm_jax.models.act import predictions, rollout
from trm_jax.models.reasoner import Reasoner
from trm_jax.sharding import device_mesh, replicate, shard_batch
from trm_jax.types import Batch, Weights

MEAN_ROWS = 4096  # of a table read at a time


class RowSource(NamedTuple):
    """Puzzle rows by identifier.

    Attributes:
      table: the trained rows, in memory or in a mapped file.
      new: rows of the identifiers after the table's, or a single one for all of them.
    """

    table: np.ndarray
    new: np.ndarray

    def take(self, identifiers: np.ndarray) -> np.ndarray:
        """Read the rows of a batch, as float32; nothing else of the table is touched."""
        known = identifiers < len(self.table)
        later = np.minimum(np.maximum(identifiers - len(self.table), 0), len(self.new) - 1)
        rows = np.array(self.new[later], np.float32)
        rows[known] = self.table[identifiers[known]]
        return rows


def mean_row(table: np.ndarray) -> np.ndarray:
    """Average a table, as the released loader does for tasks it has no rows for."""
    total = np.zeros(table.shape[1])
    for first in range(0, len(table), MEAN_ROWS):
        total += np.asarray(table[first : first + MEAN_ROWS], np.float64).sum(axis=0)
    return (total / len(table)).astype(np.float32)


@partial(jax.jit, static_argnames=("reasoner", "steps"))
def answer(
    reasoner: Reasoner, weights: Weights, batch: Batch, *, steps: int
) -> tuple[Array, Array, Array]:
    """Run all steps; gives tokens, halting logits, and whether the whole canvas is right."""
    latents, _ = rollout(reasoner, weights, batch, steps=steps, observe=lambda _: None)
    out = reasoner.read_out(weights.params, latents.z_H)
    predicted = predictions(out.logits)
    return predicted, out.q_halt, puzzle_exact(predicted, batch.labels)


def asked(groups: Sequence[Group]) -> Iterator[tuple[Group, int, Augmentation, Pair]]:
    """List what `question_batches` asks, in its order; the number counts augmentations."""
    for group in groups:
        for turn, augmentation in enumerate(group.augmentations()):
            for pair in group.pairs(TEST):
                yield group, turn, augmentation, pair


def make_row(
    digest: str,
    key: VoteKey,
    groups: Sequence[Group],
    tokens: np.ndarray,
    q_halt: np.ndarray,
    exact: np.ndarray,
    seconds: float,
) -> VoteRow:
    """Crop answers, turn and paint them back, and keep each different one once.

    Args:
      groups: the tasks of the shard.
      tokens, q_halt, exact: in the order of `asked`.
    """
    listed = zip(tokens, asked(groups), strict=True)
    texts = [
        write_grid(inverse_augment(crop(canvas), augmentation))
        for canvas, (_, _, augmentation, _) in listed
    ]
    places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
    return VoteRow(
        digest=digest,
        **key._asdict(),
        grids=tuple(places),
        answers=tuple(places[text] for text in texts),
        q_halt=tuple(map(float, q_halt)),
        exact=tuple(map(int, exact)),
        seconds=seconds,
    )


class Asker:
    """Asks any (scheme, model, tasks) of a spec. Compressed weights are made once and kept."""

    def __init__(
        self,
        spec: VoteSpec,
        models: Sequence[Model],
        sources: Sequence[RowSource],
        plan: TestTime,
        batch_size: int,
        side: int,
    ) -> None:
        self.spec, self.models, self.sources, self.plan = spec, models, sources, plan
        self.batch_size, self.side = batch_size, side
        self.simulations: dict[tuple[str, int], Simulation] = {}
        self.programs: dict[tuple[Reasoner, int], Callable] = {}

    def rows(self, keys: Sequence[VoteKey]) -> Iterator[VoteRow]:
        """Ask, and yield every row as it is finished."""
        for key in keys:
            yield self.row(key)

    def row(self, key: VoteKey) -> VoteRow:
        """Ask the tasks of a shard."""
        plan = self.plan._replace(groups=self.plan.groups[key.start : key.stop])
        parts, seconds = [], 0.0
        for host in question_batches(plan, self.batch_size, side=self.side):
            weights, batch = self.arguments(key, host)
            program = self.program(key, weights, batch)
            began = time.monotonic()
            result = jax.device_get(program(weights, batch))
            seconds += time.monotonic() - began
            parts.append([np.asarray(x)[: host.num_real] for x in result])
        tokens, q_halt, exact = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        return make_row(self.spec.digest, key, plan.groups, tokens, q_halt, exact, seconds)

    def simulation(self, scheme: str, model: int) -> Simulation:
        """Compress a model, its table left out."""
        if (scheme, model) not in self.simulations:
            whole = self.models[model]
            width = whole.config.puzzle_emb_ndim
            without_table = whole.weights._replace(puzzle_emb=jnp.zeros((1, width), jnp.float32))
            self.simulations[scheme, model] = simulate(
                whole._replace(weights=without_table),
                parse(scheme),
                steps=self.spec.steps,
                dtype=self.spec.dtype,
            )
        return self.simulations[scheme, model]

    def arguments(self, key: VoteKey, host: PuzzleBatch) -> tuple[Weights, Batch]:
        """Bring a batch and its rows to the devices; row i is that of question i."""
        stored = jnp.dtype(parse(key.scheme).float_dtype.dtype)
        rows = self.sources[key.model].take(host.puzzle_identifiers)
        rows = rows.astype(stored).astype(np.float32)
        weights = self.simulation(key.scheme, key.model).weights
        numbers = jnp.arange(self.batch_size, dtype=jnp.int32)
        batch = Batch(jnp.asarray(host.inputs), jnp.asarray(host.labels), numbers)
        here = replicate(jnp.asarray(rows), device_mesh())
        return weights._replace(puzzle_emb=here), shard_batch(batch)

    def program(self, key: VoteKey, weights: Weights, batch: Batch) -> Callable:
        """Compile the rollout; schemes that only change weights share it."""
        reasoner = self.simulation(key.scheme, key.model).reasoner
        place = (reasoner, self.spec.steps)
        if place not in self.programs:
            lowered = answer.lower(reasoner, weights, batch, steps=self.spec.steps)
            self.programs[place] = lowered.compile()
        return self.programs[place]
