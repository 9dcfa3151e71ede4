"""LiteRT in this process, with XNNPACK (its default delegate) or with its own kernels.

Not here: tflite-runtime and TFLM, which run in processes of their own (child_process.py), and the
loop that calls the graphs (artifact/solver.py).
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

        self._model = model
        kinds = OpResolverType
        resolver = kinds.AUTO if xnnpack else kinds.BUILTIN_WITHOUT_DEFAULT_DELEGATES
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
