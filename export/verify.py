"""Check an export again: files, operators, blocks, answers, whole rollouts.

    python -m export.verify runs/int4
    python -m export.verify runs/int4 --limit 500 --data data/sudoku-6x6

Five checks, from exact to statistical:

    files       manifest, sizes, SHA-256, structure of the flatbuffer, host tensors
    legality    nothing that the target refuses or computes wrong
    operators   every matrix product alone on the runtime, to its derived bound
    blocks      every network on a state of a trajectory, against the simulation, to a bound
                derived from the simulation's own sensitivity
    answers     the expected answers in the manifest, exactly
    rollouts    the first --limit puzzles on runtime and simulation: equal answers, equal cells,
                fidelity, with 95 % intervals; fails if the runtime solves significantly fewer
                or more puzzles (exact McNemar test, p < 0.01)

The simulation is built from the model that the manifest names (--model names another copy of
it). Exit code 0 if all checks pass, 1 if one fails, 2 if something is missing or damaged.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from export.artifact import check_operators, check_rollouts
from export.artifact.check_blocks import check_blocks
from export.artifact.open import Export, open_artifact
from export.artifact.solver import Solver
from export.graph.files import check_format
from export.legality.check import find_violations
from export.lowering.model import parameters_sha256
from export.lowering.storage import plan_named
from export.runtimes.registry import open_runtime
from export.sources import batch_of, load_model, load_puzzles
from export.targets import Target
from quant.simulation import Simulation, simulate
from trm_jax.command_line import exit_code
from trm_jax.data.format import PuzzleDataset
from trm_jax.loading import gather_calibration

LIMIT = 64
SIGNIFICANT = 0.01


def parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    p = argparse.ArgumentParser(
        prog="python -m export.verify",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("folder", type=Path, metavar="DIR", help="of an export")
    p.add_argument(
        "--limit",
        type=int,
        default=LIMIT,
        metavar="N",
        help="puzzles of the rollouts (%(default)s)",
    )
    p.add_argument("--data", type=Path, metavar="DIR", help="puzzles (default: bundled)")
    p.add_argument("--model", metavar="NAME|PATH", help="the model it was made from")
    p.add_argument(
        "--runtime", choices=[t.value for t in Target], help="other than what it was exported for"
    )
    p.add_argument("--threads", type=int, default=1, metavar="N", help="%(default)s")
    return p


def twin_of(export: Export, model: str | None, dataset: PuzzleDataset) -> Simulation:
    """Build the simulation of an export.

    Raises:
      ValueError: the model is another one than the export was made from.
    """
    manifest = export.manifest
    source = load_model(model or manifest.source)
    plan = plan_named(manifest.scheme, manifest.target)
    twin = simulate(
        source, plan.precision, gather_calibration(dataset), steps=manifest.expected.steps
    )
    if parameters_sha256(twin.quantised) != manifest.parameters_sha256:
        raise ValueError(
            f"{source.name} under {manifest.scheme} gives other parameters than the export holds;"
            " name the model it was made from with --model"
        )
    return twin


def verdicts(args: argparse.Namespace) -> Iterator[tuple[str, bool, str]]:
    """Run the checks: name, passed, what was found.

    Raises:
      ValueError, OSError, RuntimeError: missing, damaged, or refused by the runtime.
    """
    export = open_artifact(args.folder)
    manifest, expected = export.manifest, export.manifest.expected
    yield "files", True, f"{manifest.total_bytes:,} bytes, as the manifest says"
    target = Target(args.runtime) if args.runtime else manifest.target
    check_format(manifest.target, target)
    found = find_violations(export.model, target)
    yield "legality", not found, "; ".join(map(str, found[:3])) or f"{target.value} computes it"
    yield operators(export, target)
    runtime = open_runtime(target, export.model, threads=args.threads)
    try:
        solver = Solver(export, runtime)
        inputs, ids = np.asarray(expected.inputs), np.asarray(expected.puzzle_identifiers)
        answers = solver.solve(inputs, ids, steps=expected.steps).tokens
        same = (answers == np.asarray(expected.tokens)).all(axis=1)
        yield "answers", bool(same.all()), f"{same.sum()} of {same.size} puzzles as expected"
        dataset = load_puzzles(args.data, export.config)
        twin = twin_of(export, args.model, dataset)
        states = twin.trajectory(batch_of(dataset, np.arange(solver.batch) % len(dataset)), steps=1)
        e = solver.states.embed(
            np.resize(inputs, (solver.batch, inputs.shape[1])), np.resize(ids, solver.batch)
        )
        injection = solver.states.real_injection(e)
        for block in check_blocks(twin, runtime, np.asarray(states[-1]), injection):
            text = f"relative distance {block.distance:.2e}, bound {block.bound:.2e}"
            yield block.graph, block.passed, text
        yield rollouts(solver, twin, dataset, args.limit, expected.steps)
    finally:
        runtime.close()


def operators(export: Export, target: Target) -> tuple[str, bool, str]:
    """Check every product alone."""
    onnx = target is Target.ONNX
    cut = (check_operators.onnx_products if onnx else check_operators.products)(export.model)
    check_one = check_operators.check_onnx if onnx else check_operators.check
    runtime = open_runtime(target, cut)
    try:
        checks = [check_one(g, runtime, i) for i, g in enumerate(cut.graphs)]
    finally:
        runtime.close()
    worst = max(checks, key=lambda c: c.worst)
    text = f"{len(checks)} products, worst {worst.name} at {worst.worst:.2f} of its bound"
    return "operators", worst.passed, text


def rollouts(
    solver: Solver, twin: Simulation, dataset: PuzzleDataset, limit: int, steps: int
) -> tuple[str, bool, str]:
    """Compare whole rollouts."""
    errors = Console(stderr=True)
    columns = (TextColumn("rollouts"), BarColumn(), MofNCompleteColumn())
    groups = []
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as bar:
        task = bar.add_task("rollouts", total=min(limit, len(dataset)))
        for group in check_rollouts.compare_rollouts(solver, twin, dataset, limit, steps):
            groups.append(group)
            bar.update(task, advance=len(group.exact))
    joined = check_rollouts.join_groups(groups, solver.config.seq_len)
    p = joined.mcnemar
    text = (
        f"exact match {check_rollouts.show_rate(joined.exact)},"
        f" simulated {check_rollouts.show_rate(joined.simulated_exact)}, McNemar p {p:.3g};"
        f" equal answers {check_rollouts.show_rate(joined.equal)},"
        f" equal cells {joined.equal_cells:.5f},"
        f" fidelity {check_rollouts.show_mean(joined.fidelity)}"
    )
    return "rollouts", p >= SIGNIFICANT, text


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = parser().parse_args(argv)

    def action() -> int:
        passed = True
        for name, good, text in verdicts(args):
            sys.stdout.write(f"{'pass' if good else 'FAIL'}  {name:<10} {text}\n")
            passed = passed and good
        return 0 if passed else 1

    return exit_code(action, (OSError, ValueError, RuntimeError, ModuleNotFoundError))


if __name__ == "__main__":
    sys.exit(main())
