"""Our graphs against graphs that others make: litert-converter, ai-edge-quantizer, TensorFlow."""

import warnings
from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from export.graph.ir import Graph
from export.graph.tflite_reader import read_tflite
from export.graph.tflite_writer import write_tflite
from export.lowering import reference
from export.lowering.model import blocks_of, lower_floats
from export.lowering.storage import plan_for
from export.targets import Target
from quant.scheme import parse
from quant.simulation import quantise_for
from tests.support.export.models import CONFIGS, float_drift, run, states
from tests.support.rounding import rms
from tests.support.samples import random_weights
from tests.support.slow import slow_except
from trm_jax.config import Config
from trm_jax.models.build import build

FLOAT = plan_for(parse("fp32"), Target.LITERT)


def counted(graph: Graph) -> Counter[str]:
    return Counter(op.code for op in graph.ops)


def float_model(config: Config, params: dict) -> bytes:
    return write_tflite(lower_floats(config, params, FLOAT, batch=2))


@pytest.mark.parametrize("kind", slow_except(CONFIGS, "mlp"))
def test_the_float_graph_equals_the_converters(kind: str) -> None:
    config = CONFIGS[kind]
    reasoner, params = build(config), random_weights(config).params
    data = float_model(config, params)
    z, injection = states(config, 2, 2)
    update = jax.jit(lambda z: reasoner.networks.update_H(params, z, injection))
    name = blocks_of(config)[1]
    ours = run(data, name, z=z, injection=injection)["z"]
    theirs = run(
        reference.block(reasoner, params, batch=2, high=True), "block", z=z, injection=injection
    )
    assert rms(ours - theirs["z"]) <= float_drift(update, z, read_tflite(data).graph(name))
    ours, theirs = (
        run(file, "head", z_H=z) for file in (data, reference.head(reasoner, params, batch=2))
    )
    logits = float_drift(
        lambda z: reasoner.read_out(params, z).logits, z, read_tflite(data).graph("head")
    )
    assert rms(ours["logits"] - theirs["logits"]) <= logits
    assert rms(ours["q"] - theirs["q"]) <= logits


def test_the_converter_makes_what_it_made() -> None:
    """Its interface is undocumented: its products must stay one operator each."""
    config = CONFIGS["mlp"]
    reasoner, params = build(config), random_weights(config).params
    theirs = read_tflite(reference.block(reasoner, params, batch=2)).graphs[0]
    ours = read_tflite(float_model(config, params)).graph("block")
    assert dict(theirs.inputs).keys() == dict(ours.inputs).keys()
    for code in ("FULLY_CONNECTED", "MEAN", "RSQRT", "LOGISTIC"):
        assert counted(theirs)[code] == counted(ours)[code], code
    assert counted(ours)["FULLY_CONNECTED"] == 4 * config.L_layers
    # ours turns the state around mlp_t; JAX leaves it as it is and takes the turns into mlp_t's
    # two products, around each of which (input, filter, output) the converter writes them out
    assert counted(ours)["TRANSPOSE"] == 2 * config.L_layers
    assert counted(theirs)["TRANSPOSE"] == 2 * 3 * config.L_layers


@pytest.mark.parametrize(
    ("recipe", "scheme"),
    [
        ("dynamic_wi8_afp32", "w8c-sym_a8da"),
        ("weight_only_wi8_afp32", "int8"),
        ("dynamic_wi4_afp32", "w4c-sym_a8da"),
    ],
)
def test_the_quantised_graph_equals_the_quantizers(recipe: str, scheme: str) -> None:
    """Same integers but at ties, same scales but for an ulp, same operators and versions."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of foreign modules as they load
        quantizer = pytest.importorskip("ai_edge_quantizer.quantizer")
        recipes = pytest.importorskip("ai_edge_quantizer.recipe")
    config = CONFIGS["attention"]  # all widths are even: no padding
    params = random_weights(config).params
    made = quantizer.Quantizer(bytearray(float_model(config, params)), getattr(recipes, recipe)())
    theirs = read_tflite(bytes(made.quantize(enable_progress_report=False).quantized_model))
    plan = plan_for(parse(scheme), Target.LITERT)
    ours = lower_floats(config, quantise_for(params, plan.precision), plan, batch=2)
    compared = 0
    for graph in ours.graphs:
        for tensor in graph.tensors:
            if not tensor.name.endswith("/kernel"):
                continue
            other = theirs.graph(graph.name).tensor(tensor.name)
            assert other.dtype is tensor.dtype
            assert tensor.data is not None
            assert tensor.quant is not None
            assert other.data is not None
            assert other.quant is not None
            np.testing.assert_allclose(other.quant.scale, tensor.quant.scale, rtol=2.0**-23)
            steps = np.abs(other.data.astype(int) - tensor.data)
            assert steps.max() <= 1
            assert np.mean(steps) < 1e-3  # x/s within an ulp of 127 steps lies near a tie
            compared += 1
    assert compared == 4 * config.L_layers + 2
    if scheme == "w8c-sym_a8da":
        assert (
            counted(theirs.graph("block"))["FULLY_CONNECTED"]
            == counted(ours.graph("block"))["FULLY_CONNECTED"]
        )


@pytest.mark.parametrize("kind", CONFIGS)
def test_the_float_graph_equals_tensorflows(kind: str, recwarn: pytest.WarningsRecorder) -> None:
    tensorflow = pytest.importorskip("tensorflow", reason="the second oracle needs extra [tf]")
    from jax.experimental import jax2tf

    config = CONFIGS[kind]
    reasoner, params = build(config), random_weights(config).params
    z, injection = states(config, 2, 2)
    spec = tensorflow.TensorSpec(z.shape, tensorflow.float32)
    update = jax.jit(lambda z, injection: reasoner.networks.update_L(params, z, injection))
    function = tensorflow.function(
        jax2tf.convert(update, with_gradient=False), input_signature=[spec, spec], autograph=False
    )
    converter = tensorflow.lite.TFLiteConverter.from_concrete_functions(
        [function.get_concrete_function()], function
    )
    interpreter = tensorflow.lite.Interpreter(model_content=converter.convert())
    interpreter.allocate_tensors()
    for detail, value in zip(interpreter.get_input_details(), (z, injection), strict=True):
        interpreter.set_tensor(detail["index"], np.asarray(value))
    interpreter.invoke()
    theirs = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    data = float_model(config, params)
    name = blocks_of(config)[0]
    ours = run(data, name, z=z, injection=injection)["z"]
    drift = float_drift(
        lambda z: update(z, jnp.asarray(injection)), z, read_tflite(data).graph(name)
    )
    assert rms(ours - theirs) <= drift
    recwarn.clear()
