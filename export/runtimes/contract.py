"""What every runtime offers, and the check of its inputs."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import numpy as np

from export.graph.ir import Graph

Arrays = dict[str, np.ndarray]


@runtime_checkable
class Runtime(Protocol):
    """Something that runs the graphs of a model."""

    def run(self, signature: str, inputs: Mapping[str, np.ndarray]) -> Arrays:
        """Run one graph.

        Args:
          signature: name of the graph.
          inputs: by their names in the signature, of the graph's shapes and types.

        Raises:
          ValueError: no such signature, or inputs that it does not take.
          RuntimeError: the runtime refuses the graph.
        """
        ...

    def close(self) -> None:
        """Release memory and processes."""
        ...


def check_inputs(graph: Graph, inputs: Mapping[str, np.ndarray]) -> None:
    """Check the inputs of a signature.

    Raises:
      ValueError: names, shapes or types differ; the message shows both sides.
    """
    expected = {name: graph.tensor(tensor) for name, tensor in graph.inputs.items()}
    if expected.keys() != inputs.keys():
        raise ValueError(f"graph {graph.name!r} takes {sorted(expected)}, got {sorted(inputs)}")
    for name, tensor in expected.items():
        value = inputs[name]
        if value.shape != tensor.shape or value.dtype != tensor.dtype.numpy:
            raise ValueError(
                f"input {name!r} of graph {graph.name!r} is {tensor.dtype.value} {tensor.shape},"
                f" got {value.dtype} {value.shape}"
            )
