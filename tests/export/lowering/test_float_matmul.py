"""Single products in LiteRT against the simulation, entry by entry."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from export.graph.builder import GraphBuilder
from export.graph.ir import DType, GraphModel
from export.graph.tflite_writer import write_tflite
from export.lowering.float_matmul import activation_quant, linear
from export.lowering.matrices import Dense
from export.lowering.storage import plan_for
from export.targets import Target
from quant.affine import dequantise
from quant.ptq.calibrate import ProductRange
from quant.ptq.weights import quantise_kernel
from quant.scheme import parse
from quant.simulation import plan_dot_general
from tests.support.export.models import run

SITE = "L_level/layers_0/mlp/down_proj"
SPAN = ProductRange((-2.5, 3.0), (-3.0, 3.5))
DIMENSIONS = (((1,), (0,)), ((), ()))

CASES = [
    *(
        (Target.LITERT, s)
        for s in (
            "w8c-sym_a8da",
            "w4c-sym_a8da",
            "w4c-asym_a8da",
            "w8c-asym_a8da",
            "w6c-asym_a8da",
            "w4t-sym_a8da",
            "w2c-asym_a8da",
            "w8c-sym_a8s",
            "w4c-sym_a8s",
            "w4c-asym_a8s",
            "w8c-sym_a16s",
        )
    ),
    *(
        (Target.LITERT_BUILTIN, s)
        for s in (
            "w8c-sym_a8da",
            "w8c-sym_a8d",
            "w4c-sym_a8da",
            "w4c-sym_a8d",
            "w4c-asym_a8d",
            "w8c-sym_a8s",
            "w8c-sym_a16s",
        )
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("inputs", [7, 32])
@pytest.mark.parametrize(("target", "scheme"), CASES, ids=lambda v: getattr(v, "value", v))
def test_products_equal_their_simulation(target: Target, scheme: str, inputs: int) -> None:
    """Bound per entry: float32 sums, plus a whole step of every input that lies near a tie.

    Near means within 4 roundings of x/s at its largest, 255 or 32767 steps. Static outputs are
    rounded once more: by XNNPACK as simulated, but for ties; by LiteRT's kernels through a
    fixed-point multiplier, whose error stays below one step.
    """
    rng = np.random.default_rng(inputs)
    plan = plan_for(parse(scheme), target)
    matrix = plan.channel
    weights = matrix.scheme.weights
    assert weights is not None
    kernel = jnp.asarray(rng.normal(size=(inputs, 5)) / np.sqrt(inputs), jnp.float32)
    kernel = quantise_kernel(kernel, weights)
    x = jnp.asarray(rng.normal(size=(2, 9, inputs)) * 0.7, jnp.float32)

    g = GraphBuilder("product")
    dense = Dense(site=SITE, kernel=kernel, bias=None, plan=matrix, span=SPAN)
    y = linear(g, g.input("x", x.shape), dense, "product")
    graph = g.finish({"x": "x"}, {"y": y})
    got = run(write_tflite(GraphModel(graphs=(graph,))), "product", target, x=x)["y"].reshape(-1, 5)

    rows, real = x.reshape(-1, inputs), dequantise(kernel)
    product = plan_dot_general(plan.precision, {SITE: SPAN})(SITE)
    want = np.asarray(product(rows, real, DIMENSIONS))
    step, steps, output_step = step_sizes(np.asarray(rows, np.float64), scheme)
    magnitude = np.abs(np.asarray(real, np.float64))
    ties = near_ties(np.asarray(rows, np.float64), step, steps)
    bound = inputs * 2.0**-23 * (np.abs(rows) @ magnitude + np.abs(got))
    bound = bound + (ties * step) @ magnitude + output_step * (1 + 2.0**-10)
    assert np.all(np.abs(got - want) <= bound)
    # the simulation is not just near: an output rounded alike is the same number
    assert np.mean(np.abs(got - want) <= bound - output_step) > (0.9 if "a8" in scheme else 0.3)
    exact = np.asarray(jax.lax.dot_general(rows, real, DIMENSIONS))
    assert np.mean(np.abs(exact - want)) > 0  # rounding inputs does something here


def step_sizes(rows: np.ndarray, scheme: str) -> tuple[np.ndarray, int, float]:
    """Compute the step of every row's grid, how many steps it has, and the output's step."""
    activations = scheme.rsplit("_", 1)[1]
    low, high = (np.minimum(rows.min(1), 0), np.maximum(rows.max(1), 0))
    if activations == "a8da":
        return ((high - low) / 255)[:, None], 255, 0.0
    if activations == "a8d":
        return (np.maximum(-low, high) / 127)[:, None], 127, 0.0
    dtype = DType.INT8 if activations == "a8s" else DType.INT16
    ends = [float(activation_quant(end, dtype).scale[0]) for end in SPAN]
    return np.full((len(rows), 1), ends[0]), 2**dtype.bits - 1, ends[1]


def near_ties(rows: np.ndarray, step: np.ndarray, steps: int) -> np.ndarray:
    """Find inputs that two correct float32 computations may round differently.

    The ends of the grid belong to them: a zero point off by one (a tie of its own) moves these.
    """
    x = rows / step
    near = np.abs(np.abs(x - np.floor(x)) - 0.5) <= 4 * 2.0**-24 * steps
    ends = (rows == rows.min(1, keepdims=True)) | (rows == rows.max(1, keepdims=True))
    return near | ends


@pytest.mark.parametrize("inputs", [6, 7])
def test_int4_filters_have_even_width(inputs: int) -> None:
    plan = plan_for(parse("w4c-sym_a8da"), Target.LITERT).channel
    weights = plan.scheme.weights
    assert weights is not None
    kernel = quantise_kernel(jnp.ones((inputs, 3)), weights)
    g = GraphBuilder("product")
    dense = Dense(site=SITE, kernel=kernel, bias=None, plan=plan)
    linear(g, g.input("x", (1, inputs)), dense, "product")
    held = g.tensors[dense.kernel_name]
    assert (held.shape, held.dtype) == ((3, inputs + inputs % 2), DType.INT4)
    assert ("PAD" in [op.code for op in g.ops]) == (inputs % 2 == 1)
    assert held.data is not None
    np.testing.assert_array_equal(held.data[:, :inputs], np.asarray(kernel.qvalue).T)
