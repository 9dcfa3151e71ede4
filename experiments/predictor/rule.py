"""A rule without labels: deploy a scheme if its one-step fidelity reaches a threshold.

A case is a scheme on a model at full depth; it is harmful if it loses more than MARGIN of the
puzzles, by the measured rate. The threshold is learned on some cases and judged on others:

    by model     leave one model out: learned on all other models, judged on the one left out
    by puzzles   learned on the even shards of every sweep, judged on the odd ones

The threshold with the fewest errors is taken; among equals the middle of the widest gap.
Beside the rule's errors stand those of always giving the commoner answer. Cases of one model are
not independent: the interval of the error counts models as clusters, wherever there are two.
"""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from experiments.predictor.signals import ONE_STEP, Point, point
from experiments.sweep.outcomes import Sweep, SweepOutcome
from trm_jax import intervals
from trm_jax.intervals import Interval

MARGIN = 0.02


class Case(NamedTuple):
    """A scheme on a model.

    Attributes:
      unsure: the interval of the loss holds the margin, so `harmful` may be wrong.
    """

    model: str
    scheme: str
    fidelity: float
    loss: float
    harmful: bool
    unsure: bool


class RuleScore(NamedTuple):
    """How the rule did on cases that it was not learned on.

    Attributes:
      split: how cases were divided; thresholds: one per division.
      wrongly_deployed, wrongly_refused: of `total` cases.
      constant: errors of always giving the commoner answer of the cases learned on.
      unsure: cases whose truth is within its interval.
      mistakes: the cases in question.
      by_model: of every model the mistakes and the cases.
    """

    split: str
    thresholds: tuple[float, ...]
    wrongly_deployed: int
    wrongly_refused: int
    total: int
    constant: int
    unsure: int
    mistakes: tuple[Case, ...]
    by_model: tuple[tuple[int, int], ...]

    @property
    def error(self) -> Interval:
        mistaken, cases = zip(*self.by_model, strict=True)
        return intervals.clustered_rate(mistaken, cases)


def case(sample: Point) -> Case:
    """Turn a point at full depth into a case."""
    fidelity = 1 - sample.signals[ONE_STEP]
    unsure = sample.loss.low <= MARGIN < sample.loss.high
    harmful = sample.loss.value > MARGIN
    return Case(sample.model, sample.scheme, fidelity, sample.loss.value, harmful, unsure)


def cases(sweep: Sweep) -> list[Case]:
    """List the schemes of a sweep."""
    deepest = sweep.spec.grid.deepest
    return [case(point(sweep, outcome, deepest)) for outcome in sweep.outcomes[1:]]


def learn(sample: Sequence[Case]) -> float:
    """Choose the threshold with the fewest errors.

    Raises:
      ValueError: no cases.
    """
    if not sample:
        raise ValueError("a threshold needs at least one case")
    fidelities = np.asarray([c.fidelity for c in sample])
    harmful = np.asarray([c.harmful for c in sample])
    edges = np.concatenate([[-1.0], np.unique(fidelities), [1.0]])
    thresholds = (edges[:-1] + edges[1:]) / 2
    errors = [int(np.sum((fidelities >= t) == harmful)) for t in thresholds]
    best = [i for i, error in enumerate(errors) if error == min(errors)]
    return float(thresholds[max(best, key=lambda i: edges[i + 1] - edges[i])])


def judge(split: str, divisions: Sequence[tuple[Sequence[Case], Sequence[Case]]]) -> RuleScore:
    """Learn on the first half of each division and judge on the second."""
    thresholds, mistakes, constant, judged = [], [], 0, []
    for learned, held_out in divisions:
        threshold = learn(learned)
        commoner = sum(c.harmful for c in learned) * 2 > len(learned)
        thresholds.append(threshold)
        judged += held_out
        constant += sum(c.harmful != commoner for c in held_out)
        mistakes += [c for c in held_out if (c.fidelity >= threshold) == c.harmful]
    deployed, wrong = sum(c.harmful for c in mistakes), Counter(c.model for c in mistakes)
    return RuleScore(
        split,
        tuple(thresholds),
        deployed,
        len(mistakes) - deployed,
        len(judged),
        constant,
        sum(c.unsure for c in judged),
        tuple(mistakes),
        tuple((wrong[model], count) for model, count in Counter(c.model for c in judged).items()),
    )


def by_model(sweeps: Sequence[Sweep]) -> RuleScore | None:
    """Leave one model out at a time, all its sweeps together; None with a single model."""
    models: dict[str, list[Case]] = {}
    for sweep in sweeps:
        models.setdefault(sweep.spec.model, []).extend(cases(sweep))
    groups = [group for group in models.values() if group]  # some sweeps are of fp32 alone
    divisions = [
        ([c for other in groups if other is not group for c in other], group) for group in groups
    ]
    return judge("by model", divisions) if len(groups) > 1 else None


def by_puzzles(sweeps: Sequence[Sweep]) -> RuleScore | None:
    """Learn on even shards, judge on odd ones; None where a sweep has a single shard."""
    halves = [(half(sweep, 0), half(sweep, 1)) for sweep in sweeps]
    if any(part is None for pair in halves for part in pair):
        return None
    even, odd = (
        [c for pair in halves if (sweep := pair[i]) is not None for c in cases(sweep)]
        for i in (0, 1)
    )
    return judge("by puzzles", [(even, odd)])


def half(sweep: Sweep, which: int) -> Sweep | None:
    """Keep every second shard, from the first (0) or the second (1); None if nothing is left."""
    parts = [_half(outcome, which) for outcome in sweep.outcomes]
    return sweep._replace(outcomes=parts) if parts[0].rows else None


def _half(outcome: SweepOutcome, which: int) -> SweepOutcome:
    rows = outcome.rows[which::2]
    total = sum(row.stop - row.start for row in rows)
    return dataclasses.replace(outcome, rows=rows, num_puzzles=total)
