"""What runs an exported file: one record of facts per runtime.

A new runtime is a member of `Target` with its facts, a file runtimes/NAME.py with its opener (in
runtimes/registry.py), and, if it computes with kernels of its own, a table legality/NAME_table.py
(in legality/check.py). Everything else asks for facts, never for a target by name.

Not here: which operators the kernels compute right (legality/). Nothing here imports jax: command
lines list the targets before anything is loaded.
"""

import enum
from dataclasses import dataclass

BATCH = 1  # puzzles per call by default: a graph pads to its batch, and one puzzle costs like all


class FileFormat(enum.Enum):
    """What a runtime reads (graph/files.py)."""

    TFLITE = "tflite"
    ONNX = "onnx"  # one file per graph


class Kernels(enum.Enum):
    """Whose kernels compute: what decides legality (legality/) and how a model is opened."""

    XNNPACK = "LiteRT with XNNPACK, its default delegate"
    LITERT = "LiteRT's own kernels, no delegate"
    TFLITE_RUNTIME = "tflite-runtime 2.14"
    TFLM = "TFLite Micro"
    ONNX_RUNTIME = "ONNX Runtime"


class DynamicRows(enum.Enum):
    """How kernels quantise a row of float inputs to int8 while they run."""

    NONE = "not at all, or wrong"
    ASYMMETRIC = "always with a zero point"
    ANY = "with a zero point or without"


class Int4Products(enum.Enum):
    """Which products take packed int4 weights and are computed right."""

    NONE = "none"
    FLOAT_OR_INT8 = "all but those of int16 inputs"
    SYMMETRIC = "weight-only ones, and dynamic ones of symmetric rows and weights (no -8)"
    ALL = "all"


@dataclass(frozen=True, kw_only=True)
class RuntimeFacts:
    """What a runtime can do.

    Attributes:
      runs_here: on this host; False for what runs on devices only.
      integer_graphs: graphs are integers from end to end, in TFLite Micro's arithmetic; other
        runtimes have float32 between their integer products, and this one has none of those.
      weight_only: float32 products of integer weights that are expanded first.
      int16_products: of int16 inputs and int8 weights.
      zero_point_sums: dynamic products sum up their rows right, which asymmetric 8-bit weights
        need (`ZeroPoints.RANK_ONE`).
      float16_weights: float16 weights are expanded to float32.
      w8a8_only: beside float32 it takes int8 weights with int8 inputs and nothing else.
      is_board: firmware runs it (export/firmware).
      is_npu: a compiler, Vela, puts integer operators on an Ethos-U (export/ethos_u); floats and
        int4 filters are not among them. TFLM's kernels compute the rest, and here all of it.
    """

    file_format: FileFormat
    kernels: Kernels
    runs_here: bool = True
    integer_graphs: bool = False
    weight_only: bool = True
    dynamic_rows: DynamicRows = DynamicRows.NONE
    zero_point_sums: bool = True
    int16_products: bool = True
    int4_products: Int4Products = Int4Products.NONE
    float16_weights: bool = True
    w8a8_only: bool = False
    is_board: bool = False
    is_npu: bool = False


class Target(enum.Enum):
    """What runs the file; the value is its name on command lines and in manifests."""

    _value_: str
    facts: RuntimeFacts

    def __new__(cls, name: str, facts: RuntimeFacts) -> "Target":
        target = object.__new__(cls)
        target._value_, target.facts = name, facts
        return target

    @property
    def interpreter(self) -> "Target":
        """Whose interpreter runs the file on this host: TFLM's, where a compiler comes after it."""
        return Target.TFLM if self.facts.is_npu else self

    LITERT = (
        "litert",
        RuntimeFacts(
            file_format=FileFormat.TFLITE,
            kernels=Kernels.XNNPACK,
            dynamic_rows=DynamicRows.ASYMMETRIC,
            int4_products=Int4Products.FLOAT_OR_INT8,
        ),
    )
    LITERT_BUILTIN = (
        "litert-builtin",
        RuntimeFacts(
            file_format=FileFormat.TFLITE,
            kernels=Kernels.LITERT,
            dynamic_rows=DynamicRows.ANY,
            zero_point_sums=False,
            int4_products=Int4Products.SYMMETRIC,
        ),
    )
    TFLITE_RUNTIME = (
        "tflite-runtime",
        RuntimeFacts(
            file_format=FileFormat.TFLITE, kernels=Kernels.TFLITE_RUNTIME, int16_products=False
        ),
    )
    TFLM = (
        "tflm",
        RuntimeFacts(
            file_format=FileFormat.TFLITE,
            kernels=Kernels.TFLM,
            integer_graphs=True,
            float16_weights=False,
            is_board=True,
        ),
    )
    ETHOS_U = (  # TFLite Micro with an NPU; what runs here is the file before its compiler
        "ethos-u",
        RuntimeFacts(
            file_format=FileFormat.TFLITE,
            kernels=Kernels.TFLM,
            integer_graphs=True,
            float16_weights=False,
            is_npu=True,
        ),
    )
    AI_HUB = (  # LiteRT on phones; the rule is AI Hub's model zoo's
        "aihub",
        RuntimeFacts(
            file_format=FileFormat.TFLITE,
            kernels=Kernels.XNNPACK,
            runs_here=False,
            weight_only=False,
            int16_products=False,
            w8a8_only=True,
        ),
    )
    ONNX = (  # ONNX Runtime here, QNN on phones
        "onnx",
        RuntimeFacts(
            file_format=FileFormat.ONNX,
            kernels=Kernels.ONNX_RUNTIME,
            int4_products=Int4Products.ALL,
        ),
    )
