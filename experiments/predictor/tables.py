"""Fidelity as a predictor, from sweeps to tables and a figure: points, rankings, failures, rule."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from experiments.predictor.ranking import (
    MIN_CURVES,
    Pair,
    Ranking,
    counterexamples,
    num_curves,
    rank,
)
from experiments.predictor.rule import MARGIN, Case, RuleScore, by_model, by_puzzles
from experiments.predictor.signals import (
    NEEDS_REFERENCE,
    ONE_STEP,
    SIGNALS,
    Point,
    points,
    told_apart,
)
from experiments.render.charts import WIDTH, Dot, scatter
from experiments.render.tables import Table, p_text
from experiments.sweep.outcomes import Sweep
from trm_jax.intervals import Interval

ALL, DEEPEST = "all depths", "full depth"
MIN_SCHEMES = 3  # to order


FLOOR = 1e-6  # smallest infidelity drawn
TICKS = (1.0, 0.1, 0.01, 1e-3, 1e-4, 1e-5, FLOOR)
TICK_TEXTS = ("0", "0.9", "0.99", "0.999", "0.9999", "0.99999", "1")


@dataclass(frozen=True, kw_only=True)
class PredictorStudy:
    """What was found.

    Attributes:
      points: every (model, scheme, depth).
      rankings: by group of points: all depths, full depth, each model.
      unranked: groups of too few schemes to rank, and how many each has.
      failures: pairs ordered wrongly at full depth and after one step, all sweeps.
      verdicts: of the rule, by model and by puzzles, as far as the sweeps allow.
    """

    points: tuple[Point, ...]
    rankings: dict[str, tuple[Ranking, ...]]
    unranked: dict[str, int]
    failures: tuple[Pair, ...]
    verdicts: tuple[RuleScore, ...]


def study(sweeps: Sequence[Sweep], seed: int = 0) -> PredictorStudy:
    """Judge every signal on every sweep.

    Raises:
      ValueError: no sweeps, or fewer than three compressed schemes in all.
    """
    if not sweeps:
        raise ValueError("the predictor is judged on sweeps; give at least one folder of a sweep")
    sweeps = told_apart(sweeps)
    sample = [p for sweep in sweeps for p in points(sweep)]
    if num_curves(sample) < MIN_SCHEMES:
        raise ValueError(
            f"a predictor is judged on at least {MIN_SCHEMES} schemes, got {num_curves(sample)}"
        )
    groups = {ALL: sample, DEEPEST: [p for p in sample if p.full_depth]}
    models = list(dict.fromkeys(p.model for p in sample))
    if len(models) > 1:
        groups |= {m: [p for p in sample if p.model == m and p.full_depth] for m in models}
    rankings = {
        name: tuple(rank(group, signal, seed) for signal in SIGNALS)
        for name, group in groups.items()
        if num_curves(group) >= MIN_CURVES
    }
    unranked = {name: num_curves(group) for name, group in groups.items() if name not in rankings}
    failures = [
        c
        for sweep in sweeps
        for cycles in sorted({sweep.spec.grid.deepest, sweep.spec.grid.H_cycles})
        for c in counterexamples(sweep, cycles)
    ]
    verdicts = [v for v in (by_model(sweeps), by_puzzles(sweeps)) if v is not None]
    return PredictorStudy(
        points=tuple(sample),
        rankings=rankings,
        unranked=unranked,
        failures=tuple(failures),
        verdicts=tuple(verdicts),
    )


def study_tables(results: PredictorStudy) -> list[Table]:
    """Lay out a study."""
    ranks = [rank_table(name, group) for name, group in results.rankings.items()]
    if results.unranked:
        ranks.append(unranked_table(results.unranked))
    rule = [rule_table(results.verdicts)] if results.verdicts else []
    mistakes = [m for v in results.verdicts if v.split == "by model" for m in v.mistakes]
    return [
        *ranks,
        counterexample_table(results.failures),
        *rule,
        *([mistake_table(mistakes)] if mistakes else []),
    ]


def rank_table(title: str, rankings: Sequence[Ranking]) -> Table:
    """Lay out correlations, the signals that need a reference first."""
    rows = tuple(
        (
            r.signal,
            "yes" if r.signal in NEEDS_REFERENCE else "no",
            _signed(r.spearman),
            _signed(r.kendall),
            str(r.count),
            str(r.curves),
            str(r.models),
        )
        for r in rankings
    )
    header = (
        "Signal",
        "Needs\nreference",
        "Spearman",
        "Kendall tau-b",
        "Points",
        "Curves",
        "Models",
    )
    return Table(f"Rank correlation with exact match lost: {title}", header, rows, frozenset())


def unranked_table(groups: dict[str, int]) -> Table:
    """List the groups of which no correlation is given."""
    rows = tuple((name, str(count)) for name, count in groups.items())
    title = f"No rank correlation: fewer than {MIN_CURVES} schemes"
    return Table(title, ("Group", "Schemes"), rows, frozenset())


def counterexample_table(pairs: Sequence[Pair]) -> Table:
    """Lay out the pairs that fidelity orders wrongly."""
    rows = tuple(
        (
            c.model,
            str(c.cycles),
            c.better,
            c.worse,
            *(f"{f.value:.4f}" for f in c.fidelity),
            *(f"{e.value:.3f}" for e in c.exact),
            p_text(c.p),
            "yes" if c.holds else "no",
        )
        for c in pairs
    )
    header = (
        "Model",
        "H-cycles",
        "Higher fidelity",
        "Lower fidelity",
        "Fidelity,\nhigher",
        "Fidelity,\nlower",
        "Exact,\nhigher",
        "Exact,\nlower",
        "McNemar p",
        "Holds after\nBonferroni",
    )
    title = "Where it fails: the scheme with the higher fidelity solves fewer puzzles"
    title += "" if pairs else " (no pair does, after one step or at full depth)"
    return Table(title, header, rows, frozenset())


def rule_table(verdicts: Sequence[RuleScore]) -> Table:
    """Lay out how the rule did on cases it was not learned on."""
    rows = tuple(
        (
            v.split,
            f"{min(v.thresholds):.4f} to {max(v.thresholds):.4f}",
            f"{v.error.value:.3f}\n[{v.error.low:.3f}, {v.error.high:.3f}]",
            f"{v.constant / v.total:.3f}",
            str(v.wrongly_deployed),
            str(v.wrongly_refused),
            str(v.total),
            str(v.unsure),
        )
        for v in verdicts
    )
    header = (
        "Held out",
        "Threshold",
        "Error rate",
        "Constant\nanswer",
        "Wrongly\ndeployed",
        "Wrongly\nrefused",
        "Cases",
        "Truth\nunsure",
    )
    title = f"Deploy if one-step fidelity reaches a threshold; harmful: over {MARGIN:.0%} lost"
    title += "; models are clusters of the interval"
    return Table(title, header, rows, frozenset())


def mistake_table(mistakes: Sequence[Case]) -> Table:
    """Lay out the cases that the rule got wrong, left out by model."""
    rows = tuple(
        (
            c.model,
            c.scheme,
            f"{c.fidelity:.4f}",
            f"{100 * c.loss:+.1f}",
            "wrongly deployed" if c.harmful else "wrongly refused",
            "yes" if c.unsure else "no",
        )
        for c in sorted(mistakes, key=lambda c: -abs(c.loss - MARGIN))
    )
    header = (
        "Model",
        "Scheme",
        "One-step\nfidelity",
        "Exact lost,\npp",
        "Mistake",
        "Truth\nunsure",
    )
    return Table("Mistakes of the rule, by model", header, rows, frozenset())


def figure(sample: Sequence[Point], *, width: int = WIDTH) -> str:
    """Draw exact match lost against one-step fidelity at full depth, one marker per model."""
    models = list(dict.fromkeys(p.model for p in sample))
    dots = [
        Dot(
            p.model,
            1 + models.index(p.model),
            max(p.signals[ONE_STEP], FLOOR),
            p.loss,
        )
        for p in sample
        if p.full_depth
    ]
    return scatter(
        "Exact match lost against one-step fidelity, at full depth",
        dots,
        "carry-trajectory fidelity after one supervision step",
        "exact match lost",
        x_ticks=(TICKS, TICK_TEXTS),
        labelled=False,
        width=width,
    )


def _signed(value: Interval) -> str:
    """Write a correlation; there is none where one side does not vary, nor then its interval."""
    if math.isnan(value.value):
        return "-"
    if math.isnan(value.low):
        return f"{value.value:+.3f}"
    return f"{value.value:+.3f}\n[{value.low:+.2f}, {value.high:+.2f}]"
