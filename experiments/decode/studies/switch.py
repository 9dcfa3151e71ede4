"""A switcher: easy puzzles are answered directly, by an adapter, and hard ones with a trace.

The switcher reads the average state of the prompt that prefill left (trm_jax/decoder/judges.py). It
is trained on held-out puzzles that are not evaluated, whose label is whether the direct answer was
right. Tables:

    shares       accuracy against tokens as more puzzles are routed to direct answers, those that
                 the switcher finds easiest first; beside it the same shares routed by chance, and
                 by the truth, which nobody has
    thresholds   what can be put to use: a share needs all puzzles at once, a threshold one. It is
                 chosen on one in `CHOOSING` of the switcher's puzzles, which it has not learned
                 from: the lowest that loses so much exact match at most
    rules        no switcher: every puzzle is answered directly, and those whose answer breaks the
                 rules of the task are answered again with a trace; all tokens count
"""

import argparse
import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.console import Console

from experiments.decode.studies.folder import AnswerRow, StudyFolder
from experiments.decode.studies.lora import trained_adapters
from experiments.decode.studies.outcomes import (
    answer_table,
    difference,
    exact,
    mean_of,
    write_tables,
)
from experiments.decode.studies.subject import Asked, StudyPuzzles, StudySubject, ask
from experiments.render.figures import STYLE, colour, figure_of, marker, save
from experiments.render.tables import Record, Table, with_error, with_interval
from trm_jax.decoder.judges import SWITCHER, Judge, judge_probabilities, train_judge
from trm_jax.decoder.lora import AdaptedRows
from trm_jax.intervals import Interval, interval_fields, wilson

SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
"""Of the puzzles that are routed to direct answers."""
LOSSES = (0.005, 0.01, 0.02, 0.05, 0.1)
"""Of exact match that a threshold may cost on the puzzles that choose it."""
CHOOSING = 4
"""One in so many of the switcher's puzzles chooses thresholds."""
CHECKED = "direct, then traces where rules are broken"


class BothAnswers(NamedTuple):
    """Puzzles answered both ways, with the switcher's scores beside the direct answers."""

    trace: AnswerRow
    direct: AnswerRow


def study_switch(
    args: argparse.Namespace, subject: StudySubject, folder: StudyFolder, console: Console
) -> None:
    """Run the study."""
    adapted = trained_adapters(args, subject, folder, "direct")
    learned, choosing = cut_judged(subject.need_apart(args.judged_puzzles))

    @functools.cache
    def switcher() -> Judge:
        asked = ask(subject, learned, adapted=adapted)
        recipe = dataclasses.replace(SWITCHER, seed=args.seed)
        return train_judge(jnp.asarray(asked.prompt), jnp.asarray(asked.right[:, 0]), recipe)

    def answered(puzzles: StudyPuzzles, note: str) -> BothAnswers:
        trace, direct = f"trace{note}", f"direct{note}"

        def judged() -> AnswerRow:
            asked = ask(subject, puzzles, adapted=adapted)
            scores = np.asarray(judge_probabilities(switcher(), jnp.asarray(asked.prompt)))
            return dataclasses.replace(asked.row(direct), scores=tuple(map(float, scores)))

        return BothAnswers(
            folder.answers(trace, lambda: ask(subject, puzzles).row(trace)),
            folder.answers(direct, judged),
        )

    both, apart = answered(subject.evaluated, ""), answered(choosing, ", to choose")
    checked = folder.answers(CHECKED, lambda: _checked(subject, adapted, both.trace))
    table, _ = answer_table(f"Direct answers of {subject.name}", [*both, checked])
    curve, records = curve_table(*both)
    chosen, more = threshold_table(both, apart)
    tables = [table, verdicts(both.direct), curve, chosen]
    write_tables(folder.path, "switch", tables, [*records, *more], console)
    save(curve_figure(subject.name, both, checked), folder.path / "switch")


