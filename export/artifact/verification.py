"""The checks of an export: files, legality, operators, answers, blocks, rollouts.

Each check is a file beside this one; here stand their order and what each says. Not here: the
command line (export/verify.py).
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from export.artifact import check_operators, check_rollouts
from export.artifact.check_blocks import check_blocks
from export.artifact.manifest import Expected, StoredFiles
from export.artifact.open import Export, open_artifact
from export.artifact.solver import Solver
from export.graph.files import check_format
from export.graph.ir import GraphModel
from export.legality.check import find_violations
from export.lowering.model import parameters_sha256
from export.lowering.storage import plan_named
from export.runtimes.contract import Runtime
from export.runtimes.registry import describe_kernels, open_runtime
from export.targets import Target
from quant.simulation import Simulation, simulate
from trm_jax.command_line import progress_bar
from trm_jax.data.batches import CALIBRATION_PUZZLES
from trm_jax.data.calibration import CalibrationFacts, CalibrationOptions, describe_calibration
from trm_jax.data.format import PuzzleDataset
from trm_jax.loading import Puzzles, gather_batch, gather_calibration, load_model
from trm_jax.tasks.calibration import CalibrationPuzzles

SIGNIFICANT = 0.01  # p of McNemar's test below which the runtime solves others than simulated


class CheckResult(NamedTuple):
    """What a check found, as text."""

    name: str
    passed: bool
    text: str


class Calibrated(NamedTuple):
    """A data set and how many of its last puzzles an export was calibrated on."""

    dataset: PuzzleDataset
    count: int = CALIBRATION_PUZZLES


def find_calibration(
    wanted: CalibrationFacts | None,
    load: Callable[[Path | None], Puzzles],
    folders: Sequence[Path | None],
) -> Calibrated:
    """Find the puzzles that an export was calibrated on.

    Args:
      wanted: what its manifest says of them.
      load: loads the data set of a folder, None: the bundled one.
      folders: to look at; the first is taken where the manifest says nothing.

    Raises:
      ValueError: they are others than the manifest says.
      OSError: a data set is missing.
    """
    if wanted is None:
        return Calibrated(load(folders[0]).dataset)
    options = CalibrationOptions(puzzles=wanted.puzzles)
    for folder in folders:
        puzzles = load(folder)
        aside = CalibrationPuzzles(evaluated=puzzles, options=options)
        if len(puzzles) >= wanted.puzzles and aside.recorded.sha256 == wanted.sha256:
            return Calibrated(puzzles.dataset, wanted.puzzles)
    raise ValueError(
        f"the export was calibrated on {describe_calibration(wanted)}, which"
        " are not the last ones of the data here; name their folder with --calibration DIR"
    )


def check_calibrated(scheme: str, target: Target) -> None:
    """Check that an export was calibrated, where a command line names the puzzles of that.

    Raises:
      ValueError: its scheme needs none.
    """
    if not plan_named(scheme, target).precision.needs_puzzles:
        raise ValueError(
            f"the export's scheme, {scheme}, is calibrated on no puzzles; leave --calibration out"
        )


def simulate_export(export: Export, model: str | None, found: Calibrated) -> Simulation:
    """Build the simulation of an export.

    Args:
      found: the puzzles that it was calibrated on.

    Raises:
      ValueError: the model is another one than the export was made from.
    """
    manifest = export.manifest
    source = load_model(model or manifest.source)
    plan = plan_named(manifest.scheme, manifest.target)
    batches = gather_calibration(found.dataset, found.count)
    simulation = simulate(source, plan.precision, batches, steps=manifest.expected.steps)
    if parameters_sha256(simulation.quantised) != manifest.parameters_sha256:
        cure = "name the model it was made from with --model"
        if plan.precision.rounds_with_puzzles:
            cure += ", the puzzles with --data; or verify where it was exported: Hessians, and so"
            cure += " the integers, differ between kinds of processors in their last bits"
        raise ValueError(
            f"{source.name} under {manifest.scheme} gives other parameters than the export holds;"
            f" {cure}"
        )
    return simulation


def run_checks(
    folder: Path,
    *,
    limit: int,
    data: Path | None = None,
    calibration: Path | None = None,
    task: str | None = None,
    model: str | None = None,
    target: Target | None = None,
    threads: int = 1,
) -> Iterator[CheckResult]:
    """Run the checks of an export, from exact to statistical.

    Args:
      limit: puzzles of the rollouts, the first of `data` (None: the bundled ones).
      calibration: data set that it was calibrated on; None: `data`, or the bundled one.
      task: what the puzzles are; None: what the manifest says.
      model: the model it was made from; None: the one that the manifest names.
      target: runs it; None: the one it was exported for.

    Raises:
      ValueError, OSError, RuntimeError: missing, damaged, or refused by the runtime.
    """
    export = open_artifact(folder)
    manifest, expected = export.manifest, export.manifest.expected
    if calibration is not None:
        check_calibrated(manifest.scheme, manifest.target)
    target = target or manifest.target
    yield from check_graphs(manifest, export.model, target)
    runtime = open_runtime(target, export.model, threads=threads)
    try:
        solver = Solver(export, runtime)
        yield check_answers(solver, expected)

        def load(folder: Path | None) -> Puzzles:
            return export.load_puzzles(folder, export.need_task(task))

        dataset, folders = load(data).ordered, [calibration] if calibration else [data, None]
        found = find_calibration(manifest.calibration, load, folders)
        simulation = simulate_export(export, model, found)
        yield from check_networks(solver, simulation, runtime, dataset, expected)
        yield check_whole_rollouts(solver, simulation, dataset, limit, expected.steps)
    finally:
        runtime.close()


def check_graphs(manifest: StoredFiles, model: GraphModel, target: Target) -> Iterator[CheckResult]:
    """Check files, which were read, and graphs before anything is answered.

    Raises:
      ValueError: the target reads another format.
    """
    yield CheckResult("files", True, f"{manifest.total_bytes:,} bytes, as the manifest says")
    check_format(manifest.target, target)
    violations = find_violations(model, target)
    text = "; ".join(map(str, violations[:3])) or f"{target.value} computes it"
    yield CheckResult("legality", not violations, text)
    yield check_products(model, target)


def check_products(model: GraphModel, target: Target) -> CheckResult:
    """Check every product of a model alone."""
    cut = check_operators.cut_products(model)
    runtime = open_runtime(target, cut)
    try:
        checks = [check_operators.check_product(g, runtime, i) for i, g in enumerate(cut.graphs)]
    finally:
        runtime.close()
    worst = max(checks, key=lambda c: c.worst)
    text = f"{len(checks)} products, worst {worst.name} at {worst.worst:.2f} of its bound"
    if kernels := describe_kernels(target):
        text += f"; {kernels}"
    return CheckResult("operators", worst.passed, text)


def check_answers(solver: Solver, expected: Expected) -> CheckResult:
    """Solve the puzzles of the manifest again."""
    inputs, ids = np.asarray(expected.inputs), np.asarray(expected.puzzle_identifiers)
    answers = solver.solve(inputs, ids, steps=expected.steps).tokens
    same = (answers == np.asarray(expected.tokens)).all(axis=1)
    text = f"{same.sum()} of {same.size} puzzles as expected"
    return CheckResult("answers", bool(same.all()), text)


def check_networks(
    solver: Solver,
    simulation: Simulation,
    runtime: Runtime,
    dataset: PuzzleDataset,
    expected: Expected,
) -> Iterator[CheckResult]:
    """Compare every network with the simulation, on a state of a trajectory."""
    states = simulation.trajectory(
        gather_batch(dataset, np.arange(solver.batch) % len(dataset)), steps=1
    )
    inputs, ids = np.asarray(expected.inputs), np.asarray(expected.puzzle_identifiers)
    e = solver.states.embed(
        np.resize(inputs, (solver.batch, inputs.shape[1])), np.resize(ids, solver.batch)
    )
    injection = solver.states.real_injection(e)
    for block in check_blocks(simulation, runtime, np.asarray(states[-1]), injection):
        text = f"relative distance {block.distance:.2e}, bound {block.bound:.2e}"
        yield CheckResult(block.graph, block.passed, text)


def check_whole_rollouts(
    solver: Solver,
    simulation: Simulation,
    dataset: PuzzleDataset,
    limit: int,
    steps: int,
) -> CheckResult:
    """Compare whole rollouts on runtime and simulation."""
    groups, done = [], 0
    with progress_bar("rollouts", min(limit, len(dataset))) as advance:
        for group in check_rollouts.compare_rollouts(solver, simulation, dataset, limit, steps):
            groups.append(group)
            done += len(group.exact)
            advance(done)
    joined = check_rollouts.join_groups(groups, solver.config.seq_len)
    p = joined.mcnemar
    text = (
        f"exact match {check_rollouts.show_rate(joined.exact)},"
        f" simulated {check_rollouts.show_rate(joined.simulated_exact)}, McNemar p {p:.3g};"
        f" equal answers {check_rollouts.show_rate(joined.equal)},"
        f" equal cells {joined.equal_cells:.5f},"
        f" fidelity {check_rollouts.show_mean(joined.fidelity)}"
    )
    return CheckResult("rollouts", p >= SIGNIFICANT, text)
