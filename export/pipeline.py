"""Makes an export: lower, refuse what is illegal, write, try, record.

One function per stage, so that experiments can look at what lies between. Left out: choosing
models and puzzles (tflite.py), what a plan computes (quant/simulation.py), devices (micro.py).

Count what a model holds: bytes of weights, operators.

What a manifest says about integers: encodings, headroom, room of accumulators, saturation.
"""

import dataclasses
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from export.artifact import manifest as manifests
from export.artifact.host_state import state_checksum
from export.artifact.manifest import Expected, IntegerFacts, Manifest, facts_of
from export.artifact.open import Export
from export.artifact.solver import Solution, Solver, run_by_stages
from export.graph.files import HOST_FILE, MANIFEST_FILE, convert_graphs, write_files
from export.graph.ir import GraphModel, Tensor
from export.graph.tflite_schema import encode
from export.legality.check import check_legality
from export.lowering.model import lower_floats, lower_integers, parameters_sha256
from export.lowering.stages import PartitionSpec
from export.lowering.storage import StoragePlan
from export.runtimes.registry import open_runtime
from export.sources import Source
from quant.integer.model import IntegerModel
from quant.integer.network import mlp_level, read_out
from quant.integer.operators import NamedValue, largest_sum
from quant.integer.reasoner import IntegerReasoner, Simulated
from quant.integer.saturation import count_rollout
from quant.ptq.weights import round_weights
from quant.scheme import FloatDtype
from quant.simulation import Simulation
from trm_jax.checkpoints.model_files import staged
from trm_jax.checkpoints.tensor_files import save_tensors
from trm_jax.config import Positions
from trm_jax.types import Batch


def count_weight_bytes(model: GraphModel) -> int:
    """Count the bytes of all constants, each stored once, scales and zero points included."""
    stored: dict[bytes, int] = {}
    for graph in model.graphs:
        for tensor in graph.tensors:
            if tensor.data is not None:
                stored[encode(tensor.data, tensor.dtype)] = _bytes(tensor)
    return sum(stored.values())


def _bytes(tensor: Tensor) -> int:
    assert tensor.data is not None
    quant = tensor.quant
    around = (
        0
        if quant is None
        else quant.scale.size * 4 + int(quant.zero_point.any()) * (quant.zero_point.size)
    )
    return len(encode(tensor.data, tensor.dtype)) + around


def count_operators(model: GraphModel) -> dict[str, dict[str, int]]:
    """Count the operators of every graph."""
    return {graph.name: dict(Counter(op.code for op in graph.ops)) for graph in model.graphs}


