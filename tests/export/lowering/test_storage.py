"""Plans name the simulation they equal, and refuse what a target computes otherwise."""

import pytest

from export.graph.ir import DType
from export.lowering.storage import (
    Numerics,
    Role,
    StoragePlan,
    ZeroPoints,
    mixed,
    plan_for,
    role_of,
)
from export.targets import Target
from quant.scheme import parse


@pytest.mark.parametrize(
    ("scheme", "target", "numerics", "carrier", "zero_points"),
    [
        ("fp32", Target.TFLM, Numerics.FLOAT32, DType.FLOAT32, ZeroPoints.STORED),
        ("fp16", Target.LITERT, Numerics.FLOAT16, DType.FLOAT16, ZeroPoints.STORED),
        ("int8", Target.TFLITE_RUNTIME, Numerics.WEIGHT_ONLY, DType.INT8, ZeroPoints.STORED),
        ("int4_naive", Target.LITERT, Numerics.WEIGHT_ONLY, DType.INT4, ZeroPoints.STORED),
        ("int4_calibrated", Target.LITERT, Numerics.WEIGHT_ONLY, DType.INT4, ZeroPoints.STORED),
        (
            "int4_calibrated",
            Target.TFLITE_RUNTIME,
            Numerics.WEIGHT_ONLY,
            DType.INT8,
            ZeroPoints.SHIFTED,
        ),
        ("w4c-asym_a8da", Target.LITERT, Numerics.DYNAMIC, DType.INT4, ZeroPoints.RANK_ONE),
        ("w4c-asym_a8d", Target.LITERT_BUILTIN, Numerics.DYNAMIC, DType.INT8, ZeroPoints.SHIFTED),
        ("w8c-sym_a8s", Target.AI_HUB, Numerics.STATIC_INT8, DType.INT8, ZeroPoints.STORED),
        ("w4c-asym_a8s", Target.AI_HUB, Numerics.STATIC_INT8, DType.INT8, ZeroPoints.SHIFTED),
        ("w4c-sym_a16s", Target.LITERT, Numerics.INT16, DType.INT8, ZeroPoints.STORED),
    ],
)
def test_schemes_have_plans(
    scheme: str, target: Target, numerics: Numerics, carrier: DType, zero_points: ZeroPoints
) -> None:
    plan = plan_for(parse(scheme), target)
    assert plan.precision.name == parse(scheme).name
    found = plan.of("L_level/layers_0/mlp/down_proj")
    assert (found.numerics, found.carrier, found.zero_points) == (numerics, carrier, zero_points)


@pytest.mark.parametrize(
    ("scheme", "target", "advice"),
    [
        ("bf16", Target.LITERT, "use fp32 or fp16"),
        ("fp16", Target.TFLM, "use fp32"),
        ("fp32_a8d", Target.LITERT, "quantise the weights too"),
        ("w8c-sym_a8d", Target.LITERT, "use w8c-sym_a8da, or target litert-builtin"),
        ("w8c-sym_a8da", Target.TFLITE_RUNTIME, "use w8c-sym_a8s-cells-fold"),
        ("int8", Target.TFLM, "use tflm_int8_int8"),
        ("w8c-sym_a8s", Target.TFLM, "use tflm_int8_int8"),
        ("w8c-sym_a8s-cells", Target.TFLM, "use w8c-sym_a8s-cells_tflm"),
        ("w8c-asym_a16s", Target.TFLM, "use tflm_int8_int16"),
        ("w4c-asym_a8s_carry16", Target.TFLM, "use tflm_int4_int8"),
        ("w6c-sym_a8da", Target.TFLM, "use w6c-sym_a8s-cells_tflm"),
        ("int4_calibrated", Target.AI_HUB, "use w4c-asym_a8s-cells"),
        ("w8c-asym_a8s", Target.LITERT, "does not fit an int8"),
        ("w8c-asym_a8da", Target.LITERT_BUILTIN, "use 7 bits or fewer"),
        ("w8c-sym_bf16", Target.LITERT, "leave the float format out"),
    ],
)
def test_what_a_target_cannot_compute_is_refused(scheme: str, target: Target, advice: str) -> None:
    with pytest.raises(ValueError, match=advice):
        plan_for(parse(scheme), target)


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


def test_mixed_plans_share_target_and_carry() -> None:
    def plan(scheme: str, target: Target = Target.LITERT) -> StoragePlan:
        return plan_for(parse(scheme), target)

    both = mixed(mixer=plan("int8"), channel=plan("int4_calibrated"), head=plan("fp32"))
    assert both.of("lm_head").numerics is Numerics.FLOAT32
    assert both.name == (
        "mixer=weight_only-int8,channel=weight_only-int4-stored,head=float32-float32"
    )
    with pytest.raises(ValueError, match=r"one target, got plans for \['litert', 'tflm'\]"):
        mixed(mixer=plan("fp32"), channel=plan("fp32", Target.TFLM), head=plan("fp32"))
    with pytest.raises(ValueError, match="share one carry"):
        mixed(mixer=plan("int8"), channel=plan("w8c-sym_carry8"), head=plan("int8"))
