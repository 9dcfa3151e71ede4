"""Budget forcing: supervised traces of many lengths, then reinforcement under a budget.

    supervised   the decoder as it is: it must solve its task (--least-exact)
    shortened    supervised on traces that leave work out (--traces, traces.py); it must too
    budget, kl   reinforced from there, once for each strength of the KL term

Whether a policy solves its task, and the budget where none is given, are measured on `VALIDATED`
held-out puzzles that are not evaluated.

Tables: exact match against the first row in pairs, tokens, and exact match under hard caps. The
figure has exact match under every cap, and the distribution of lengths.
"""

import argparse
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from rich.console import Console

from experiments.decode.studies.folder import AnswerRow, StudyFolder
from experiments.decode.studies.outcomes import (
    answer_table,
    cap_figure,
    cap_table,
    write_tables,
)
from experiments.decode.studies.subject import StudyPuzzles, StudySubject, ask
from experiments.decode.studies.traces import TRAINING_BATCH, TraceDraws, Work
from experiments.render.figures import save
from trm_jax.decoder.policy_gradient import (
    PolicyRecipe,
    PolicyState,
    PolicyTrainer,
    check_learned,
)
from trm_jax.decoder.tuning import TraceTuner, TuningRecipe, TuningState, start_tuning
from trm_jax.tasks.tokens.form import STOP
from trm_jax.types import Params

VALIDATED = 256
"""Puzzles that tell whether a policy solves its task, and how long its answers are."""
SHARE = 0.6
"""Of the supervised decoder's mean length: the budget where --token-budget says none."""


def study_budget(
    args: argparse.Namespace, subject: StudySubject, folder: StudyFolder, console: Console
) -> None:
    """Run the study.

    Raises:
      ValueError: the decoder does not solve its task, as it is or after traces of many lengths.
    """
    puzzles, name = subject.evaluated, args.traces
    apart = _validated(args, subject, folder, "supervised", subject.params)
    budget = args.token_budget or round(SHARE * float(apart.lengths.mean()))
    supervised = folder.answers("supervised", lambda: ask(subject, puzzles).row("supervised"))
    varied = varied_policy(args, subject, folder)
    _validated(args, subject, folder, name, varied)
    rows = [
        supervised,
        folder.answers(name, lambda: ask(subject, puzzles, params=varied).row(name)),
    ]
    for kl in args.kl:
        name = f"budget {budget}, kl {kl:g}"
        taught = reinforced_policy(args, subject, folder, varied, budget, kl)
        rows.append(
            folder.answers(name, lambda p=taught, n=name: ask(subject, puzzles, params=p).row(n))
        )
    title = f"Budget forcing of {subject.name}"
    table, records = answer_table(title, rows)
    write_tables(folder.path, "budget", [table, cap_table(rows)], records, console)
    save(cap_figure(title, rows), folder.path / "budget")


def _validated(
    args: argparse.Namespace, subject: StudySubject, folder: StudyFolder, name: str, params: Params
) -> AnswerRow:
    """Answer puzzles that are not evaluated.

    Raises:
      ValueError: too few are right for reinforcement.
    """
    puzzles, stage = subject.need_apart(VALIDATED), f"{name}, validation"
    row = folder.answers(stage, lambda: ask(subject, puzzles, params=params).row(stage))
    check_learned(int(row.solved.sum()), row.solved.size, least=args.least_exact)
    return row


def varied_policy(args: argparse.Namespace, subject: StudySubject, folder: StudyFolder) -> Params:
    """Tune the decoder on traces of many lengths."""
    recipe = TuningRecipe(
        updates=args.supervised_updates, learning_rate=args.supervised_lr, seed=args.seed
    )
    tuner, draws = (
        TraceTuner(subject.network, recipe),
        TraceDraws(subject, Work(args.traces), args.batch_size or TRAINING_BATCH, args.seed),
    )

    def update(state: TuningState, number: int) -> tuple[TuningState, Callable[[], str]]:
        state, loss = tuner.step(state, *draws.at(number))
        return state, lambda: f"{float(loss):.3f} nats a token"

    return folder.trained(args.traces, start_tuning(subject.params), recipe.updates, update).tuned


def reinforced_policy(
    args: argparse.Namespace,
    subject: StudySubject,
    folder: StudyFolder,
    start: Params,
    budget: int,
    kl: float,
) -> Params:
    """Reinforce a policy under a budget."""
    recipe = policy_recipe(args, subject.room, budget, kl)
    training = subject.training
    prompts, lengths = subject.prompts(training)

    def score(numbers: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        asked = StudyPuzzles(training.inputs[numbers], training.labels[numbers])
        return subject.is_right(asked, tokens)

    trainer = PolicyTrainer(
        subject.network, recipe, stop=STOP, prompts=prompts, lengths=lengths, score=score
    )

    def update(state: PolicyState, number: int) -> tuple[PolicyState, Callable[[], str]]:
        state, seen = trainer.step(state._replace(step=jnp.int32(number)))
        return (
            state,
            lambda: (
                f"right {seen.right:.3f}, {seen.tokens:.1f} tokens, reward {seen.reward:.3f},"
                f" kl {seen.kl:.4f}"
            ),
        )

    name = f"budget-{budget}-kl-{kl:g}"
    return folder.trained(name, trainer.start(start), recipe.updates, update).tuned


def policy_recipe(args: argparse.Namespace, room: int, budget: int, kl: float) -> PolicyRecipe:
    """Read the recipe of reinforcement."""
    return PolicyRecipe(
        budget=budget,
        margin=args.margin,
        max_new_tokens=room,
        group=args.group,
        prompts=args.prompts,
        temperature=args.temperature,
        kl=kl,
        updates=args.updates,
        learning_rate=args.lr,
        seed=args.seed,
    )
