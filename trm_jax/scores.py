"""A model's scores on puzzles, with their errors: the evaluation of a few lines of Python.

Programs that measure many schemes at many depths, resume and merge are in experiments; both read
the same counts (trm_jax/evaluators.py) and estimate them the same way (trm_jax/intervals.py).
"""

from typing import NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool

from trm_jax.data.batches import eval_batches
from trm_jax.evaluators import Readout, measure, trajectory
from trm_jax.intervals import Interval, mean, wilson
from trm_jax.loading import Puzzles
from trm_jax.models.reasoner import Reasoner
from trm_jax.types import IGNORE_LABEL, Batch, Weights

BATCH_SIZE = 64


@runtime_checkable
class Runnable(Protocol):
    """A loaded model, a simulation, or anything else that holds both."""

    @property
    def reasoner(self) -> Reasoner: ...

    @property
    def weights(self) -> Weights: ...


class Scores(NamedTuple):
    """What a model scores at full depth; every estimate with its 95 % interval.

    Attributes:
      exact: rate of puzzles without a wrong cell (Wilson interval).
      lenient: rate of answers that are right by the task's second score, such as any shortest
        path of a maze; None where only one answer is right.
      cells: share of right cells, averaged over puzzles (normal interval).
      fidelity: cosine of z_H to the reference's, averaged over puzzles; None without one.
      solved: the puzzles without a wrong cell, in the order of evaluation, for paired tests.
    """

    exact: Interval
    lenient: Interval | None
    cells: Interval
    fidelity: Interval | None
    solved: Bool[np.ndarray, " puzzles"]

    def __str__(self) -> str:
        parts = [f"exact match {self.exact}"]
        if self.lenient is not None:
            parts.append(f"lenient {self.lenient}")
        parts.append(f"cells {self.cells}")
        if self.fidelity is not None:
            parts.append(f"fidelity {self.fidelity}")
        return f"{', '.join(parts)}; {len(self.solved)} puzzles, 95 % intervals"


def evaluate(
    model: Runnable,
    puzzles: Puzzles,
    *,
    reference: Runnable | None = None,
    limit: int | None = None,
    steps: int | None = None,
    batch_size: int = BATCH_SIZE,
) -> Scores:
    """Score a model on puzzles, in the order in which a sweep measures them.

    Args:
      reference: the full-precision model that fidelity compares with; None: no fidelity.
      limit: only the first so many puzzles; None: all.
      steps: supervision steps; None: the configuration's halt_max_steps.
      batch_size: puzzles at a time.

    Raises:
      ValueError: limit, steps or batch size below 1.
    """
    steps = model.reasoner.config.halt_max_steps if steps is None else steps
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got steps={steps}")
    lenient = puzzles.task.second_score(puzzles.facts)
    parts: list[tuple[Readout, np.ndarray, int]] = []
    for host in eval_batches(puzzles.ordered, batch_size, limit=limit):
        batch = Batch(*(jnp.asarray(x) for x in host[:3]))
        states = trajectory(model.reasoner, model.weights, batch, steps=steps)
        compared = states
        if reference is not None:
            compared = trajectory(reference.reasoner, reference.weights, batch, steps=steps)
        readout = measure(
            model.reasoner,
            model.weights,
            batch,
            states,
            compared,
            depths=(len(states),),
            lenient=lenient,
        )
        scored = np.sum(host.labels != IGNORE_LABEL, axis=-1)
        parts.append((jax.device_get(readout), scored, host.num_real))
    return _scores(
        parts,
        has_reference=reference is not None,
        has_second_score=puzzles.task.has_second_score,
    )


def _scores(
    parts: list[tuple[Readout, np.ndarray, int]], *, has_reference: bool, has_second_score: bool
) -> Scores:
    """Join the read-outs of batches, padding puzzles left out, and estimate."""
    solved = np.concatenate([np.asarray(r.exact)[0, :n] for r, _, n in parts])
    lenient = np.concatenate([np.asarray(r.lenient)[0, :n] for r, _, n in parts])
    cells = np.concatenate(
        [np.asarray(r.cell_correct)[0, :n] / np.maximum(s[:n], 1) for r, s, n in parts]
    )
    cosines = np.concatenate([np.asarray(r.fidelity, np.float64)[0, :n] for r, _, n in parts])
    return Scores(
        exact=wilson(int(solved.sum()), solved.size),
        lenient=wilson(int(lenient.sum()), lenient.size) if has_second_score else None,
        cells=_mean(cells),
        fidelity=_mean(cosines) if has_reference else None,
        solved=solved,
    )


def _mean(values: np.ndarray) -> Interval:
    return mean(float(values.sum()), float(np.square(values).sum()), values.size)
