"""What a measurement takes where its command line is silent, and what it ran on.

The number of puzzles, the arithmetic and the size of a shard follow from the data set, the
devices and the shapes of the model. Not here: the options themselves (options.py), which are
parsed before jax is imported.
"""

import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import jax
import numpy as np

from quant.recipe import parse_given
from quant.scheme import PAPER_SCHEMES, Scheme
from trm_jax.config import Config
from trm_jax.data.batches import CALIBRATION_PUZZLES, calibration_rows, identifiers_of
from trm_jax.loading import Puzzles

CPU_BATCH, DEVICE_BATCH = 50, 250  # divide round limits: a padded shard costs like a full one
CPU_BYTES, DEVICE_BYTES = 2**30, 2**33  # for the two trajectories that are alive at a time


def parse_schemes(text: str) -> tuple[str, ...]:
    """Read names and @FILEs of recipes joined by commas: long forms, fp32 first, none twice.

    Raises:
      FileNotFoundError: no such recipe.
      ValueError: a name is unknown.
    """
    names = [parse_given(name.strip()).name for name in text.split(",")]
    return tuple(dict.fromkeys([PAPER_SCHEMES["fp32"].name, *names]))


def environment() -> dict[str, Any]:
    """Collect what a run ran on."""
    devices = jax.local_devices()
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "devices": f"{len(devices)} x {devices[0].device_kind} ({devices[0].platform})",
        "processes": jax.process_count(),
        "python": platform.python_version(),
        **{name: _version(name) for name in ("jax", "flax", "numpy", "aqtp")},
    }


def _version(package: str) -> str:
    """Tell a package's version; a training machine may lack one."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def choose_limit(limit: int, total: int) -> int:
    """Choose how many puzzles to evaluate; 0 asks for all.

    Raises:
      ValueError: there are none, or a negative number was asked for.
    """
    if limit < 0:
        raise ValueError(f"--limit must be 0 (all puzzles) or more, got {limit}")
    if total == 0:
        raise ValueError("the data set holds no puzzles")
    return min(limit or total, total)


def check_calibration(schemes: Sequence[Scheme], num_puzzles: int, puzzles: Puzzles) -> None:
    """Check the puzzles that schemes are calibrated on, where a scheme is.

    Args:
      num_puzzles: that are evaluated, the first in their order.

    Raises:
      ValueError: the calibration puzzles would be evaluated too, as they are or as images, or
        all of them are the same puzzle.
    """
    calibrated = [scheme.name for scheme in schemes if scheme.needs_puzzles]
    if not calibrated:
        return
    total = len(puzzles)
    left = max(total - CALIBRATION_PUZZLES, 0)
    if num_puzzles > left:
        raise ValueError(
            f"{calibrated[0]} is calibrated on the last {CALIBRATION_PUZZLES} of the"
            f" {total} puzzles, so at most {left} can be evaluated, got {num_puzzles};"
            " lower --limit or leave the scheme out"
        )
    check_unseen(puzzles, num_puzzles)


def check_unseen(puzzles: Puzzles, num_puzzles: int) -> None:
    """Check that no calibration puzzle is an image of an evaluated one.

    Under another puzzle identifier an equal question is another one: a model reads both.

    Args:
      num_puzzles: that are evaluated, the first in their order.

    Raises:
      ValueError: one is, or all calibration puzzles are the same puzzle.
    """
    dataset = puzzles.dataset
    evaluated, calibration = puzzles.order[:num_puzzles], calibration_rows(dataset)
    rows = np.concatenate([evaluated, calibration])
    ids = puzzles.task.image_ids(dataset.inputs[rows], puzzles.facts)
    names = list(zip(ids, identifiers_of(dataset, rows).tolist(), strict=True))
    first = dict(zip(names[:num_puzzles], evaluated.tolist(), strict=True))
    calibrated = zip(names[num_puzzles:], calibration.tolist(), strict=True)
    pairs = [(row, first[name]) for name, row in calibrated if name in first]
    if pairs:
        row, other = pairs[0]
        same = (dataset.inputs[row] == dataset.inputs[other]).all()
        what = "the same as" if same else "a symmetric image of"
        raise ValueError(
            f"{len(pairs)} of the last {CALIBRATION_PUZZLES} puzzles of {puzzles.folder}, which"
            f" calibration takes, are evaluated too: puzzle {row} is {what} puzzle {other};"
            " take such puzzles out of the data or leave out the schemes that are calibrated"
        )


def choose_dtype(name: str) -> str:
    """Choose the arithmetic: `auto` is float32 on CPU and bfloat16 on accelerators."""
    if name != "auto":
        return name
    return "float32" if jax.default_backend() == "cpu" else "bfloat16"


def choose_batch_size(size: int | None, config: Config, steps: int) -> int:
    """Choose how many trajectories fit; what one needs is known from the shapes.

    Args:
      size: what was asked for, or None.
      steps: supervision steps of a trajectory.

    Raises:
      ValueError: less than one puzzle was asked for.
    """
    if size is not None:
        if size < 1:
            raise ValueError(f"--batch-size must be at least 1, got {size}")
        return size
    cycles = steps * config.H_cycles
    each = 2 * 4 * cycles * config.num_positions * config.hidden_size  # two, of float32
    if jax.default_backend() == "cpu":
        return max(1, min(CPU_BATCH, CPU_BYTES // each))
    return jax.local_device_count() * max(1, min(DEVICE_BATCH, DEVICE_BYTES // each))
