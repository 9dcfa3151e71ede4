"""Attention in integers on TFLM against the simulation: the same bits in every width."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from export.artifact.open import open_artifact
from export.artifact.solver import Solver
from export.graph.ir import GraphModel
from export.legality.check import find_violations
from export.lowering.integer_attention import chunk_ends
from export.lowering.integer_block import DEFAULT_CHUNKS, Chunks
from export.lowering.model import integer_graphs
from export.lowering.storage import plan_for
from export.pipeline import count_operators, write_artifact
from export.runtimes.registry import open_runtime
from export.targets import Target
from quant.integer.attention_operators import head_name
from quant.integer.model import IntegerModel
from quant.integer.network import apply_level, mixed_name, read_out
from quant.integer.operators import name_injection, name_state
from quant.integer.tensor_names import (
    INT8,
    INT16,
    MIXED,
    STATE,
    BitWidths,
    TensorName,
    int8_widths,
)
from quant.scheme import parse
from quant.simulation import simulate
from tests.support.export import attention_models
from tests.support.samples import random_batch
from tests.support.slow import slow_except
from tests.support.tiny import export as tiny
from trm_jax.config import MAZE_TRM_ATT, MINI_MAZE_TRM_ATT

CUT = Chunks(rows=1, queries=4, channels=300, filter_bytes=1024)
W8A8, W8A16, W4A8 = "w8c-sym_a8s_tflm", "w8c-sym_a16s_tflm", "w4c-asym_a8s_tflm"


def expected(model: IntegerModel, z: np.ndarray, added: np.ndarray) -> list[np.ndarray]:
    """Apply level and heads in JAX."""

    @jax.jit
    def run(z: jax.Array, added: jax.Array):
        ops = model.ops()
        out = apply_level(name_state(z), name_injection(added), model.config, ops).value
        logits, q = read_out(name_state(out), model.config, ops)
        return out, logits.value, q.value[:, 0]

    return [np.asarray(x) for x in run(jnp.asarray(z), jnp.asarray(added))]


def noise(model: IntegerModel, seed: int, divisor: int) -> list[np.ndarray]:
    """Draw z and injection: integers over the whole type, or a part of it."""
    c, rng = model.config, np.random.default_rng(seed)
    shape = (1, c.num_positions, c.hidden_size)
    ends = (model.encodings[name] for name in ("z", "injection"))
    return [rng.integers(e.q_min, e.q_max + 1, shape).astype(e.dtype) // divisor for e in ends]


def hold_equal(model: IntegerModel, scheme: str, *chunks: Chunks) -> None:
    """Compare block and head on noise of a state's size, of the whole type, and on a result."""
    cases = [noise(model, 0, 4), noise(model, 1, 1)]
    wanted = [expected(model, *case) for case in cases]
    assert all(len(np.unique(out)) > 20 for out, *_ in wanted)  # the numbers say something
    for cut in chunks:
        plan = plan_for(parse(scheme), Target.TFLM)
        lowered = GraphModel(graphs=integer_graphs(model, plan, batch=1, chunks=cut))
        assert find_violations(lowered, Target.TFLM) == []
        runtime = open_runtime(Target.TFLM, lowered)
        try:
            for (z, injection), want in zip(cases, wanted, strict=True):
                out = runtime.run("block", {"z": z, "injection": injection})["z"]
                head = runtime.run("head", {"z_H": out})
                for found, right in zip((out, head["logits"], head["q"]), want, strict=True):
                    np.testing.assert_array_equal(found, right)
        finally:
            runtime.close()


CASES = {
    "int8": ("w8c-sym", INT8, W8A8, (DEFAULT_CHUNKS, CUT)),
    "int16": ("w8c-sym", INT16, W8A16, (CUT,)),
    "int4": ("w4c-asym", INT8, W4A8, (DEFAULT_CHUNKS,)),
    "mixed": ("w8c-sym", MIXED, W8A8, (DEFAULT_CHUNKS,)),
}
"""Weights, widths, the scheme that plans the filters, and how the graph is cut."""


