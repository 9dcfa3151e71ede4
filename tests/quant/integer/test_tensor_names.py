"""Names print as files hold them, roles follow words, and the data flow names every product."""

import pytest

from quant.integer.attention_operators import AttentionOps, MixedPrecisionOps, head_name
from quant.integer.calibration import RangeOps
from quant.integer.data_flow import DataFlowOps, accumulator_bits, product_inputs
from quant.integer.kernels.matmul import Accumulator
from quant.integer.model import IntegerModel, uncalibrated_model
from quant.integer.operators import IntegerOps, Ops, accumulator_of
from quant.integer.tensor_names import ALL_HEADS, MIXED, STATE, ActivationRole, TensorName
from quant.ptq.weights import quantise_params, round_weights
from quant.scheme import parse
from tests.support.export import attention_models, integers
from tests.support.samples import random_weights
from trm_jax.config import TRMConfig

SITE = "L_level/layers_0"
ATTENTION = f"{SITE}/self_attn"


def test_names_print_as_files_hold_them() -> None:
    queries = head_name(ATTENTION, "q", 1)
    printed = {
        STATE: "z",
        TensorName("L_level/h").with_bits(8): "L_level/h@8",
        TensorName(f"{SITE}/mlp/gate_up_proj").beside("silu"): f"{SITE}/mlp/silu",
        TensorName(f"{ATTENTION}/scores", 0): f"{ATTENTION}/scores/0",
        TensorName(f"{ATTENTION}/scores", 0).beside("share"): f"{ATTENTION}/share/0",
        queries: f"{ATTENTION}/qkv_proj/q/1",
        queries.then("rotated").then("cos"): f"{ATTENTION}/qkv_proj/q/1/rotated/cos",
        queries.then("rotated").with_bits(16): f"{ATTENTION}/qkv_proj/q/1/rotated@16",
        head_name(ATTENTION, "v", ALL_HEADS): f"{ATTENTION}/qkv_proj/v/*",
    }
    assert {name: str(name) for name in printed} == printed
    assert sorted(printed, key=str) == sorted(printed)


def test_names_of_all_heads_stand_for_each() -> None:
    every = head_name(ATTENTION, "k", ALL_HEADS).then("rotated")
    assert every.of_head(3) == head_name(ATTENTION, "k", 3).then("rotated")
    assert STATE.of_head(3) == STATE
    assert every.role is every.of_head(3).role is ActivationRole.SCORES
    with pytest.raises(KeyError):
        TensorName("L_level/unheard_of").role  # noqa: B018 - the property raises


def test_readings_have_the_operators_of_the_protocols() -> None:
    ranges, flow = RangeOps({}, {}, 1e-5), DataFlowOps({})
    for ops in (ranges, flow, IntegerOps({}, {}, 1e-5)):
        assert isinstance(ops, Ops)
    for ops in (ranges, flow, MixedPrecisionOps({}, {}, 1e-5, 2)):
        assert isinstance(ops, AttentionOps)


@pytest.mark.parametrize(
    "model", [integers.tiny("w4c-asym_a16s_tflm"), attention_models.tiny("w8c-sym", MIXED)]
)
def test_every_product_has_an_input_and_enough_bits(model: IntegerModel) -> None:
    inputs = product_inputs(model)
    assert {str(name) for name in inputs} == set(model.products)
    bits = accumulator_bits(model)
    for name, source in inputs.items():
        encoding = model.encodings[str(source)]
        assert encoding.bits == model.encodings[str(name)].bits
        product = model.products[str(name)]
        if encoding.bits == 16:
            is_wide = accumulator_of(product, encoding) is Accumulator.INT64
            assert is_wide == (bits[str(name)] > 32)


def test_products_multiply_the_width_of_their_result() -> None:
    """Under mixed widths, what int8 products read from int16 states is requantised."""
    inputs = product_inputs(attention_models.tiny("w8c-sym", MIXED))
    found = {str(name): str(source) for name, source in inputs.items()}
    assert found[f"{ATTENTION}/qkv_proj/q/1"] == "L_level/h@8"
    assert found[f"{ATTENTION}/o_proj"] == f"{ATTENTION}/mixed/0@8"
    assert found[f"{SITE}/mlp/down_proj"] == f"{SITE}/mlp/product@8"
    assert found["lm_head"] == "z"


@pytest.mark.parametrize(
    ("config", "scheme", "calibrated"),
    [
        (integers.TINY, "w8c-sym_a16s_tflm", lambda: integers.tiny("w8c-sym_a16s_tflm")),
        (attention_models.TINY, "w8c-sym_a8s_tflm", lambda: attention_models.tiny("w8c-sym")),
    ],
)
def test_uncalibrated_models_differ_in_ranges_alone(
    config: TRMConfig, scheme: str, calibrated
) -> None:
    weights, parsed = random_weights(config, seed=2), parse(scheme)
    quantised = quantise_params(weights.params, parsed)
    exact = round_weights(weights, parsed)
    model = uncalibrated_model(config, exact, quantised, parsed, (-4.0, 4.0), headroom=1.0)
    other = calibrated()
    assert set(model.encodings) == set(other.encodings)
    assert set(model.products) == set(other.products)
    assert model.token_rows.shape == other.token_rows.shape
    widths = [{name: e.bits for name, e in m.encodings.items()} for m in (model, other)]
    assert widths[0] == widths[1]
    assert model.encodings["z"].scale == pytest.approx(4 / 32767 if model.bits == 16 else 8 / 255)
