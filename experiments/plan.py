"""From a command line to a frozen spec with its model and puzzles, everything checked."""

import argparse
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, NamedTuple

import jax

from experiments import models, puzzles
from experiments.depths import parse_depths
from experiments.models import Model
from experiments.puzzles import Puzzles
from experiments.spec import Spec
from experiments.tasks import task_named
from experiments.variants import check_calibration
from quant.ptq import weights
from quant.scheme import PAPER_SCHEMES, parse
from trm_jax.config import Config, flops_per_step
from trm_jax.convert.load import Hints

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
DEFAULT_LIMIT = 200  # the bundled models under eight schemes in less than 3 minutes on 2 cores
DTYPES = ("auto", "float32", "bfloat16", "float16")
CPU_BATCH, DEVICE_BATCH = 50, 250  # divide round limits: a padded shard costs like a full one
CPU_BYTES, DEVICE_BYTES = 2**30, 2**33  # for the two trajectories that are alive at a time


class Job(NamedTuple):
    """A spec and what it speaks of, loaded."""

    spec: Spec
    model: Model
    puzzles: Puzzles

    def header(self, facts: dict[str, Any]) -> str:
        """Say in a line or two what is about to be measured, and where."""
        spec, config = self.spec, self.model.config
        return (
            f"{spec.model} ({self.model.origin}): {self.model.architecture},"
            f" {spec.num_parameters:,} weights, H_cycles {config.H_cycles},"
            f" L_cycles {config.L_cycles}, {spec.gflops_per_cycle:.3g} GFLOPs per H-cycle\n"
            f"{spec.data}: first {spec.num_puzzles} of {len(self.puzzles.dataset)} puzzles in"
            f" shards of {spec.batch_size}; {spec.dtype} on {facts['devices']};"
            f" jax {facts['jax']}, Python {facts['python']}, seed {spec.seed}"
        )


def prepare(args: argparse.Namespace) -> Job:
    """Load and check everything that a command line names.

    Raises:
      ValueError: unknown names, impossible depths, or parts that do not fit.
      OSError: missing files.
      ModuleNotFoundError: a PyTorch checkpoint without torch.
    """
    task = task_named(args.task)
    schemes = parse_schemes(args.schemes)
    model = models.load(args.model, task, Hints(preset=args.preset))
    data = puzzles.load(args.data, task, model.config.seq_len)
    puzzles.check_fit(model, data)
    grid = parse_depths(args.depths, model.config)
    num_puzzles = choose_limit(args.limit, len(data.dataset))
    check_calibration(schemes, num_puzzles, len(data.dataset))
    spec = Spec(
        task=task.value,
        model=model.name,
        model_sha256=model.sha256,
        num_parameters=model.num_parameters,
        architecture=model.architecture,
        gflops_per_cycle=flops_per_step(model.config) / model.config.H_cycles / 1e9,
        data=data.name,
        data_sha256=data.sha256,
        num_puzzles=num_puzzles,
        batch_size=choose_batch_size(args.batch_size, model.config, grid.steps),
        schemes=schemes,
        bytes=tuple(weights.footprint(model.weights, parse(name)).total for name in schemes),
        grid=grid,
        dtype=choose_dtype(args.dtype),
        seed=args.seed,
    )
    return Job(spec, model, data)


def parse_schemes(text: str) -> tuple[str, ...]:
    """Read names joined by commas: their long forms, full precision first, none twice.

    Raises:
      ValueError: a name is unknown.
    """
    names = [parse(name.strip()).name for name in text.split(",")]
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
        **{name: version(name) for name in ("jax", "flax", "numpy", "aqtp")},
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
