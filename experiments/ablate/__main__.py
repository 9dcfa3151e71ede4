"""Take a recursive reasoner apart, one intervention at a time, and see what survives.

    python -m experiments.ablate --task sudoku
    python -m experiments.ablate --task maze --only pruning,truncation --limit 64 \\
        --out runs/maze-cuts

Studies (all that apply to task and model, unless --only names some):

    activations       dynamic and static int8, with and without the states; carry (Sec. 4.2)
    embedding         the puzzle table as int8, at a low rank, one row streamed (Table 1)
    mixer             MLP mixing, attention and HRM under INT8 and INT4 (Table 10)
    truncation        half and a quarter of the context (Table 12)
    pruning           25 and 50 % of the output neurons (Table 13)
    distillation      a single-cycle student of half the width (Table 14)
    linear_attention  elu+1 attention, zero-shot and retrained (App. J)
    qat               from naive INT4 and INT3, done right and as the paper did it (Sec. 3.7)

Every variant is compared with its study's reference on the same puzzles: exact match with Wilson
interval, paired bootstrap and McNemar's exact test, cell accuracy, carry-trajectory fidelity.
The last three train briefly, on fresh puzzles of which none is an image of an evaluated one.

Into --out go rows.jsonl (one line per study, variant and shard of puzzles, as soon as it is
finished), ablation.json, ablation.md and .csv (a table per study, then those of the paper), and
split.png and .svg, a figure of cells against puzzles right.
A killed run goes on with --resume, which also adds studies or puzzles to a finished one.
"""

import argparse
import enum
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from experiments.ablate import tables
from experiments.ablate.job import AblationJob, StudyFunction, prepare
from experiments.ablate.rows import AblationFolder, pending, read_rows, read_spec
from experiments.ablate.runner import StudyRunner
from experiments.ablate.studies import (
    activations,
    distillation,
    linear_attention,
    mixer,
    pruning,
    puzzle_table,
    qat,
    truncation,
)
from experiments.measurement.options import DTYPES, environment
from experiments.measurement.shards import matmul_precision
from experiments.render.console import make_console, progress
from trm_jax.command_line import RESUMED, exit_code
from trm_jax.config import PRESETS


class AblationStudy(enum.Enum):
    """A study; the value is its name on the command line and in rows."""

    ACTIVATIONS = "activations"
    EMBEDDING = "embedding"
    MIXER = "mixer"
    TRUNCATION = "truncation"
    PRUNING = "pruning"
    DISTILLATION = "distillation"
    LINEAR_ATTENTION = "linear_attention"
    QAT = "qat"


STUDIES: dict[enum.Enum, StudyFunction] = {
    AblationStudy.ACTIVATIONS: activations.interventions,
    AblationStudy.EMBEDDING: puzzle_table.interventions,
    AblationStudy.MIXER: mixer.interventions,
    AblationStudy.TRUNCATION: truncation.interventions,
    AblationStudy.PRUNING: pruning.interventions,
    AblationStudy.DISTILLATION: distillation.interventions,
    AblationStudy.LINEAR_ATTENTION: linear_attention.interventions,
    AblationStudy.QAT: qat.interventions,
}


def parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    p = argparse.ArgumentParser(
        prog="python -m experiments.ablate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--task", required=True, help="sudoku, maze or arc")
    p.add_argument("--only", metavar="STUDY,...", help="studies; default: all that apply")
    p.add_argument("--model", metavar="NAME|PATH|hf:...", help="as for experiments.sweep")
    p.add_argument("--models", default="", metavar="A,B,...", help="for mixer: more of them")
    p.add_argument("--preset", choices=sorted(PRESETS), help="of a PyTorch checkpoint")
    p.add_argument("--data", type=Path, metavar="DIR", help="data set in the released layout")
    p.add_argument("--train-data", type=Path, metavar="DIR", help="default: generated puzzles")
    p.add_argument(
        "--limit", type=int, metavar="N", help="first N puzzles, 0 is all (200; quick: 16)"
    )
    p.add_argument("--batch-size", type=int, metavar="N", help="puzzles in a shard")
    p.add_argument("--dtype", choices=DTYPES, default="auto", help="as for experiments.sweep")
    p.add_argument("--seed", type=int, default=0, help="of training and bootstrap (%(default)s)")
    p.add_argument("--quick", action="store_true", help="few puzzles, a twentieth of the training")
    p.add_argument("--out", type=Path, metavar="DIR", help="default: runs/ablate-TASK-MODEL")
    p.add_argument("--resume", action="store_true", help="go on with the rows in --out")
    return p


def run(job: AblationJob, folder: AblationFolder) -> None:
    """Measure what is missing and append every row as it is finished."""
    spec = job.spec
    rows = read_rows(folder.path, read_spec(folder.path))
    ends: dict = {}
    keys = pending(spec, rows)
    total = len(spec.planned) * len(spec.shards)
    with progress("ablating", total, total - len(keys)) as show, matmul_precision(spec.dtype):
        done = total - len(keys)

        def tell(text: str) -> None:
            show(done, text)

        job.context.announce.listener = tell
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
      FloatingPointError: a training left the numbers; finished rows are kept.
    """
    job = prepare(args, STUDIES)
    folder = AblationFolder(job.context.folder)
    folder.check(job.spec, resume=args.resume)
    console.print(job.header(), soft_wrap=True)
    folder.open(job.spec, environment())
    run(job, folder)
    tables.report(folder.path, console)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = parser().parse_args(argv)
    bad_input = (OSError, ValueError, ModuleNotFoundError, FloatingPointError)
    return exit_code(lambda: ablate(args, make_console()), bad_input, RESUMED)


if __name__ == "__main__":
    sys.exit(main())
