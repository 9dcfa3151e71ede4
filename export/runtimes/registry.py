"""Open the runtime of a target."""

from export.graph.files import onnx_file
from export.graph.ir import GraphModel
from export.runtimes.child_process import open_in_worker, start_worker
from export.runtimes.contract import Runtime
from export.runtimes.litert import LiteRT
from export.targets import Target


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
    if target is Target.ONNX:
        onnx_file()  # says how to install what is missing
        from export.runtimes.onnx_runtime import OnnxRuntime

        return OnnxRuntime(model, threads=threads)
    if target in (Target.TFLITE_RUNTIME, Target.TFLM):
        worker = start_worker(target)
        try:
            return open_in_worker(worker, model, threads)
        except RuntimeError:
            worker.close()
            raise
    return LiteRT(model, threads=threads, xnnpack=target is not Target.LITERT_BUILTIN)
