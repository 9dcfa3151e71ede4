"""The real runtimes for tests: one worker process per kind, started again when a model kills it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from export.graph.ir import GraphModel
from export.legality.tflite_table import Support
from export.runtimes.child_process import VARIABLE, Worker, load_into, start_worker
from export.runtimes.contract import Runtime
from export.runtimes.litert import LiteRT
from export.targets import Target
from tests.support.export.operators import Case, real

IN_PROCESS = (Target.LITERT, Target.LITERT_BUILTIN)


def skip_without(target: Target) -> None:
    if target is Target.TFLITE_RUNTIME and not os.environ.get(VARIABLE):
        pytest.skip(f"{VARIABLE} does not name a Python with tflite-runtime 2.14")
    if target is Target.TFLM:
        pytest.importorskip("tflite_micro", reason="TFLM's host interpreter is not installed")


class Session:
    """Runs many models, one after the other, on one target."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.worker: Worker | None = None

    def open(self, model: GraphModel) -> Runtime:
        if self.target in IN_PROCESS:
            return LiteRT(model, threads=1, xnnpack=self.target is Target.LITERT)
        if self.worker is None:
            self.worker = start_worker(self.target.facts.kernels)
        return load_into(self.worker, model)

    def run(self, case: Case) -> dict[str, np.ndarray]:
        """Run a case.

        Raises:
          RuntimeError: the runtime refuses it.
        """
        try:
            return self.open(case.model).run("one", case.inputs)
        except RuntimeError as error:
            if "died" in str(error):
                self.close()
            raise

    def verdict(self, case: Case) -> Support:
        """Compare what a runtime computes with the oracle."""
        try:
            outputs = self.run(case)
        except RuntimeError:
            return Support.REFUSED
        graph = case.model.graphs[0]
        name = next(iter(graph.outputs))
        error = np.abs(real(outputs[name], graph.tensor(name).quant) - case.expected)
        return Support.RIGHT if np.all(error <= case.bound) else Support.WRONG

    def close(self) -> None:
        if self.worker is not None:
            self.worker.close()
        self.worker = None


@contextmanager
def session(target: Target) -> Iterator[Session]:
    skip_without(target)
    opened = Session(target)
    try:
        yield opened
    finally:
        opened.close()
