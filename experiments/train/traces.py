"""What a decoder's training reads: batches of traces, each a function of (seed, step).

Puzzles are drawn with replacement and turned by a random symmetry, then written as prompt and
trace on the host (trm_jax/tasks/tokens). `CHUNK` batches are drawn at once and their puzzles
sorted by length, so that the sequences of a batch are about equally long and little is padding; in
which order these batches come is drawn again. Widths are multiples of `WIDTH`, each of which is
compiled once. What is longer than the model has positions is cut off.

Not here: the puzzles (data.py), the update (trm_jax/decoder/training.py).
"""

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np

from trm_jax.decoder.training import TraceBatch
from trm_jax.tasks.tokens.form import TokenForm, TokenRows, TraceOrder, join
from trm_jax.training.augment import Augment
from trm_jax.types import Batch

CHUNK = 32
WIDTH = 64


@dataclass(frozen=True, kw_only=True)
class TraceWriting:
    """How puzzles become sequences.

    Attributes:
      positions: that the model has.
    """

    form: TokenForm
    order: TraceOrder
    positions: int

    def write(self, puzzles: Batch) -> tuple[TokenRows, np.ndarray]:
        """Write prompts and traces; also the length of each prompt.

        Raises:
          ValueError: a label is no answer, or a prompt leaves no room for a trace.
        """
        inputs, labels = (np.asarray(a) for a in puzzles[:2])
        prompts = self.form.prompts(inputs)
        if (longest := int(prompts.lengths.max())) >= self.positions:
            raise ValueError(
                f"a prompt has {longest} tokens, the model {self.positions} positions; take a"
                " decoder with more"
            )
        traces = self.form.traces(inputs, labels, self.order)
        return join(prompts, traces), prompts.lengths

    def batch(self, rows: TokenRows, begins: np.ndarray) -> TraceBatch:
        """Pad sequences to a common width."""
        longest = -(-int(rows.lengths.max()) // WIDTH) * WIDTH
        width = min(longest, self.positions)
        tokens = np.zeros((len(begins), width), np.int32)
        written = rows.tokens[:, :width]
        tokens[:, : written.shape[1]] = written
        lengths = np.minimum(rows.lengths, width).astype(np.int32)
        return TraceBatch(*map(jnp.asarray, (tokens, begins.astype(np.int32), lengths)))


@dataclass(kw_only=True)
class TraceStream:
    """Training batches by the number of their update.

    Attributes:
      chunk: number of the chunk that `batches` holds.
    """

    puzzles: Batch
    augment: Augment
    writing: TraceWriting
    batch_size: int
    seed: int
    chunk: int = -1
    batches: list[TraceBatch] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._draw = jax.jit(self._drawn)

    def at(self, step: int) -> TraceBatch:
        """Return the batch of an update; updates count from 1."""
        chunk, place = divmod(step - 1, CHUNK)
        if chunk != self.chunk:
            self.chunk, self.batches = chunk, self._write(chunk)
        return self.batches[place]

    def _drawn(self, key: jax.Array) -> Batch:
        pick_key, augment_key = jax.random.split(key)
        total = self.puzzles.inputs.shape[0]
        index = jax.random.randint(pick_key, (CHUNK * self.batch_size,), 0, total)
        picked = jax.tree.map(lambda a: a[index].astype(jnp.int32), self.puzzles)
        return Batch(
            *self.augment(augment_key, picked.inputs, picked.labels), picked.puzzle_identifiers
        )

    def _write(self, chunk: int) -> list[TraceBatch]:
        key = jax.random.fold_in(jax.random.key(self.seed), chunk)
        rows, begins = self.writing.write(self._draw(key))
        by_length = np.argsort(rows.lengths, kind="stable").reshape(CHUNK, self.batch_size)
        turns = np.random.default_rng([self.seed, chunk]).permutation(CHUNK)
        return [
            self.writing.batch(TokenRows(rows.tokens[each], rows.lengths[each]), begins[each])
            for each in by_length[turns]
        ]
