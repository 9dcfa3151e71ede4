"""Names of schemes decode themselves and come back."""

import dataclasses
import itertools

import pytest

from quant.affine import WEIGHT_BITS, Clipping, Symmetry
from quant.scheme import (
    DEVICE_SCHEMES,
    METHOD_SUFFIXES,
    PAPER_SCHEMES,
    Activations,
    CarryPrecision,
    FloatDtype,
    Granularity,
    Ranges,
    Rounding,
    Scheme,
    WeightScheme,
    WideState,
    paper_name,
    parse,
)


def every_weights() -> list[WeightScheme | None]:
    """Make all weights that have a name, and none."""
    grids = list(itertools.product(WEIGHT_BITS, Granularity, METHOD_SUFFIXES.values()))
    return [
        None,
        *(
            WeightScheme(bits=b, granularity=g, symmetry=s, clipping=c, rounding=r)
            for (b, g, (c, r)), s in itertools.product(grids, Symmetry)
        ),
        *(
            WeightScheme(
                bits=b,
                granularity=g,
                symmetry=Symmetry.ASYMMETRIC,
                clipping=c,
                rounding=r,
                adaptive=True,
            )
            for b, g, (c, r) in grids
        ),
    ]


def every_scheme() -> list[Scheme]:
    """Make all schemes of float arithmetic whose matrices are alike."""
    parts = itertools.product(every_weights(), Activations, CarryPrecision, FloatDtype, Ranges)
    return [
        Scheme(weights=w, activations=a, carry=c, float_dtype=f, ranges=r)
        for w, a, c, f, r in parts
        if a.is_static or r is Ranges.ALL
    ]


def test_every_scheme_comes_back_from_its_name() -> None:
    schemes = every_scheme()
    names = [scheme.name for scheme in schemes]
    assert len(set(names)) == len(schemes)
    assert [parse(name) for name in names] == schemes


PAPER = {
    "fp32": "fp32",
    "bf16": "bf16",
    "fp16": "fp16",
    "int8": "w8c-sym",
    "int4_naive": "w4t-sym",
    "int4_calibrated": "w4c-asym",
    "int3_naive": "w3t-sym",
    "int3_calibrated": "w3c-asym",
    "int2_naive": "w2t-sym",
    "int2_calibrated": "w2c-asym",
}


def test_the_papers_names():
    assert {short: parse(short).name for short in PAPER_SCHEMES} == PAPER
    assert {paper_name(parse(long)): long for long in PAPER.values()} == PAPER
    assert paper_name(parse("w4t-asym")) is None


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("w8c-sym_a8d", {"activations": Activations.DYNAMIC_INT8}),
        ("w8c-sym_a8s", {"activations": Activations.STATIC_INT8}),
        (
            "w8c-sym_a16s_carry8",
            {"activations": Activations.STATIC_INT16, "carry": CarryPrecision.INT8},
        ),
        ("w8c-sym_bf16_carry16", {"float_dtype": FloatDtype.BF16, "carry": CarryPrecision.INT16}),
    ],
)
def test_parts_mean_what_they_say(name, fields):
    assert parse(name) == dataclasses.replace(PAPER_SCHEMES["int8"], **fields)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "int5",
        "w04t-sym",
        "w\u0664t-sym",
        f"w{'9' * 5000}t-sym",
        "w4x-sym",
        "w4t",
        "w4t-sym_",
        "w4t-sym_a4d",
        "a8d_w4t-sym",
        "w4t-sym_a8d_a8d",
    ],
)
def test_unknown_names_show_the_grammar(name):
    with pytest.raises(ValueError, match=r"unknown scheme .*int4_naive.*w<2-8><t\|c>") as caught:
        parse(name)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("int8_carry8", "w8c-sym_carry8"),
        ("int4_calibrated_a8d_carry16", "w4c-asym_a8d_carry16"),
        ("int8_carry7", None),
        ("fp32_carry7", None),
    ],
)
def test_a_short_name_with_parts_behind_it_is_told_its_long_name(name, written):
    with pytest.raises(ValueError, match="unknown scheme") as caught:
        parse(name)
    assert len(str(caught.value)) < 500
    assert (f"write {written!r};" in str(caught.value)) == (written is not None)
    assert ("short names take no parts" in str(caught.value)) == (written is not None)


