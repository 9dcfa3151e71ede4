"""What a measurement takes where its command line is silent, and what it ran on.

The number of puzzles, the arithmetic and the size of a shard follow from the data set, the
devices, their free memory and the shapes of the model. Not here: the options themselves
(options.py), which are parsed before jax is imported.
"""

import contextlib
import os
import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import jax

from experiments.measurement.row_files import ResultFolder
from experiments.measurement.side_by_side import num_threads
from experiments.measurement.versions import read_commit, read_version
from quant.recipe import parse_given
from quant.scheme import PAPER_SCHEMES, Scheme
from trm_jax.command_line import free_memory, split_names
from trm_jax.config import Config
from trm_jax.data.calibration import NOT_NEEDED
from trm_jax.loading import Puzzles
from trm_jax.tasks.calibration import CalibrationPuzzles

CPU_BATCH, DEVICE_BATCH = 50, 250  # divide round limits: a padded shard costs like a full one
CPU_BYTES, DEVICE_BYTES = 2**30, 2**33  # for the two trajectories that are alive at a time


def parse_schemes(text: str) -> tuple[str, ...]:
    """Read names and @FILEs of recipes joined by commas: long forms, fp32 first, none twice.

    Raises:
      FileNotFoundError: no such recipe.
      ValueError: a name is unknown.
    """
    return tuple(dict.fromkeys([PAPER_SCHEMES["fp32"].name, *parse_names(text)]))


def parse_names(text: str) -> tuple[str, ...]:
    """Read names and @FILEs of recipes joined by commas: long forms, none twice.

    Raises:
      FileNotFoundError: no such recipe.
      ValueError: a name is unknown.
    """
    return tuple(dict.fromkeys(parse_given(name).name for name in split_names(text)))


def environment() -> dict[str, Any]:
    """Collect what a run ran on."""
    devices = jax.local_devices()
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "devices": f"{len(devices)} x {devices[0].device_kind} ({devices[0].platform})",
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors",
        "processes": jax.process_count(),
        "commit": read_commit(),
        "python": platform.python_version(),
        **{name: read_version(name) for name in ("jax", "flax", "numpy", "aqtp")},
    }


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


def check_limit(limit: int, puzzles: Puzzles) -> None:
    """Check how many puzzles a deployment solves, of those that there are.

    Raises:
      ValueError: none, or more than there are.
    """
    if not 1 <= limit <= len(puzzles):
        raise ValueError(
            f"--limit must be 1 to {len(puzzles)}, the puzzles of {puzzles.folder}, got {limit}"
        )


def check_calibration(
    schemes: Sequence[Scheme], num_puzzles: int, calibration: CalibrationPuzzles
) -> None:
    """Check the puzzles that schemes are calibrated on, where a scheme is.

    Args:
      num_puzzles: that are evaluated, the first in their order.

    Raises:
      ValueError: the calibration puzzles would be evaluated too, as they are or as images, all of
        them are the same puzzle, or they were named for schemes that need none.
    """
    calibrated = [scheme.name for scheme in schemes if scheme.needs_puzzles]
    check_named_for(calibrated, num_puzzles, calibration)


def check_named_for(
    calibrated: Sequence[str], num_puzzles: int, calibration: CalibrationPuzzles
) -> None:
    """Check the puzzles that something is calibrated on, where anything is.

    Args:
      calibrated: names of the schemes, studies or variants that need them.
      num_puzzles: that are evaluated, the first in their order.

    Raises:
      ValueError: as `check_calibration`.
    """
    if not calibrated:
        if calibration.options.is_chosen:
            raise ValueError(
                "nothing here is calibrated on puzzles, as schemes with -gptq, a8s or a16s are;"
                f" {NOT_NEEDED}"
            )
        return
    if num_puzzles > calibration.left:
        total = len(calibration.evaluated)
        raise ValueError(
            f"{calibrated[0]} is calibrated on the last {calibration.count} of the"
            f" {total} puzzles, so at most {calibration.left} can be evaluated, got"
            f" {num_puzzles}; lower --limit, name other puzzles with --calibration DIR, or leave"
            " the scheme out"
        )
    calibration.check(num_puzzles)


def choose_dtype(name: str) -> str:
    """Choose the arithmetic: `auto` is float32 on CPU and bfloat16 on accelerators."""
    if name != "auto":
        return name
    return "float32" if jax.default_backend() == "cpu" else "bfloat16"


class BatchChoice(NamedTuple):
    """How many puzzles are computed together.

    Attributes:
      number: of puzzles. It decides last bits of rows, whose digest it is part of.
      reason: why so many; empty where a command line says so.
    """

    number: int
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.number} together{f' ({self.reason})' if self.reason else ''}"


def choose_batch_size(
    size: int | None, config: Config, steps: int, kept: int | None = None
) -> BatchChoice:
    """Choose how many trajectories fit; what one needs is known from the shapes.

    Of free memory half is for trajectories: two of each puzzle, for every row that is computed at
    once. Where there is plenty the number depends on the model alone, so that rows of several runs
    mix.

    Args:
      size: what was asked for; None: auto.
      steps: supervision steps of a trajectory.
      kept: of the rows that a run goes on with; auto keeps it.

    Raises:
      ValueError: less than one puzzle was asked for.
    """
    if size is not None:
        if size < 1:
            raise ValueError(f"--batch-size must be at least 1, got {size}")
        return BatchChoice(size)
    if kept is not None:
        return BatchChoice(kept, "auto: that of the rows in the folder")
    cpu = jax.default_backend() == "cpu"
    most, most_bytes = (CPU_BATCH, CPU_BYTES) if cpu else (DEVICE_BATCH, DEVICE_BYTES)
    cycles = steps * config.H_cycles
    each = 2 * 4 * cycles * config.num_positions * config.hidden_size  # two, of float32
    bounds = {
        f"at most {most} on {'a CPU' if cpu else 'a device'}": most,
        f"{_gib(most_bytes)} for states": most_bytes // each,
    }
    if (free := free_bytes()) is not None:
        bounds[f"half of {_gib(free)} that are free"] = free // 2 // (each * num_threads())
    reason = min(bounds, key=lambda text: bounds[text])
    devices = 1 if cpu else jax.local_device_count()
    return BatchChoice(devices * max(1, bounds[reason]), f"auto: {reason}")


def free_bytes() -> int | None:
    """Count the bytes that are free on each device; on a CPU, those of this machine.

    None: it does not tell, or there are several machines, which must choose alike.
    """
    if jax.process_count() > 1:
        return None
    if jax.default_backend() == "cpu":
        return free_memory()
    told = [device.memory_stats() or {} for device in jax.local_devices()]
    rooms = [s["bytes_limit"] - s["bytes_in_use"] for s in told if "bytes_limit" in s]
    return min(rooms) if len(rooms) == len(told) else None


def kept_batch_size(folder: ResultFolder[Any, Any], *, resume: bool) -> int | None:
    """Read how many puzzles were computed together for the rows of a folder; None: there are none.

    A folder of something else is refused later, with words.
    """
    if resume:
        with contextlib.suppress(OSError, ValueError):
            return folder.read_spec().batch_size
    return None


def _gib(size: int) -> str:
    return f"{size / 2**30:.3g} GiB"
