"""Metrics between two rows: collected without stopping the device, watched for NaN.

Sums are kept in float32 and added step by step, so that a window that was saved half-way and
taken up again gives the same row to the last bit.
"""

from typing import Any

import jax
import numpy as np

PER_PUZZLE = ("accuracy", "exact_accuracy", "q_halt_accuracy", "steps")


class Window:
    """Sums of metrics since the last row.

    Args:
      tensors: names of the tensors that the step watches (`step.watched_names`).
    """

    def __init__(self, tensors: list[str]) -> None:
        self.tensors = tensors
        self.pending: list[tuple[int, dict[str, jax.Array]]] = []
        self.clear()

    def clear(self) -> None:
        """Begin anew."""
        self.sums: dict[str, np.float32] = {}
        self.steps = 0

    def add(self, step: int, metrics: dict[str, jax.Array]) -> None:
        """Note a step and wait for the one before it: the device always has its next at hand."""
        self.pending.append((step, metrics))
        if len(self.pending) > 1:
            jax.block_until_ready(self.pending[-2][1])

    def settle(self) -> None:
        """Wait for all steps and add them up.

        Raises:
          FloatingPointError: names the first step that left the numbers, and its tensor.
        """
        pending, self.pending = jax.device_get(self.pending), []
        for step, metrics in pending:
            self._check(step, metrics)
            self.steps += 1
            for name, value in metrics.items():
                self.sums[name] = self.sums.get(name, np.float32(0)) + np.float32(value)

    def _check(self, step: int, metrics: dict[str, Any]) -> None:
        number, loss = int(metrics["not_finite"]), float(metrics["loss"])
        if number or not np.isfinite(loss):
            what = self.tensors[number - 1] if number else "only the loss"
            raise FloatingPointError(f"step {step}: {what} is not finite, the loss is {loss}")

    def row(self) -> dict[str, float]:
        """Average: per halted puzzle where a metric counts those, per step otherwise."""
        sums = {k: float(v) for k, v in self.sums.items() if k != "not_finite"}
        halted = max(sums.pop("count"), 1.0)
        return {k: v / (halted if k in PER_PUZZLE else self.steps) for k, v in sums.items()}

    def to_json(self) -> dict[str, Any]:
        """Give what `from_json` takes; float32 survives the way through decimals."""
        return {"steps": self.steps, "sums": {k: float(v) for k, v in self.sums.items()}}

    def from_json(self, saved: dict[str, Any]) -> None:
        """Take up a window that was saved half-way."""
        self.steps = saved["steps"]
        self.sums = {k: np.float32(v) for k, v in saved["sums"].items()}
