"""What the studies of an ablation are made of.

    Intervention   one variant of a study: its name, what it is compared with, how it is made
    AblatedModel   a model under an intervention, ready to run
    Context        what a study is given: model, puzzles, effort, a folder for what it trains

A study is a function from a context to its interventions, the reference first. It computes
nothing yet: compressing and training happen in `Intervention.make`, when a row needs it.
"""

import dataclasses
import enum
import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from experiments.ablate.rows import Facts
from experiments.measurement.choices import check_calibration
from quant.ptq import weights as ptq_weights
from quant.ptq.calibrate import Calibration
from quant.scheme import Scheme, parse
from quant.simulation import calibrate_on, simulate
from trm_jax.config import Config
from trm_jax.data.calibration import describe_calibration
from trm_jax.loading import LoadedModel, Puzzles
from trm_jax.models.reasoner import Reasoner
from trm_jax.tasks.calibration import CalibrationPuzzles
from trm_jax.tasks.task import Task
from trm_jax.types import Batch, Weights

FULL = "fp32"
"""Name of the unchanged model in every study."""


class NotApplicable(ValueError):
    """A study has nothing to do for this task or model; the message says why."""


class Effort(enum.Enum):
    """How long studies train."""

    DEFAULT = "default"
    QUICK = "quick"  # shows that everything runs, not what training gives

    def of(self, number: int) -> int:
        """Scale a number of updates or training puzzles: a twentieth of it when quick."""
        return number if self is Effort.DEFAULT else -(-number // 20)


class SolvedPuzzles(NamedTuple):
    """What was answered elsewhere than by a reasoner: by a file in a runtime.

    Attributes:
      ends: z_H after one supervision step and after all, (2, batch, pos, emb).
    """

    ends: np.ndarray
    tokens: Int[np.ndarray, "batch seq"]


def as_given(batch: Batch) -> Batch:
    """Show a puzzle whole."""
    return batch


@dataclass(frozen=True, kw_only=True, eq=False)
class AblatedModel:
    """A model under an intervention, ready to run.

    Attributes:
      steps: supervision steps after which it is read.
      show: what the model sees of the puzzles; it is scored on the whole ones.
      solve: answers instead of the reasoner, which then stands for what was compressed.
      facts: for tables; `bytes` and `parameters` always.
    """

    reasoner: Reasoner
    weights: Weights
    steps: int
    facts: Facts
    show: Callable[[Batch], Batch] = as_given
    solve: Callable[[Batch], SolvedPuzzles] | None = None


@dataclass(frozen=True, kw_only=True)
class Intervention:
    """One variant of a study.

    Attributes:
      name: of its rows.
      make: compresses or trains; called once, only if a row is missing.
      reference: name of the variant of the same study that it is compared with.
      settings: all that decides its numbers beside the model and the puzzles.
      made_once: name of what only one process of several may make, since it is trained or timed;
        variants of one name share it. Empty: any process may.
    """

    name: str
    make: Callable[[], AblatedModel]
    reference: str = FULL
    settings: Facts = field(default_factory=dict)
    made_once: str = ""


class Announcer:
    """Passes on what long work is doing, to whoever shows progress at the time."""

    def __init__(self) -> None:
        self.listener: Callable[[str], object] = lambda text: None

    def __call__(self, text: str) -> None:
        self.listener(text)


@dataclass(frozen=True, kw_only=True, eq=False)
class Context:
    """What a study is given.

    Attributes:
      dtype: arithmetic where a scheme names none.
      num_puzzles: how many puzzles will be evaluated, the first ones of the data.
      seed: of every draw.
      folder: where trained models and generated puzzles are kept.
      train_data: data set to train on; None generates puzzles.
      chosen: puzzles to calibrate on that a command line chose; None: the last of the data.
      others: models beside `model` that a study of architectures compares.
      announce: takes a line on what is being done.
    """

    model: LoadedModel
    puzzles: Puzzles
    dtype: str
    num_puzzles: int
    effort: Effort
    seed: int
    folder: Path
    train_data: Path | None = None
    chosen: CalibrationPuzzles | None = None
    others: tuple[str, ...] = ()
    announce: Announcer = field(default_factory=Announcer)

    @property
    def task(self) -> Task:
        """What the puzzles are."""
        return self.puzzles.task

    @property
    def steps(self) -> int:
        """Supervision steps at full depth."""
        return self.model.config.halt_max_steps

    @property
    def config(self) -> Config:
        """The model's configuration in this run's arithmetic."""
        return dataclasses.replace(self.model.config, forward_dtype=self.dtype)

    @functools.cached_property
    def aside(self) -> CalibrationPuzzles:
        """The puzzles that schemes are calibrated on."""
        return self.chosen or CalibrationPuzzles(evaluated=self.puzzles)

    @functools.cached_property
    def calibration(self) -> Calibration:
        """The model and those puzzles, measured once for all studies."""
        return calibrate_on(self.model, self.aside.batches(), self.steps)

    def calibrated_on(self, scheme: Scheme) -> Facts:
        """Give the setting of puzzles that a scheme is calibrated on, where they were chosen."""
        if self.aside.facts is None or not scheme.needs_puzzles:
            return {}
        return {"calibration": describe_calibration(self.aside.facts)}

    @functools.cached_property
    def original(self) -> AblatedModel:
        """The unchanged model at full depth, one object for all studies."""
        return put_under(self, parse(FULL))

    def full(self) -> Intervention:
        """Make the reference of most studies."""
        return Intervention(name=FULL, make=lambda: self.original)


def put_under(context: Context, scheme: Scheme, model: LoadedModel | None = None) -> AblatedModel:
    """Put a model (the context's by default) under a scheme, at full depth.

    Raises:
      ValueError: static activations would be calibrated on puzzles that are evaluated.
    """
    calibration = context.calibration
    if scheme.needs_puzzles:
        check_calibration((scheme,), context.num_puzzles, context.aside)
    if model is not None:
        calibration = calibrate_on(model, context.aside.batches())
    model = model or context.model
    steps = calibration.steps
    simulation = simulate(model, scheme, calibration, dtype=context.dtype)
    return AblatedModel(
        reasoner=simulation.reasoner,
        weights=simulation.weights,
        steps=steps,
        facts={**sizes(model.weights, scheme)},
    )


def compressed(context: Context, scheme: str) -> Intervention:
    """Make the intervention that puts the model under a scheme and is named after it."""
    return Intervention(
        name=scheme,
        make=lambda: put_under(context, parse(scheme)),
        settings={"scheme": scheme, **context.calibrated_on(parse(scheme))},
    )


def sizes(weights: Weights, scheme: Scheme) -> dict[str, float]:
    """Count the stored bytes of a model under a scheme and its weights (no puzzle table)."""
    stored = ptq_weights.footprint(weights, scheme)
    count = sum(math.prod(row.shape) for row in stored.backbone)
    return {"bytes": float(stored.total), "parameters": float(count)}
