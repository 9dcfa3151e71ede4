"""Precision plans: roles, names that are read back, and what does not fit together."""

import pytest

from quant.precision_plan import PrecisionPlan, parse_plan
from quant.scheme import CarryPrecision, FloatDtype, parse
from quant.sites import Role, role_of


def test_roles_are_read_off_sites() -> None:
    sites = {
        "L_level/layers_0/mlp_t/gate_up_proj": Role.MIXER,
        "H_level/layers_3/self_attn/o_proj": Role.MIXER,
        "L_level/layers_1/mlp/down_proj": Role.CHANNEL,
        "lm_head": Role.HEAD,
        "q_head": Role.HEAD,
    }
    assert {site: role_of(site) for site in sites} == sites
    with pytest.raises(ValueError, match="'embed_tokens/embedding' is no matrix"):
        role_of("embed_tokens/embedding")


@pytest.mark.parametrize("text", ["int8", "mixer=int8,channel=w4c-asym_a8da,head=fp32"])
def test_names_are_read_back(text: str) -> None:
    plan = parse_plan(text)
    assert parse_plan(plan.name) == plan
    assert plan.of("L_level/layers_0/mlp_t/gate_up_proj") == parse("int8")
    assert plan.of("lm_head") == parse("fp32" if "=" in text else "int8")


def test_a_plan_answers_for_all_its_roles() -> None:
    plan = PrecisionPlan(
        mixer=parse("w8c-sym_carry8"),
        channel=parse("w8c-sym_a8s_carry8"),
        head=parse("fp32_carry8"),
    )
    assert plan.carry is CarryPrecision.INT8
    assert plan.needs_ranges
    assert not plan.is_integer
    assert PrecisionPlan.uniform(parse("tflm_int4_int8")).is_integer


def test_roles_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(ValueError, match="share one carry"):
        PrecisionPlan(mixer=parse("int8"), channel=parse("w8c-sym_carry8"), head=parse("int8"))
    tflm = parse("tflm_int8_int8")
    for other in ("int8", "tflm_int8_int16"):
        with pytest.raises(ValueError, match="all roles need _tflm with the same activations"):
            PrecisionPlan(mixer=tflm, channel=parse(other), head=tflm)
    with pytest.raises(ValueError, match=r"\['channel', 'head', 'mixer'\], got \['mixer'\]"):
        parse_plan("mixer=int8")


@pytest.mark.parametrize(
    "text",
    [
        "mixer=int8,channel=int8,head=int8,mixer=fp32",
        "mixer=int8,channel=int8,head=int8,",
        "mixer=int8,channel=int8,fp32,head=int8",
        "mixer=int8, channel=int8,head=int8",
        "mixer=int8,channel,head=int8",
    ],
)
def test_every_part_of_a_plan_counts(text: str) -> None:
    with pytest.raises(ValueError, match=r"each role once|channel needs a scheme"):
        parse_plan(text)


def test_one_model_computes_in_one_float_format() -> None:
    schemes = {"mixer": parse("fp16"), "channel": parse("int8"), "head": parse("int8")}
    with pytest.raises(ValueError, match="computes in one float format"):
        PrecisionPlan(**schemes).forward_dtype("float32")
    in_file = PrecisionPlan(**schemes, float_dtype=FloatDtype.FP32)
    assert in_file.forward_dtype("bfloat16") == "float32"
    assert PrecisionPlan.uniform(parse("int8")).forward_dtype("bfloat16") == "bfloat16"
    assert PrecisionPlan.uniform(parse("tflm_int8_int8")).forward_dtype("bfloat16") == "float32"
