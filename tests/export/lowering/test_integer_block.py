"""Graphs of integers on TFLM against the simulation: the same bits, for every scheme."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from export.graph.builder import GraphBuilder, reduced
from export.graph.ir import DType, Graph, GraphModel
from export.legality.check import find_violations
from export.lowering.integer_block import Chunks, mean_by_product
from export.pipeline import count_operators
from export.runtimes.contract import Runtime
from export.runtimes.registry import open_runtime
from export.targets import Target
from quant.integer.model import IntegerModel
from quant.integer.network import apply_level, read_out
from quant.integer.operators import name_injection, name_state
from quant.integer.reasoner import simulate_integers
from quant.scheme import parse
from tests.support.export import integers
from tests.support.export.integers import graphs, states
from tests.support.slow import slow_except

CHUNKED = Chunks(rows=3, channels=12, filter_bytes=64)
CASES = [(integers.tiny, scheme) for scheme in integers.SCHEMES + integers.WIDE_SCHEMES]
CASES += [(integers.trained, "w4c-asym_a16s_tflm")]


def expected(model: IntegerModel, z: np.ndarray, added: np.ndarray) -> list[np.ndarray]:
    """Apply level and heads in JAX."""
    reasoner, _ = simulate_integers(model)

    @jax.jit
    def run(z: jax.Array, added: jax.Array):
        ops = reasoner.ops()
        out = apply_level(name_state(z), name_injection(added), model.config, ops).value
        logits, q = read_out(name_state(out), model.config, ops)
        return out, logits.value, q.value[:, 0]

    return [np.asarray(x) for x in run(jnp.asarray(z), jnp.asarray(added))]


def assert_same(model: IntegerModel, runtime: Runtime) -> None:
    """Compare block and head on states of a trajectory's size and of the whole type."""
    for seed, divisor in ((0, 8), (1, 1)):
        z = states(model, "z", seed) // divisor
        injection = states(model, "injection", seed + 2) // divisor
        wanted = expected(model, z, injection)
        out = runtime.run("block", {"z": z, "injection": injection})["z"]
        head = runtime.run("head", {"z_H": out})
        for found, want in zip((out, head["logits"], head["q"]), wanted, strict=True):
            np.testing.assert_array_equal(found, want)
        assert len(np.unique(out)) > 20  # the numbers say something


@pytest.mark.parametrize(
    ("make", "scheme"),
    slow_except(
        CASES, (integers.tiny, integers.SCHEMES[0]), (integers.tiny, integers.WIDE_SCHEMES[0])
    ),
)
def test_graphs_have_the_bits_of_the_simulation(make, scheme: str) -> None:
    model = make(scheme)
    lowered = graphs(model, scheme)
    assert find_violations(lowered, Target.TFLM) == []
    runtime = open_runtime(Target.TFLM, lowered)
    try:
        assert_same(model, runtime)
    finally:
        runtime.close()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["w4c-asym_a16s_tflm", "w4c-sym_a8s_tflm"])
def test_chunks_change_no_bit(scheme: str) -> None:
    model = integers.tiny(scheme)
    whole, cut = graphs(model, scheme), graphs(model, scheme, CHUNKED)
    counts = count_operators(cut)["block"]
    assert counts["CONV_2D"] > 4 * count_operators(whole)["block"]["CONV_2D"]
    assert counts["CONCATENATION"] > 10
    assert find_violations(cut, Target.TFLM) == []
    z, injection = states(model, "z", 0), states(model, "injection", 1)
    found = []
    for lowered in (whole, cut):
        runtime = open_runtime(Target.TFLM, lowered)
        found.append(runtime.run("block", {"z": z, "injection": injection})["z"])
        runtime.close()
    np.testing.assert_array_equal(*found)


FILTERS = {
    "w4c-asym_a16s_tflm": {"TFLM_DECODE", "CONV_2D"},
    "w4c-sym_a16s_tflm": {"TFLM_DECODE", "CONV_2D"},
    "w8c-sym_a16s_tflm": {"CONV_2D"},
    "w4c-asym_a8s_tflm": {"TFLM_DECODE", "FULLY_CONNECTED"},
    "w4c-sym_a8s_tflm": {"CONV_2D"},
    "w8c-sym_a8s_tflm": {"FULLY_CONNECTED"},
}


@pytest.mark.parametrize("scheme", integers.SCHEMES)
def test_products_are_the_operators_of_the_plan(scheme: str) -> None:
    lowered = graphs(integers.tiny(scheme), scheme)
    for graph in lowered.graphs:
        floats = {t.name for t in graph.tensors if t.dtype is DType.FLOAT32}
        used = {op.code for op in graph.ops if op.outputs[0] not in floats}
        assert used & {"TFLM_DECODE", "CONV_2D", "FULLY_CONNECTED"} == FILTERS[scheme]
    assert floats_only_in_norms(lowered.graph("block"))


@pytest.mark.parametrize("scheme", integers.WIDE_SCHEMES)
def test_states_have_the_width_that_their_scheme_says(scheme: str) -> None:
    """Told by the operators' types in the graph: results of ADD, MUL and products."""
    block = graphs(integers.tiny(scheme), scheme).graph("block")
    wide = {state.value for state in parse(scheme).wide}
    found = {}
    for op in block.ops:
        site = op.outputs[0].split(":")[0].removesuffix("/gate").removesuffix("/up")
        code = CODES.get("/".join(site.split("/")[-2:]))
        if code and op.code in ("ADD", "MUL", "CONV_2D", "FULLY_CONNECTED", "QUANTIZE"):
            found[code] = block.tensor(op.outputs[0]).dtype
    assert {code for code, dtype in found.items() if dtype is DType.INT16} == wide
    assert found.keys() == set(CODES.values())


CODES = {
    "L_level/h": "h",
    **{
        f"{mlp}/{word}": prefix + code
        for mlp, prefix in (("mlp_t", "t"), ("mlp", ""))
        for word, code in (
            ("gate_up_proj", "gate"),
            ("silu", "silu"),
            ("product", "product"),
            ("down_proj", "out"),
            ("sum", "sum"),
        )
    },
    "mlp_t/norm": "tnorm",
    "norm/square": "norms",
}
"""Codes of docs/numerics.md, by the ends of names in a graph."""


def floats_only_in_norms(graph: Graph) -> bool:
    """Return whether every operator on floats belongs to a norm."""
    names = [
        name
        for op in graph.ops
        for name in op.outputs
        if graph.tensor(name).dtype.value == "FLOAT32"
    ]
    return bool(names) and all("/norm/" in name for name in names)


@pytest.mark.parametrize("width", [1, 3, 8, 128, 192, 512])
def test_a_mean_as_a_product_has_the_bits_of_tflm_s_mean(width: int) -> None:
    """Squares of rows that differ in size by ten orders, as prefix and cells may."""
    g = GraphBuilder("means")
    g.input("x", (1, 20, width))
    reduced(g, "MEAN", "x", -1, "mean")
    mean_by_product(g, "x", "product")
    graph = g.finish({"x": "x"}, {"mean": "mean", "product": "product"})
    rng = np.random.default_rng(width)
    sizes = 10.0 ** rng.uniform(-5, 5, (1, 20, 1))
    squares = np.square(rng.standard_normal((1, 20, width)) * sizes).astype(np.float32)
    runtime = open_runtime(Target.TFLM, GraphModel(graphs=(graph,)))
    try:
        found = runtime.run("means", {"x": squares})
    finally:
        runtime.close()
    assert found["product"].tobytes() == found["mean"].tobytes()
    assert len(np.unique(found["mean"])) == 20
