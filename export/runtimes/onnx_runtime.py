"""ONNX Runtime in this process: graphs of ONNX's operators, on this CPU.

It turns products with integer weights alone into MatMulNBits, and by default (accuracy level 4)
that rounds its input rows to int8 without saying so. EXACT asks for float32 inputs, which is what
the file says; a test shows the difference. What integer products need on this CPU is asked of it
(onnx_kernels.py).

Not here: QNN, which runs the same files on phones (export/aihub).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from export.graph.ir import GraphModel
from export.graph.onnx_file import write_onnx_graph
from export.runtimes.contract import Arrays, check_inputs
from export.runtimes.onnx_kernels import host_entries, make_options

EXACT = ("session.qdq_matmulnbits_accuracy_level", "1")


def session_options(threads: int) -> Any:
    """Make `onnxruntime.SessionOptions` under which products are what a file says, on this CPU.

    Raises:
      RuntimeError: there are none (onnx_kernels.py).
    """
    return make_options((EXACT, *host_entries()), threads=threads)


class OnnxRuntime:
    """ONNX Runtime in this process.

    Raises:
      RuntimeError: it refuses the model, or multiplies integers wrong on this CPU.
      ValueError: the model is not ONNX.
    """

    def __init__(self, model: GraphModel, *, threads: int) -> None:
        import onnxruntime

        options = session_options(threads)
        self._model, self._sessions = model, {}
        for graph in model.graphs:
            content = write_onnx_graph(graph, model.metadata)
            try:
                self._sessions[graph.name] = onnxruntime.InferenceSession(
                    content, options, providers=["CPUExecutionProvider"]
                )
            # its errors have no common type; all mean that the file is not for it
            except Exception as error:
                raise RuntimeError(f"ONNX Runtime refuses {graph.name!r}: {error}") from error

    def run(self, signature: str, inputs: Mapping[str, np.ndarray]) -> Arrays:
        graph = self._model.graph(signature)
        check_inputs(graph, inputs)
        values = {graph.inputs[name]: value for name, value in inputs.items()}
        try:
            outputs = self._sessions[signature].run(list(graph.outputs.values()), values)
        except Exception as error:
            raise RuntimeError(f"ONNX Runtime refuses graph {signature!r}: {error}") from error
        return dict(zip(graph.outputs, outputs, strict=True))

    def close(self) -> None:
        self._sessions.clear()
