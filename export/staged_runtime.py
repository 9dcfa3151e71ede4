"""A runtime that runs a block by its stages, as a board does (stages.py)."""

from collections.abc import Mapping

import numpy as np

from export.contract import Arrays, Runtime
from export.graph import Model
from export.stages import cut_graphs, run_stages, stages_of

BLOCK = "block"


class Staged:
    """Another runtime, but for the block; one puzzle per call."""

    def __init__(self, runtime: Runtime, model: Model) -> None:
        self._runtime, self._stages = runtime, stages_of(cut_graphs(model))

    def run(self, signature: str, inputs: Mapping[str, np.ndarray]) -> Arrays:
        if signature != BLOCK:
            return self._runtime.run(signature, inputs)
        (z,), (injection,) = inputs["z"], inputs["injection"]
        return {"z": run_stages(self._runtime.run, z, injection, self._stages)[None]}

    def close(self) -> None:
        self._runtime.close()


def by_stages(runtime: Runtime, model: Model) -> Runtime:
    """Run the stages of a model in place of its block, if it has any."""
    return Staged(runtime, model) if cut_graphs(model) else runtime
