"""Supervised traces of a study: as the decoder writes them, shortened or thinned, or without work.

A token of work is one that no answer is read from: a look, a step of a search, a guess.
Reinforcement needs right answers of unlike length to choose among, and a decoder that knows one
trace for each puzzle writes the same text eight times. Two ways to teach it several:

    shortened   every trace draws how large an excursion it leaves out (a search that leads nowhere,
                looks that find nothing: `TokenForm.excursions`), none in half of all traces, and
                whether it announces what it does (`from`, a pass); `DIRECT` of them are answers
                alone. What is left is a smaller search, whole and in order.
    thinned     every trace draws a share from 0 to 1, and leaves so much of its work out, token by
                token. What is left has gaps.

Puzzles are drawn with replacement and turned by a random symmetry; every draw is a function of
(seed, update). No trace is cut: a puzzle whose trace would be too long when turned is not turned.
"""

import enum

import jax
import jax.numpy as jnp
import numpy as np

from experiments.decode.studies.subject import StudyPuzzles, StudySubject
from trm_jax.tasks.tokens.form import PAD, TokenForm, TokenRows

WORK_WORDS = ("look", "cells", "boxes", "rows", "columns", "guess", "from", "reach")
"""First words of the tokens of work (trm_jax/tasks/tokens)."""
ANNOUNCEMENTS = ("cells", "boxes", "rows", "columns", "from")
"""First words of the tokens of work that the next token of work tells as well."""
LIMITS = (1, 2, 4, 8, np.iinfo(np.int64).max)
"""Sizes up to which excursions are left out, where any are."""
UNCUT, QUIET, DIRECT = 0.5, 0.5, 0.1
"""Shares of shortened traces: with all excursions, without announcements, without any work."""
WIDTH, DIRECT_WIDTH = 32, 8
"""Traces of an update are padded to a multiple; direct answers are short and all alike."""
TRAINING_BATCH = 16
"""Traces of an update where --batch-size says none."""


class Work(enum.StrEnum):
    """How much of its work a trace shows."""

    WHOLE = "whole"
    SHORTENED = "shortened"
    THINNED = "thinned"
    NONE = "none"


def work_tokens(form: TokenForm, words: tuple[str, ...] = WORK_WORDS) -> np.ndarray:
    """Mark the tokens of a vocabulary that no answer is read from, or others by first words."""
    return np.array([name.split()[0] in words for name in form.vocabulary])


def thin(rows: TokenRows, work: np.ndarray, shares: np.ndarray, draws: np.ndarray) -> TokenRows:
    """Leave tokens of work out.

    Args:
      work: marks of the vocabulary's tokens of work.
      shares: of the work that is left out, trace by trace; 1 leaves all out.
      draws: in [0, 1), for every token.
    """
    return leave_out(rows, work[rows.tokens] & (draws < shares[:, None]))


def shorten(form: TokenForm, rows: TokenRows, rng: np.random.Generator) -> TokenRows:
    """Leave excursions and announcements out, or all work, as drawn for each trace."""
    count = len(rows.lengths)
    limits = np.where(rng.random(count) < UNCUT, 0, rng.choice(LIMITS, count))[:, None]
    quiet, direct = (rng.random((count, 1)) < share for share in (QUIET, DIRECT))
    sizes = form.excursions(rows.tokens)
    left = (sizes > 0) & (sizes <= limits)
    left |= quiet & work_tokens(form, ANNOUNCEMENTS)[rows.tokens]
    return leave_out(rows, left | (direct & work_tokens(form)[rows.tokens]))


def leave_out(rows: TokenRows, left: np.ndarray) -> TokenRows:
    """Leave marked tokens out, and close the gaps."""
    written = np.arange(rows.tokens.shape[1]) < rows.lengths[:, None]
    kept = written & ~left
    order = np.argsort(~kept, axis=1, kind="stable")
    tokens = np.take_along_axis(np.where(kept, rows.tokens, PAD), order, axis=1)
    lengths = kept.sum(axis=1).astype(np.int32)
    return TokenRows(tokens[:, : lengths.max(initial=1)], lengths)


def cut_work(form: TokenForm, rows: TokenRows, work: Work, rng: np.random.Generator) -> TokenRows:
    """Leave as much work in whole traces as asked for."""
    if work is Work.WHOLE:
        return rows
    if work is Work.SHORTENED:
        return shorten(form, rows, rng)
    count = len(rows.lengths)
    shares = rng.random(count) if work is Work.THINNED else np.ones(count)
    return thin(rows, work_tokens(form), shares, rng.random(rows.tokens.shape))


class TraceDraws:
    """Batches of supervised traces by the number of their update."""

    def __init__(self, subject: StudySubject, work: Work, batch_size: int, seed: int) -> None:
        self.subject, self.work, self.batch_size, self.seed = subject, work, batch_size, seed
        named = subject.puzzles.task.augmentation(subject.model.puzzles)
        self._augment = None if named is None else jax.jit(named.make())

    def at(self, update: int) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
        """Return prompts, their lengths, traces, and their lengths."""
        parts = (x for rows in self.rows_at(update) for x in rows)
        first, lengths, tokens, counts = (jnp.asarray(x, jnp.int32) for x in parts)
        return first, lengths, tokens, counts

    def rows_at(self, update: int) -> tuple[TokenRows, TokenRows]:
        """Return the same on the host: prompts, and traces."""
        rng = np.random.default_rng([self.seed, update])
        training = self.subject.training
        number = rng.integers(len(training.inputs), size=self.batch_size)
        puzzles = StudyPuzzles(training.inputs[number], training.labels[number])
        puzzles, whole = self._turned(puzzles, update)
        traces = cut_work(self.subject.form, whole, self.work, rng)
        step = DIRECT_WIDTH if self.work is Work.NONE else WIDTH
        width = -(-int(traces.lengths.max()) // step) * step
        return self.subject.prompts(puzzles), traces.widened(min(width, self.subject.room))

    def _turned(self, puzzles: StudyPuzzles, update: int) -> tuple[StudyPuzzles, TokenRows]:
        """Turn puzzles by random symmetries; those stay whose traces would not fit.

        Returns:
          The puzzles, and their whole traces.
        """
        if self._augment is None:
            return puzzles, self.subject.traces(puzzles)
        key = jax.random.fold_in(jax.random.key(self.seed), update)
        turned = self._augment(key, *(jnp.asarray(x, jnp.int32) for x in puzzles))
        turned = StudyPuzzles(*map(np.asarray, turned))
        whole = self.subject.traces(turned)
        fits = self.subject.fits(whole)
        if fits.all():
            return turned, whole
        pairs = zip(turned, puzzles, strict=True)
        kept = StudyPuzzles(*(np.where(fits[:, None], new, old) for new, old in pairs))
        return kept, self.subject.traces(kept)
