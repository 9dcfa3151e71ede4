"""What runs an exported file."""

import enum


class Target(enum.Enum):
    """What runs the file."""

    LITERT = "litert"  # with XNNPACK, its default
    LITERT_BUILTIN = "litert-builtin"  # its own kernels, no delegate
    TFLITE_RUNTIME = "tflite-runtime"  # 2.14
    TFLM = "tflm"
    AI_HUB = "aihub"
    ONNX = "onnx"  # ONNX Runtime here, QNN on phones
