"""Unrolled graphs against the lowering's own step, in LiteRT and in ONNX Runtime."""

import numpy as np
import pytest

from export.graph.ir import GraphModel
from export.graph.onnx_translate import translate_model
from export.lowering import unroll
from export.lowering.model import lower_floats
from export.lowering.storage import plan_for
from export.runtimes.litert import LiteRT
from export.runtimes.registry import open_runtime
from export.targets import Target
from quant.scheme import parse
from quant.simulation import quantise_for
from tests.support.export.models import CONFIGS, states
from tests.support.samples import random_weights


def pieces(kind: str, *graphs: str) -> GraphModel:
    config, plan = CONFIGS[kind], plan_for(parse("fp32"), Target.LITERT)
    return lower_floats(
        config,
        quantise_for(random_weights(config).params, plan.precision),
        plan,
        batch=2,
        graphs=graphs,
    )


@pytest.mark.parametrize("kind", ["mlp", "hrm"])
def test_a_step_is_the_lowered_step(kind: str) -> None:
    config = CONFIGS[kind]
    fed = dict(zip(("x", "z_H", "z_L"), map(np.asarray, states(config, 2, 3)), strict=True))
    want = LiteRT(pieces(kind, "step"), threads=1, xnnpack=False).run("step", fed)
    parts = pieces(kind, "block", "head")
    made = unroll.step_graph(parts, config)
    got = LiteRT(GraphModel(graphs=(made,)), threads=1, xnnpack=False).run("step", fed)
    for name, value in want.items():  # the same operators in the same order
        np.testing.assert_array_equal(got[name], value)
    pytest.importorskip("onnxruntime", reason="the extra [onnx] is not installed")
    graph = unroll.step_graph(translate_model(parts), config)
    found = open_runtime(Target.ONNX, GraphModel(graphs=(graph,))).run("step", fed)
    assert set(found) == set(want)
    for name, value in want.items():  # float sums in another order, over all cycles of a step
        np.testing.assert_allclose(found[name], value, atol=2e-4)


def test_cycles_follow_each_other_to_a_step() -> None:
    config = CONFIGS["mlp"]
    parts = pieces("mlp", "block", "head")
    graphs = (unroll.cycle_graph(parts, config), unroll.step_graph(parts, config))
    runtime = LiteRT(GraphModel(graphs=graphs), threads=1, xnnpack=False)
    x, z_H, z_L = map(np.asarray, states(config, 2, 3))
    whole = runtime.run("step", {"x": x, "z_H": z_H, "z_L": z_L})
    for _ in range(config.H_cycles):
        out = runtime.run("cycle", {"x": x, "z_H": z_H, "z_L": z_L})
        z_H, z_L = out["z_H"], out["z_L"]
    np.testing.assert_array_equal(z_H, whole["z_H"])
    np.testing.assert_array_equal(z_L, whole["z_L"])


def test_weights_are_there_once() -> None:
    parts = pieces("hrm", "block", "head")
    kernels = [
        t.name for t in unroll.step_graph(parts, CONFIGS["hrm"]).tensors if "kernel" in t.name
    ]
    assert (
        len(kernels)
        == len(set(kernels))
        == len({t.name for g in parts.graphs for t in g.tensors if "kernel" in t.name})
    )


def test_constants_of_one_name_and_other_values_are_kept_apart() -> None:
    parts = pieces("hrm", "block", "head")
    low, high = parts.graph("block_L"), parts.graph("block_H")
    caller = unroll.Caller(parts, "step")
    scalar = next(t.name for t in low.tensors if t.name.startswith("constant/"))
    first = caller.add_tensor(low.tensor(scalar), "block_L", "a")
    assert caller.add_tensor(high.tensor(scalar), "block_H", "b") == first
    other = high.tensor(scalar)
    changed = type(other)(name=other.name, shape=other.shape, data=other.data + np.float32(1))
    assert caller.add_tensor(changed, "block_H", "b") == f"block_H/{scalar}"
