"""Runtimes in a process of their own: tflite-runtime 2.14, and TFLM's interpreter for hosts.

tflite-runtime 2.14 needs Python 3.11 or older and NumPy 1; the environment variable
TFLITE_RUNTIME_PYTHON names the Python that has it. TFLM (the `tflite-micro` wheel) runs under
this Python, but what it cannot do, an arena too small for example, ends in a segmentation fault.
A runtime that dies ends its own process, not this one.

Not here: the messages and the other side (worker.py), which imports nothing of this project.
"""

import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from export.graph.ir import Graph, GraphModel
from export.graph.tflite_writer import write_graph, write_tflite
from export.runtimes.contract import Arrays, check_inputs
from export.targets import Kernels
from trm_jax.command_line import install_text

VARIABLE = "TFLITE_RUNTIME_PYTHON"
HOW_TO = (
    "tflite-runtime 2.14 runs in an environment of its own (Python 3.11 or older, NumPy 1):"
    " python3.11 -m venv .venv-tflite"
    " && .venv-tflite/bin/pip install tflite-runtime==2.14.0 'numpy<2'"
    f" && export {VARIABLE}=$PWD/.venv-tflite/bin/python"
)
TFLM_HOW_TO = f"TFLM's interpreter comes with an extra: {install_text('tflite_micro')}"
WORKER = Path(__file__).with_name("worker.py")


@dataclass(frozen=True, kw_only=True)
class WorkerKind:
    """How a runtime is started in a process of its own, and what loads a model there.

    Attributes:
      name: worker.py's argument.
      python: finds the interpreter; raises RuntimeError where there is none.
      how_to: how to install the runtime.
      load_message: (model, threads) -> the message that loads the model.
    """

    name: str
    python: Callable[[], str]
    how_to: str
    load_message: Callable[[GraphModel, int], Arrays]


def find_tflite_runtime_python() -> str:
    """Find the interpreter that has tflite-runtime.

    Raises:
      RuntimeError: not named, or no program; the message holds the commands that make it.
    """
    path = os.environ.get(VARIABLE, "")
    if not path:
        raise RuntimeError(f"{VARIABLE} is not set. {HOW_TO}")
    if not os.access(path, os.X_OK):
        raise RuntimeError(f"{VARIABLE}={path} is no program. {HOW_TO}")
    return path


class Worker:
    """A process that has one model at a time.

    Raises:
      RuntimeError: there is no Python that has the runtime.
    """

    def __init__(self, kind: WorkerKind) -> None:
        self.kind, python = kind, kind.python()
        # what the runtime says as it dies; closed with the process
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            [python, "-s", str(WORKER), kind.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        )

    def ask(self, what: str, values: Arrays) -> Arrays:
        """Send a message and wait for its answer.

        Raises:
          RuntimeError: the runtime refuses `what`, or dies on it.
        """
        out = io.BytesIO()
        np.savez(out, **values)  # type: ignore[arg-type]
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        try:
            stdin.write(len(out.getvalue()).to_bytes(8, "little") + out.getvalue())
            stdin.flush()
            head = stdout.read(8)
        except BrokenPipeError:
            head = b""
        if len(head) < 8:
            code = self._process.wait()  # with NumPy 2 tflite-runtime imports and then dies
            raise RuntimeError(
                f"{self.kind.name} died on {what}: exit code {code}{self._last_line()}."
                f" {self.kind.how_to}"
            )
        with np.load(io.BytesIO(stdout.read(int.from_bytes(head, "little")))) as archive:
            reply = dict(archive)
        if "error" not in reply:
            return reply
        reason = str(reply["error"])
        hint = f". {self.kind.how_to}" if "ModuleNotFoundError" in reason else ""
        raise RuntimeError(f"{self.kind.name} refuses {what}: {reason}{self._last_line()}{hint}")

    def close(self) -> None:
        """End the process."""
        process = self._process
        for stream in (process.stdin, process.stdout):
            try:
                if stream:
                    stream.close()  # at the end of its input the worker ends
            except BrokenPipeError:  # it is dead already
                continue
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._log.close()

    def _last_line(self) -> str:
        """Quote the last line that the runtime printed."""
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return f" ({lines[-1]})" if lines else ""


class ProcessRuntime:
    """A model in a worker.

    Args:
      load: the message that loads it.

    Raises:
      RuntimeError: the runtime is missing in the worker's Python, or it refuses the model.
    """

    def __init__(self, worker: Worker, model: GraphModel, load: Arrays) -> None:
        self._worker, self._model = worker, model
        worker.ask("the model", load)

    def run(self, signature: str, inputs: Mapping[str, np.ndarray]) -> Arrays:
        check_inputs(self._model.graph(signature), inputs)
        named = {f"in:{name}": value for name, value in inputs.items()}
        message = {"signature": np.asarray(signature), **named}
        reply = self._worker.ask(f"graph {signature!r}", message)
        return {name.removeprefix("out:"): value for name, value in reply.items()}

    def close(self) -> None:
        self._worker.close()


def start_worker(kernels: Kernels) -> Worker:
    """Start the process of a runtime of WORKERS.

    Raises:
      RuntimeError: there is no environment for tflite-runtime.
    """
    return Worker(WORKERS[kernels])


def load_into(worker: Worker, model: GraphModel, threads: int = 1) -> ProcessRuntime:
    """Load a model into a worker in place of the one before.

    Raises:
      RuntimeError: the runtime is not installed, or refuses the model.
    """
    return ProcessRuntime(worker, model, worker.kind.load_message(model, threads))


def open_worker(kernels: Kernels, model: GraphModel, threads: int) -> ProcessRuntime:
    """Load a model into a process of its own.

    Raises:
      RuntimeError: as `start_worker` and `load_into`.
    """
    worker = start_worker(kernels)
    try:
        return load_into(worker, model, threads)
    except RuntimeError:
        worker.close()
        raise


def _tflite_message(model: GraphModel, threads: int) -> Arrays:
    return {"model": np.frombuffer(write_tflite(model), np.uint8), "threads": np.asarray(threads)}


def _tflm_message(model: GraphModel, threads: int) -> Arrays:
    message: Arrays = {"arena": np.asarray(sum(map(_arena_bound, model.graphs)))}
    for graph in model.graphs:
        content = write_graph(graph)
        message[f"file:{graph.name}"] = np.frombuffer(content, np.uint8)
        message[f"in:{graph.name}"] = np.asarray(list(graph.inputs))
        message[f"out:{graph.name}"] = np.asarray(list(graph.outputs))
    return message


def _arena_bound(graph: Graph) -> int:
    """Bound an arena from above: all tensors at once, scratch as large, and records."""
    values = sum(
        int(np.prod(tensor.shape, dtype=np.int64)) * tensor.dtype.numpy.itemsize
        for tensor in graph.tensors
    )
    return 2**16 + 4 * values + 1024 * (len(graph.tensors) + len(graph.ops))


WORKERS = {
    Kernels.TFLITE_RUNTIME: WorkerKind(
        name="tflite-runtime",
        python=find_tflite_runtime_python,
        how_to=HOW_TO,
        load_message=_tflite_message,
    ),
    Kernels.TFLM: WorkerKind(
        name="tflm",
        python=lambda: sys.executable,
        how_to=TFLM_HOW_TO,
        load_message=_tflm_message,  # it has one thread
    ),
}
