"""Which operator on which types TFLite kernels compute right, wrong, or not at all.

First the records (`Support`, `Use`, `LegalityRow`, `Violation`), then the data: a row for every
use that was measured, by running the operator (tests/export/legality/test_legality.py repeats all
of it) on LiteRT 2.3 with XNNPACK and without, tflite-runtime 2.14, and TFLM's host interpreter.
Wrong means that the file loads, runs without an error, and computes garbage.

Not here: rules that need more than types, and AI Hub's (check.py); ONNX (onnx_table.py); speed
and memory.
"""

import enum
from dataclasses import dataclass

from export.graph.ir import DType
from export.targets import Kernels

F32, F16, I16, I8, I4 = DType.FLOAT32, DType.FLOAT16, DType.INT16, DType.INT8, DType.INT4
I32 = DType.INT32
XNNPACK, BUILTIN = Kernels.XNNPACK, Kernels.LITERT
RUNTIME, TFLM = Kernels.TFLITE_RUNTIME, Kernels.TFLM


class Support(enum.Enum):
    """What a runtime does with an operator."""

    RIGHT = "right"
    WRONG = "wrong"  # silent garbage
    REFUSED = "refused"  # it says so, or dies, when the file is loaded or run


@dataclass(frozen=True)
class Use:
    """An operator on types.

    Attributes:
      types: of input and filter for matrix products, of both ends for QUANTIZE and DEQUANTIZE,
        of the first computed input for all others.
      per_channel: the filter (or what is dequantised) has several scales.
    """

    code: str
    types: tuple[DType, ...]
    per_channel: bool = False

    def __str__(self) -> str:
        scales = ", a scale per channel" if self.per_channel else ""
        return f"{self.code} of {' x '.join(t.value.lower() for t in self.types)}{scales}"


@dataclass(frozen=True, kw_only=True)
class LegalityRow:
    """What was measured of a use; kernels that are not named compute it right.

    Attributes:
      since: lowest operator version that tells a runtime what is asked; under a lower one, a
        runtime that cannot compute it takes the file and computes garbage.
      on_device: refused by the kernels on a Cortex-M, though not on this host.
      why: reason, for people.
      instead: what does work there.
    """

    since: int = 1
    wrong: tuple[Kernels, ...] = ()
    refused: tuple[Kernels, ...] = ()
    on_device: tuple[Kernels, ...] = ()
    why: str = ""
    instead: str = ""

    def support(self, kernels: Kernels) -> Support:
        """Look up what kernels do with the use."""
        if kernels in self.wrong:
            return Support.WRONG
        return Support.REFUSED if kernels in (*self.refused, *self.on_device) else Support.RIGHT


@dataclass(frozen=True, kw_only=True)
class Violation:
    """Something that a target does not compute right.

    Attributes:
      tensor: the filter of a product, else the result of the operator.
      support: WRONG or REFUSED.
      instead: what works there, or empty.
    """

    graph: str
    tensor: str
    use: Use
    support: Support
    reason: str
    instead: str

    def __str__(self) -> str:
        act = "computes silent garbage for" if self.support is Support.WRONG else "refuses"
        hint = f"; instead: {self.instead}" if self.instead else ""
        return (
            f"graph {self.graph!r}, tensor {self.tensor!r}: {act} {self.use}: {self.reason}{hint}"
        )


