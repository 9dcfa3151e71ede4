"""Deployment on the runtimes of this computer: litert, litert-builtin, tflite-runtime, tflm, onnx.

Every scheme becomes an export (export/tflite.py, export/onnx.py) that solves the first --limit
puzzles in the runtime; the simulation solves them too. One table: size on disk, latency of a
supervision step (median and spread, warm, a full batch), memory, exact match with its interval,
exact match of the simulation and the paired test between both, fidelity to full precision,
agreement with the simulation. A second table is read off the same rollouts: exact match and steps
(mean, 95th percentile) where a rule of halting ends the puzzles (--halt; docs/halting.md), paired
with full depth. Into OUT go rows.jsonl and probes.jsonl (as soon as they are
measured; the same command goes on after a kill), the exports, summary.csv, summary.md and
pareto.png/.svg.

A scheme that the target does not compute right is listed with the reason and left out.
"""

import argparse

from experiments.measurement.options import add_data, add_halt, add_schemes
from export.targets import Target
from trm_jax.command_line import positive_int
from trm_jax.data.calibration import add_calibration

TARGETS = tuple(
    target.value for target in Target if target.facts.runs_here and not target.facts.is_npu
)
TITLE = ", ".join(TARGETS)
DEFAULT_SCHEMES = (
    "fp32",
    "fp16",
    "int8",
    "w8c-sym_a8da",
    "w8c-sym_a8s-cells-fold",
    "int4_calibrated",
    "w4c-asym_a8da",
    "int4_naive",
)
DEFAULT_LIMIT = 64  # two minutes on two free cores


def add_options(group: argparse._ArgumentGroup) -> None:
    """Declare the options of these targets."""
    add = group.add_argument
    add_data(group)
    add_calibration(group)
    add_schemes(group, DEFAULT_SCHEMES)
    add(
        "--limit",
        type=positive_int,
        default=DEFAULT_LIMIT,
        metavar="N",
        help="puzzles (%(default)s)",
    )
    add(
        "--batch-size",
        type=positive_int,
        default=16,
        metavar="N",
        help="puzzles per call (%(default)s)",
    )
    add("--steps", type=positive_int, metavar="N", help="supervision steps (the model's)")
    add_halt(group, "where puzzles end in the second table")
    add("--threads", type=positive_int, default=1, metavar="N", help="of the runtime (%(default)s)")
