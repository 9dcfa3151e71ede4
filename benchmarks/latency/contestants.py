"""Who runs a supervision step: LiteRT under several numerics, and ONNX Runtime.

All are runtimes behind export/runtimes/contract.py that get graphs of one application of a network
and of the heads; the loop around the graphs is the host's, and the same for all. ONNX Runtime's
float graphs are export.onnx's; its dynamic int8 graphs are made from those by its own tool.
"""

import logging
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.subject import Subject
from export.graph.files import write_files
from export.graph.ir import GraphModel
from export.lowering.storage import plan_for
from export.pipeline import lower_model
from export.runtimes.contract import Arrays, Runtime
from export.runtimes.onnx_runtime import session_options
from export.runtimes.registry import open_runtime
from export.targets import Target
from quant.ptq.weights import footprint
from quant.scheme import parse
from quant.simulation import simulate
from trm_jax.loading import LoadedModel
from trm_jax.types import Weights

IN_FILE = ("L_level", "H_level", "lm_head", "q_head")
"""Where the weights lie that are in a file; embeddings and initial states are the host's."""


@dataclass(frozen=True, kw_only=True, eq=False)
class StepContestant:
    """A model in a runtime.

    Attributes:
      file_bytes: of its graphs as they are shipped.
      packed_bytes: of the weights in them under its scheme: integers, scales, zero points, floats.
    """

    name: str
    runtime: Runtime
    file_bytes: int
    packed_bytes: int


def graphs_of(subject: Subject, scheme: str, target: Target) -> GraphModel:
    """Export a subject's graphs; its own puzzles calibrate static numerics.

    Raises:
      ValueError: the target does not compute the scheme.
    """
    source = LoadedModel(
        name=subject.name, origin="", task=None, config=subject.config, weights=subject.weights
    )
    plan = plan_for(parse(scheme), target)
    simulation = simulate(source, plan.precision, [subject.batch], steps=1)
    return lower_model(source, plan, simulation, batch=subject.num_puzzles)[0]


def exported(subject: Subject, scheme: str, target: Target, threads: int) -> StepContestant:
    """Load an export into the runtime of its target.

    Raises:
      ValueError: as `graphs_of`.
    """
    model = graphs_of(subject, scheme, target)
    return StepContestant(
        name=f"{target.value} {scheme}",
        runtime=open_runtime(target, model, threads=threads),
        file_bytes=sum(map(len, write_files(model, target).values())),
        packed_bytes=packed_bytes(subject.weights, scheme),
    )


def packed_bytes(weights: Weights, scheme: str) -> int:
    """Count the bytes of the weights that a file holds, from their shapes alone."""
    rows = footprint(weights, parse(scheme)).backbone
    return sum(row.stored.total for row in rows if row.name.startswith(IN_FILE))


def ort_int8(subject: Subject, threads: int) -> StepContestant:
    """Load what ONNX Runtime's tool makes of the float graphs."""
    model = graphs_of(subject, "fp32", Target.ONNX)
    contents = {
        name.removesuffix(".onnx"): dynamic_int8(content)
        for name, content in write_files(model, Target.ONNX).items()
    }
    return StepContestant(
        name="onnx dynamic int8",
        runtime=OnnxBytes(model, contents, threads),
        file_bytes=sum(map(len, contents.values())),
        packed_bytes=packed_bytes(subject.weights, "w8c-sym"),
    )


def dynamic_int8(content: bytes) -> bytes:
    """Quantise the products with constants: int8 weights per channel, dynamic uint8 inputs."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory() as folder, _quiet():
        out = Path(folder) / "int8.onnx"
        quantize_dynamic(
            onnx.load_from_string(content), out, per_channel=True, weight_type=QuantType.QInt8
        )
        return out.read_bytes()


@contextmanager
def _quiet() -> Iterator[None]:
    """Hold back the advice that the tool gives to the root logger."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


class OnnxBytes:
    """ONNX Runtime over files that others made of a model's graphs; the ends kept their names.

    Its own quantiser asks for uint8 x int8, which saturates on some CPUs: the options of every
    model here (export/runtimes) ask for the right products there.
    """

    def __init__(self, model: GraphModel, contents: Mapping[str, bytes], threads: int) -> None:
        import onnxruntime

        options = session_options(threads)
        self._model = model
        self._sessions = {
            name: onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])
            for name, content in contents.items()
        }

    def run(self, signature: str, inputs: Mapping[str, np.ndarray]) -> Arrays:
        graph = self._model.graph(signature)
        feeds = {graph.inputs[name]: value for name, value in inputs.items()}
        outputs = self._sessions[signature].run(list(graph.outputs.values()), feeds)
        return dict(zip(graph.outputs, map(np.asarray, outputs), strict=True))

    def close(self) -> None:
        self._sessions.clear()
