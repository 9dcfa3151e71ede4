"""Makes an export of a model: lower, refuse, write, try, record.

    export_model     a model by its scheme and target: simulate, then the rest
    keep_artifact    the export of a folder, made where it is not there
    write_artifact   a simulated model, into a folder:
    lower_model      graphs and host tensors; refused where the target computes them wrong
    draft_manifest   what is known once the files are written: sizes, operators, encodings
    choose_expected  the files are tried on their runtime; puzzles that it answers as the
                     simulation does become the expected answers
    count_saturated  integers: what saturates while those puzzles are solved

The rest counts what a manifest records: bytes of weights, operators, and facts about integers
(encodings, headroom, bits of accumulators).

Not here: choosing models and puzzles (job.py), what a plan computes (quant/simulation.py), what a
board needs (cortex_m/package.py).
"""

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from export.artifact.host_state import state_checksum
from export.artifact.manifest import (
    Expected,
    HaltedAnswers,
    IntegerFacts,
    Manifest,
    dump_manifest,
    facts_of,
)
from export.artifact.open import Export, open_artifact
from export.artifact.solver import Solution, Solver, run_by_stages
from export.graph.files import (
    HOST_FILE,
    MANIFEST_FILE,
    convert_graphs,
    write_files,
)
from export.graph.ir import GraphModel
from export.graph.onnx_weights import shared_contents
from export.graph.tflite_schema import encode
from export.legality.check import check_legality
from export.lowering.model import lower_floats, lower_integers, parameters_sha256
from export.lowering.stages import PartitionSpec
from export.lowering.storage import StoragePlan, plan_for
from export.runtimes.registry import open_runtime
from export.targets import BATCH, FileFormat, Target
from quant.integer.data_flow import accumulator_bits
from quant.integer.model import IntegerModel
from quant.integer.reasoner import IntegerReasoner, Simulated
from quant.integer.saturation import count_rollout
from quant.precision_plan import PrecisionPlan
from quant.ptq.weights import round_unquantised
from quant.scheme import FloatDtype, Scheme
from quant.simulation import Simulation, simulate
from trm_jax.checkpoints.tensor_files import save_tensors
from trm_jax.config import Positions
from trm_jax.data.calibration import CalibrationFacts
from trm_jax.data.format import PuzzleDataset
from trm_jax.halting import NEVER, Halting, StepReading, halted_tokens, halting_steps
from trm_jax.loading import LoadedModel, Puzzles, gather_batch, load_puzzles
from trm_jax.output.staging import staged
from trm_jax.tasks.calibration import CalibrationPuzzles
from trm_jax.types import Batch

TRIED, EXPECTED = 16, 8  # puzzles that are tried, and that become expected answers


def export_model(
    model: LoadedModel,
    precision: PrecisionPlan | Scheme,
    folder: Path | str,
    *,
    target: Target = Target.LITERT,
    puzzles: Puzzles | None = None,
    batch: int = BATCH,
    steps: int | None = None,
    halting: Halting | None = None,
    cut: PartitionSpec | None = None,
    calibration: CalibrationPuzzles | None = None,
    on_stage: Callable[[str], object] = lambda stage: None,
) -> Manifest:
    """Quantise a model as its simulation does and write it as files for a runtime.

    Args:
      precision: one scheme for all matrices, or one per role.
      folder: is replaced file by file if it exists.
      puzzles: the first are answered and become the expected answers; None: the bundled ones that
        the model reads.
      batch: puzzles per call of the graphs.
      steps: supervision steps of calibration and of the expected answers; None: the model's.
      halting: as of `write_artifact`.
      cut: attention in integers, in graphs that share one arena (lowering/stages.py).
      calibration: what the scheme is calibrated on, where it needs puzzles; None: the last 128 of
        the puzzles.
      on_stage: is told what begins.

    Raises:
      ValueError: the target cannot compute the scheme, would compute it wrong, or the runtime
        here answers otherwise than simulated; no puzzles fit the model; or expected answers would
        be of puzzles that it is calibrated on.
      RuntimeError: the runtime refuses the file.
      ModuleNotFoundError: packages of the target's file format are not installed.
    """
    plan = plan_for(precision, target)
    puzzles = load_puzzles(model) if puzzles is None else puzzles
    dataset, tried = puzzles.ordered, min(TRIED, len(puzzles))
    calibration = calibration or CalibrationPuzzles(evaluated=puzzles)
    needs_puzzles = plan.precision.needs_puzzles
    if needs_puzzles:
        calibration.check(tried)
    steps = model.config.halt_max_steps if steps is None else steps
    on_stage("quantising")
    simulation = simulate(model, plan.precision, calibration.batches(), steps=steps)
    on_stage("lowering and trying")
    return write_artifact(
        Path(folder),
        model,
        plan,
        simulation,
        gather_batch(dataset, np.arange(tried)),
        batch=batch,
        steps=steps,
        halting=halting,
        cut=cut,
        calibration=calibration.recorded_if(needs_puzzles),
    )