@pytest.mark.parametrize("name", slow_except(CASES))
def test_graphs_have_the_bits_of_the_simulation(name: str) -> None:
    weights, widths, scheme, chunks = CASES[name]
    hold_equal(attention_models.tiny(weights, widths), scheme, *chunks)


@pytest.mark.slow
def test_trained_model_has_the_bits_of_the_simulation() -> None:
    hold_equal(attention_models.trained(W8A8), W8A8, DEFAULT_CHUNKS)


@pytest.mark.slow
def test_chunks_bound_what_exists_at_a_time() -> None:
    """11 rows: scores of 4 queries at most, a tail for every token, trees of CONCATENATION."""
    plan = plan_for(parse(W8A8), Target.TFLM)
    block, _ = integer_graphs(attention_models.tiny("w8c-sym"), plan, batch=1, chunks=CUT)
    scores = [t.shape for t in block.tensors if "/scores/" in t.name]
    assert {shape[2] for shape in scores} <= {3, 4}
    assert len(scores) == 2 * 2 * 3  # layers, heads, chunks
    assert count_operators(GraphModel(graphs=(block,)))["block"]["QUANTIZE"] == 2 * 2 * 11
    assert [stop - start for start, stop in chunk_ends(11, 4)] == [3, 4, 4]


def test_widths_follow_roles() -> None:
    widths = BitWidths(state=16, product=8, gate=16, scores=8, share=16)
    site = "L_level/layers_0"
    names = {
        head_name(f"{site}/self_attn", "q", 0): 8,
        mixed_name(site, 3): 16,
        TensorName(f"{site}/self_attn/scores", 1): 8,
        TensorName(f"{site}/mlp/product"): 16,
        STATE: 16,
        head_name(f"{site}/self_attn", "k", 1).then("rotated").then("cos"): 8,
    }
    assert {name: widths.of(name.role) for name in names} == names
    assert int8_widths(MINI_MAZE_TRM_ATT) == INT8
    assert int8_widths(MAZE_TRM_ATT) == dataclasses.replace(INT8, share=16)
    assert set(dataclasses.asdict(INT16).values()) == {16}
    with pytest.raises(ValueError, match="gate must be one of"):
        BitWidths(state=8, product=8, gate=4, scores=8, share=8)
    with pytest.raises(ValueError, match="at least 1"):
        Chunks(queries=0)


@pytest.mark.slow
def test_rollouts_have_the_states_of_the_simulation(tmp_path: Path) -> None:
    """Host loop and interpreter against the jitted rollout: every state, every cell."""
    source = tiny.source(attention_models.TINY)
    plan, steps = plan_for(parse("tflm_int8_int8"), Target.TFLM), 2
    batch = random_batch(source.config, 3, seed=5)
    simulation = simulate(source, plan.precision, [batch], steps=steps)
    write_artifact(tmp_path / "tiny", source, plan, simulation, batch, batch=1, steps=steps)
    made, states = open_artifact(tmp_path / "tiny"), []
    runtime = open_runtime(Target.TFLM, made.model)
    try:
        solver = Solver(made, runtime)
        solution = solver.solve(
            np.asarray(batch.inputs),
            np.asarray(batch.puzzle_identifiers),
            steps=steps,
            observe=lambda rows, cycles, z_H: states.append(z_H),
        )
    finally:
        runtime.close()
    wanted = np.asarray(simulation.trajectory(batch, steps=steps))  # cycles, batch, pos, emb
    found = np.concatenate(states).reshape(len(batch.inputs), len(wanted), *wanted.shape[2:])
    np.testing.assert_array_equal(found.swapaxes(0, 1), wanted)
    np.testing.assert_array_equal(solution.tokens, simulation.tokens(jnp.asarray(wanted[-1])))
