"""Budget forcing: supervised traces of many lengths, then reinforcement under a budget.

    supervised   the decoder as it is: it must solve its task (--least-exact)
    thinned      supervised on traces that leave work out at random (traces.py); it must too
    budget, kl   reinforced from there, once for each strength of the KL term

Table: exact match against the first row in pairs, tokens, and exact match under hard caps.
"""

import argparse

import jax.numpy as jnp
import numpy as np
from rich.console import Console

from experiments.decode.studies.folder import StudyFolder
from experiments.decode.studies.outcomes import answer_table, cap_table, write_tables
from experiments.decode.studies.subject import StudyPuzzles, StudySubject, ask
from experiments.decode.studies.traces import TRAINING_BATCH, TraceDraws, Work
from trm_jax.decoder.policy_gradient import (
    PolicyRecipe,
    PolicyState,
    PolicyTrainer,
    check_learned,
)
from trm_jax.decoder.tuning import TraceTuner, TuningRecipe, TuningState, start_tuning
from trm_jax.tasks.tokens.form import STOP
from trm_jax.types import Params

SHARE = 0.6
"""Of the supervised decoder's mean length: the budget where --token-budget says none."""


def study_budget(
    args: argparse.Namespace, subject: StudySubject, folder: StudyFolder, console: Console
) -> None:
    """Run the study.

    Raises:
      ValueError: the decoder does not solve its task, as it is or after thinned traces.
    """
    puzzles = subject.evaluated
    supervised = folder.answers("supervised", lambda: ask(subject, puzzles).row("supervised"))
    check_learned(int(supervised.solved.sum()), supervised.solved.size, least=args.least_exact)
    budget = args.token_budget or round(SHARE * float(supervised.lengths.mean()))
    varied = thinned_policy(args, subject, folder)
    thinned = folder.answers("thinned", lambda: ask(subject, puzzles, params=varied).row("thinned"))
    check_learned(int(thinned.solved.sum()), thinned.solved.size, least=args.least_exact)
    rows = [supervised, thinned]
    for kl in args.kl:
        name = f"budget {budget}, kl {kl:g}"
        taught = reinforced_policy(args, subject, folder, varied, budget, kl)
        rows.append(
            folder.answers(name, lambda p=taught, n=name: ask(subject, puzzles, params=p).row(n))
        )
    table, records = answer_table(f"Budget forcing of {subject.name}", rows)
    write_tables(folder.path, "budget", [table, cap_table(rows)], records, console)


def thinned_policy(args: argparse.Namespace, subject: StudySubject, folder: StudyFolder) -> Params:
    """Tune the decoder on traces of many lengths."""
    recipe = TuningRecipe(
        updates=args.supervised_updates, learning_rate=args.supervised_lr, seed=args.seed
    )
    tuner, draws = (
        TraceTuner(subject.network, recipe),
        TraceDraws(subject, Work.THINNED, args.batch_size or TRAINING_BATCH, args.seed),
    )

    def update(state: TuningState, number: int) -> tuple[TuningState, str]:
        state, loss = tuner.step(state, *draws.at(number))
        return state, f"{float(loss):.3f} nats a token"

    return folder.trained("thinned", start_tuning(subject.params), recipe.updates, update).tuned


def reinforced_policy(
    args: argparse.Namespace,
    subject: StudySubject,
    folder: StudyFolder,
    start: Params,
    budget: int,
    kl: float,
) -> Params:
    """Reinforce a policy under a budget."""
    recipe = PolicyRecipe(
        budget=budget,
        margin=args.margin,
        max_new_tokens=subject.room,
        group=args.group,
        prompts=args.prompts,
        temperature=args.temperature,
        kl=kl,
        updates=args.updates,
        learning_rate=args.lr,
        seed=args.seed,
    )
    training = subject.training
    prompts, lengths = subject.prompts(training)

    def score(numbers: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        asked = StudyPuzzles(training.inputs[numbers], training.labels[numbers])
        return subject.is_right(asked, tokens)

    trainer = PolicyTrainer(
        subject.network, recipe, stop=STOP, prompts=prompts, lengths=lengths, score=score
    )

    def update(state: PolicyState, number: int) -> tuple[PolicyState, str]:
        state, seen = trainer.step(state._replace(step=jnp.int32(number)))
        return state, (
            f"right {seen.right:.3f}, {seen.tokens:.1f} tokens, reward {seen.reward:.3f},"
            f" kl {seen.kl:.4f}"
        )

    name = f"budget-{budget}-kl-{kl:g}"
    return folder.trained(name, trainer.start(start), recipe.updates, update).tuned
