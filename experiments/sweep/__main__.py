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

--halt q,rules,unchanged:2,residual:0.05 adds a table of rules of halting (trm_jax/halting), read
off the same rollouts: exact match against the steps that puzzles take, paired with full depth.

Schemes are the paper's names or long ones that decode themselves (quant/scheme.py), such as
w4c-asym_a8d: 4-bit weights per channel, asymmetric, dynamic 8-bit activations. Full precision
is always measured, as the reference.

On several hosts give each process --coordinator HOST:PORT --num-processes N --process-id K:
they share the puzzles, and process 0 reports when all are done (--out on a shared disk;
otherwise join the folders with experiments.report). --engine ray hands shards to a Ray cluster
instead, which gives those of a lost node to others; this process writes all rows.
"""

import argparse
import sys
from collections.abc import Sequence

from experiments.jobs.engine import add_engine
from experiments.measurement.folders import SWEEP
from experiments.measurement.options import add_schemes, measurement_parent, subject_parent
from trm_jax.command_line import (
    RESUMED,
    exit_code,
    host_and_port,
    make_parser,
    natural_int,
    positive_int,
)
from trm_jax.data.calibration import add_calibration
from trm_jax.output.folder import check_named

DEFAULT_SCHEMES = (
    "fp32",
    "bf16",
    "fp16",
    "int8",
    "int4_naive",
    "int4_calibrated",
    "int3_naive",
    "int3_calibrated",
)


def parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    shared = measurement_parent(
        "runs/sweep-TASK-MODEL",
        limit_note="%(default)s: the bundled models take under 3 minutes on 2 cores",
        seed_of="nothing: a sweep draws nothing, earlier command lines may name one",
    )
    p = make_parser("experiments.sweep", __doc__, subject_parent(), shared)
    add_schemes(p, DEFAULT_SCHEMES)
    add_calibration(p)
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
        "--halt",
        default="",
        metavar="RULE,..",
        help="rules of halting: never, q[:B], qc[:B], rules, unchanged[:K], residual:B",
    )
    p.add_argument(
        "--coordinator", type=host_and_port, metavar="HOST:PORT", help="address of process 0"
    )
    p.add_argument("--num-processes", type=positive_int, metavar="N", help="that share the puzzles")
    p.add_argument(
        "--process-id", type=natural_int, metavar="K", help="which of them this is, from 0"
    )
    add_engine(p)
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = parser().parse_args(argv)

    def action() -> None:
        check_named(args.out, SWEEP, resume=args.resume)
        from experiments.sweep.runner import sweep  # imports jax: after parsing

        sweep(args)

    return exit_code(action, (OSError, ValueError, ModuleNotFoundError), RESUMED)


if __name__ == "__main__":
    sys.exit(main())
