"""What a command line asks of AI Hub (experiments/deploy_aihub.py), loaded and checked."""

import argparse
import dataclasses
from dataclasses import dataclass
from pathlib import Path

from experiments.aihub_states import Loop
from experiments.aihub_variants import Route, Variant, variant_named
from experiments.models import hash_model
from experiments.puzzles import hash_dataset
from experiments.row_files import digest_of
from experiments.tasks import Task, side_of, task_named
from export.aihub import devices
from export.aihub.client import Waiting
from export.sources import load_model, load_puzzles
from export.twin import Source
from trm_jax import zoo
from trm_jax.data.batches import CALIBRATION_PUZZLES
from trm_jax.data.format import PuzzleDataset

DEFAULT_SCHEMES = "fp32,w8c-sym_a8s,w4c-sym_a16s"
DEFAULT_DEVICE = "Samsung Galaxy S24"


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a command line asks for, loaded.

    Attributes:
      retry: ask again for jobs that failed.
    """

    task: Task
    source: Source
    dataset: PuzzleDataset
    variants: tuple[Variant, ...]
    devices: tuple[str, ...]
    steps: int
    limit: int
    loop: Loop
    waiting: Waiting
    retry: bool
    out: Path

    @property
    def digest(self) -> str:
        """Hash what decides the numbers of a row."""
        parts = (
            hash_model(self.source.config, self.source.weights),
            hash_dataset(self.dataset),
            self.steps,
            self.limit,
            self.loop.value,
        )
        return digest_of(parts)


def add_options(group: argparse._ArgumentGroup) -> None:
    """Declare the options of this target."""
    add = group.add_argument
    known = ", ".join(f'"{name}"' for name in devices.DEVICES)
    add(
        "--device",
        action="append",
        metavar="NAME",
        help=f"may be repeated; Table 11's: {known} (default: {DEFAULT_DEVICE})",
    )
    add(
        "--schemes",
        default=DEFAULT_SCHEMES,
        help="also hub:w8a8, hub:w8a16, hub:w4a16: quantised by AI Hub (%(default)s)",
    )
    add("--data", type=Path, metavar="DIR", help="default: bundled puzzles")
    add("--limit", type=int, default=4, metavar="N", help="puzzles (%(default)s)")
    add("--steps", type=int, metavar="N", help="supervision steps (the model's)")
    add("--h-cycles", type=int, metavar="T", help="H-cycles of a step (the model's)")
    add(
        "--loop",
        default=Loop.FORCED.value,
        choices=[loop.value for loop in Loop],
        help="%(default)s",
    )
    add("--dry-run", action="store_true", help="print the jobs with sizes and shapes")
    add("--retry-failed", action="store_true", help="ask again for jobs that failed")
    add("--timeout", type=float, default=3600.0, metavar="S", help="per job (%(default)s)")
    add("--poll", type=float, default=5.0, metavar="S", help="between two looks (%(default)s)")


def request(args: argparse.Namespace) -> Request:
    """Load and check what a command line names.

    Raises:
      ValueError: unknown names, or numbers out of range.
      OSError: missing files.
    """
    task = task_named(args.task)
    source = load_model(args.model or zoo.default(task.value))
    if args.h_cycles is not None:
        changed = dataclasses.replace(source.config, H_cycles=args.h_cycles)
        source = dataclasses.replace(source, config=changed)
    dataset = load_puzzles(args.data, source.config)
    side_of(task, dataset, "the data")
    variants = tuple(variant_named(name.strip()) for name in args.schemes.split(","))
    calibrated = any(v.plan.needs_ranges or v.route is Route.HUB for v in variants)
    most = len(dataset) - CALIBRATION_PUZZLES * calibrated
    steps = source.config.halt_max_steps if args.steps is None else args.steps
    if not 1 <= args.limit <= most:
        raise ValueError(f"--limit must be 1 to {most}, got {args.limit}")
    if steps < 1 or args.timeout <= 0 or args.poll < 0:
        raise ValueError(
            f"--steps, --timeout and --poll must be positive, got {steps},"
            f" {args.timeout}, {args.poll}"
        )
    return Request(
        task=task,
        source=source,
        dataset=dataset,
        variants=variants,
        devices=tuple(dict.fromkeys(args.device or [DEFAULT_DEVICE])),
        steps=steps,
        limit=args.limit,
        loop=Loop(args.loop),
        retry=args.retry_failed,
        waiting=Waiting(timeout_s=args.timeout, poll_s=args.poll),
        out=args.out or Path("runs") / f"deploy-{task.value}-{source.name}-aihub",
    )
