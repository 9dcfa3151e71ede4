"""Deployment on phones through Qualcomm AI Hub: the paper's Table 11.

    python -m experiments.deploy --target aihub --task sudoku --dry-run
    python -m experiments.deploy --target aihub --task sudoku --device "Samsung Galaxy S24"

Every scheme becomes a file of one supervision step (variants.py says how it gets onto the
device), runs on every --device on the states of the first --limit puzzles, and is profiled. The
table has Table 11's columns beside the paper's numbers: latency of a step and of a puzzle (steps
x step + the host's part, measured here), peak memory, size, answers; then which unit ran every
layer, and how faithful the outputs are to the simulation's. "Here" is the same file on this
computer's CPU, a stand-in and not a phone.

--loop forced starts every step from the simulation's state: one job per scheme and device.
--loop closed feeds the device's own states back: as many jobs as steps, and the answers are the
device's alone.

A second table says where a rule of halting (--halt) ends the puzzles by the device's own answers,
which are read after every step: exact match, steps, and the time of the mean puzzle. The rule is
decided on the host; its own time is not counted.

Into OUT go jobs.jsonl (ids, before anything is waited for), rows.jsonl, results/ (downloads),
exports/, summary.csv, summary.md, layers.csv (the unit of every layer) and perf.yaml. The same
command goes on after a kill, a time-out or a lost connection; finished rows are not asked for
again.
"""

import argparse
import enum

from experiments.measurement.options import DEVICE_RULES, add_data, add_halt, add_schemes
from export.aihub import devices
from export.targets import Target
from trm_jax.command_line import natural_float, positive_float, positive_int
from trm_jax.data.calibration import add_calibration

TARGETS = (Target.AI_HUB.value,)
TITLE = "aihub (phones of Qualcomm AI Hub)"
DEFAULT_SCHEMES = ("fp32", "w8c-sym_a8s-cells-fold", "w4c-sym_a16s")
DEFAULT_DEVICE = "Samsung Galaxy S24"


class Loop(enum.Enum):
    """Where a step's state comes from."""

    FORCED = "forced"
    CLOSED = "closed"


def add_options(group: argparse._ArgumentGroup) -> None:
    """Declare the options of this target."""
    add = group.add_argument
    names = ", ".join(f'"{name}"' for name in devices.DEVICES)
    add(
        "--device",
        action="append",
        metavar="NAME",
        help=f"may be repeated; Table 11's: {names} (default: {DEFAULT_DEVICE})",
    )
    note = "also hub:w8a8, hub:w8a16, hub:w4a16: quantised by AI Hub; "
    add_schemes(group, DEFAULT_SCHEMES, note)
    add_data(group)
    add_calibration(group)
    add("--limit", type=positive_int, default=4, metavar="N", help="puzzles (%(default)s)")
    add("--steps", type=positive_int, metavar="N", help="supervision steps (the model's)")
    add_halt(group, "where puzzles end in the second table", DEVICE_RULES)
    add("--h-cycles", type=positive_int, metavar="N", help="H-cycles of a step (the model's)")
    add(
        "--loop",
        default=Loop.FORCED.value,
        choices=[loop.value for loop in Loop],
        help="where a step's state comes from (%(default)s)",
    )
    add("--dry-run", action="store_true", help="print the jobs with sizes and shapes")
    add("--retry-failed", action="store_true", help="ask again for jobs that failed")
    add("--timeout", type=positive_float, default=3600.0, metavar="S", help="per job (%(default)s)")
    add(
        "--poll",
        type=natural_float,
        default=5.0,
        metavar="S",
        help="between two looks (%(default)s)",
    )
