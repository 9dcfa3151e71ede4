r"""Find the weights of every matrix that cost least under a budget of bytes.

    python -m experiments.recipe --task sudoku --budget 3.5bits
    python -m experiments.recipe --task sudoku --model sudoku-trm-att-mini --max-drop 2pp \
        --target litert --limit 100 --out runs/recipe-att

Every matrix is quantised alone, in each way that the target takes and that none better makes as
small (2 to 8 bits, a scale per tensor or per channel, rounded with Hessians), and the change of a
supervision step is measured on calibration puzzles (at most 128, fewer of a large model): states,
answers and halting. Losses nearly add up (the sum is printed beside what was measured), so an exact
search finds the best mix of every size. The one within --budget is then refined: the losses of
matrices are measured again around it, as long as that lowers what all of them cost together.

A lower loss of one step is not always more puzzles. So the refined recipe, the one before it was
refined and the best single scheme of that size solve up to 500 puzzles, which are neither solved
for the report nor calibrated on (calibration puzzles decide too where fewer than those are left),
and that which solves most is the recipe. That is a choice by a noisy number: the report says what
other puzzles say of it. With --max-drop the same puzzles find the smallest mix that loses no more
of them than that against full precision, and no finalist that loses more is taken.

The recipe solves the first --limit puzzles beside full precision and the best single scheme of its
size, where it is another. A budget in MB or kB is that of the whole stored model, as the sweep's
sizes are; one in bits is what a scheme of that width with one scale and zero point per matrix
takes. Without --target integers are counted densely packed, 3 bits as 3; a runtime stores them in
the types it multiplies by.

Into --out go recipe.json, a file to be read and edited, which `--schemes @OUT/recipe.json` takes in
every program; solved.json (which puzzles were solved, for experiments.report); recipe.md and
front.csv (every size), and the front as PNG and SVG. Nothing is written if the budget is too small,
or if more puzzles are lost than --max-drop allows.

--engine ray measures matrices on the nodes of a Ray cluster; what is refined and solved after that,
one step from the other, is computed here.
"""

import argparse
import sys
from collections.abc import Sequence

from experiments.jobs.engine import add_engine
from experiments.measurement.folders import RECIPE
from experiments.measurement.options import DEFAULT_LIMIT, add_batch_size, add_data, subject_parent
from trm_jax.command_line import exit_code, make_parser, natural_int, user_path
from trm_jax.data.calibration import add_calibration
from trm_jax.output.folder import check_named


def parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    p = make_parser("experiments.recipe", __doc__, subject_parent())
    add_data(p)
    add_calibration(p)
    p.add_argument(
        "--budget",
        metavar="SIZE",
        help="of the stored model: 0.15MB, 150kB, 3.5bits",
    )
    p.add_argument(
        "--target",
        metavar="NAME",
        help="litert, onnx, tflm, ... (default: densely packed integers)",
    )
    p.add_argument(
        "--max-drop",
        metavar="X",
        help="the smallest recipe that loses no more puzzles than this, in points: 0.5pp",
    )
    p.add_argument(
        "--limit",
        type=natural_int,
        default=DEFAULT_LIMIT,
        metavar="N",
        help="first N puzzles are solved; 0 is all (%(default)s)",
    )
    add_batch_size(p, "what free memory allows, at most 50 on a CPU")
    p.add_argument("--out", type=user_path, metavar="DIR", help="default: runs/recipe-TASK-MODEL")
    add_engine(p)
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = parser().parse_args(argv)

    def action() -> None:
        check_named(args.out, RECIPE)
        from experiments.recipe.runner import find_recipe  # imports jax: after parsing

        find_recipe(args)

    return exit_code(action, (OSError, ValueError, ModuleNotFoundError))


if __name__ == "__main__":
    sys.exit(main())
