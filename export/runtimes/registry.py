"""Opens a model in the runtime of a target.

Every runtime is given bytes that this project wrote from a model that was read and checked, never
the file itself: a damaged file is a ValueError, and not the end of an interpreter's process.
"""

from collections.abc import Callable

from export.graph.files import import_onnx_file
from export.graph.ir import GraphModel
from export.runtimes.child_process import open_worker
from export.runtimes.contract import Runtime
from export.runtimes.litert import LiteRT
from export.targets import Kernels, Target


def open_runtime(target: Target, model: GraphModel, *, threads: int = 1) -> Runtime:
    """Load a model into the runtime of a target.

    Args:
      threads: for the runtime's kernels; TFLM has one.

    Raises:
      RuntimeError: the runtime refuses the model, or is not installed; the message says how to.
      ValueError: fewer than one thread.
    """
    if threads < 1:
        raise ValueError(f"threads must be at least 1, got {threads}")
    return OPENERS[target.facts.kernels](model, threads)


def describe_kernels(target: Target) -> str:
    """Say which kernels this host has, where that depends on its CPU; else an empty text.

    Raises:
      RuntimeError: they compute integers wrong, and no option helps.
      ModuleNotFoundError: the runtime is not installed.
    """
    if target.facts.kernels is not Kernels.ONNX_RUNTIME:
        return ""
    import_onnx_file()
    from export.runtimes.onnx_kernels import describe_host

    return describe_host()


def _open_onnx(model: GraphModel, threads: int) -> Runtime:
    import_onnx_file()  # says how to install what is missing
    from export.runtimes.onnx_runtime import OnnxRuntime

    return OnnxRuntime(model, threads=threads)


OPENERS: dict[Kernels, Callable[[GraphModel, int], Runtime]] = {
    Kernels.XNNPACK: lambda model, threads: LiteRT(model, threads=threads, xnnpack=True),
    Kernels.LITERT: lambda model, threads: LiteRT(model, threads=threads, xnnpack=False),
    Kernels.TFLITE_RUNTIME: lambda model, threads: open_worker(
        Kernels.TFLITE_RUNTIME, model, threads
    ),
    Kernels.TFLM: lambda model, threads: open_worker(Kernels.TFLM, model, threads),
    Kernels.ONNX_RUNTIME: _open_onnx,
}
