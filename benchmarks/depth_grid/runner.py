"""The depth x precision grid, timed: everybody once a repeat, ratios within a repeat."""

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from benchmarks import subject as subjects
from benchmarks.depth_grid.contestants import (
    Cell,
    ContestPlan,
    JaxCells,
    Rival,
    SharedRollouts,
    TorchCells,
    make_plan,
    torch_installed,
)
from benchmarks.subject import Subject
from benchmarks.timing import seconds, spread
from quant.ptq import weights
from quant.scheme import parse
from trm_jax.command_line import usable_processors

TOLERANCE = 1e-3
"""Largest difference of logits after one H-cycle, relative to the largest logit.

An H-cycle chains some tens of products and norms; each rounds by about 2^-24 times the root of
its length (up to 1536 terms): 40 x 40 x 6e-8 = 1e-4, and ten times that for unlucky weights. A
wrong formula differs in the first digit.
"""


class Agreement(NamedTuple):
    """How a rival's logits differ from ours in full precision.

    Attributes:
      first: largest difference after one H-cycle, relative to the largest logit.
      answers: share of equal answers in the deepest cell.
    """

    first: float
    answers: float


def compare_logits(ours: SharedRollouts, rival: Rival, scheme: str, deepest: int) -> Agreement:
    """Check that a rival computes the same model, which also warms it up.

    Raises:
      ValueError: logits differ by more than rounding.
    """
    mine, theirs = ours.logits(scheme, 1), rival.logits(scheme, 1)
    first = float(np.max(np.abs(mine - theirs)) / np.max(np.abs(mine)))
    if not first <= TOLERANCE:
        raise ValueError(
            f"{rival.name} computes another model: logits after one H-cycle differ by"
            f" {first:.2g} of the largest, rounding explains {TOLERANCE:g}"
        )
    pair = (x.logits(scheme, deepest).argmax(-1) for x in (ours, rival))
    return Agreement(first, float(np.mean(np.equal(*pair))))


class Times(NamedTuple):
    """Seconds of one repeat.

    Attributes:
      ours: by grid.
      rivals: by rival and cell.
    """

    ours: dict[str, float]
    rivals: dict[str, dict[Cell, float]]


def time_once(
    ours: dict[str, SharedRollouts],
    rivals: Sequence[Rival],
    cells: Sequence[Cell],
    advance: Callable[[int], object],
) -> Times:
    """Run everybody once.

    Args:
      advance: told the H-cycles that each rival cell ran.
    """
    mine = {name: seconds(shared.run) for name, shared in ours.items()}
    theirs: dict[str, dict[Cell, float]] = {rival.name: {} for rival in rivals}
    for rival in rivals:
        for cell in cells:
            depth = cell.T * cell.n
            theirs[rival.name][cell] = seconds(partial(rival.run, cell.scheme, depth))
            advance(depth)
    return Times(mine, theirs)


def make_row(
    plan: ContestPlan, name: str, ours: SharedRollouts, rival: Rival, repeats: Sequence[Times]
) -> dict[str, Any]:
    """Compare one grid with one rival."""
    cells = plan.cells(name)
    mine = [times.ours[name] for times in repeats]
    theirs = [sum(times.rivals[rival.name][cell] for cell in cells) for times in repeats]
    ratios = [b / a for a, b in zip(mine, theirs, strict=True)]
    spreads = {"ours_s": mine, "rival_s": theirs, "ratio": ratios}
    return {
        "grid": name,
        "T": plan.grids[name].T,
        "n": plan.grids[name].n,
        "cells": len(cells),
        "rival": rival.name,
        **{key: spread(values)._asdict() for key, values in spreads.items()},
        "ours_compile_s": ours.compile_seconds,
        "rival_compile_s": rival.compile_seconds,
    }


def run(
    subject: Subject, plan: ContestPlan, repeats: int, console: Console
) -> list[dict[str, Any]]:
    """Compile, compare, time; returns one row per grid and rival.

    Raises:
      ValueError: a rival computes another model.
    """
    variants = {name: weights.round_weights(subject.weights, parse(name)) for name in plan.schemes}
    cells = plan.all_cells
    depths = tuple(sorted({1, *(cell.T * cell.n for cell in cells)}))
    console.print("compiling")
    ours = {name: SharedRollouts(subject, variants, plan.depths(name)) for name in plan.grids}
    rivals: list[Rival] = [JaxCells(subject, variants, depths)]
    if torch_installed():
        rivals.append(TorchCells(subject, variants))
    widest = next(iter(ours.values()))
    agreements = {r.name: compare_logits(widest, r, plan.schemes[0], depths[-1]) for r in rivals}
    for shared in ours.values():
        jax.block_until_ready(shared.run())
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as p:
        work = repeats * len(rivals) * sum(cell.T * cell.n for cell in cells)
        task = p.add_task("timing", total=work)
        timed = [
            time_once(ours, rivals, cells, lambda depth: p.advance(task, depth))
            for _ in range(repeats)
        ]
    facts = {
        "model": subject.name,
        "puzzles": subject.num_puzzles,
        "schemes": plan.schemes,
        "dtype": "float32",
        "threads": usable_processors(),
        "repeats": repeats,
    }
    return [
        {
            **make_row(plan, name, ours[name], rival, timed),
            **facts,
            "agreement": agreements[rival.name]._asdict(),
        }
        for name in plan.grids
        for rival in rivals
    ]


def show(rows: Sequence[dict[str, Any]], console: Console) -> None:
    """Print rows as a table."""
    table = Table(title="Wall time of a depth x precision grid: median (least to greatest)")
    for heading in ("grid", "cells", "rival", "ours s", "rival s", "ratio", "compile s"):
        table.add_column(heading, justify="left" if heading in ("grid", "rival") else "right")
    for row in rows:
        spreads = (
            "{median:.3g} ({min:.3g} to {max:.3g})".format(**row[key])
            for key in ("ours_s", "rival_s", "ratio")
        )
        compiled = f"{row['ours_compile_s']:.1f} : {row['rival_compile_s']:.1f}"
        table.add_row(row["grid"], str(row["cells"]), row["rival"], *spreads, compiled)
    console.print(table)
    for row in rows[: len({row["rival"] for row in rows})]:
        console.print(
            f"{row['rival']}: logits after one H-cycle within {row['agreement']['first']:.1g};"
            f" {row['agreement']['answers']:.2%} equal answers in the deepest cell"
        )


def measure(args: argparse.Namespace, console: Console) -> list[dict[str, Any]]:
    """Load what the options name and time it.

    Raises:
      ValueError: options that do not fit.
    """
    if args.repeats < 1:
        raise ValueError(f"--repeats must be at least 1, got {args.repeats}")
    subject = subjects.load(args)
    plan = make_plan(subject.config, args.depths, args.schemes)
    rivals = "with PyTorch" if torch_installed() else "torch is not installed, so without it"
    console.print(
        f"{subject.name}: {subject.num_puzzles} puzzles, float32, {usable_processors()} threads,"
        f" {len(plan.schemes)} schemes, {args.repeats} repeats; {rivals}"
    )
    return run(subject, plan, args.repeats, console)