STATIC = "static int8 inputs (_a8s)"
PRODUCTS = {
    Use("FULLY_CONNECTED", (F32, F32)): LegalityRow(),
    Use("FULLY_CONNECTED", (F32, I8)): LegalityRow(
        since=9,
        refused=(TFLM,),
        why="TFLM has no hybrid kernels",
        instead=STATIC,
    ),
    Use("FULLY_CONNECTED", (F32, I8), True): LegalityRow(
        since=12,
        refused=(RUNTIME, TFLM),
        instead=f"{STATIC}, or float16 weights",
        why="tflite-runtime 2.14 uses one scale for all channels, TFLM has no hybrid kernels",
    ),
    Use("FULLY_CONNECTED", (F32, I4)): LegalityRow(
        since=10,
        refused=(TFLM,),
        why="TFLM has no hybrid kernels",
        instead=STATIC,
    ),
    Use("FULLY_CONNECTED", (F32, I4), True): LegalityRow(
        since=12,
        refused=(RUNTIME, TFLM),
        why="no hybrid kernel with a scale per channel",
        instead="a 1x1 CONV_2D with static int8 inputs",
    ),
    Use("FULLY_CONNECTED", (I8, I8)): LegalityRow(since=4),
    Use("FULLY_CONNECTED", (I8, I8), True): LegalityRow(since=4),
    Use("FULLY_CONNECTED", (I8, I4)): LegalityRow(since=10),
    Use("FULLY_CONNECTED", (I8, I4), True): LegalityRow(
        since=10,
        refused=(RUNTIME, TFLM),
        why="int4 filters of FULLY_CONNECTED have one scale",
        instead="the same weights in a 1x1 CONV_2D, or as int8",
    ),
    Use("FULLY_CONNECTED", (I16, I8)): LegalityRow(since=7),
    Use("FULLY_CONNECTED", (I16, I8), True): LegalityRow(
        since=7,
        on_device=(TFLM,),
        why="CMSIS-NN's glue wants one scale here",
        instead="a 1x1 CONV_2D",
    ),
    Use("FULLY_CONNECTED", (I16, I4), True): LegalityRow(
        since=10,
        refused=(RUNTIME, TFLM),
        why="no int4 filters beside int16 inputs",
        instead="the same weights as int8",
    ),
    Use("CONV_2D", (F32, F32)): LegalityRow(),
    Use("CONV_2D", (F32, I8), True): LegalityRow(
        since=5,
        refused=(TFLM,),
        why="TFLM has no hybrid kernels",
        instead=STATIC,
    ),
    Use("CONV_2D", (F32, I4), True): LegalityRow(
        since=7,
        wrong=(RUNTIME,),
        refused=(TFLM,),
        instead=STATIC,
        why="tflite-runtime 2.14 reads the packed int4 as int8, TFLM has no hybrid kernels",
    ),
    Use("CONV_2D", (I8, I8)): LegalityRow(since=2),
    Use("CONV_2D", (I8, I8), True): LegalityRow(since=3),
    Use("CONV_2D", (I8, I4)): LegalityRow(since=7),
    Use("CONV_2D", (I8, I4), True): LegalityRow(since=7),
    Use("CONV_2D", (I16, I8), True): LegalityRow(since=4),
    Use("CONV_2D", (I16, I4), True): LegalityRow(
        since=7,
        wrong=(RUNTIME,),
        refused=(TFLM,),
        instead="int8 inputs, or the weights as int8",
        why="tflite-runtime 2.14 reads the packed int4 as int8, TFLM has no such kernel",
    ),
}
"""Products with constant filters."""

DECODE = Use("TFLM_DECODE", (DType.UINT8,))
OTHERS = (XNNPACK, BUILTIN, RUNTIME)

CASTS = {
    Use("QUANTIZE", (F32, I8)): LegalityRow(),
    Use("QUANTIZE", (F32, I16)): LegalityRow(since=2),
    Use("QUANTIZE", (I8, I16)): LegalityRow(
        since=2,
        refused=(RUNTIME,),
        why="there is no kernel that widens integers",
        instead="DEQUANTIZE, then QUANTIZE",
    ),
    Use("QUANTIZE", (I16, I8)): LegalityRow(since=2),
    Use("DEQUANTIZE", (I8, F32)): LegalityRow(since=2),
    Use("DEQUANTIZE", (I16, F32)): LegalityRow(since=3),
    Use("DEQUANTIZE", (F16, F32)): LegalityRow(
        since=3,
        refused=(TFLM,),
        why="TFLM has no float16",
        instead="float32 weights",
    ),
    Use("DEQUANTIZE", (I8, F32), True): LegalityRow(
        since=5,
        wrong=(TFLM,),
        why="TFLM's DEQUANTIZE uses the first scale for all channels",
        instead=f"{STATIC}, or one scale per matrix",
    ),
    Use("DEQUANTIZE", (I4, F32)): LegalityRow(
        since=6,
        refused=(RUNTIME, TFLM),
        why="DEQUANTIZE of int4 came later",
        instead="the same weights as int8",
    ),
    Use("DEQUANTIZE", (I4, F32), True): LegalityRow(
        since=6,
        refused=(RUNTIME, TFLM),
        why="DEQUANTIZE of int4 came later",
        instead="the same weights as int8",
    ),
}

