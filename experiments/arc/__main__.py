"""Answer ARC tasks by votes over augmentations, at every precision, and say what a vote costs.

    python -m experiments.arc
    python -m experiments.arc --schemes fp32,int4_naive --num-aug 3 --limit 10 --out runs/arc-quick

Every question is asked under augmentations of its task (the identity first), each with its own
row of the puzzle table. Answers are cropped, turned and painted back, and ranked by (votes, mean
halting probability). Printed are pass@k over tasks and HRM's stricter score (a task counts only
whole), for each scheme and for fewer augmentations, with 95 % intervals over tasks and with cost:
rollouts, GFLOPs and seconds per task. Several --model (checkpoints of one run) vote together.

DATA is what `python -m trm_jax.data.arc` writes: its identifiers name the rows of the model's
puzzle table, and its test_puzzles.json holds the tasks; --tasks names another such folder to take
the tasks from. Augmentations the model has no row for get the mean row of the table, or with
--row-steps N a row that N sign-SGD updates train on the task's demonstrations, everything else
frozen. Rows are read from the model's file as they are asked for; the table is never in memory.

Into --out go rows.jsonl (answers, a line per scheme, model and shard of tasks as it is finished),
votes.json, scores.csv, both tables in Markdown, and submission-SCHEME.json with two attempts for
each question. A killed run goes on with --resume, which also adds schemes and tasks.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from experiments.arc.job import ArcJob, header, prepare
from experiments.arc.outcomes import (
    augmentation_table,
    collect_votes,
    finished,
    outcome,
    records,
    scheme_table,
)
from experiments.arc.puzzle_rows import row_source
from experiments.arc.rows import VoteFolder, pending
from experiments.arc.runner import Asker
from experiments.measurement.options import DTYPES, environment
from experiments.measurement.shards import matmul_precision
from experiments.render import tables
from experiments.render.console import make_console, progress
from quant.scheme import label
from trm_jax.command_line import RESUMED, exit_code
from trm_jax.config import PRESETS
from trm_jax.data.arc.dataset import SEED
from trm_jax.data.arc.voting import submission, write_submission

DEFAULT_SCHEMES = ("fp32", "int8", "int4_naive", "int4_calibrated")
DEFAULT_AUG = 15  # as many as the bundled model has rows for
FEWER = tuple(2**power - 1 for power in range(10))
"""Numbers of augmentations that are scored beside the one asked for: 1, 2, 4, ... votes."""


def parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    p = argparse.ArgumentParser(
        prog="python -m experiments.arc",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument(
        "--model",
        nargs="+",
        default=[None],
        metavar="NAME|PATH",
        help="default: the bundled one; several vote together",
    )
    p.add_argument("--preset", choices=sorted(PRESETS), help="of a PyTorch checkpoint")
    p.add_argument("--data", type=Path, metavar="DIR", help="default: the bundled data set")
    p.add_argument("--tasks", type=Path, metavar="DIR", help="take the tasks from here (DATA)")
    p.add_argument("--new-only", action="store_true", help="leave out tasks with trained rows")
    p.add_argument("--row-steps", type=int, default=0, metavar="N", help="train new rows (mean)")
    p.add_argument("--schemes", default=",".join(DEFAULT_SCHEMES), help="default: %(default)s")
    p.add_argument(
        "--num-aug", type=int, default=DEFAULT_AUG, help="augmentations per task (%(default)s)"
    )
    p.add_argument("--limit", type=int, default=0, metavar="N", help="first N tasks; 0 is all")
    p.add_argument("--steps", type=int, metavar="N", help="supervision steps (the model's)")
    p.add_argument("--batch-size", type=int, metavar="N", help="questions in a rollout")
    p.add_argument("--dtype", choices=DTYPES, default="auto", help="as for experiments.sweep")
    p.add_argument("--seed", type=int, default=SEED, help="of every draw (%(default)s)")
    p.add_argument("--out", type=Path, metavar="DIR", help="default: runs/arc-MODEL")
    p.add_argument("--resume", action="store_true", help="go on with the rows in --out")
    return p


def say(text: str) -> None:
    """Write a line beside the progress."""
    sys.stderr.write(text + "\n")


def run(job: ArcJob, folder: VoteFolder) -> None:
    """Ask what is missing and append every row as it is finished."""
    spec = job.spec
    keys = pending(spec, folder.rows(spec.digest))
    if not keys:
        return
    sources = [row_source(model, job.plan, job.side, job.new_rows, say) for model in job.models]
    asker = Asker(spec, job.models, sources, job.plan, job.batch_size, job.side)
    total = len(spec.shards) * len(spec.models) * len(spec.schemes)
    with progress("asking", total, total - len(keys)) as show, matmul_precision(spec.dtype):
        for done, row in enumerate(asker.rows(keys), start=total - len(keys) + 1):
            folder.append(row)
            show(done, f"{label(row.scheme, spec.dtype)}, tasks {row.start}-{row.stop}")


def report(job: ArcJob, folder: VoteFolder, console: Console) -> None:
    """Score, print both tables and write all files.

    Raises:
      ValueError: no shard is finished for every scheme.
    """
    spec, groups = job.spec, job.plan.groups
    done = finished(spec, folder.rows(spec.digest))
    numbers = [n for n in FEWER if n < spec.num_aug]
    outcomes = [
        outcome(done.rows[scheme], groups, n, scheme)
        for scheme in spec.schemes
        for n in (*numbers, spec.num_aug)
    ]
    listed = records(spec, outcomes)
    drawn = {
        "schemes": scheme_table(spec, listed),
        "augmentations": augmentation_table(spec, listed),
    }
    for name, table in drawn.items():
        console.print(f"[bold]{table.title}[/bold]")
        console.print(tables.to_rich(table))
        (folder.path / f"{name}.md").write_text(tables.to_markdown(table), encoding="utf-8")
    (folder.path / "scores.csv").write_text(tables.to_csv(listed), encoding="utf-8")
    for scheme in spec.schemes:
        votes = collect_votes(done.rows[scheme], groups, spec.num_aug)
        answers = submission(votes, [group.task for group in groups])
        write_submission(answers, folder.path / f"submission-{scheme}.json")
    console.print(f"answers, tables and submissions: {folder.path}", soft_wrap=True)


def vote(args: argparse.Namespace, console: Console) -> None:
    """Plan, ask and report.

    Raises:
      ValueError, OSError, ModuleNotFoundError: bad input; nothing was lost.
    """
    job = prepare(args)
    folder = VoteFolder(args.out or Path("runs") / f"arc-{'-'.join(job.spec.models)}")
    folder.check(job.spec, resume=args.resume)
    console.print(header(job), soft_wrap=True)
    folder.open(job.spec, environment())
    run(job, folder)
    report(job, folder, console)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = parser().parse_args(argv)
    bad_input = (OSError, ValueError, ModuleNotFoundError)
    return exit_code(lambda: vote(args, make_console()), bad_input, RESUMED)


if __name__ == "__main__":
    sys.exit(main())
