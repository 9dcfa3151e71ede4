"""Supervised traces of a study: as the decoder writes them, thinned at random, or without work.

A token of work is one that no answer is read from: a look, a step of a search, a guess. Thinned
traces leave each of them out with a probability that is drawn anew for every trace, from 0 to 1, so
that a decoder which learned them writes long and short answers alike: reinforcement has something
to choose among. A decoder that knows one trace for each puzzle writes the same text eight times.

Puzzles are drawn with replacement and turned by a random symmetry; every draw is a function of
(seed, update).
"""

import enum

import jax
import jax.numpy as jnp
import numpy as np

from experiments.decode.studies.subject import StudyPuzzles, StudySubject
from trm_jax.tasks.tokens.form import PAD, TokenForm, TokenRows, TraceOrder

WORK_WORDS = ("look", "cells", "boxes", "rows", "columns", "guess", "from", "reach")
"""First words of the tokens of work (trm_jax/tasks/tokens)."""
WIDTH = 32
TRAINING_BATCH = 16
"""Traces of an update where --batch-size says none."""


class Work(enum.StrEnum):
    """How much of its work a trace shows."""

    WHOLE = "whole"
    THINNED = "thinned"
    NONE = "none"


def work_tokens(form: TokenForm) -> np.ndarray:
    """Mark the tokens of a vocabulary that no answer is read from."""
    return np.array([name.split()[0] in WORK_WORDS for name in form.vocabulary])


def thin(rows: TokenRows, work: np.ndarray, shares: np.ndarray, draws: np.ndarray) -> TokenRows:
    """Leave tokens of work out.

    Args:
      work: marks of the vocabulary's tokens of work.
      shares: of the work that is left out, trace by trace; 1 leaves all out.
      draws: in [0, 1), for every token.
    """
    written = np.arange(rows.tokens.shape[1]) < rows.lengths[:, None]
    kept = written & ~(work[rows.tokens] & (draws < shares[:, None]))
    order = np.argsort(~kept, axis=1, kind="stable")
    tokens = np.take_along_axis(np.where(kept, rows.tokens, PAD), order, axis=1)
    lengths = kept.sum(axis=1).astype(np.int32)
    return TokenRows(tokens[:, : lengths.max(initial=1)], lengths)


def write_traces(
    subject: StudySubject, puzzles: StudyPuzzles, work: Work, rng: np.random.Generator
) -> TokenRows:
    """Write the traces of puzzles in the decoder's order, with as much work as asked for."""
    order: TraceOrder = subject.model.order
    rows = subject.form.traces(puzzles.inputs, puzzles.labels, order)
    if work is Work.WHOLE:
        return rows
    count = len(rows.lengths)
    shares = rng.random(count) if work is Work.THINNED else np.ones(count)
    return thin(rows, work_tokens(subject.form), shares, rng.random(rows.tokens.shape))


class TraceDraws:
    """Batches of supervised traces by the number of their update."""

    def __init__(self, subject: StudySubject, work: Work, batch_size: int, seed: int) -> None:
        self.subject, self.work, self.batch_size, self.seed = subject, work, batch_size, seed
        named = subject.puzzles.task.augmentation(subject.model.puzzles)
        self._augment = None if named is None else jax.jit(named.make())

    def at(self, update: int) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
        """Return prompts, their lengths, traces, and their lengths."""
        rng = np.random.default_rng([self.seed, update])
        training = self.subject.training
        number = rng.integers(len(training.inputs), size=self.batch_size)
        puzzles = StudyPuzzles(training.inputs[number], training.labels[number])
        if self._augment is not None:
            key = jax.random.fold_in(jax.random.key(self.seed), update)
            turned = self._augment(key, *(jnp.asarray(x, jnp.int32) for x in puzzles))
            puzzles = StudyPuzzles(*map(np.asarray, turned))
        prompts = self.subject.prompts(puzzles)
        traces = write_traces(self.subject, puzzles, self.work, rng)
        room = self.subject.room
        width = min(-(-int(traces.lengths.max()) // WIDTH) * WIDTH, room)
        written = traces._replace(tokens=traces.tokens[:, :width]).widened(width)
        parts = (*prompts, written.tokens, np.minimum(traces.lengths, width))
        first, lengths, tokens, counts = (jnp.asarray(x, jnp.int32) for x in parts)
        return first, lengths, tokens, counts