FLOAT_SECTION = "a float32 section: DEQUANTIZE before, QUANTIZE behind"
EVERYWHERE = (
    "ADD",
    "SUB",
    "MUL",
    "MAXIMUM",
    "MINIMUM",
    "MEAN",
    "LOGISTIC",
    "SOFTMAX",
    "RELU",
    "BATCH_MATMUL",
    "TRANSPOSE",
    "RESHAPE",
    "SLICE",
    "PAD",
    "CONCATENATION",
    "SPLIT",
)
"""Operators without weights that every runtime computes in float32, int8 and int16."""


FLOATS = ("DIV", "SUM", "REDUCE_MAX", "RSQRT", "EXP", "SIN", "COS")
"""Operators that every runtime computes in float32."""


def _lacking(*kernels: Kernels) -> LegalityRow:
    return LegalityRow(
        refused=kernels, why="there is no kernel for these integers", instead=FLOAT_SECTION
    )


PLAIN_ROWS = {
    **{Use(code, (dtype,)): LegalityRow() for code in EVERYWHERE for dtype in (F32, I8, I16)},
    **{Use(code, (F32,)): LegalityRow() for code in FLOATS},
    Use("SUM", (I8,)): LegalityRow(),
    Use("SUM", (I16,)): _lacking(RUNTIME),
    Use("RSQRT", (I8,)): LegalityRow(),
    Use("RSQRT", (I16,)): _lacking(RUNTIME),
    Use("DIV", (I8,)): _lacking(RUNTIME),
    Use("DIV", (I16,)): _lacking(RUNTIME, TFLM),
    Use("CAST", (I32,)): LegalityRow(),
    Use("CONCATENATION", (I32,)): LegalityRow(),
    Use("DYNAMIC_UPDATE_SLICE", (F32,)): LegalityRow(),
    Use("DYNAMIC_UPDATE_SLICE", (I8,)): LegalityRow(),
    Use("DYNAMIC_UPDATE_SLICE", (I16,)): _lacking(RUNTIME),
    Use("EXP", (I8,)): _lacking(TFLM),
    Use("EXP", (I16,)): _lacking(TFLM),
}

ROWS: dict[Use, LegalityRow] = {
    **PRODUCTS,
    **CASTS,
    **PLAIN_ROWS,
    DECODE: LegalityRow(
        refused=OTHERS, why="it is an operator of TFLM's own", instead="the same weights as int8"
    ),
}

NEWEST = {
    "FULLY_CONNECTED": (14, 10),
    "CONV_2D": (8, 7),
    "QUANTIZE": (6, 3),
    "DEQUANTIZE": (9, 5),
    "ADD": (6, 5),
    "SUB": (5, 5),
    "MUL": (8, 7),
    "DIV": (2, 2),
    "MAXIMUM": (4, 4),
    "MINIMUM": (4, 4),
    "MEAN": (3, 3),
    "SUM": (2, 2),
    "REDUCE_MAX": (3, 3),
    "RSQRT": (3, 2),
    "LOGISTIC": (3, 3),
    "SOFTMAX": (4, 3),
    "EXP": (2, 2),
    "RELU": (3, 3),
    "SIN": (2, 1),
    "COS": (2, 1),
    "BATCH_MATMUL": (4, 4),
    "TRANSPOSE": (9, 6),
    "RESHAPE": (1, 1),
    "SLICE": (8, 6),
    "PAD": (6, 4),
    "CAST": (9, 5),
    "CONCATENATION": (7, 4),
    "DYNAMIC_UPDATE_SLICE": (6, 1),
    "SPLIT": (5, 4),
}
"""Newest version of an operator that LiteRT 2.3 and tflite-runtime 2.14 load; TFLM reads none."""
