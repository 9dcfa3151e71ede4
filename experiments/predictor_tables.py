"""Tables and figure of the predictor study."""

from collections.abc import Sequence

from experiments.charts import Dot, scatter
from experiments.predictor_points import NEEDS_REFERENCE, ONE_STEP, Point
from experiments.predictor_rank import Pair, Ranking
from experiments.predictor_rule import MARGIN, Case, Verdict
from experiments.predictor_study import Study
from experiments.statistics import Interval
from experiments.tables import Table, p_text

FLOOR = 1e-6  # smallest infidelity drawn
TICKS = (1.0, 0.1, 0.01, 1e-3, 1e-4, 1e-5, FLOOR)
TICK_TEXTS = ("0", "0.9", "0.99", "0.999", "0.9999", "0.99999", "1")


def study_tables(found: Study) -> list[Table]:
    """Lay out a study."""
    ranks = [rank_table(name, group) for name, group in found.rankings.items()]
    rule = [rule_table(found.verdicts)] if found.verdicts else []
    mistakes = [m for v in found.verdicts if v.split == "by model" for m in v.mistakes]
    return [
        *ranks,
        counterexample_table(found.failures),
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
        )
        for r in rankings
    )
    header = ("Signal", "Needs\nreference", "Spearman", "Kendall tau-b", "Points", "Curves")
    return Table(f"Rank correlation with exact match lost: {title}", header, rows, frozenset())


def counterexample_table(found: Sequence[Pair]) -> Table:
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
        for c in found
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
    title += "" if found else " (no pair does, after one step or at full depth)"
    return Table(title, header, rows, frozenset())


def rule_table(verdicts: Sequence[Verdict]) -> Table:
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


def figure(found: Sequence[Point]) -> str:
    """Draw exact match lost against one-step fidelity at full depth, one marker per model."""
    models = list(dict.fromkeys(p.model for p in found))
    dots = [
        Dot(
            p.model,
            1 + models.index(p.model),
            max(p.signals[ONE_STEP], FLOOR),
            p.loss,
        )
        for p in found
        if p.full_depth
    ]
    return scatter(
        "Exact match lost against one-step fidelity, at full depth",
        dots,
        "carry-trajectory fidelity after one supervision step",
        "exact match lost",
        x_ticks=(TICKS, TICK_TEXTS),
        labelled=False,
    )


def _signed(value: Interval) -> str:
    return f"{value.value:+.3f}\n[{value.low:+.2f}, {value.high:+.2f}]"
