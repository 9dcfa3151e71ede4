"""Deployment on a Cortex-M55 (Corstone-300): does the whole of it fit, and does it end in time?

    python -m experiments.deploy --target cortex-m55 --task sudoku
    python -m experiments.deploy --target cortex-m55 --task sudoku --preset sudoku-trm-mlp

Every scheme becomes an export for TFLite Micro and a package for the firmware (export/micro.py);
of a --preset, the published sizes, weights are random: sizes and counts only. One table:

    graphs   a block in one and its head, or the block cut into graphs that share one arena, if that
             needs less SRAM (experiments/deploy/cortex_m/exports.py)
    flash    weights, tables and records of the graphs, row file, code
    SRAM     arena (head, tail, margin: measured by TFLM on this computer, or on the emulated
             board), carry, buffers, variables, stack
    fits     named devices, memory by memory (export/cortex_m/memory.py): yes, or which memory is
             too small and by how many bytes
    instructions of a block (the update of z_L) and of a puzzle at full depth: emulated, where
             --tflm-lib is given and QEMU is there, otherwise by the operator model; which, is said
    time     an estimate: --cpi cycles per instruction at --mhz; `in time` if below --patience, at
             full depth (`yes`) or at the mean depth of halting alone (`halting`)
    answers  exact match and fidelity to full precision of the board's arithmetic on the first
             --limit puzzles, simulated bit for bit, at full depth and with the board's own rule of
             halting (--halt); what fits and ends in time but answers nothing right is said to

The firmware is compiled for its size if arm-none-eabi-gcc is there; TFLM's code is counted with
--tflm-lib, and estimated without (export/cortex_m/build.py). Into OUT go rows.jsonl, summary.md,
summary.csv, exports/ and boards/ (packages).
"""

import argparse
from typing import TypeGuard

from experiments.measurement.options import DEVICE_RULES, add_data, add_halt, add_schemes
from trm_jax.command_line import positive_float, positive_int, user_path
from trm_jax.config import Config, Mixer, TRMConfig
from trm_jax.data.calibration import add_calibration

TARGETS = ("cortex-m55",)
TITLE = "cortex-m55"
DEFAULT_SCHEMES = (
    "fp32",
    "tflm_int8_int8",
    "tflm_int4_int8",
    "tflm_int8_int16",
    "tflm_int4_int16",
)
ANSWERED = 100


def add_options(group: argparse._ArgumentGroup) -> None:
    """Declare the options of this target."""
    add = group.add_argument
    add("--preset", metavar="NAME", help="a size of trm_jax/config.py instead of a model")
    add_data(group)
    add_calibration(group)
    add_schemes(group, DEFAULT_SCHEMES)
    add(
        "--limit",
        type=positive_int,
        default=ANSWERED,
        metavar="N",
        help="puzzles that are answered in the board's arithmetic (%(default)s)",
    )
    add_halt(group, "what the board begins with", DEVICE_RULES)
    add_speed(group, "the estimate", patience=60.0)
    add(
        "--tflm-lib",
        type=user_path,
        metavar="FILE",
        help="libtensorflow-microlite.a for Cortex-M55",
    )
    add(
        "--tflm-inc",
        type=user_path,
        nargs="+",
        default=[],
        metavar="DIR",
        help="its header folders",
    )


def add_speed(group: argparse._ArgumentGroup, of: str, *, patience: float) -> None:
    """Declare what turns instructions into seconds, and how many of those a puzzle may take.

    Args:
      of: whose clock and cycles, in the help.
    """
    add = group.add_argument
    add(
        "--mhz",
        type=positive_float,
        default=400.0,
        metavar="F",
        help=f"clock of {of} (%(default)g)",
    )
    add(
        "--cpi",
        type=positive_float,
        default=1.0,
        metavar="C",
        help=f"cycles per instruction of {of} (%(default)g)",
    )
    add(
        "--patience",
        type=positive_float,
        default=patience,
        metavar="S",
        help="seconds that a puzzle may take (%(default)g)",
    )


def has_integer_attention(config: Config) -> TypeGuard[TRMConfig]:
    """Return whether a configuration has attention in integers."""
    return isinstance(config, TRMConfig) and config.mixer is Mixer.ATTENTION