def keep_artifact(
    folder: Path,
    source: LoadedModel,
    plan: StoragePlan,
    simulation: Simulation,
    dataset: PuzzleDataset,
    *,
    batch: int,
    steps: int,
    tried: int = TRIED,
    halting: Halting | None = None,
    cut: PartitionSpec | None = None,
    calibration: CalibrationFacts | None = None,
) -> Export:
    """Open the export of a folder; make it first where it is not there.

    Args:
      simulation: of the model under the plan.
      dataset: its first puzzles are tried for the expected answers.
      tried: how many of them at most.
      batch, steps, halting, cut, calibration: as of `write_artifact`.

    Raises:
      As `write_artifact` and `open_artifact`.
      ValueError: the folder holds another export than is asked for.
    """
    if not (folder / MANIFEST_FILE).exists():
        first = gather_batch(dataset, np.arange(min(tried, len(dataset))))
        write_artifact(
            folder,
            source,
            plan,
            simulation,
            first,
            batch=batch,
            steps=steps,
            halting=halting,
            cut=cut,
            calibration=calibration,
        )
        return open_artifact(folder)
    export = open_artifact(folder)
    _check_kept(folder, export.manifest, plan, simulation, batch, steps, halting, calibration)
    return export


def _check_kept(
    folder: Path,
    found: Manifest,
    plan: StoragePlan,
    simulation: Simulation,
    batch: int,
    steps: int,
    halting: Halting | None,
    calibration: CalibrationFacts | None,
) -> None:
    """Check that an export which was there already is the one that is asked for.

    A deployment in which every scheme was refused leaves exports behind, and a later one of
    another model may be written into the same folder. What earlier versions did not record, and
    the rule of halting where nobody names one, is not compared.
    """
    halted = NEVER if found.expected.halted is None else found.expected.halted.rule
    pairs = {
        "model": (found.parameters_sha256, parameters_sha256(simulation.quantised)),
        "configuration": (found.config, simulation.reasoner.config),
        "scheme": (found.scheme, plan.precision.name),
        "target": (found.target, plan.target),
        "batch": (found.batch, batch),
        "number of steps": (found.expected.steps, steps),
        "rule of halting": (halted, halted if halting is None else halting),
        "calibration": (_puzzles_of(found.calibration), _puzzles_of(calibration)),
    }
    if found.calibration is None:
        del pairs["calibration"]
    other = [name for name, (kept, asked) in pairs.items() if kept != asked]
    if other:
        raise ValueError(
            f"{folder} holds an export of another {' and another '.join(other)};"
            " choose another --out, or delete that folder"
        )


def _puzzles_of(calibration: CalibrationFacts | None) -> Any:
    return None if calibration is None else calibration.identity


def write_artifact(
    folder: Path,
    source: LoadedModel,
    plan: StoragePlan,
    simulation: Simulation,
    tried: Batch,
    *,
    batch: int,
    steps: int,
    halting: Halting | None = None,
    cut: PartitionSpec | None = None,
    calibration: CalibrationFacts | None = None,
) -> Manifest:
    """Write an export.

    Args:
      folder: is replaced file by file if it exists.
      tried: puzzles for the expected answers (TRIED of them are enough).
      batch: puzzles per call of the graphs.
      steps: supervision steps of the expected answers.
      halting: the rule of a second set of expected answers, which a board's self-test repeats;
        None: by the rules of the puzzles, where they are known, else never.
      cut: as in `lower_model`; the stages then give the expected answers.
      calibration: what was calibrated on, for the manifest.

    Raises:
      ValueError: illegal for the target, or the runtime here answers otherwise than simulated.
      RuntimeError: the runtime refuses the file.
    """
    model, host = lower_model(source, plan, simulation, batch=batch, cut=cut)
    with staged(folder) as work:
        save_tensors(host, work / HOST_FILE)
        contents = write_files(model, plan.target)
        for name, content in contents.items():
            (work / name).write_bytes(content)
        contents[HOST_FILE] = (work / HOST_FILE).read_bytes()
        first = draft_manifest(source, plan, simulation, model, contents, batch=batch, steps=steps)
        draft = Export(manifest=first, model=model, host=host)
        rule = draft.default_halting if halting is None else halting
        final = dataclasses.replace(
            first,
            expected=choose_expected(draft, simulation, tried, steps, rule),
            integers=count_saturated(first, simulation, tried, steps),
            calibration=calibration,
        )
        (work / MANIFEST_FILE).write_text(dump_manifest(final), encoding="utf-8")
    return final


