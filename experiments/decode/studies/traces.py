"""Supervised traces of a study: as the decoder writes them, with less of their work, or without it.

A token of work is one that no answer is read from: a look, a step of a search, a guess.
Reinforcement needs right answers of unlike length to choose among, and a decoder that knows one
trace for each puzzle writes the same text eight times. Two ways to teach it several:

    shortened   every trace draws how large an excursion it leaves out (a search that leads nowhere,
                looks that find nothing: `TokenForm.excursions`), none in half of all traces, and
                whether it announces what it does (`from`, a pass); `DIRECT` of them are answers
                alone. What is left is a smaller search, whole and in order.
    thinned     every trace draws a share from 0 to 1, and leaves so much of its work out, token by
                token. What is left has gaps.

Adapters learn one text for each puzzle: the answer alone, or a brief trace, which leaves out what
the next token tells too (`from` before a move, the name of a pass before its first look).

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
AHEAD = 16
"""Updates whose traces are written at once: many searches take little longer than few."""
TRAINING_BATCH = 16
"""Traces of an update where --batch-size says none."""


class Work(enum.StrEnum):
    """How much of its work a trace shows."""

    WHOLE = "whole"
    BRIEF = "brief"
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


def told_again(form: TokenForm, rows: TokenRows) -> np.ndarray:
    """Mark announcements that are followed by what they announce, which tells the same."""
    announced = work_tokens(form, ANNOUNCEMENTS)[rows.tokens]
    done = work_tokens(form, ("look", "reach"))[rows.tokens]
    return announced & np.pad(done[:, 1:], ((0, 0), (0, 1)))


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
    if work is Work.BRIEF:
        return leave_out(rows, told_again(form, rows))
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
        self._written: tuple[int, list[tuple[TokenRows, TokenRows]]] = (-1, [])

    def at(self, update: int) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
        """Return prompts, their lengths, traces, and their lengths."""
        parts = (x for rows in self.rows_at(update) for x in rows)
        first, lengths, tokens, counts = (jnp.asarray(x, jnp.int32) for x in parts)
        return first, lengths, tokens, counts

    def rows_at(self, update: int) -> tuple[TokenRows, TokenRows]:
        """Return the same on the host: prompts, and traces."""
        block, place = divmod(update, AHEAD)
        if self._written[0] != block:
            self._written = block, self._write(range(block * AHEAD, (block + 1) * AHEAD))
        prompts, whole = self._written[1][place]
        traces = cut_work(self.subject.form, whole, self.work, self._chosen(update)[0])
        step = DIRECT_WIDTH if self.work is Work.NONE else WIDTH
        width = -(-int(traces.lengths.max()) // step) * step
        return prompts, traces.widened(min(width, self.subject.room))

    def _chosen(self, update: int) -> tuple[np.random.Generator, np.ndarray]:
        """Draw the puzzles of an update by number; the generator goes on with its traces."""
        rng = np.random.default_rng([self.seed, update])
        return rng, rng.integers(len(self.subject.training.inputs), size=self.batch_size)

    def _write(self, updates: range) -> list[tuple[TokenRows, TokenRows]]:
        """Write prompts and whole traces of several updates at once."""
        training = self.subject.training
        chosen = [self._chosen(update)[1] for update in updates]
        plain = StudyPuzzles(*(each[np.concatenate(chosen)] for each in training))
        puzzles, whole = self._turned(plain, updates)
        both = (self.subject.prompts(puzzles), whole)
        parts = [[_rows(each, i, self.batch_size) for each in both] for i in range(len(updates))]
        # a trace is as wide as the longest of its update: draws may depend on that
        return [(prompts, _cut(traces)) for prompts, traces in parts]

    def _turned(self, puzzles: StudyPuzzles, updates: range) -> tuple[StudyPuzzles, TokenRows]:
        """Turn puzzles by random symmetries; those stay whose traces would not fit.

        Returns:
          The puzzles, and their whole traces.
        """
        if self._augment is None:
            return puzzles, self.subject.traces(puzzles)
        size, parts = self.batch_size, []
        for i, update in enumerate(updates):
            key = jax.random.fold_in(jax.random.key(self.seed), update)
            part = (jnp.asarray(x[i * size : (i + 1) * size], jnp.int32) for x in puzzles)
            parts.append(self._augment(key, *part))
        turned = StudyPuzzles(*(np.concatenate(each) for each in zip(*parts, strict=True)))
        whole = self.subject.traces(turned)
        fits = self.subject.fits(whole)
        if fits.all():
            return turned, whole
        pairs = zip(turned, puzzles, strict=True)
        kept = StudyPuzzles(*(np.where(fits[:, None], new, old) for new, old in pairs))
        return kept, self.subject.traces(kept)


def _rows(rows: TokenRows, number: int, size: int) -> TokenRows:
    """Take one of several batches."""
    return TokenRows(*(x[number * size : (number + 1) * size] for x in rows))


def _cut(rows: TokenRows) -> TokenRows:
    """Cut padding off that no row needs."""
    return rows._replace(tokens=rows.tokens[:, : rows.lengths.max(initial=1)])
