"""Everything about fidelity as a predictor, from sweeps: points, rankings, failures, rule."""

from collections.abc import Sequence
from dataclasses import dataclass

from experiments.predictor_points import SIGNALS, Point, points
from experiments.predictor_rank import Pair, Ranking, counterexamples, rank
from experiments.predictor_rule import Verdict, by_model, by_puzzles
from experiments.runs import Sweep

ALL, DEEPEST = "all depths", "full depth"


@dataclass(frozen=True, kw_only=True)
class Study:
    """What was found.

    Attributes:
      points: every (model, scheme, depth).
      rankings: by group of points: all depths, full depth, each model.
      failures: pairs ordered wrongly at full depth and after one step, all sweeps.
      verdicts: of the rule, by model and by puzzles, as far as the sweeps allow.
    """

    points: tuple[Point, ...]
    rankings: dict[str, tuple[Ranking, ...]]
    failures: tuple[Pair, ...]
    verdicts: tuple[Verdict, ...]


def study(sweeps: Sequence[Sweep], seed: int = 0) -> Study:
    """Judge every signal on every sweep.

    Raises:
      ValueError: no sweeps, or fewer than three compressed schemes in all.
    """
    if not sweeps:
        raise ValueError("the predictor is judged on sweeps; give at least one folder of a sweep")
    found = [p for sweep in sweeps for p in points(sweep)]
    groups = {ALL: found, DEEPEST: [p for p in found if p.full_depth]}
    models = list(dict.fromkeys(p.model for p in found))
    if len(models) > 1:
        groups |= {m: [p for p in found if p.model == m and p.full_depth] for m in models}
    rankings = {
        name: tuple(rank(group, signal, seed) for signal in SIGNALS)
        for name, group in groups.items()
        if len({p.curve for p in group}) >= 3 or name == ALL
    }
    failures = [
        c
        for sweep in sweeps
        for cycles in sorted({sweep.spec.grid.deepest, sweep.spec.grid.H_cycles})
        for c in counterexamples(sweep, cycles)
    ]
    verdicts = [v for v in (by_model(sweeps), by_puzzles(sweeps)) if v is not None]
    return Study(
        points=tuple(found), rankings=rankings, failures=tuple(failures), verdicts=tuple(verdicts)
    )
