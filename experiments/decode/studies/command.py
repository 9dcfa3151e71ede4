"""Options of the studies, and which there are."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments.measurement.folders import STUDY
from trm_jax.command_line import natural_float, number_in, positive_float, positive_int, user_path

STUDIES = ("budget", "parallel", "switch", "lora")
"""Names of the studies, in the order of docs/tokens-studies.md."""

TRACES = ("shortened", "thinned")
"""Traces of many lengths (`Work` in traces.py)."""

SETTINGS = (
    "seed",
    "scheme",
    "batch_size",
    "traces",
    "supervised_updates",
    "supervised_lr",
    "adapter_lr",
    "judged_puzzles",
    "updates",
    "lr",
    "group",
    "prompts",
    "temperature",
    "token_budget",
    "margin",
    "samples",
    "rank",
    "least_exact",
)
"""Options that decide the numbers of a study."""


NUMBERS: tuple[tuple[str, Callable[[str], float], float, str], ...] = (
    ("--supervised-updates", positive_int, 240, "of supervised tuning"),
    ("--supervised-lr", positive_float, 1e-3, "of supervised tuning"),
    ("--adapter-lr", positive_float, 3e-3, "of adapters"),
    ("--judged-puzzles", positive_int, 1000, "that switcher or verifier learn from"),
    ("--updates", positive_int, 60, "of reinforcement"),
    ("--lr", positive_float, 3e-4, "of reinforcement"),
    ("--group", positive_int, 8, "samples of a prompt in an update"),
    ("--prompts", positive_int, 4, "of an update of reinforcement"),
    ("--temperature", positive_float, 0.8, "of samples"),
    ("--margin", number_in(float, 0, 1), 0.6, "of the budget"),
    ("--samples", positive_int, 8, "of a puzzle, for votes"),
    ("--rank", positive_int, 8, "of adapters"),
    ("--least-exact", number_in(float, 0, 1), 0.9, "what reinforcement asks of the decoder"),
)
"""Options with a number: name, what reads it, default, and what it is of."""


def kl_list(text: str) -> tuple[float, ...]:
    """Read strengths of the KL term, joined by commas.

    Raises:
      ValueError: not a number of 0 or more.
    """
    return tuple(natural_float(part) for part in text.split(","))


def add_study_options(p: argparse.ArgumentParser) -> None:
    """Declare what studies take beside the shared options."""
    group = p.add_argument_group("studies (with --study)")
    group.add_argument(
        "--train-data", type=user_path, metavar="DIR", help="data set whose train split teaches"
    )
    group.add_argument(
        "--scheme", default="fp32", metavar="NAME", help="of the decoder's weights (%(default)s)"
    )
    group.add_argument(
        "--traces",
        choices=TRACES,
        default=TRACES[0],
        help="what the decoder learns before reinforcement (%(default)s)",
    )
    for name, kind, default, text in NUMBERS:
        group.add_argument(
            name, type=kind, default=default, metavar="X", help=f"{text} (%(default)s)"
        )
    group.add_argument(
        "--token-budget",
        type=positive_int,
        metavar="N",
        help="of an answer (default: .6 of the mean length)",
    )
    group.add_argument(
        "--kl", type=kl_list, default=(1e-3, 1e-4), metavar="X,...", help="strengths (.001,.0001)"
    )


def say_few(args: argparse.Namespace, apart: int) -> str | None:
    """Say where a study chooses or judges on fewer puzzles than it asks for.

    Args:
      apart: puzzles that are neither evaluated nor trained on.
    """
    from experiments.decode.studies.budget import VALIDATED

    wanted = VALIDATED if args.study == "budget" else args.judged_puzzles
    if apart >= wanted:
        return None
    return (
        f"chooses or judges on {apart} puzzles instead of {wanted}: no more are left that are not"
        " evaluated; lower --limit, or name a larger --data"
    )


def run_study(args: argparse.Namespace) -> None:
    """Run the study that a command line names.

    Raises:
      ValueError, OSError: bad input; nothing was lost.
    """
    from experiments.decode.studies.folder import StudyFolder
    from experiments.decode.studies.subject import prepare_subject
    from experiments.measurement.shards import matmul_precision
    from experiments.render.console import make_console
    from trm_jax.output.folder import writing

    console, subject = make_console(), prepare_subject(args)
    if args.study == "switch":
        from experiments.decode.studies.switch import cut_judged

        cut_judged(subject.need_apart(args.judged_puzzles))
    elif args.study != "lora":
        subject.need_apart(1)
    out = args.out or Path("runs") / f"decode-{args.task}-{args.study}"
    settings: dict[str, Any] = {name: getattr(args, name) for name in SETTINGS}
    settings |= {
        "study": args.study,
        "model_sha256": subject.sha256,
        "data_sha256": subject.puzzles.sha256,
        "puzzles": len(subject.evaluated.inputs),
        "apart_sha256": subject.apart.sha256,
        "training_sha256": subject.training.sha256,
    }
    with writing(out, STUDY, resume=args.resume), matmul_precision("float32"):
        folder = StudyFolder(out, settings, lambda line: console.print(line, soft_wrap=True))
        console.print(subject.header, soft_wrap=True)
        if args.study != "lora" and (said := say_few(args, len(subject.apart.inputs))):
            console.print(said, soft_wrap=True, highlight=False)
        _study(args.study)(args, subject, folder, console)


def _study(name: str) -> Callable[..., None]:
    """Import a study, and none of the others."""
    if name == "budget":
        from experiments.decode.studies.budget import study_budget

        return study_budget
    if name == "parallel":
        from experiments.decode.studies.parallel import study_parallel

        return study_parallel
    if name == "switch":
        from experiments.decode.studies.switch import study_switch

        return study_switch
    from experiments.decode.studies.lora import study_lora

    return study_lora
