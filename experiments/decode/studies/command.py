"""Options of the studies, and which there are."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments.measurement.folders import STUDY
from experiments.measurement.options import add_schemes
from trm_jax.command_line import (
    given_options,
    natural_float,
    number_in,
    positive_float,
    positive_int,
    user_path,
)
from trm_jax.data.calibration import add_calibration

STUDIES = ("order", "budget", "parallel", "switch", "lora", "quant")
"""Names of the studies, in the order of docs/tokens-studies.md."""

TRACES = ("shortened", "thinned")
"""Traces of many lengths (`Work` in traces.py)."""

ADAPTER_TRACES = ("direct", "brief", "whole")
"""What adapters of the study of adapters learn to write (`ADAPTER_TRACES` in lora.py)."""

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


QUANT_SCHEMES = (
    "fp32",
    "w8t-sym",
    "w8c-sym",
    "w8c-sym_a8d",
    "w8c-sym_a8s",
    "w4t-sym",
    "w4c-sym",
    "w4c-sym-gptq",
    "w3c-sym",
    "w3c-sym-gptq",
    "w8c-sym_carry8",
    "w4c-sym_carry8",
    "w4c-sym_a16s",
    "w4c-sym_a16s_carry8",
    "w4c-sym-gptq_a16s_carry8",
)
"""Weights per tensor and per channel, GPTQ, inputs, int8 cache; the last two are W4A16KV8."""

SILENT: dict[str, float] = {"limit": 1000, "supervised_updates": 240, "supervised_lr": 1e-3}
SILENT_IN: dict[str, dict[str, float]] = {
    "order": {"limit": 256, "supervised_updates": 1500, "supervised_lr": 4e-3},
    "quant": {"limit": 200},
}
"""What is taken where an option is silent: in all studies, and in some."""

NUMBERS: tuple[tuple[str, Callable[[str], float], float | None, str], ...] = (
    ("--supervised-updates", positive_int, None, "of supervised tuning (240; of an order 1500)"),
    ("--supervised-lr", positive_float, None, "of supervised tuning (.001; of an order .004)"),
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
"""Options with a number: name, what reads it, default (None: `SILENT`), and what it is of."""


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
    group.add_argument(
        "--adapter-traces",
        choices=ADAPTER_TRACES,
        default=ADAPTER_TRACES[0],
        help="what an adapter learns to write, of --study lora; whole: on --scheme (%(default)s)",
    )
    group.add_argument(
        "--adapter",
        metavar="NAME|DIR",
        help="an adapter to take instead of training one, of --study lora: bundled, or a folder",
    )
    for name, kind, default, text in NUMBERS:
        said = text if default is None else f"{text} (%(default)s)"
        group.add_argument(name, type=kind, default=default, metavar="X", help=said)
    group.add_argument(
        "--token-budget",
        type=positive_int,
        metavar="N",
        help="of an answer (default: .6 of the mean length)",
    )
    group.add_argument(
        "--kl", type=kl_list, default=(1e-3, 1e-4), metavar="X,...", help="strengths (.001,.0001)"
    )


def add_comparison_options(p: argparse.ArgumentParser) -> None:
    """Declare what orders and schemes take beside the shared options."""
    group = p.add_argument_group("--study order and --study quant")
    group.add_argument(
        "--models",
        metavar="A,B,...",
        help="decoders of any order, by name or folder, instead of taught ones (order)",
    )
    add_schemes(group, QUANT_SCHEMES, "of the decoder (quant); ")
    add_calibration(group)


TAUGHT = ("preset", "dtype", "models", "schemes", "calibration", "calibration_puzzles")
ADAPTERS = ("adapter", "adapter_traces")
UNREAD = {
    "order": ("preset", "dtype", "scheme", *TAUGHT[3:], *ADAPTERS),
    "quant": ("preset", "scheme", "train_data", *ADAPTERS),
    "lora": TAUGHT,
}
"""Options that a study does not read, though the command line of all has them; the others read
neither `TAUGHT` nor `ADAPTERS`. Numbers of training are left out: one command line may serve
several studies."""
INSTEAD = {
    "scheme": ("schemes", "--schemes names what is compared"),
    "schemes": ("scheme", "--scheme names that of the decoder's weights"),
}
"""What was probably meant, where the study reads that."""


def check_read(args: argparse.Namespace, p: argparse.ArgumentParser) -> None:
    """Refuse options that the study would pass over without a word.

    Args:
      p: what parsed the command line.

    Raises:
      ValueError: names them.
    """
    unread = UNREAD.get(args.study, (*TAUGHT, *ADAPTERS))
    given = given_options(p, args, unread)
    if not given:
        return
    options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
    read = [name for name in given if INSTEAD.get(name, (name,))[0] not in unread]
    instead = "".join(f"; {INSTEAD[name][1]}" for name in read)
    raise ValueError(f"--study {args.study} does not read {options}: leave it out{instead}")


def settle(args: argparse.Namespace) -> None:
    """Fill in what a command line is silent about and what depends on the study."""
    for name, value in (SILENT | SILENT_IN.get(args.study, {})).items():
        if getattr(args, name) is None:
            setattr(args, name, value)


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
    settle(args)
    if args.study == "quant":
        from experiments.decode.schemes import study_quant

        study_quant(args)
        return
    from experiments.decode.studies.folder import StudyFolder
    from experiments.measurement.shards import matmul_precision
    from experiments.render.console import make_console
    from trm_jax.output.folder import writing

    console, (job, study) = make_console(), _prepared(args)
    out = args.out or Path("runs") / f"decode-{args.task}-{args.study}"
    settings: dict[str, Any] = {name: getattr(args, name) for name in SETTINGS}
    settings |= {"study": args.study, **job.identity}
    if args.adapter_traces != ADAPTER_TRACES[0]:  # folders from before there were any go on
        settings["adapter_traces"] = args.adapter_traces
    with writing(out, STUDY, resume=args.resume), matmul_precision("float32"):
        folder = StudyFolder(out, settings, lambda line: console.print(line, soft_wrap=True))
        console.print(job.header, soft_wrap=True)
        if args.study in JUDGING and (said := say_few(args, len(job.apart.inputs))):
            console.print(said, soft_wrap=True, highlight=False)
        study(args, job, folder, console)


JUDGING = ("budget", "parallel", "switch")
"""Studies that choose or judge on held-out puzzles that are not evaluated."""


def _prepared(args: argparse.Namespace) -> tuple[Any, Callable[..., None]]:
    """Load what a study is of, and import it and none of the others.

    Raises:
      ValueError, OSError: bad input.
    """
    if args.study == "order":
        from experiments.decode.studies.order import prepare_orders, study_order

        return prepare_orders(args), study_order
    from experiments.decode.studies.subject import prepare_subject

    subject = prepare_subject(args)
    if args.study == "lora":
        from experiments.decode.studies.lora import study_lora

        return subject, study_lora
    if args.study == "switch":
        from experiments.decode.studies.switch import cut_judged, study_switch

        cut_judged(subject.need_apart(args.judged_puzzles))
        return subject, study_switch
    subject.need_apart(1)
    if args.study == "budget":
        from experiments.decode.studies.budget import study_budget

        return subject, study_budget
    from experiments.decode.studies.parallel import study_parallel

    return subject, study_parallel
