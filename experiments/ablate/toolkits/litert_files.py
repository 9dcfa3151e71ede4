"""Files by ai-edge-quantizer: its recipes on this project's exported float file, run by LiteRT.

The file holds a block and the heads, which the host calls in a loop, so that the quantizer sees
graphs without a recursion. Its static recipes are calibrated on inputs of the graphs: of the first
cycle, or along whole rollouts, which this project's loop collects. Inputs and outputs of a static
file are integers; the host encodes and decodes them at every call, as a user's loop would.

Not here: this project's own files (export/pipeline.py).
"""

import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.ablate.interventions import SolvedPuzzles
from experiments.ablate.toolkits import foreign_conventions
from export.artifact.host_state import encoding_of, real
from export.artifact.open import Export
from export.artifact.solver import Solver
from export.graph.files import write_files
from export.graph.ir import DType, GraphModel, Tensor
from export.graph.tflite_reader import read_tflite
from export.lowering.storage import plan_for
from export.pipeline import draft_manifest, lower_model
from export.runtimes.contract import Arrays, Runtime
from export.runtimes.registry import open_runtime
from export.targets import Target
from quant.scheme import parse
from quant.simulation import simulate
from trm_jax.loading import LoadedModel
from trm_jax.types import Batch

BATCH = 25  # puzzles per call of the graphs
CALLS_APART = 5  # of a rollout, between two calls that a recipe is calibrated on

Samples = dict[str, list[dict[str, np.ndarray]]]
"""Inputs of the graphs by name, as the quantizer takes them."""


def import_quantizer() -> tuple[Any, Any]:
    """Import the quantizer and its recipes.

    Raises:
      ModuleNotFoundError: it is not installed.
    """
    with foreign_conventions():
        from ai_edge_quantizer import quantizer, recipe

    return quantizer, recipe


def version() -> str:
    """Return the quantizer's version.

    Raises:
      ModuleNotFoundError: it is not installed.
    """
    import_quantizer()
    return importlib.metadata.version("ai-edge-quantizer")


@dataclass(frozen=True, kw_only=True, eq=False)
class FloatFile:
    """A model's exported float file and what the host needs to run it."""

    export: Export
    content: bytes


def export_floats(model: LoadedModel, steps: int) -> FloatFile:
    """Lower a model for LiteRT in full precision, in memory."""
    plan = plan_for(parse("fp32"), Target.LITERT)
    simulation = simulate(model, plan.precision, steps=steps)
    graphs, host = lower_model(model, plan, simulation, batch=BATCH)
    contents = write_files(graphs, Target.LITERT)
    manifest = draft_manifest(model, plan, simulation, graphs, contents, batch=BATCH, steps=steps)
    (content,) = contents.values()
    return FloatFile(export=Export(manifest=manifest, model=graphs, host=host), content=content)


def quantise_file(file: FloatFile, recipe: str, samples: Samples | None = None) -> bytes:
    """Quantise the file by a recipe of the quantizer.

    Args:
      recipe: name of one of its functions, `static_wi8_ai8`.
      samples: inputs that a static recipe is calibrated on.

    Raises:
      ModuleNotFoundError: the quantizer is not installed.
    """
    quantizer, recipes = import_quantizer()
    with foreign_conventions():
        made = quantizer.Quantizer(bytearray(file.content), getattr(recipes, recipe)())
        ranges = made.calibrate(samples, num_threads=1) if made.need_calibration else None
        return bytes(made.quantize(ranges, enable_progress_report=False).quantized_model)


class SamplingRuntime:
    """Runs the float file and keeps what its graphs are given."""

    def __init__(self, runtime: Runtime, apart: int) -> None:
        self._runtime, self._apart, self._calls = runtime, apart, 0
        self.samples: Samples = {}

    def run(self, signature: str, inputs: Mapping[str, np.ndarray]) -> Arrays:
        kept = self.samples.setdefault(signature, [])
        if self._calls % self._apart == 0 or not kept:
            kept.append({name: value.copy() for name, value in inputs.items()})
        self._calls += 1
        return self._runtime.run(signature, inputs)

    def close(self) -> None:
        self._runtime.close()


def collect_samples(file: FloatFile, puzzles: Batch, *, steps: int, whole: bool) -> Samples:
    """Run the float file on calibration puzzles and keep inputs of its graphs.

    Args:
      steps: supervision steps of a whole rollout.
      whole: along rollouts, every `CALLS_APART`-th call; otherwise of the first cycle.
    """
    runtime = SamplingRuntime(_open(file.export.model), CALLS_APART if whole else 1)
    inputs, identifiers = puzzles.inputs[:BATCH], puzzles.puzzle_identifiers[:BATCH]
    try:
        Solver(file.export, runtime).solve(
            np.asarray(inputs),
            np.asarray(identifiers),
            steps=steps if whole else 1,
            H_cycles=None if whole else 1,
        )
    finally:
        runtime.close()
    return runtime.samples


class RoundedEnds:
    """A file whose graphs take and give integers, seen as one of floats."""

    def __init__(self, runtime: Runtime, model: GraphModel) -> None:
        self._runtime, self._model = runtime, model

    def run(self, signature: str, inputs: Mapping[str, np.ndarray]) -> Arrays:
        graph = self._model.graph(signature)
        encoded = {
            name: encode(value, graph.tensor(graph.inputs[name])) for name, value in inputs.items()
        }
        given = self._runtime.run(signature, encoded)
        return {
            name: decode(value, graph.tensor(graph.outputs[name])) for name, value in given.items()
        }

    def close(self) -> None:
        self._runtime.close()


def encode(values: np.ndarray, tensor: Tensor) -> np.ndarray:
    """Put real values onto a tensor's grid; floats stay as they are."""
    if tensor.dtype is DType.FLOAT32:
        return values
    grid = encoding_of(tensor)
    steps = np.round(values / np.float32(grid.scale)) + grid.zero_point
    dtype = np.int8 if tensor.dtype is DType.INT8 else np.int16
    return np.clip(steps, grid.q_min, grid.q_max).astype(dtype)


def decode(values: np.ndarray, tensor: Tensor) -> np.ndarray:
    """Read the real values of a tensor."""
    return values if tensor.dtype is DType.FLOAT32 else real(values, encoding_of(tensor))


class FileSolver:
    """Answers puzzles by the host loop over a quantised file.

    Args:
      file: tells sizes and holds the host's tensors.
      content: the quantised file.
      steps: supervision steps.
    """

    def __init__(self, file: FloatFile, content: bytes, steps: int) -> None:
        model = read_tflite(content)
        self._solver = Solver(file.export, RoundedEnds(_open(model), model))
        self._steps, self._step_cycles = steps, file.export.config.H_cycles

    def __call__(self, batch: Batch) -> SolvedPuzzles:
        """Solve puzzles and keep the states after one step and at the end."""
        inputs, identifiers = np.asarray(batch.inputs), np.asarray(batch.puzzle_identifiers)
        after_step: list[np.ndarray] = []

        def observe(rows: slice, cycle: int, z_H: np.ndarray) -> None:
            if cycle == self._step_cycles:
                after_step.append(z_H.copy())

        solution = self._solver.solve(inputs, identifiers, steps=self._steps, observe=observe)
        ends = np.stack([np.concatenate(after_step), solution.z_H])
        return SolvedPuzzles(ends, solution.tokens)


def _open(model: GraphModel) -> Runtime:
    return open_runtime(Target.LITERT, model)
