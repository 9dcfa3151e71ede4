"""Export a model: quantised as simulated, lowered for a runtime, tried, with a manifest.

    python -m export.tflite --model sudoku-trm-mlp-mini --scheme int4_calibrated \\
        --target litert --out runs/int4
    python -m export.tflite --model maze-trm-att-mini --scheme w8c-sym_a8s \\
        --target tflite-runtime --out runs/maze-int8

Into --out go model.tflite, host.safetensors (embeddings and initial states, for the host loop)
and manifest.json. What the target would refuse, or compute wrong without a word, is refused
here, with what to use instead. `python -m export.verify DIR` checks an export again,
`python -m export.solve DIR PUZZLE` uses it.

Schemes are the paper's names or long ones (quant/scheme.py): int8 and int4_calibrated store
integers and multiply in float32, w8c-sym_a8da multiplies int8 by int8 with dynamic ranges (the
fast one on hosts), w8c-sym_a8s with calibrated ranges. Roles may differ:
--scheme mixer=w8c-sym_a8da,channel=w4c-asym_a8da,head=w8c-sym_a8da.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from export.artifact.manifest import IntegerFacts, Manifest
from export.lowering.stages import parse_cut
from export.lowering.storage import plan_named
from export.pipeline import TRIED, export_model
from export.sources import batch_of, load_model, load_puzzles
from export.targets import Target
from quant.simulation import simulate
from trm_jax.command_line import exit_code
from trm_jax.loading import gather_calibration

BATCH = 16  # puzzles per call; small enough for a phone, large enough to fill two cores


def parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    p = options("python -m export.tflite", __doc__)
    p.add_argument(
        "--target",
        default="litert",
        choices=[t.value for t in Target],
        help="what will run it (%(default)s)",
    )
    p.add_argument(
        "--cut",
        metavar="CUT",
        help="attention in integers for a board, in graphs that"
        " share one arena: heads=1,tokens=100,queries=100",
    )
    return p


def options(program: str, description: str | None) -> argparse.ArgumentParser:
    """Declare what every export command asks for; the target is the command's own."""
    p = argparse.ArgumentParser(
        prog=program,
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument(
        "--model",
        required=True,
        metavar="NAME|PATH",
        help="bundled name, model directory or PyTorch checkpoint",
    )
    p.add_argument("--scheme", required=True, help="one for all matrices, or ROLE=SCHEME,...")
    p.add_argument("--out", required=True, type=Path, metavar="DIR")
    p.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="puzzles to calibrate on and to answer (default: bundled)",
    )
    p.add_argument(
        "--batch",
        type=int,
        default=BATCH,
        metavar="N",
        help="puzzles per call of the graphs (%(default)s)",
    )
    p.add_argument("--steps", type=int, metavar="N", help="supervision steps (the model's)")
    return p


def run(args: argparse.Namespace) -> Manifest:
    """Export as a command line says.

    Raises:
      ValueError, OSError, RuntimeError, ModuleNotFoundError: bad input, or a runtime's refusal.
    """
    plan = plan_named(args.scheme, Target(args.target))
    cut = parse_cut(args.cut) if args.cut else None
    source = load_model(args.model)
    dataset = load_puzzles(args.data, source.config)
    steps = args.steps or source.config.halt_max_steps
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    errors = Console(stderr=True)
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as bar:
        task = bar.add_task("quantising", total=2)
        twin = simulate(source, plan.precision, gather_calibration(dataset), steps=steps)
        bar.update(task, description="lowering and trying", advance=1)
        tried = batch_of(dataset, np.arange(min(TRIED, len(dataset))))
        return export_model(
            args.out, source, plan, twin, tried, batch=args.batch, steps=steps, cut=cut
        )


def summary(made: Manifest, folder: Path) -> str:
    """Say what was made."""
    integers = "" if made.integers is None else f"{room(made.integers)}\n"
    return (
        f"{made.model} as {made.scheme} ({made.plan}) for {made.target.value}\n"
        f"{', '.join(str(folder / name) for name in made.model_files)}:"
        f" {made.model_bytes:,} bytes, {made.weight_bytes:,} of them weights;"
        f" with host tensors {made.total_bytes:,} bytes\n"
        f"{integers}"
        f"expected answers: {len(made.expected.tokens)} puzzles at {made.expected.steps} steps,"
        f" confirmed by {made.expected.confirmed_by or 'nothing here'}\n"
        f"next: python -m export.verify {folder}"
    )


def room(integers: IntegerFacts) -> str:
    """Say how much room integers have, and whether it was enough."""
    saturated = ", ".join(f"{name} {count}" for name, count in integers.saturated.items())
    return (
        f"integers: {integers.bits} bits, ranges times {integers.headroom:g}; sums need at most"
        f" {max(integers.accumulator_bits.values())} bits; saturated in"
        f" {integers.saturated_puzzles} puzzles: {saturated or 'nothing'}"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    return command(parser().parse_args(argv))


def command(args: argparse.Namespace) -> int:
    """Export, say what was made or what is wrong; returns the exit code."""

    def action() -> None:
        sys.stdout.write(summary(run(args), args.out) + "\n")

    return exit_code(action, (OSError, ValueError, RuntimeError, ModuleNotFoundError))


if __name__ == "__main__":
    sys.exit(main())
