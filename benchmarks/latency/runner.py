"""One supervision step, compared and timed in turn."""

import argparse
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import subject as subjects
from benchmarks.latency.contestants import StepContestant, exported, ort_int8
from benchmarks.subject import Subject
from benchmarks.timing import Spread, spread, wall_and_cpu
from export.artifact.host_state import FloatStates
from export.artifact.solver import h_cycle
from export.runtimes.contract import Arrays
from export.runtimes.registry import describe_kernels
from export.targets import Target
from quant.scheme import CarryPrecision
from trm_jax.command_line import split_names
from trm_jax.config import PRESETS, Config
from trm_jax.names import unknown_name

RIVAL = "onnx fp32"
INT8_RIVAL = "onnx dynamic int8"
TOLERANCE = 1e-4
"""Largest difference of two float runs of one block graph, relative to the largest entry.

Two layers chain some ten products and norms; each rounds by about 2^-24 times the root of its
length (up to 1536 terms): 3 x 40 x 6e-8 = 7e-6, and ten times that for unlucky weights. A wrong
formula differs in the first digit.
"""


def draw_state(config: Config, puzzles: int, seed: int) -> np.ndarray:
    """Draw a state of unit mean square, as a norm leaves it."""
    shape = (puzzles, config.num_positions, config.hidden_size)
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def step(contestant: StepContestant, config: Config, puzzles: int) -> Arrays:
    """Run one supervision step from drawn states: z_H, logits, q."""
    states = FloatStates({}, config, CarryPrecision.ARITHMETIC)
    z_H, z_L, e = (draw_state(config, puzzles, seed) for seed in range(3))
    for _ in range(config.H_cycles):
        z_H, z_L = h_cycle(contestant.runtime, states, config, (z_H, z_L), e, config.L_cycles)
    return {"z_H": z_H, **contestant.runtime.run("head", {"z_H": z_H})}


def compare_floats(
    ours: StepContestant, rival: StepContestant, config: Config, puzzles: int
) -> float:
    """Run one application of the network in both; returns the relative difference.

    Raises:
      ValueError: they differ by more than rounding.
    """
    states = FloatStates({}, config, CarryPrecision.ARITHMETIC)
    z_H, z_L, e = (draw_state(config, puzzles, seed) for seed in range(3))
    mine, theirs = (h_cycle(c.runtime, states, config, (z_H, z_L), e, 1)[1] for c in (ours, rival))
    difference = float(np.max(np.abs(mine - theirs)) / np.max(np.abs(mine)))
    if not difference <= TOLERANCE:
        raise ValueError(
            f"{rival.name} computes another model than {ours.name}: states differ by"
            f" {difference:.2g} of the largest entry, rounding explains {TOLERANCE:g}"
        )
    return difference


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Average the cosine over positions, in float64."""
    a, b = (x.astype(np.float64) for x in (a, b))
    norms = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return float(np.mean(np.sum(a * b, axis=-1) / norms))


def measure(
    subject: Subject, schemes: Sequence[str], repeats: int, threads: int
) -> list[dict[str, Any]]:
    """Export, compare, time; returns one row per contestant.

    Raises:
      ValueError: a scheme that LiteRT does not compute, or a rival with another model.
    """
    c, puzzles = subject.config, subject.num_puzzles
    exact, *ours = (
        exported(subject, scheme, Target.LITERT, threads)
        for scheme in dict.fromkeys(("fp32", *schemes))
    )
    rival = exported(subject, "fp32", Target.ONNX, threads)
    contestants = [exact, *ours, rival, ort_int8(subject, threads)]
    difference = compare_floats(exact, rival, c, puzzles)
    reference = step(exact, c, puzzles)["z_H"]
    near = {x.name: cosine(step(x, c, puzzles)["z_H"], reference) for x in contestants}  # warms up
    timed = [
        {x.name: wall_and_cpu(partial(step, x, c, puzzles)) for x in contestants}
        for _ in range(repeats)
    ]
    facts = {
        "model": subject.name,
        "puzzles": puzzles,
        "threads": threads,
        "repeats": repeats,
        "float_difference": difference,
        "onnx_kernels": describe_kernels(Target.ONNX),
    }
    return [{**make_row(x, timed), "cosine": near[x.name], **facts} for x in contestants]


def make_row(
    contestant: StepContestant, timed: Sequence[dict[str, tuple[float, float]]]
) -> dict[str, Any]:
    """Summarise one contestant; ratios are to the rivals of the same repeat."""
    name = contestant.name

    def ratio(rival: str, clock: int) -> dict[str, float]:
        return spread([times[name][clock] / times[rival][clock] for times in timed])._asdict()

    return {
        "contestant": name,
        "step_ms": spread([1e3 * times[name][0] for times in timed])._asdict(),
        "cpu_ms": spread([1e3 * times[name][1] for times in timed])._asdict(),
        "to_onnx_fp32": ratio(RIVAL, 0),
        "to_onnx_int8": ratio(INT8_RIVAL, 0),
        "cpu_to_onnx_int8": ratio(INT8_RIVAL, 1),
        "file_bytes": contestant.file_bytes,
        "packed_bytes": contestant.packed_bytes,
    }


def show(rows: Sequence[dict[str, Any]], console: Console) -> None:
    """Print rows as a table for each model."""
    for model in dict.fromkeys(row["model"] for row in rows):
        table = Table(title=f"{model}: one supervision step, median (least to greatest)")
        for heading in (
            "contestant",
            "ms",
            "/ onnx fp32",
            "/ onnx int8",
            "CPU / onnx int8",
            "file MB",
            "over packed",
            "cosine",
        ):
            table.add_column(heading, justify="left" if heading == "contestant" else "right")
        for row in (row for row in rows if row["model"] == model):
            spreads = ("step_ms", "to_onnx_fp32", "to_onnx_int8", "cpu_to_onnx_int8")
            table.add_row(
                row["contestant"],
                *(str(Spread(**row[key])) for key in spreads),
                f"{row['file_bytes'] / 1e6:.2f}",
                f"{row['file_bytes'] / row['packed_bytes'] - 1:+.1%}",
                f"{row['cosine']:.4f}",
            )
        console.print(table)


def run(args: argparse.Namespace, console: Console) -> list[dict[str, Any]]:
    """Draw what the options name and time it.

    Raises:
      ValueError: options that do not fit.
    """
    if min(args.repeats, args.threads) < 1:
        raise ValueError(f"--repeats {args.repeats} and --threads {args.threads} must be 1 or more")
    presets, schemes = (split_names(text) for text in (args.presets, args.schemes))
    if unknown := sorted(set(presets) - PRESETS.keys()):
        raise ValueError(unknown_name("preset", unknown[0], sorted(PRESETS)))
    rows = []
    for name in presets:
        console.print(f"{name}: {args.threads} threads, {args.repeats} repeats, one puzzle")
        console.print(describe_kernels(Target.ONNX))
        rows += measure(subjects.draw(name, 1), schemes, args.repeats, args.threads)
    return rows
