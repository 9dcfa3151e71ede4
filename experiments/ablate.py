"""Take a recursive reasoner apart, one intervention at a time, and see what survives.

    python -m experiments.ablate --task sudoku
    python -m experiments.ablate --task maze --only pruning,truncation --limit 64 \\
        --out runs/maze-cuts

Studies (all that apply to task and model, unless --only names some):

    mixer             MLP mixing, attention and HRM under INT8 and INT4 (Table 10)
    truncation        half and a quarter of the context (Table 12)
    pruning           25 and 50 % of the output neurons (Table 13)

Every variant is compared with its study's reference on the same puzzles: exact match with Wilson
interval, paired bootstrap and McNemar's exact test, cell accuracy, carry-trajectory fidelity.
Into --out go rows.jsonl (one line per study, variant and shard of puzzles, as soon as it is
finished), ablation.json, and the tables as Markdown and CSV.
A killed run goes on with --resume, which also adds studies or puzzles to a finished one.
"""

import argparse
import dataclasses
import enum
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from experiments import ablation_tables, models, puzzles
from experiments.ablation import Context, Effort, Intervention, NotApplicable
from experiments.ablation_rows import AblationFolder, pending, read_rows, read_spec
from experiments.ablation_runner import StudyRunner
from experiments.ablation_spec import AblationSpec
from experiments.plan import (
    DTYPES,
    choose_batch_size,
    choose_dtype,
    choose_limit,
    environment,
)
from experiments.progress import progress
from experiments.report import make_console
from experiments.rollouts import matmul_precision
from experiments.studies import mixer, pruning, truncation
from experiments.tasks import task_named
from trm_jax.config import PRESETS
from trm_jax.convert import Hints


class Study(enum.Enum):
    """A study; the value is its name on the command line and in rows."""

    MIXER = "mixer"
    TRUNCATION = "truncation"
    PRUNING = "pruning"


STUDIES: dict[Study, Callable[[Context], tuple[Intervention, ...]]] = {
    Study.MIXER: mixer.interventions,
    Study.TRUNCATION: truncation.interventions,
    Study.PRUNING: pruning.interventions,
}

DEFAULT_LIMIT = {Effort.DEFAULT: 200, Effort.QUICK: 32}
"""Puzzles to evaluate."""


class Job(NamedTuple):
    """What a command line asks for, loaded and checked.

    Attributes:
      skipped: why studies that were not named do not apply.
    """

    context: Context
    spec: AblationSpec
    studies: dict[str, tuple[Intervention, ...]]
    skipped: tuple[str, ...]


def parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    p = argparse.ArgumentParser(
        prog="python -m experiments.ablate", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    p.add_argument("--task", required=True, help="sudoku, maze or arc")
    p.add_argument("--only", metavar="STUDY,...", help="studies; default: all that apply")
    p.add_argument("--model", metavar="NAME|PATH|hf:...", help="as for experiments.sweep")
    p.add_argument("--models", default="", metavar="A,B,...", help="for mixer: more of them")
    p.add_argument("--preset", choices=sorted(PRESETS), help="of a PyTorch checkpoint")
    p.add_argument("--data", type=Path, metavar="DIR", help="data set in the released layout")
    p.add_argument(
        "--limit", type=int, metavar="N", help="first N puzzles, 0 is all (200; quick: 32)"
    )
    p.add_argument("--batch-size", type=int, metavar="N", help="puzzles in a shard")
    p.add_argument("--dtype", choices=DTYPES, default="auto", help="as for experiments.sweep")
    p.add_argument("--seed", type=int, default=0, help="of training and bootstrap (%(default)s)")
    p.add_argument("--quick", action="store_true", help="few puzzles, a tenth of the training")
    p.add_argument("--out", type=Path, metavar="DIR", help="default: runs/ablate-TASK-MODEL")
    p.add_argument("--resume", action="store_true", help="go on with the rows in --out")
    return p


def prepare(args: argparse.Namespace) -> Job:
    """Load and check everything that a command line names.

    Raises:
      ValueError: unknown names, parts that do not fit, or a named study that does not apply.
      OSError: missing files.
      ModuleNotFoundError: a PyTorch checkpoint without torch.
    """
    task = task_named(args.task)
    wanted = parse_studies(args.only)
    data = puzzles.load(args.data, task)
    model = models.load(args.model, task, Hints(preset=args.preset))
    puzzles.check_fit(model, data)
    effort = Effort.QUICK if args.quick else Effort.DEFAULT
    limit = DEFAULT_LIMIT[effort] if args.limit is None else args.limit
    context = Context(
        task=task, model=model, puzzles=data, dtype=choose_dtype(args.dtype),
        num_puzzles=choose_limit(limit, len(data.dataset)), effort=effort, seed=args.seed,
        folder=args.out or Path("runs") / f"ablate-{task.value}-{model.name}",
        others=tuple(filter(None, args.models.split(","))),
    )  # fmt: skip
    studies, skipped = collect(wanted, context, named=args.only is not None)
    return Job(context, make_spec(context, studies, args.batch_size), studies, skipped)


def parse_studies(text: str | None) -> tuple[Study, ...]:
    """Read names joined by commas, in the order of the tables; all where there is no text.

    Raises:
      ValueError: a name is unknown.
    """
    if text is None:
        return tuple(Study)
    names, known = {name.strip() for name in text.split(",")}, {study.value for study in Study}
    if unknown := sorted(names - known):
        raise ValueError(
            f"unknown study {unknown[0]!r}; known: {', '.join(s.value for s in Study)}"
        )
    return tuple(study for study in Study if study.value in names)


def collect(
    wanted: Sequence[Study], context: Context, *, named: bool
) -> tuple[dict[str, tuple[Intervention, ...]], tuple[str, ...]]:
    """Ask studies for their interventions.

    Args:
      named: the user named them, so one that does not apply is an error.

    Raises:
      ValueError: see `named`.
    """
    found, skipped = {}, []
    for study in wanted:
        try:
            found[study.value] = STUDIES[study](context)
        except NotApplicable as reason:
            if named:
                raise
            skipped.append(f"{study.value}: {reason}")
    return found, tuple(skipped)


def make_spec(
    context: Context, studies: dict[str, tuple[Intervention, ...]], batch_size: int | None
) -> AblationSpec:
    """Write down what will be measured."""
    model, data = context.model, context.puzzles
    spec = AblationSpec(
        task=context.task.value, model=model.name, model_sha256=model.sha256,
        num_parameters=model.num_parameters, data=data.name, data_sha256=data.sha256,
        num_puzzles=context.num_puzzles,
        batch_size=choose_batch_size(batch_size, model.config, context.steps),
        dtype=context.dtype, seed=context.seed,
    )  # fmt: skip
    planned = (
        spec.plan(study, each.name, each.reference, each.settings)
        for study, listed in studies.items()
        for each in listed
    )
    return dataclasses.replace(spec, planned=tuple(planned))


def run(job: Job, folder: AblationFolder) -> None:
    """Measure what is missing and append every row as it is finished."""
    spec = job.spec
    rows = read_rows(folder.path, read_spec(folder.path))
    ends: dict = {}
    keys = pending(spec, rows)
    total = len(spec.planned) * len(spec.shards)
    with progress("ablating", total, total - len(keys)) as show, matmul_precision(spec.dtype):
        done = total - len(keys)
        for study, interventions in job.studies.items():
            runner = StudyRunner(spec, job.context.puzzles, interventions, ends)
            for row in runner.rows([key for key in keys if key.study == study]):
                folder.append(row)
                done += 1
                show(done, f"{study}: {row.variant}, puzzles {row.start}-{row.stop}")


def ablate(args: argparse.Namespace, console: Console) -> None:
    """Plan, run and report.

    Raises:
      ValueError, OSError, ModuleNotFoundError: bad input; nothing was lost.
    """
    job = prepare(args)
    folder = AblationFolder(job.context.folder)
    folder.check(job.spec, resume=args.resume)
    console.print(header(job), soft_wrap=True)
    folder.open(job.spec, environment())
    run(job, folder)
    ablation_tables.report(folder.path, console)


def header(job: Job) -> str:
    """Say what is about to be measured on what, and what is not."""
    spec, model = job.spec, job.context.model
    lines = [
        f"{spec.model} ({model.origin}): {model.architecture}, {spec.num_parameters:,} weights",
        f"{spec.data}: first {spec.num_puzzles} of {len(job.context.puzzles.dataset)} puzzles in"
        f" shards of {spec.batch_size}; {spec.dtype}, seed {spec.seed}",
        f"studies: {', '.join(job.studies)}",
        *(f"left out, {reason}" for reason in job.skipped),
    ]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = parser().parse_args(argv)
    try:
        ablate(args, make_console())
    except (OSError, ValueError, ModuleNotFoundError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("stopped; finished rows are kept, --resume goes on\n")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