def lower_model(
    source: LoadedModel,
    plan: StoragePlan,
    simulation: Simulation,
    *,
    batch: int,
    cut: PartitionSpec | None = None,
) -> tuple[GraphModel, dict[str, np.ndarray]]:
    """Lower a model to graphs that its target computes right, and to tensors of the host loop.

    Args:
      cut: of a network of integers, into stages for a board.

    Raises:
      ValueError: the target would refuse the graphs, or compute them wrong; a cut of floats.
    """
    config = simulation.reasoner.config
    if simulation.integers is not None:
        model = lower_integers(
            config, simulation.quantised, simulation.integers, plan, batch=batch, cut=cut
        )
    elif cut is not None:
        raise ValueError(f"only networks of integers (tflm_...) are cut, got {plan.precision.name}")
    else:
        model = lower_floats(
            config, simulation.quantised, plan, batch=batch, ranges=simulation.ranges
        )
    model = convert_graphs(model, plan.target)
    check_legality(model, plan.target)
    return model, collect_host_tensors(source, plan)


def collect_host_tensors(source: LoadedModel, plan: StoragePlan) -> dict[str, np.ndarray]:
    """Round what the host loop needs, embeddings and initial states, to the plan's floats."""
    half = plan.mixer.scheme.float_dtype is FloatDtype.FP16
    weights = round_unquantised(source.weights, plan.mixer.scheme.float_dtype)
    host = {
        "embed_tokens": weights.params["embed_tokens"]["embedding"],
        "H_init": weights.buffers.H_init,
        "L_init": weights.buffers.L_init,
        "puzzle_emb": weights.puzzle_emb,
    }
    if source.config.positions is Positions.LEARNED:
        host["embed_pos"] = weights.params["embed_pos"]["embedding"]
    dtype = np.float16 if half else np.float32
    return {name: np.asarray(value, dtype) for name, value in host.items()}


def draft_manifest(
    source: LoadedModel,
    plan: StoragePlan,
    simulation: Simulation,
    model: GraphModel,
    contents: Mapping[str, bytes],
    *,
    batch: int,
    steps: int,
) -> Manifest:
    """Make a manifest that expects no answers yet."""
    return Manifest(
        model=source.name,
        source=source.origin,
        parameters_sha256=parameters_sha256(simulation.quantised),
        task=source.task.name if source.task else "",
        puzzles=source.need_facts() if source.task else None,
        config=simulation.reasoner.config,
        scheme=plan.precision.name,
        plan=plan.name,
        carry=plan.precision.carry,
        target=plan.target,
        batch=batch,
        ranges={site: (span.input, span.output) for site, span in simulation.ranges.items()},
        weight_bytes=count_weight_bytes(model, plan.target.facts.file_format),
        operators=count_operators(model),
        files={name: facts_of(content) for name, content in contents.items()},
        integers=None
        if simulation.integers is None
        else collect_integer_facts(simulation.integers),
        expected=Expected(
            steps=steps, inputs=(), puzzle_identifiers=(), tokens=(), confirmed_by=""
        ),
    )


def choose_expected(
    export: Export, simulation: Simulation, tried: Batch, steps: int, halting: Halting = NEVER
) -> Expected:
    """Choose puzzles on which simulation and runtime agree, and record their answers.

    Args:
      halting: a rule under which they are recorded as well.

    Raises:
      ValueError: they agree on none of them; or not on all, where both compute in integers.
      RuntimeError: the runtime refuses the file.
    """
    first = Batch(*(x[:TRIED] for x in tried))
    readings = simulation.readings(first, steps=steps)
    simulated = readings[-1].tokens
    agree, confirmed = np.ones(len(simulated), bool), ""
    states: list[tuple[int, int]] = []
    target = export.manifest.target
    if target.facts.runs_here:
        solved = _solve_here(export, first, steps)
        agree, confirmed = (solved.tokens == simulated).all(axis=1), target.interpreter.value
        if simulation.integers is not None:
            pairs = zip(solved.z_H, solved.z_L, strict=True)
            states = [(state_checksum(z_H), state_checksum(z_L)) for z_H, z_L in pairs]
    if simulation.integers is not None and not agree.all():
        raise ValueError(
            f"{target.value} answers {np.sum(~agree)} of {len(simulated)} puzzles otherwise than"
            f" the same integers in JAX: another revision of it than quant/integer names?"
        )
    if not agree.any():
        raise ValueError(
            f"{target.value} answers none of {len(simulated)} puzzles as simulated under"
            f" {export.manifest.scheme}: the file computes something else; or the model is so"
            f" little trained that {steps} steps make other answers of roundings (--steps 1 tells)"
        )
    chosen = np.flatnonzero(agree)[:EXPECTED]
    halted = None
    if halting != NEVER:
        some = Batch(*(x[chosen] for x in first))
        halted = answer_halted(export, some, [r.only(chosen) for r in readings], halting)
    return Expected(
        steps=steps,
        inputs=_rows(np.asarray(first.inputs)[chosen]),
        puzzle_identifiers=tuple(int(i) for i in np.asarray(first.puzzle_identifiers)[chosen]),
        tokens=_rows(simulated[chosen]),
        confirmed_by=confirmed,
        states=tuple(states[i] for i in chosen) if states else (),
        halted=halted,
    )


