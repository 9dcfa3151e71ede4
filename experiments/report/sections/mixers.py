"""MLP mixing against attention on the same puzzles: what each loses, and how much they differ.

The paper compares two models of equal accuracy (Table 10). Two sweeps of the same puzzles are put
side by side here, at full depth and, where their accuracies differ, once more with the better model
at the depth whose full-precision accuracy is nearest to the other's. A difference of losses is a
mean over puzzles of (lost by mixing) - (lost by attention), each -1, 0 or 1, so that its interval
is paired in all four answers.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from experiments.render.document import Block, Paragraph
from experiments.render.tables import Table, points_text, with_interval
from experiments.report.inputs import architecture_of
from experiments.sweep.outcomes import Sweep, SweepOutcome
from quant.scheme import label
from trm_jax import intervals
from trm_jax.intervals import Interval

MIXING, ATTENTION = "TRM-MLP", "TRM-Att"
TITLE = "Losses of MLP mixing and attention on the same puzzles"
TEXT = (
    "Two models on the puzzles that both were asked. Above zero, mixing loses more than attention"
    " under the same scheme. Where full precision is not equally accurate, the second line of a"
    " scheme takes the better model at the depth at which it is nearest to the other."
)
HEADER = (
    "Models",
    "Scheme",
    "Steps,\nmixing",
    "Steps,\nattention",
    "Mixing,\nfp32",
    "Attention,\nfp32",
    "Mixing\nloses, pp",
    "Attention\nloses, pp",
    "Mixing loses\nmore by, pp",
)


class ModelAtDepth(NamedTuple):
    """A sweep, the depth in H-cycles at which its answers are taken, and which of its puzzles."""

    sweep: Sweep
    cycles: int
    common: np.ndarray

    @property
    def full(self) -> np.ndarray:
        """Which puzzles full precision solves."""
        return self.sweep.reference.solved(self.cycles)[self.common]

    def lost(self, outcome: SweepOutcome) -> np.ndarray:
        """1 where only full precision solves a puzzle, -1 where only the scheme does."""
        return self.full.astype(int) - outcome.solved(self.cycles)[self.common]

    def rate(self) -> str:
        """Write how many full precision solves."""
        return with_interval(intervals.wilson(int(self.full.sum()), len(self.full)))


def mixer_blocks(sweeps: Sequence[Sweep]) -> list[Block]:
    """Compare every mixing model with every attention model that was asked the same puzzles."""
    body = [line for pair in _pairs(sweeps) for line in _lines(*pair)]
    if not body:
        return []
    return [Paragraph(TEXT), Table(TITLE, HEADER, tuple(body), frozenset())]


def _pairs(sweeps: Sequence[Sweep]) -> Iterator[tuple[ModelAtDepth, ModelAtDepth]]:
    """Pair models at full depth, on the puzzles that both were asked."""
    for mixing in sweeps:
        for attention in sweeps:
            kinds = architecture_of(mixing), architecture_of(attention)
            if (
                kinds != (MIXING, ATTENTION)
                or mixing.spec.data_sha256 != attention.spec.data_sha256
            ):
                continue
            asked = _asked(mixing), _asked(attention)
            if np.intersect1d(*asked).size:
                yield _deepest(mixing, asked[1]), _deepest(attention, asked[0])


def _asked(sweep: Sweep) -> np.ndarray:
    """List the puzzles of a sweep by their places in the data."""
    return np.concatenate([np.arange(row.start, row.stop) for row in sweep.reference.rows])


def _deepest(sweep: Sweep, others: np.ndarray) -> ModelAtDepth:
    return ModelAtDepth(sweep, sweep.spec.grid.deepest, np.isin(_asked(sweep), others))


def _lines(mixing: ModelAtDepth, attention: ModelAtDepth) -> Iterator[tuple[str, ...]]:
    """Write a line for each scheme and pair of depths."""
    nearest = _nearest(mixing, attention)
    is_equal = all(a.cycles == b.cycles for a, b in zip((mixing, attention), nearest, strict=True))
    for outcome in mixing.sweep.outcomes[1:]:
        if other := attention.sweep.scheme(outcome.scheme):
            yield _line(mixing, attention, outcome, other)
            if not is_equal:
                yield _line(*nearest, outcome, other)


def _nearest(mixing: ModelAtDepth, attention: ModelAtDepth) -> tuple[ModelAtDepth, ModelAtDepth]:
    """Take the better model at the depth whose accuracy is nearest to the other's full depth."""
    if mixing.full.sum() >= attention.full.sum():
        return _as_good_as(mixing, attention), attention
    return mixing, _as_good_as(attention, mixing)


def _as_good_as(better: ModelAtDepth, other: ModelAtDepth) -> ModelAtDepth:
    wanted = other.full.sum()
    depths = [better._replace(cycles=cycles) for cycles in better.sweep.spec.grid.cycles]
    return min(reversed(depths), key=lambda each: abs(each.full.sum() - wanted))


def _line(
    mixing: ModelAtDepth, attention: ModelAtDepth, first: SweepOutcome, second: SweepOutcome
) -> tuple[str, ...]:
    losses = mixing.lost(first), attention.lost(second)
    half = intervals.paired_mean((losses[0] - losses[1]) / 2)  # within -1 and 1, as it asks
    beyond = Interval(*(2 * end for end in half))
    return (
        f"{mixing.sweep.spec.model}, {attention.sweep.spec.model}",
        label(first.scheme, mixing.sweep.spec.dtype),
        _steps(mixing),
        _steps(attention),
        mixing.rate(),
        attention.rate(),
        points_text(_loss(losses[0])),
        points_text(_loss(losses[1])),
        points_text(beyond),
    )


def _loss(lost: np.ndarray) -> Interval:
    """Estimate the share that is lost, in pairs, as everywhere."""
    gained, missing = int((lost < 0).sum()), int((lost > 0).sum())
    return intervals.paired_difference(intervals.Pairs(gained, missing, len(lost)))


def _steps(model: ModelAtDepth) -> str:
    return f"{model.cycles / model.sweep.spec.grid.H_cycles:g}"
