"""Short texts of command lines: schemes, plans, cuts, depths, shapes; puzzles as text.

The valid input is a text in a file of its own, so that these are folders as other kinds are.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.fuzz.contract import InputKind, Unreadable
from tests.fuzz.damage import Draw, choose
from tests.fuzz.documents import mutate_text

TEXT = "text.txt"
SCHEMES = (
    "fp32",
    "bf16",
    "int8",
    "int4_calibrated",
    "w8c-sym_a8d",
    "w4t-sym-mse_bf16_a8da_carry8",
    "w4c-asym_a16s_tflm",
    "tflm_int8_int16",
)
PIECES = (
    *("w4t", "w9c", "w04c", "-sym", "-asym", "-auto", "-mse", "-gptq", "-first", "-norm"),
    *("-learned", "_a8d"),
    *("_a8da", "_a8s", "_a16s", "_tflm"),
    *("_carry8", "_carry16", "_carrybf16", "_fp32", "_fp16", "int8", "mixer=", "channel=", "head="),
)
PLANS = (
    "mixer=w8c-sym,channel=w4c-sym,head=fp32",
    "mixer=int8,channel=int4_naive,head=int8",
    "w8c-sym_a8d",
)
CUTS = ("heads=1,tokens=100,queries=100", "queries=4,heads=2,tokens=3")
DEPTHS = ("1,3x1,2,4,8,16", "all", "allx4", "2xall", "1x1")
SHAPES = ("2x3", "3x3", "30x30")


def text_kind(
    name: str,
    right: str,
    texts: Sequence[str],
    pieces: Sequence[str],
    read: Callable[[str], Any],
    says: Callable[[str], Any],
) -> InputKind:
    """Make the kind of a text: `read` and `says` take the text."""

    def make(folder: Path) -> None:
        (folder / TEXT).write_text(texts[0])

    def mutate(folder: Path, rng: Draw) -> str:
        text = mutate_text(str(choose(rng, texts)), pieces, rng)
        (folder / TEXT).write_bytes(text.encode("utf-8", "surrogateescape"))
        return repr(text[:200])

    def text_of(folder: Path) -> str:
        return (folder / TEXT).read_bytes().decode()

    return InputKind(
        name=name,
        right=right,
        make=make,
        mutate=mutate,
        read=lambda folder: read(text_of(folder)),
        says=lambda folder: says(text_of(folder)),
        names=("got ", "unknown", "known", "must", "cannot", "impossible", "needs"),
        seconds=5,
        mebibytes=64,
    )


# schemes and plans

SCHEME = re.compile(
    r"(?P<w>w[2-8][tc]-(?:sym|asym|auto)(?:-mse|-gptq-first|-gptq-norm|-gptq|-learned)?)?_?(?P<f>fp32|bf16|fp16)?_?(?P<a>a8da|a8d|a8s|a16s)?_?"
    r"(?P<c>carrybf16|carryfp16|carry16|carry8)?_?(?P<t>tflm)?"
)
SHORT = {
    "fp32": "fp32",
    "bf16": "bf16",
    "fp16": "fp16",
    "int8": "w8c-sym",
    **{f"int{b}_naive": f"w{b}t-sym" for b in (4, 3, 2)},
    **{f"int{b}_calibrated": f"w{b}c-asym" for b in (4, 3, 2)},
    **{
        f"tflm_{weights}_{activations}": f"{name}_{code}_tflm"
        for weights, name, ranges in (("int4", "w4c-asym", ""), ("int8", "w8c-sym", "-fold"))
        for activations, code in (("int16", "a16s"), ("int8", f"a8s-cells{ranges}"))
    },
}
"""The paper's names by the grammar of docs/numerics.md."""


def scheme_says(text: str) -> str:
    """Read a scheme's name by a regular expression; returns its shortest long name."""
    if text in SHORT:
        return SHORT[text]
    match = SCHEME.fullmatch(text)
    if not match or not any(match.groups()) or "_".join(filter(None, match.groups())) != text:
        raise Unreadable(text)
    weights, floats, *others = match.groups()
    floats = None if weights and floats == "fp32" else floats
    floats = floats or (None if weights else "fp32")
    return "_".join(filter(None, (weights, floats, *others)))


def read_scheme(text: str) -> str:
    from quant.scheme import parse

    return parse(text).name


def read_plan(text: str) -> list[str]:
    from quant.precision_plan import parse_plan

    return [scheme.name for scheme in parse_plan(text).schemes]


def plan_says(text: str) -> list[str]:
    if "=" not in text:
        return [scheme_says(text)] * 3
    pairs = [part.split("=") for part in text.split(",")]
    roles = ("mixer", "channel", "head")
    if any(len(pair) != 2 for pair in pairs) or sorted(p[0] for p in pairs) != sorted(roles):
        raise Unreadable(text)
    schemes = {role: scheme_says(name) for role, name in pairs}
    return [schemes[role] for role in roles]


# cuts, depths, shapes


def read_cut(text: str) -> Any:
    from export.lowering.stages import parse_cut

    cut = parse_cut(text)
    return {"heads": cut.heads, "tokens": cut.tokens, "queries": cut.queries}


def cut_says(text: str) -> Any:
    parts = [re.fullmatch("(heads|tokens|queries)=([0-9]{1,9})", part) for part in text.split(",")]
    values = {part[1]: int(part[2]) for part in parts if part}
    if len(parts) != 3 or len(values) != 3:
        raise Unreadable(text)
    return values


def read_depths(text: str) -> Any:
    from experiments.measurement.depths import parse_depths
    from trm_jax.config import preset

    depths = parse_depths(text, preset("sudoku-trm-mlp"))  # H_cycles 3, 16 steps
    return list(depths.T), list(depths.n)


def depths_say(text: str) -> Any:
    sides = ["all", "all"] if text == "all" else text.split("x")
    every = ([1, 2, 3], [1, 2, 4, 8, 16])
    if len(sides) != 2:
        raise Unreadable(text)
    found = []
    for side, all_of in zip(sides, every, strict=True):
        if side != "all" and not re.fullmatch("[0-9]{1,9}(,[0-9]{1,9})*", side):
            raise Unreadable(text)
        found.append(all_of if side == "all" else sorted({int(n) for n in side.split(",")}))
    return found[0], found[1]


def read_shape(text: str) -> Any:
    from trm_jax.data.facts import parse_by

    return parse_by(text, "--box")


def shape_says(text: str) -> Any:
    if not (match := re.fullmatch("([0-9]+)x([0-9]+)", text.strip())):
        raise Unreadable(text)
    return int(match[1]), int(match[2])


TEXTS = (
    text_kind(
        "scheme",
        "a regular expression of the documented grammar reads the same scheme",
        SCHEMES,
        PIECES,
        read_scheme,
        scheme_says,
    ),
    text_kind(
        "plan",
        "every part is ROLE=SCHEME, each role once, and reads the same",
        PLANS,
        PIECES,
        read_plan,
        plan_says,
    ),
    text_kind(
        "cut",
        "every part is NAME=N, each name once",
        CUTS,
        ("heads=", "tokens=", "queries=", "=2", ",3"),
        read_cut,
        cut_says,
    ),
    text_kind(
        "depths",
        "T,...xn,... of decimal digits, or all",
        DEPTHS,
        ("all", "x", ",1", "3x", "17"),
        read_depths,
        depths_say,
    ),
    text_kind(
        "shape", "two decimal numbers and an x", SHAPES, ("x", "2", "3"), read_shape, shape_says
    ),
)