def answer_halted(
    export: Export, puzzles: Batch, readings: Sequence[StepReading], halting: Halting
) -> HaltedAnswers:
    """Record the simulation's answers at the step at which a rule halts each puzzle.

    Args:
      readings: of the simulation, after every step.

    Raises:
      ValueError: halting by rules that are unknown, or integers that halt elsewhere here.
    """
    inputs = np.asarray(puzzles.inputs)
    steps = halting_steps(halting, inputs, readings, export.rules)
    tokens = halted_tokens(readings, steps)
    states: tuple[tuple[int, int], ...] = ()
    if export.manifest.integers is not None and export.manifest.target.facts.runs_here:
        solved = _solve_here(export, puzzles, len(readings), halting)
        if (solved.steps != steps).any() or (solved.tokens != tokens).any():
            raise ValueError(
                f"{export.manifest.target.value} halts by {halting.name} after"
                f" {solved.steps.tolist()} steps, the same integers in JAX after {steps.tolist()}"
            )
        pairs = zip(solved.z_H, solved.z_L, strict=True)
        states = tuple((state_checksum(z_H), state_checksum(z_L)) for z_H, z_L in pairs)
    return HaltedAnswers(
        halting=halting.name,
        steps=tuple(int(step) for step in steps),
        tokens=_rows(tokens),
        states=states,
    )


def _solve_here(export: Export, puzzles: Batch, steps: int, halting: Halting = NEVER) -> Solution:
    """Solve puzzles on the runtime of an export."""
    runtime = run_by_stages(open_runtime(export.manifest.target, export.model), export.model)
    try:
        return Solver(export, runtime).solve(
            np.asarray(puzzles.inputs),
            np.asarray(puzzles.puzzle_identifiers),
            steps=steps,
            halting=halting,
        )
    finally:
        runtime.close()


def _rows(values: np.ndarray) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(int(v) for v in row) for row in values)


def count_saturated(
    first: Manifest, simulation: Simulation, tried: Batch, steps: int
) -> IntegerFacts | None:
    """Count the integers that saturate while the tried puzzles are solved."""
    if first.integers is None or not isinstance(simulation.reasoner, IntegerReasoner):
        return None
    some = Batch(*(x[:TRIED] for x in tried))
    return add_saturation(
        first.integers, Simulated(simulation.reasoner, simulation.weights), some, steps
    )


def add_saturation(
    facts: IntegerFacts, simulated: Simulated, tried: Batch, steps: int
) -> IntegerFacts:
    """Add what saturates while puzzles are solved, over `steps` supervision steps."""
    counts = count_rollout(simulated, tried, steps=steps)
    return dataclasses.replace(
        facts,
        saturated={name: count for name, count in sorted(counts.items()) if count},
        saturated_puzzles=len(tried.inputs),
    )


def collect_integer_facts(model: IntegerModel) -> IntegerFacts:
    """Collect the facts of a model; saturation is not counted yet."""
    return IntegerFacts(
        bits=model.bits,
        headroom=model.headroom,
        encodings={n: (e.scale, e.zero_point) for n, e in sorted(model.encodings.items())},
        accumulator_bits=dict(sorted(accumulator_bits(model).items())),
    )


def count_weight_bytes(model: GraphModel, file_format: FileFormat) -> int:
    """Count the bytes of all constants in the files of a format, scales and zero points included.

    A .tflite file holds equal elements once, and equal scales and zero points (float32 and int64)
    once as well, for all graphs. ONNX files hold every constant, scales and zero points among them,
    and large ones that several of them have once.
    """
    constants = [t for graph in model.graphs for t in graph.tensors if t.data is not None]
    elements = [encode(t.data, t.dtype) for t in constants if t.data is not None]
    if file_format is FileFormat.ONNX:
        shared = shared_contents(model)
        return sum(len(each) for each in elements if each not in shared) + sum(map(len, shared))
    grids = [t.quant for t in constants if t.quant is not None]
    scales = {np.asarray(quant.scale, "<f4").tobytes() for quant in grids}
    zero_points = {np.asarray(quant.zero_point, "<i8").tobytes() for quant in grids}
    return sum(len(content) for each in (set(elements), scales, zero_points) for content in each)


def count_operators(model: GraphModel) -> dict[str, dict[str, int]]:
    """Count the operators of every graph."""
    return {graph.name: dict(Counter(op.code for op in graph.ops)) for graph in model.graphs}