def collect_integer_facts(model: IntegerModel) -> IntegerFacts:
    """Collect the facts of a model; saturation is not counted yet."""
    sources = product_inputs(model)
    return IntegerFacts(
        bits=model.bits,
        headroom=model.headroom,
        encodings={n: (e.scale, e.zero_point) for n, e in sorted(model.encodings.items())},
        accumulator_bits={
            site: largest_sum(model.products[site], model.encodings[source]).bit_length() + 1
            for site, source in sorted(sources.items())
        },
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


def product_inputs(model: IntegerModel) -> dict[str, str]:
    """Name what every product multiplies, by the product's site."""
    c = model.config
    ops = model.ops()

    def walk(z: Any) -> Any:
        state = NamedValue(z, "z")
        out = mlp_level(state, NamedValue(z, "injection"), c, ops)
        return out.value, read_out(state, c, ops)[0].value

    shape = (1, c.num_positions, c.hidden_size)
    jax.eval_shape(walk, jax.ShapeDtypeStruct(shape, np.dtype(f"int{model.bits}")))
    return ops.inputs


TRIED, KEPT = 16, 8  # puzzles that are tried, and kept as expected answers


def lower_model(
    source: Source,
    plan: StoragePlan,
    twin: Simulation,
    *,
    batch: int,
    cut: PartitionSpec | None = None,
) -> tuple[GraphModel, dict[str, np.ndarray]]:
    """Make graphs and host tensors.

    Args:
      cut: of a network of integers, into stages for a board.

    Raises:
      ValueError: the target would refuse the graphs, or compute them wrong; a cut of floats.
    """
    config = twin.reasoner.config
    if twin.integers is not None:
        model = lower_integers(config, twin.quantised, twin.integers, plan, batch=batch, cut=cut)
    elif cut is not None:
        raise ValueError(f"only networks of integers (tflm_...) are cut, got {plan.precision.name}")
    else:
        model = lower_floats(config, twin.quantised, plan, batch=batch, ranges=twin.ranges)
    model = convert_graphs(model, plan.target)
    check_legality(model, plan.target)
    half = plan.mixer.scheme.float_dtype is FloatDtype.FP16
    weights = round_weights(source.weights, plan.mixer.scheme)
    host = {
        "embed_tokens": weights.params["embed_tokens"]["embedding"],
        "H_init": weights.buffers.H_init,
        "L_init": weights.buffers.L_init,
        "puzzle_emb": weights.puzzle_emb,
    }
    if source.config.positions is Positions.LEARNED:
        host["embed_pos"] = weights.params["embed_pos"]["embedding"]
    dtype = np.float16 if half else np.float32
    return model, {name: np.asarray(value, dtype) for name, value in host.items()}


def export_model(
    folder: Path,
    source: Source,
    plan: StoragePlan,
    twin: Simulation,
    tried: Batch,
    *,
    batch: int,
    steps: int,
    cut: PartitionSpec | None = None,
) -> Manifest:
    """Write an export.

    Args:
      folder: is replaced file by file if it exists.
      tried: puzzles for the expected answers (TRIED of them are enough).
      batch: puzzles per call of the graphs.
      steps: supervision steps of the expected answers.
      cut: as in `make`; the stages then give the expected answers.

    Raises:
      ValueError: illegal for the target, or the runtime here answers otherwise than simulated.
      RuntimeError: the runtime refuses the file.
    """
    model, host = lower_model(source, plan, twin, batch=batch, cut=cut)
    with staged(folder) as work:
        save_tensors(host, work / HOST_FILE)
        contents = write_files(model, plan.target)
        for name, content in contents.items():
            (work / name).write_bytes(content)
        contents[HOST_FILE] = (work / HOST_FILE).read_bytes()
        first = draft_manifest(source, plan, twin, model, contents, batch=batch, steps=steps)
        made = Export(manifest=first, model=model, host=host)
        final = dataclasses.replace(
            first,
            expected=choose_expected(made, twin, tried, steps),
            integers=count_saturated(first, twin, tried, steps),
        )
        (work / MANIFEST_FILE).write_text(manifests.dump_manifest(final), encoding="utf-8")
    return final


def count_saturated(
    first: Manifest, twin: Simulation, tried: Batch, steps: int
) -> IntegerFacts | None:
    """Count what saturates in the puzzles that are tried."""
    if first.integers is None or not isinstance(twin.reasoner, IntegerReasoner):
        return None
    some = Batch(*(x[:TRIED] for x in tried))
    return add_saturation(first.integers, Simulated(twin.reasoner, twin.weights), some, steps)


def draft_manifest(
    source: Source,
    plan: StoragePlan,
    twin: Simulation,
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
        parameters_sha256=parameters_sha256(twin.quantised),
        task=source.task,
        config=twin.reasoner.config,
        scheme=plan.precision.name,
        plan=plan.name,
        carry=plan.precision.carry,
        target=plan.target,
        batch=batch,
        ranges={site: (span.input, span.output) for site, span in twin.ranges.items()},
        weight_bytes=count_weight_bytes(model),
        operators=count_operators(model),
        files={name: facts_of(content) for name, content in contents.items()},
        integers=None if twin.integers is None else collect_integer_facts(twin.integers),
        expected=Expected(
            steps=steps, inputs=(), puzzle_identifiers=(), tokens=(), confirmed_by=""
        ),
    )


def choose_expected(made: Export, twin: Simulation, tried: Batch, steps: int) -> Expected:
    """Choose puzzles on which simulation and runtime agree, and record their answers.

    Raises:
      ValueError: they agree on none of them; or not on all, where both compute in integers.
      RuntimeError: the runtime refuses the file.
    """
    first = Batch(*(x[:TRIED] for x in tried))
    simulated = twin.answers(first, steps=steps)
    agree, confirmed = np.ones(len(simulated), bool), ""
    states: list[tuple[int, int]] = []
    target = made.manifest.target
    if target.facts.runs_here:
        solved = _solved_here(made, first, steps)
        agree, confirmed = (solved.tokens == simulated).all(axis=1), target.value
        if twin.integers is not None:
            pairs = zip(solved.z_H, solved.z_L, strict=True)
            states = [(state_checksum(z_H), state_checksum(z_L)) for z_H, z_L in pairs]
    if twin.integers is not None and not agree.all():
        raise ValueError(
            f"{target.value} answers {np.sum(~agree)} of {len(simulated)} puzzles otherwise than"
            f" the same integers in JAX: another revision of it than quant/integer names?"
        )
    if not agree.any():
        raise ValueError(
            f"{target.value} answers none of {len(simulated)} puzzles as simulated under"
            f" {made.manifest.scheme}: the file computes something else"
        )
    kept = np.flatnonzero(agree)[:KEPT]
    return Expected(
        steps=steps,
        inputs=_rows(np.asarray(first.inputs)[kept]),
        puzzle_identifiers=tuple(int(i) for i in np.asarray(first.puzzle_identifiers)[kept]),
        tokens=_rows(simulated[kept]),
        confirmed_by=confirmed,
        states=tuple(states[i] for i in kept) if states else (),
    )


def _solved_here(made: Export, puzzles: Batch, steps: int) -> Solution:
    """Solve puzzles on the runtime of an export."""
    runtime = run_by_stages(open_runtime(made.manifest.target, made.model), made.model)
    try:
        return Solver(made, runtime).solve(
            np.asarray(puzzles.inputs), np.asarray(puzzles.puzzle_identifiers), steps=steps
        )
    finally:
        runtime.close()


def _rows(values: np.ndarray) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(int(v) for v in row) for row in values)