def cut_judged(puzzles: StudyPuzzles) -> tuple[StudyPuzzles, StudyPuzzles]:
    """Take what a switcher learns from, and what chooses thresholds.

    Raises:
      ValueError: fewer puzzles than one to choose needs.
    """
    count = len(puzzles.inputs)
    if count < CHOOSING:
        raise ValueError(
            f"a switcher needs {CHOOSING} puzzles that are not evaluated, one of them to choose"
            f" thresholds on, got {count}; lower --limit, or raise --judged-puzzles"
        )
    choose = np.arange(count) % CHOOSING == CHOOSING - 1
    return puzzles.where(~choose), puzzles.where(choose)


def _checked(subject: StudySubject, adapted: AdaptedRows, trace: AnswerRow) -> AnswerRow:
    """Answer directly, and again with a trace where the answer breaks the rules or has no end."""
    asked = ask(subject, subject.evaluated, adapted=adapted)
    kept = keeps_rules(subject, subject.evaluated, asked)
    tokens = asked.lengths[:, 0] + np.where(kept, 0, trace.lengths)
    return AnswerRow(
        stage=CHECKED,
        right=tuple(np.where(kept, asked.right[:, 0], trace.solved).astype(int).tolist()),
        tokens=tuple(map(int, tokens)),
        values={"kept": float(kept.mean())},
    )


def keeps_rules(subject: StudySubject, puzzles: StudyPuzzles, asked: Asked) -> np.ndarray:
    """Mark finished answers that obey the rules of their puzzles; no label is read."""
    rules = subject.puzzles.task.rules(subject.puzzles.facts)
    assert rules is not None  # tasks with tokens have some
    pairs = zip(puzzles.inputs, asked.cells[:, 0], strict=True)
    return np.array([rules(puzzle, answer) for puzzle, answer in pairs], bool) & asked.ended[:, 0]


def easiest(scores: np.ndarray, share: float) -> np.ndarray:
    """Mark the share of puzzles with the highest scores."""
    order = np.argsort(-scores, kind="stable")
    easy = np.zeros(len(order), bool)
    easy[order[: round(share * len(order))]] = True
    return easy


def route(trace: AnswerRow, direct: AnswerRow, easy: np.ndarray) -> AnswerRow:
    """Answer the marked puzzles directly, and the rest with a trace."""
    return AnswerRow(
        stage=f"{easy.mean():.0%}",
        right=tuple(np.where(easy, direct.right, trace.right).tolist()),
        tokens=tuple(np.where(easy, direct.tokens, trace.tokens).tolist()),
        values={},
    )


def choose_threshold(apart: BothAnswers, loss: float) -> float:
    """Choose the lowest score from which on puzzles are answered directly.

    Args:
      apart: puzzles that choose.
      loss: of their exact match, beside traces alone, that is taken at most.

    Returns:
      The threshold; infinity where any costs more: no puzzle is answered directly.
    """
    scores = np.asarray(apart.direct.scores)
    for score in np.unique(scores):  # lowest first: the most direct answers
        routed = route(*apart, scores >= score)
        if apart.trace.solved.mean() - routed.solved.mean() <= loss:
            return float(score)
    return float("inf")


def by_chance(trace: AnswerRow, direct: AnswerRow, share: float) -> float:
    """Compute the expected accuracy where the same share is routed at random."""
    return float((1 - share) * trace.solved.mean() + share * direct.solved.mean())


def ranking(direct: AnswerRow) -> float:
    """Compute how often a puzzle with a right direct answer scores above one without (AUC).

    Returns:
      NaN where all direct answers are right, or none.
    """
    scores = np.asarray(direct.scores)
    above, below = scores[direct.solved], scores[~direct.solved]
    if not len(above) or not len(below):
        return float("nan")
    wins = (above[:, None] > below).sum() + 0.5 * (above[:, None] == below).sum()
    return float(wins / (len(above) * len(below)))


def verdicts(direct: AnswerRow) -> Table:
    """Show how well the switcher tells puzzles apart."""
    said = np.asarray(direct.scores) > 0.5
    right: Interval = wilson(int((said == direct.solved).sum()), said.size)
    majority = max(direct.solved.mean(), 1 - direct.solved.mean())
    header = ("switcher", "verdicts right", "best constant verdict", "AUC")
    cells = ("prompt's average state", with_interval(right), f"{majority:.4f}")
    auc = ranking(direct)
    row = (*cells, "-" if math.isnan(auc) else f"{auc:.3f}")
    return Table("Will the direct answer be right?", header, (row,), frozenset())


