"""Deployment on an Ethos-U: what does a puzzle take on the NPU and the CPU beside it?

    python -m experiments.deploy --target ethos-u --task sudoku
    python -m experiments.deploy --target ethos-u --task sudoku --preset sudoku-trm-mlp

Every scheme becomes an export that TFLM's interpreter checks; Arm's compiler Vela (the extra
ethos-u) compiles it for every accelerator. Of a --preset, the published sizes, weights are random:
times and sizes only. No number is measured on silicon, and each says where it comes from:

    NPU      Vela's estimate of cycles, at the clock and memory of export/ethos_u/accelerators.py
    CPU      what Vela leaves there: instructions by the operator model of a Cortex-M55
             (export/cortex_m/instructions.py), --cpi cycles each at --mhz
    puzzle   both, one after the other: at full depth, and at the mean depth at which a rule of
             halting ends puzzles (--halt)
    answers  exact match of --limit puzzles in TFLM's integers (the simulation, which has the
             interpreter's bits), at full depth and with halting, with 95 % intervals

Energy is left out: no public figure for these accelerators is known here. Into OUT go rows.jsonl,
summary.md, summary.csv and exports/.
"""

import argparse

from experiments.deploy.cortex_m.command import add_speed
from experiments.measurement.options import DEVICE_RULES, add_data, add_halt, add_schemes
from export.ethos_u.accelerators import Accelerator
from export.targets import Target
from trm_jax.command_line import positive_int
from trm_jax.data.calibration import add_calibration

TARGETS = (Target.ETHOS_U.value,)
TITLE = TARGETS[0]
DEFAULT_SCHEMES = ("tflm_int8_int8", "tflm_int8_int16")  # those of a Cortex-M that Vela takes
DEFAULT_LIMIT = 64


def add_options(group: argparse._ArgumentGroup) -> None:
    """Declare the options of this target."""
    add = group.add_argument
    add("--preset", metavar="NAME", help="a size of trm_jax/config.py instead of a model")
    add_data(group)
    add_calibration(group)
    add_schemes(group, DEFAULT_SCHEMES)
    add(
        "--accelerators",
        default=",".join(a.value for a in Accelerator),
        metavar="NAME,...",
        help="default: %(default)s",
    )
    add(
        "--limit",
        type=positive_int,
        default=DEFAULT_LIMIT,
        metavar="N",
        help="puzzles that are answered (%(default)s)",
    )
    add_halt(group, "where puzzles end", DEVICE_RULES)
    add_speed(group, "the CPU", patience=10.0)
