"""Puzzles solved by mixes: who decides between recipes, and what the report compares.

Deciding puzzles are neither solved for the report nor calibrated on (job.py). Under --max-drop they
find the smallest recipe that keeps to it. In every search they choose between the finalists at the
end: the refined recipe, the one it started from, and the best single scheme of that size. Losses
of one supervision step order mixes of one kind well, but a lower loss is not always more puzzles.

Products are computed in floats while they decide: weights alone differ, whatever the target.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Integer

from experiments.measurement.shards import load_rows
from experiments.measurement.spec import shards_of
from experiments.recipe.job import RecipeJob, deployed
from experiments.recipe.outcomes import (
    FULL,
    RECIPE,
    FrontMeasurement,
    SolvedScheme,
    TriedSize,
    find_first,
    thinned,
)
from quant.ptq.calibrate import Calibration
from quant.ptq.mixed_precision import FrontPoint, Picks, WeightChoice
from quant.ptq.sensitivity import Sensitivity
from quant.scheme import Scheme, WeightScheme, parse_weights
from quant.simulation import Simulation, simulate
from trm_jax.command_line import progress_bar
from trm_jax.intervals import LEVEL, Interval, paired_difference, pairs
from trm_jax.metrics import puzzle_exact


@dataclass(frozen=True, kw_only=True, eq=False)
class MixMeasurement:
    """Everything that mixes are measured with.

    Attributes:
      choices: of every matrix, with what each costs alone.
      exact: which deciding puzzles every mix solves that was asked about; without picks, full
        precision.
    """

    job: RecipeJob
    calibration: Calibration
    sensitivity: Sensitivity
    choices: Sequence[Sequence[WeightChoice]]
    exact: dict[Picks, np.ndarray] = field(default_factory=dict)

    def mix(self, picks: Picks) -> dict[str, WeightScheme]:
        """Name the weights of every matrix."""
        picked = zip(self.job.sites, self.choices, picks, strict=True)
        return {site: parse_weights(of[i].name) for site, of, i in picked}

    def point(self, picks: Picks) -> FrontPoint:
        """Add up what the matrices of a mix take and cost alone."""
        picked = [of[i] for of, i in zip(self.choices, picks, strict=True)]
        return FrontPoint(sum(c.stored for c in picked), sum(c.loss for c in picked), picks)

    def measured(self, point: FrontPoint, name: str = "") -> FrontMeasurement:
        """Measure what all matrices of a mix cost together."""
        return FrontMeasurement(
            stored=point.stored + self.job.rest,
            predicted=point.loss,
            measured=self.sensitivity.loss(self.mix(point.picks)),
            name=name,
        )

    def decide(self, picks: Picks) -> Interval:
        """Compare a mix with full precision on the deciding puzzles, in pairs."""
        return paired_difference(pairs(self._solved(()), self._solved(picks)))

    def _solved(self, picks: Picks) -> np.ndarray:
        if picks not in self.exact:
            rows = self.job.deciding
            weights = self.sensitivity.weights_of(self.mix(picks) if picks else {})
            reasoner = self.calibration.reasoner
            model = Simulation(reasoner=reasoner, weights=weights, ranges={}, quantised={})
            shards = solve_rows(self.job, model, rows, min(self.job.batch.number, len(rows)))
            self.exact[picks] = np.concatenate(list(shards))
        return self.exact[picks]


def find_smallest(
    mixes: MixMeasurement, front: Sequence[FrontPoint], largest: int
) -> tuple[FrontPoint, tuple[TriedSize, ...]]:
    """Find the smallest recipe that loses no more of the deciding puzzles than --max-drop.

    Args:
      largest: bytes of the matrices.

    Raises:
      ValueError: even the largest loses more; the message says how many.
    """
    job, tried = mixes.job, []
    with progress_bar("deciding", 2 + math.ceil(math.log2(len(front)))) as advance:

        def holds(point: FrontPoint) -> bool:
            found = mixes.decide(point.picks)
            tried.append(TriedSize(stored=point.stored + job.rest, difference=found))
            advance(len(tried), "")
            return keeps(job, found)

        sizes = thinned([point for point in front if point.stored <= largest], job.rest)
        found = find_first(sizes, holds)
    if found is None:
        raise ValueError(_refused_drop(job, tried[0]))
    return found, tuple(sorted(tried, key=lambda each: each.stored))


def keeps(job: RecipeJob, difference: Interval) -> bool:
    """Return whether a drop is no larger than --max-drop allows."""
    return job.max_drop is None or -difference.value <= job.max_drop


def _refused_drop(job: RecipeJob, best: TriedSize) -> str:
    low, high = (f"{100 * end:+.1f}" for end in best.difference[1:])
    within = f"within {job.budget:,} bytes" if job.budget else "with any weights of the target"
    return (
        f"--max-drop {100 * (job.max_drop or 0):g}pp is not reached {within}: the best recipe"
        f" solves {100 * best.difference.value:+.1f} points [{low}, {high}] of the"
        f" {len(job.deciding)} deciding puzzles against full precision ({LEVEL:.0%}); raise"
        f" {'--budget' if job.budget else '--max-drop'}"
    )


def choose_finalist(
    mixes: MixMeasurement, finalists: Mapping[str, FrontPoint]
) -> tuple[FrontPoint, tuple[TriedSize, ...]]:
    """Choose the finalist that solves most deciding puzzles, and of equal ones the first.

    Under --max-drop only those are asked about that keep to it. Without deciding puzzles the first
    is taken.

    Args:
      finalists: by name, those of lower loss first; one at least keeps to --max-drop.

    Returns:
      The finalist, and what was found of every one.
    """
    job = mixes.job
    if not job.deciding.size:
        return next(iter(finalists.values())), ()
    tried: list[TriedSize] = []
    with progress_bar("deciding", len(finalists)) as advance:
        for name, point in finalists.items():
            found = mixes.decide(point.picks)
            tried.append(TriedSize(stored=point.stored + job.rest, difference=found, name=name))
            advance(len(tried), name)
    kept = [
        (point, each.difference.value)
        for point, each in zip(finalists.values(), tried, strict=True)
        if keeps(job, each.difference)
    ]
    return max(kept, key=lambda of: of[1])[0], tuple(tried)


def solve_all(
    mixes: MixMeasurement, recipe: Scheme, chosen: FrontMeasurement, single: FrontMeasurement | None
) -> tuple[SolvedScheme, ...]:
    """Solve puzzles in full precision, under the recipe, and under the best scheme that fits."""
    job = mixes.job
    asked = [
        (FULL, job.rest + 4 * job.num_weights, Scheme()),
        (RECIPE, chosen.stored, recipe),
    ]
    if single is not None:
        scheme = deployed(parse_weights(single.name), job.target)
        asked.append((single.name, single.stored, scheme))
    size = min(job.batch.number, job.num_puzzles)
    rows = job.puzzles.order[: job.num_puzzles]
    shards = -(-job.num_puzzles // size)
    solved = []
    with progress_bar("solving", len(asked) * shards) as advance:
        for name, stored, scheme in asked:
            model = simulate(job.model, scheme, mixes.calibration)
            flags = []
            for exact in solve_rows(job, model, rows, size):
                flags.append(exact)
                advance(len(solved) * shards + len(flags), name)
            exact = np.concatenate(flags)
            solved.append(SolvedScheme(name=name, stored=stored, scheme=scheme, exact=exact))
    return tuple(solved)


def solve_rows(
    job: RecipeJob, model: Simulation, rows: Integer[np.ndarray, " puzzles"], size: int
) -> Iterator[Bool[np.ndarray, " shard"]]:
    """Solve puzzles at full depth, so many at a time; gives which of them are right."""
    steps = job.model.config.halt_max_steps
    for start, stop in shards_of(len(rows), size):
        host, batch = load_rows(job.puzzles, rows[start:stop], size)
        tokens = jnp.asarray(model.answers(batch, steps=steps))
        yield np.asarray(puzzle_exact(tokens, batch.labels))[: host.num_real]