def curve_table(trace: AnswerRow, direct: AnswerRow) -> tuple[Table, list[Record]]:
    """Show accuracy and tokens against the share that is answered directly."""
    both, rows, records = BothAnswers(trace, direct), [], []
    for share in SHARES:
        cells, record = _routed(both, easiest(np.asarray(direct.scores), share))
        rows.append((f"{share:.0%}", *cells))
        records.append({"routed": "share", **record, "directly": share})
    return Table(
        "Puzzles answered directly", ("directly", *REST), tuple(rows), frozenset()
    ), records


REST = ("exact by the switcher", "by chance", "by the truth", "against traces", "tokens")
"""Columns of `_routed`."""


def _routed(both: BothAnswers, easy: np.ndarray) -> tuple[tuple[str, ...], Record]:
    """Lay out what routing the marked puzzles gives: cells of a table, and the same as fields."""
    trace, direct = both
    switched, share = route(trace, direct, easy), float(easy.mean())
    best = route(trace, direct, easiest(direct.solved.astype(float), share))
    chance, gained, tokens = (
        by_chance(trace, direct, share),
        difference(trace, switched),
        mean_of(switched.lengths),
    )
    record = {
        "directly": share,
        **interval_fields("exact", exact(switched)),
        "by_chance": chance,
        "by_truth": exact(best).value,
        **interval_fields("gained", gained),
        **interval_fields("tokens", tokens),
    }
    compared = (f"{chance:.4f}", f"{exact(best).value:.4f}")
    paired = with_interval(gained), with_error(tokens)
    return (with_interval(exact(switched)), *compared, *paired), record


def threshold_table(both: BothAnswers, apart: BothAnswers) -> tuple[Table, list[Record]]:
    """Show what thresholds give that were chosen on other puzzles."""
    rows, records = [], []
    for loss in LOSSES:
        threshold = choose_threshold(apart, loss)
        cells, record = _routed(both, np.asarray(both.direct.scores) >= threshold)
        shown = "none" if math.isinf(threshold) else f"{threshold:.3f}"
        rows.append((f"{loss:g}", shown, f"{record['directly']:.3f}", *cells))
        records.append({"routed": f"loses {loss:g} at most", **record})
    title = f"Thresholds chosen on {apart.trace.solved.size} other puzzles"
    header = ("may lose", "threshold", "directly", *REST)
    return Table(title, header, tuple(rows), frozenset()), records


def curve_figure(name: str, both: BothAnswers, checked: AnswerRow) -> Figure:
    """Draw accuracy against tokens: by the switcher, by the truth, by chance, by the rules."""
    trace, direct = both
    with mpl.rc_context(STYLE):
        figure = figure_of(5.6, 4.0)
        ax = figure.subplots()
        scores = {"switcher": direct.scores, "truth": direct.solved.astype(float)}
        for i, (kind, values) in enumerate(scores.items()):
            rows = [route(*both, easiest(np.asarray(values), share)) for share in SHARES]
            _curve(ax, i, kind, rows)
        ends = [(row.lengths.mean(), row.solved.mean()) for row in (trace, direct)]
        ax.plot(*zip(*ends, strict=True), color=colour(7), linestyle=":", label="chance")
        _curve(ax, 3, "rules", [checked])
        ax.set_xlabel("Tokens written per puzzle")
        ax.set_ylabel("Puzzles without a wrong cell")
        ax.set_ylim(0, 1.02)
        ax.legend(frameon=False)
        ax.set_title(f"{name}, {trace.solved.size} puzzles", loc="left")
    return figure


def _curve(ax: Axes, i: int, name: str, rows: Sequence[AnswerRow]) -> None:
    """Draw routes as points with 95 % intervals."""
    rates = [exact(row) for row in rows]
    reach = [[r.value - r.low for r in rates], [r.high - r.value for r in rates]]
    tokens = [row.lengths.mean() for row in rows]
    values = [r.value for r in rates]
    ax.errorbar(tokens, values, reach, color=colour(i), marker=marker(i), label=name)