@pytest.mark.parametrize("bits", [0, 1, 9, 16])
def test_unsupported_weight_widths(bits):
    with pytest.raises(ValueError, match=rf"bits must be one of \[2, .*8\], got bits={bits}"):
        parse(f"w{bits}t-sym")


@pytest.mark.parametrize("name", DEVICE_SCHEMES)
def test_device_schemes_decode_themselves(name: str) -> None:
    scheme = DEVICE_SCHEMES[name]
    assert scheme.is_integer
    assert parse(scheme.name) == parse(name) == scheme
    _, weights, carry = name.split("_")
    assert scheme.weights is not None
    assert weights == f"int{scheme.weights.bits}"
    assert scheme.activations.value == f"a{carry.removeprefix('int')}s"
    ranges = {"int8_int8": Ranges.FOLDED_CELLS, "int4_int8": Ranges.CELLS}
    assert scheme.ranges is ranges.get(f"{weights}_{carry}", Ranges.ALL)
    assert paper_name(scheme) == name


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("w4c-asym_tflm", "static activations"),
        ("w4c-asym_a8d_tflm", "static activations"),
        ("w4c-asym_a16s_carry16_tflm", "leave carry16 out"),
        ("w4c-asym_bf16_a16s_tflm", "is float32"),
    ],
)
def test_integers_without_what_they_need_are_refused(name: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse(name)


def test_states_of_16_bits_are_named_behind_the_arithmetic() -> None:
    scheme = parse("w8c-sym_a8s-cells_tflm+tsum+h+out")
    assert scheme.wide == (WideState.INPUT, WideState.MIXER_SUM, WideState.CHANNEL_OUT)
    assert scheme.name == "w8c-sym_a8s-cells_tflm+h+tsum+out"
    assert parse(scheme.name) == scheme
    everything = dataclasses.replace(scheme, wide=tuple(WideState))
    assert parse(everything.name) == everything


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("w8c-sym_a16s_tflm+tsum", "stand in tflm's int8"),
        ("w8c-sym_a8s+tsum", "unknown scheme"),
        ("w8c-sym_a8s_tflm+tsums", "unknown state of 16 bits 'tsums'; did you mean 'tsum'"),
        ("w8c-sym_a8s_tflm+", "unknown state of 16 bits ''"),
        ("w8c-sym_a8s_tflm+tsum+tsum", "named once"),
    ],
)
def test_states_of_16_bits_that_cannot_be_are_refused(name: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse(name)


def test_methods_that_look_at_puzzles_say_so() -> None:
    learned = parse("w4c-asym-gptq_a8d")
    assert learned.weights is not None
    assert learned.weights.rounding is Rounding.GPTQ
    assert (learned.needs_puzzles, learned.rounds_with_puzzles) == (True, True)
    static = parse("w4c-asym_a8s")
    assert (static.needs_puzzles, static.rounds_with_puzzles) == (True, False)
    assert not parse("w4c-asym-mse_a8d").needs_puzzles
    assert learned.to_nearest == parse("w4c-asym-mse_a8d")
    assert static.to_nearest == static
    assert parse("bf16").to_nearest == parse("bf16")


@pytest.mark.parametrize(
    ("clipping", "rounding"),
    [(Clipping.ALIGNED, Rounding.NEAREST), (Clipping.MSE, Rounding.GPTQ)],
)
def test_clipping_and_rounding_without_a_name_are_refused(
    clipping: Clipping, rounding: Rounding
) -> None:
    with pytest.raises(ValueError, match=f"{rounding.name} does not go with {clipping.name}"):
        WeightScheme(
            bits=4,
            granularity=Granularity.PER_TENSOR,
            symmetry=Symmetry.SYMMETRIC,
            clipping=clipping,
            rounding=rounding,
        )
