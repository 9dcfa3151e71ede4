"""A switcher: easy puzzles are answered directly, by an adapter, and hard ones with a trace.

The switcher reads the average state of the prompt that prefill left (trm_jax/decoder/judges.py). It
is trained on held-out puzzles that are not evaluated, whose label is whether the direct answer was
right. The table shows
accuracy against tokens as more puzzles are routed to direct answers; beside it the same shares
routed by chance, and by the truth, which nobody has.
"""

import argparse
import dataclasses

import jax.numpy as jnp
import numpy as np
from rich.console import Console

from experiments.decode.studies.adapters import direct_adapters
from experiments.decode.studies.folder import AnswerRow, StudyFolder
from experiments.decode.studies.outcomes import answer_table, exact, mean_of, write_tables
from experiments.decode.studies.subject import Asked, StudySubject, ask
from experiments.render.tables import Record, Table, with_error, with_interval
from trm_jax.decoder.judges import SWITCHER, judge_probabilities, train_judge
from trm_jax.intervals import Interval, interval_fields, wilson

SHARES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Of the puzzles that are routed to direct answers."""


def study_switch(
    args: argparse.Namespace, subject: StudySubject, folder: StudyFolder, console: Console
) -> None:
    """Run the study."""
    puzzles = subject.evaluated
    trace = folder.answers("trace", lambda: ask(subject, puzzles).row("trace"))
    adapted = direct_adapters(args, subject, folder, "direct")

    def judged() -> AnswerRow:
        learned = subject.need_apart(args.judged_puzzles)
        judge = train_judge(
            *_cases(ask(subject, learned, adapted=adapted)),
            dataclasses.replace(SWITCHER, seed=args.seed),
        )
        asked = ask(subject, puzzles, adapted=adapted)
        scores = np.asarray(judge_probabilities(judge, jnp.asarray(asked.prompt)))
        row = asked.row("direct")
        return dataclasses.replace(row, scores=tuple(map(float, scores)))

    direct = folder.answers("direct", judged)
    table, _ = answer_table(f"Direct answers of {subject.name}", [trace, direct])
    curve, routed = curve_table(trace, direct)
    write_tables(folder.path, "switch", [table, verdicts(direct), curve], routed, console)


def _cases(asked: Asked) -> tuple[jnp.ndarray, jnp.ndarray]:
    """Take what a switcher learns from."""
    return jnp.asarray(asked.prompt), jnp.asarray(asked.right[:, 0])


def route(trace: AnswerRow, direct: AnswerRow, scores: np.ndarray, share: float) -> AnswerRow:
    """Answer the puzzles with the highest scores directly, and the rest with a trace."""
    order = np.argsort(-scores, kind="stable")
    easy = np.zeros(len(order), bool)
    easy[order[: round(share * len(order))]] = True
    return AnswerRow(
        stage=f"{share:.0%}",
        right=tuple(np.where(easy, direct.right, trace.right).tolist()),
        tokens=tuple(np.where(easy, direct.tokens, trace.tokens).tolist()),
        values={},
    )


def by_chance(trace: AnswerRow, direct: AnswerRow, share: float) -> float:
    """Compute the expected accuracy where the same share is routed at random."""
    return float((1 - share) * trace.solved.mean() + share * direct.solved.mean())


def ranking(direct: AnswerRow) -> float:
    """Compute how often a puzzle with a right direct answer scores above one without (AUC)."""
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
    row = (*cells, f"{ranking(direct):.3f}")
    return Table("Will the direct answer be right?", header, (row,), frozenset())


def curve_table(trace: AnswerRow, direct: AnswerRow) -> tuple[Table, list[Record]]:
    """Show accuracy and tokens against the share that is answered directly."""
    scores, truth = np.asarray(direct.scores), direct.solved.astype(float)
    rows, records = [], []
    for share in SHARES:
        switched = route(trace, direct, scores, share)
        best = route(trace, direct, truth, share)
        chance = by_chance(trace, direct, share)
        tokens = mean_of(switched.lengths)
        rows.append(
            (
                switched.stage,
                with_interval(exact(switched)),
                f"{chance:.4f}",
                f"{exact(best).value:.4f}",
                with_error(tokens),
            )
        )
        records.append(
            {
                "directly": share,
                **interval_fields("exact", exact(switched)),
                "by_chance": chance,
                "by_truth": exact(best).value,
                **interval_fields("tokens", tokens),
            }
        )
    header = ("directly", "exact by the switcher", "by chance", "by the truth", "tokens")
    return Table("Puzzles answered directly", header, tuple(rows), frozenset()), records
