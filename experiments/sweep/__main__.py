"""Measure what compression does to a recursive reasoner, at every precision and every depth.

    python -m experiments.sweep --task sudoku
    python -m experiments.sweep --task maze --schemes int8,int4_naive --depths 1,2x1,4,16 \\
        --limit 64 --out runs/maze-quick

Without further options the bundled model solves bundled puzzles under eight schemes. Each
scheme runs once per puzzle; every cell (T H-cycles per supervision step, n supervision steps)
is read off that one run, for the state depends on T*n alone. Two tables are printed: the depth
x precision grid (the paper's Tables 16-18) and the summary of schemes (Table 9) with
carry-trajectory fidelity, 95 % intervals and paired tests against full precision.

Into --out go rows.jsonl (one line per scheme and shard of puzzles, as soon as it is finished),
spec.json, both tables as CSV and Markdown, and two figures as PNG and SVG. A killed sweep goes
on with --resume, which also adds schemes or puzzles (a larger --limit) to a finished one;
`python -m experiments.report DIR...` prints a finished sweep again and joins several.

Schemes are the paper's names or long ones that decode themselves (quant/scheme.py), such as
w4c-asym_a8d: 4-bit weights per channel, asymmetric, dynamic 8-bit activations. Full precision
is always measured, as the reference.

On several hosts give each process --coordinator HOST:PORT --num-processes N --process-id K:
they share the puzzles, and process 0 reports when all are done (--out on a shared disk;
otherwise join the folders with experiments.report).
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from experiments.jobs import processes
from experiments.measurement.options import DEFAULT_LIMIT, DTYPES, environment
from experiments.measurement.shards import matmul_precision
from experiments.render.console import make_console
from experiments.sweep import rows
from experiments.sweep.job import DEFAULT_SCHEMES, SweepJob, prepare
from experiments.sweep.runner import Runner
from experiments.sweep.tables import write_report
from quant.scheme import label
from trm_jax.command_line import RESUMED, exit_code
from trm_jax.config import PRESETS


def parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    p = argparse.ArgumentParser(
        prog="python -m experiments.sweep",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--task", required=True, help="sudoku, maze or arc")
    p.add_argument(
        "--model",
        metavar="NAME|PATH|hf:...",
        help=("bundled or public name, model directory, PyTorch checkpoint, or hf:owner/name/file"),
    )
    p.add_argument("--preset", choices=sorted(PRESETS), help="of a PyTorch checkpoint")
    p.add_argument("--data", type=Path, metavar="DIR", help="data set in the released layout")
    p.add_argument("--schemes", default=",".join(DEFAULT_SCHEMES), help="default: %(default)s")
    p.add_argument(
        "--depths",
        default="all",
        metavar="T,..xn,..",
        help=(
            "such as 1,3x1,2,4,8,16; `all` on either side (default: all T of the model, n in powers"
            " of two)"
        ),
    )
    p.add_argument(
        "--limit",
        type=int,
        default=DEFAULT_LIMIT,
        metavar="N",
        help=(
            "first N puzzles; 0 is all (%(default)s: the bundled models take under 3 minutes"
            " on 2 cores)"
        ),
    )
    p.add_argument(
        "--batch-size",
        type=int,
        metavar="N",
        help="puzzles in a shard, the unit of"
        " resuming (default: what memory allows, at most 50 on a CPU)",
    )
    p.add_argument(
        "--dtype",
        choices=DTYPES,
        default="auto",
        help=("arithmetic of schemes that name none (auto: float32 on CPU, else bfloat16)"),
    )
    p.add_argument("--seed", type=int, default=0, help="of the bootstrap (%(default)s)")
    p.add_argument("--out", type=Path, metavar="DIR", help="default: runs/sweep-TASK-MODEL")
    p.add_argument("--resume", action="store_true", help="go on with the rows in --out")
    p.add_argument("--coordinator", metavar="HOST:PORT", help="address of process 0")
    p.add_argument("--num-processes", type=int, metavar="N")
    p.add_argument("--process-id", type=int, metavar="K")
    return p


def run(
    job: SweepJob, folder: rows.Folder, keys: Sequence[rows.Key], facts: dict[str, Any]
) -> None:
    """Measure keys and append every row as it is finished.

    Args:
      facts: of the environment, to be noted in the folder.
    """
    errors = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with (
        Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as bar,
        matmul_precision(job.spec.dtype),
    ):
        task = bar.add_task("compressing", total=len(keys))
        runner = Runner(job.spec, job.model, job.puzzles)
        folder.open(job.spec, facts)
        for row in runner.rows(keys):
            folder.append(row)
            name = label(row.scheme, job.spec.dtype)
            bar.update(task, description=f"{name}, puzzles {row.start}-{row.stop}", advance=1)


def sweep(args: argparse.Namespace, console: Console) -> None:
    """Plan, run and report.

    Raises:
      ValueError, OSError, ModuleNotFoundError: bad input; nothing was lost.
    """
    process = processes.start(args.coordinator, args.num_processes, args.process_id)
    job = prepare(args)
    spec = job.spec
    out = args.out or Path("runs") / f"sweep-{spec.task}-{spec.model}"
    folder = rows.Folder(out, process.index)
    folder.check(spec, resume=args.resume)
    done = rows.read_rows(out, spec.digest)
    process.wait_for_others("checked")
    facts = environment()
    if process.reports:
        console.print(job.header(facts), soft_wrap=True)
    keys = rows.pending(spec, done, process.shard_offset, process.count)
    if keys:
        run(job, folder, keys, facts)
    process.wait_for_others("measured")
    if process.reports:
        write_report(spec, rows.read_rows(out, spec.digest), out, console)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = parser().parse_args(argv)
    bad_input = (OSError, ValueError, ModuleNotFoundError)
    return exit_code(lambda: sweep(args, make_console()), bad_input, RESUMED)


if __name__ == "__main__":
    sys.exit(main())
