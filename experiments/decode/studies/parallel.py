"""Parallel samples: votes over N answers that share one prompt's cache, by majority or verifier.

Every puzzle is answered --samples times; N answers are its first N. The verifier is a linear layer
on the state of an answer's last token (trm_jax/decoder/judges.py), trained on samples of held-out
puzzles that are not evaluated. Answers that did not end have no vote. The figure has accuracy
against the number of votes, and against the tokens of all that vote.
"""

import argparse
import dataclasses
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from rich.console import Console

from experiments.decode.studies.folder import AnswerRow, StudyFolder
from experiments.decode.studies.outcomes import answer_table, exact, write_tables
from experiments.decode.studies.subject import Asked, StudySubject, ask
from experiments.render.figures import STYLE, colour, figure_of, marker, save
from trm_jax.decoder.generate import Sampling
from trm_jax.decoder.judges import VERIFIER, Judge, judge_probabilities, train_judge, vote

COUNTS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
"""Samples that vote, as far as there are so many; all of them do in the end."""
KINDS = ("majority", "verifier")
"""How votes are weighted."""


def study_parallel(
    args: argparse.Namespace, subject: StudySubject, folder: StudyFolder, console: Console
) -> None:
    """Run the study."""
    puzzles, sampling = subject.evaluated, Sampling(temperature=args.temperature)
    greedy = folder.answers("greedy", lambda: ask(subject, puzzles).row("greedy"))
    kept: list[tuple[Asked, np.ndarray]] = []

    def sampled() -> tuple[Asked, np.ndarray]:
        if not kept:
            asked = ask(
                subject, puzzles, sampling=sampling, samples=args.samples, seed=args.seed + 1
            )
            judge = _verifier(args, subject, sampling)
            kept.append((asked, _scores(judge, asked)))
        return kept[0]

    rows = [greedy]
    drawn: dict[str, dict[int, AnswerRow]] = {kind: {} for kind in KINDS}
    for count in vote_counts(args.samples):
        for kind in KINDS if count > 1 else KINDS[:1]:
            stage = f"{count} by {kind}" if count > 1 else "1 sample"
            row = folder.answers(stage, lambda n=count, k=kind, s=stage: voted(*sampled(), n, k, s))
            rows.append(row)
            for each in (kind,) if count > 1 else KINDS:  # one sample is chosen by either
                drawn[each][count] = row
    title = f"Votes over samples of {subject.name} at temperature {args.temperature:g}"
    table, records = answer_table(title, rows)
    write_tables(folder.path, "parallel", [table], records, console)
    save(vote_figure(title, greedy, drawn), folder.path / "parallel")


def vote_counts(samples: int) -> list[int]:
    """Choose how many samples vote: a few counts, and all."""
    return [*(count for count in COUNTS if count < samples), samples]


def vote_figure(
    title: str, greedy: AnswerRow, drawn: Mapping[str, Mapping[int, AnswerRow]]
) -> Figure:
    """Draw accuracy with 95 % intervals against votes and against tokens.

    Args:
      drawn: answers by how votes are weighted and how many vote.
    """
    with mpl.rc_context(STYLE):
        figure = figure_of(9.6, 4.2)
        left, right = figure.subplots(1, 2, sharey=True)
        for i, (kind, rows) in enumerate(drawn.items()):
            rates = [exact(row) for row in rows.values()]
            values = [rate.value for rate in rates]
            reach = [[r.value - r.low for r in rates], [r.high - r.value for r in rates]]
            style: dict[str, Any] = {
                "color": colour(i),
                "marker": marker(i),
                "capsize": 3,
                "label": kind,
            }
            left.errorbar(list(rows), values, reach, **style)
            right.errorbar([row.lengths.mean() for row in rows.values()], values, reach, **style)
        for ax in (left, right):
            ax.axhline(exact(greedy).value, color="0.3", linestyle=":", label="greedy")
        left.set_xlabel("Samples that vote")
        left.set_xticks(sorted({count for rows in drawn.values() for count in rows}))
        right.set_xlabel("Tokens of all that vote, per puzzle")
        left.set_ylabel("Puzzles without a wrong cell")
        left.legend(frameon=False)
        figure.suptitle(f"{title}, {greedy.solved.size} puzzles")
    return figure


def _verifier(args: argparse.Namespace, subject: StudySubject, sampling: Sampling) -> Judge:
    """Train a verifier on samples of puzzles that are neither trained on nor evaluated."""
    learned = subject.need_apart(args.judged_puzzles)
    asked = ask(subject, learned, sampling=sampling, samples=args.samples, seed=args.seed + 2)
    states, truth = asked.last.reshape(-1, asked.last.shape[-1]), asked.right.ravel()
    recipe = dataclasses.replace(VERIFIER, seed=args.seed)
    return train_judge(jnp.asarray(states), jnp.asarray(truth), recipe)


def _scores(judge: Judge, asked: Asked) -> np.ndarray:
    """Judge every sample."""
    states = jnp.asarray(asked.last.reshape(-1, asked.last.shape[-1]))
    return np.asarray(judge_probabilities(judge, states)).reshape(asked.right.shape)


def voted(asked: Asked, scores: np.ndarray, count: int, kind: str, stage: str) -> AnswerRow:
    """Let the first samples vote; tokens are those of all that vote."""
    weights = scores[:, :count] if kind == "verifier" else np.ones_like(scores[:, :count])
    chosen = vote(asked.cells[:, :count], weights * asked.ended[:, :count])
    right = np.take_along_axis(asked.right, chosen[:, None], axis=1)[:, 0]
    return AnswerRow(
        stage=stage,
        right=tuple(map(int, right)),
        tokens=tuple(map(int, asked.lengths[:, :count].sum(axis=1))),
        values={},
    )
