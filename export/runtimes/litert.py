"""The runtimes behind one contract: a model's graphs, called by their signatures.

    LITERT, AI_HUB    LiteRT with XNNPACK, its default (AI Hub runs the same files on phones)
    LITERT_BUILTIN    LiteRT's own kernels, no delegate
    TFLITE_RUNTIME    tflite-runtime 2.14, in a process of its own (child_process.py)
    TFLM              TFLM's interpreter for hosts, likewise
    ONNX              ONNX Runtime, of graphs in ONNX's words (onnx_runtime.py)

Every runtime is given `write(model)` of a model that was read and checked: bytes of its own
making, so that a damaged file meets a ValueError and not an interpreter. Left out: the loop that
calls the graphs (artifact/solver.py), and devices.
"""

from collections.abc import Mapping

import numpy as np

from export.graph.ir import GraphModel
from export.graph.tflite_writer import write_tflite
from export.runtimes.contract import Arrays, check_inputs


class LiteRT:
    """LiteRT in this process.

    Raises:
      RuntimeError: it refuses the model.
    """

    def __init__(self, model: GraphModel, *, threads: int, xnnpack: bool) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        kind = OpResolverType
        self._model = model
        resolver = kind.AUTO if xnnpack else kind.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        try:
            self._interpreter = Interpreter(
                model_content=write_tflite(model),
                num_threads=threads,
                experimental_op_resolver_type=resolver,
            )
            self._runners = {
                graph.name: self._interpreter.get_signature_runner(graph.name)
                for graph in model.graphs
            }
        except (RuntimeError, ValueError) as error:
            raise RuntimeError(f"LiteRT refuses the model: {error}") from error

    def run(self, signature: str, inputs: Mapping[str, np.ndarray]) -> Arrays:
        check_inputs(self._model.graph(signature), inputs)
        try:
            return self._runners[signature](**inputs)
        except (RuntimeError, ValueError) as error:
            raise RuntimeError(f"LiteRT refuses graph {signature!r}: {error}") from error

    def close(self) -> None:
        self._runners.clear()
