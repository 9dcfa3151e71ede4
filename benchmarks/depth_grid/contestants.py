"""Who fills a depth x precision grid: one rollout per precision, or every cell on its own.

`SharedRollouts` is what experiments.sweep does: a trajectory per scheme and a read-out at every
depth, fidelity and residuals included. The rivals run a cell from the initial states to exactly
its depth and only count right answers, so the comparison does not favour us. A program is
compiled once per depth, before anything is timed. A `ContestPlan` says which cells are timed:
grids over H-cycles T, supervision steps n and schemes.
"""

import dataclasses
import importlib.util
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Protocol

import jax
import numpy as np

from benchmarks.subject import Subject
from experiments.measurement.depths import DepthGrid, full_grid, parse_depths
from quant.scheme import Scheme, parse
from trm_jax import metrics
from trm_jax.command_line import split_names, usable_processors
from trm_jax.config import Config
from trm_jax.evaluators import Readout, measure, trajectory
from trm_jax.models.act import predictions, rollout
from trm_jax.models.build import build
from trm_jax.models.reasoner import Reasoner
from trm_jax.types import Batch, Logits, Weights

Variants = Mapping[str, Weights]
"""Weights of a model under each scheme, full precision first."""


class SharedRollouts:
    """One rollout per scheme, read out at all depths.

    Attributes:
      compile_seconds: time to compile the rollout and the read-out.
    """

    def __init__(self, subject: Subject, variants: Variants, depths: tuple[int, ...]) -> None:
        self.batch, self.variants = subject.batch, variants
        self.reasoner = reasoner = subject.reasoner
        steps = -(-max(depths) // subject.config.H_cycles)
        given = (subject.weights, self.batch)
        states = jax.eval_shape(partial(trajectory, reasoner, steps=steps), *given)
        start = time.perf_counter()
        self.roll = trajectory.lower(reasoner, *given, steps=steps).compile()
        self.read = measure.lower(reasoner, *given, states, states, depths=depths).compile()
        self.compile_seconds = time.perf_counter() - start

    def run(self) -> list[Readout]:
        """Fill the grid."""
        readouts, reference = [], None
        for weights in self.variants.values():
            states = self.roll(weights, self.batch)
            reference = states if reference is None else reference
            readouts.append(self.read(weights, self.batch, states, reference))
        return readouts

    def logits(self, scheme: str, depth: int) -> np.ndarray:
        """Decode the state of the trajectory at `depth` H-cycles."""
        weights = self.variants[scheme]
        z_H = self.roll(weights, self.batch)[depth - 1]
        return np.asarray(self.reasoner.read_out(weights.params, z_H).logits)


class Rival(Protocol):
    """Fills one cell at a time."""

    name: str
    compile_seconds: float

    def run(self, scheme: str, depth: int) -> object:
        """Roll out to `depth` H-cycles and count; the result is ready on return."""
        ...

    def logits(self, scheme: str, depth: int) -> np.ndarray:
        """Roll out to `depth` H-cycles, for the check that both compute the same."""
        ...


@partial(jax.jit, static_argnames=("reasoner", "cycles"))
def single_cell(
    reasoner: Reasoner, weights: Weights, batch: Batch, *, cycles: int
) -> tuple[Logits, jax.Array, jax.Array]:
    """Run one cell: logits, right cells and exactly solved puzzles."""
    latents, _ = rollout(reasoner, weights, batch, steps=cycles, observe=lambda _: None)
    logits = reasoner.read_out(weights.params, latents.z_H).logits
    answers = predictions(logits)
    right = metrics.correct_cells(answers, batch.labels)
    return logits, right, metrics.puzzle_exact(answers, batch.labels)


class JaxCells:
    """The same JAX code, one rollout for every cell."""

    name = "JAX cell by cell"

    def __init__(self, subject: Subject, variants: Variants, depths: tuple[int, ...]) -> None:
        self.batch, self.variants = subject.batch, variants
        reasoner = _one_cycle_a_step(subject)
        start = time.perf_counter()
        self.programs = {
            depth: single_cell.lower(reasoner, subject.weights, self.batch, cycles=depth).compile()
            for depth in depths
        }
        self.compile_seconds = time.perf_counter() - start

    def run(self, scheme: str, depth: int) -> object:
        return jax.block_until_ready(self.programs[depth](self.variants[scheme], self.batch))

    def logits(self, scheme: str, depth: int) -> np.ndarray:
        return np.asarray(self.programs[depth](self.variants[scheme], self.batch)[0])


def _one_cycle_a_step(subject: Subject) -> Reasoner:
    """Rebuild the reasoner so that steps count H-cycles: T steps of 1 are 1 step of T."""
    return build(dataclasses.replace(subject.config, H_cycles=1))


class TorchCells:
    """PyTorch, eager, one forward for every cell, with as many threads as JAX has."""

    name = "PyTorch cell by cell"
    compile_seconds = 0.0  # eager

    def __init__(self, subject: Subject, variants: Variants) -> None:
        from benchmarks.torch_reasoner import TorchReasoner, puzzle_tensors

        self.models = {
            scheme: TorchReasoner.of(subject.config, weights, usable_processors())
            for scheme, weights in variants.items()
        }
        inputs, labels, identifiers = puzzle_tensors(subject.batch)
        self.puzzles, self.labels = (inputs, identifiers), labels

    def run(self, scheme: str, depth: int) -> object:
        right = self.models[scheme].logits(*self.puzzles, depth).argmax(-1) == self.labels
        return right.sum(-1), right.all(-1)

    def logits(self, scheme: str, depth: int) -> np.ndarray:
        return self.models[scheme].logits(*self.puzzles, depth).numpy()


def torch_installed() -> bool:
    """Return whether the PyTorch rival can run."""
    return importlib.util.find_spec("torch") is not None


class Cell(NamedTuple):
    """One cell: a scheme after n supervision steps of T H-cycles."""

    scheme: str
    T: int
    n: int


@dataclass(frozen=True)
class ContestPlan:
    """Grids by name, all over the same schemes."""

    grids: dict[str, DepthGrid]
    schemes: tuple[str, ...]

    def cells(self, name: str) -> list[Cell]:
        """List the cells of a grid; for a rival every one is a rollout."""
        grid = self.grids[name]
        return [Cell(s, T, n) for s in self.schemes for T in grid.T for n in grid.n]

    def depths(self, name: str) -> tuple[int, ...]:
        """List the H-cycle counts of a grid, each once."""
        return tuple(sorted({cell.T * cell.n for cell in self.cells(name)}))

    @property
    def all_cells(self) -> list[Cell]:
        """List the cells of all grids, each once."""
        return list(dict.fromkeys(cell for name in self.grids for cell in self.cells(name)))


def make_plan(config: Config, depths: str | None, schemes: str) -> ContestPlan:
    """Choose the grids: those asked for, or every n and the paper's n; and the deepest cell.

    Raises:
      ValueError: impossible depths, or a scheme that does more than replace weights.
    """
    names = tuple(dict.fromkeys(weight_scheme(name).name for name in split_names(schemes)))
    paper = full_grid(config)
    every = dataclasses.replace(paper, n=tuple(range(1, config.halt_max_steps + 1)))
    grids = {"every n": every, "paper's n": paper}
    if depths is not None:
        grids = {depths: parse_depths(depths, config)}
    widest = next(iter(grids.values()))
    corner = DepthGrid(widest.T[-1:], widest.n[-1:], config.H_cycles)
    return ContestPlan({**grids, "deepest cell": corner}, names)


def weight_scheme(name: str) -> Scheme:
    """Read a scheme that only replaces weights, so that any float32 forward can run it.

    Raises:
      ValueError: unknown, or it changes arithmetic, activations or carry.
    """
    scheme = parse(name)
    if scheme != Scheme(weights=scheme.weights):
        raise ValueError(
            f"{name} changes more than weights; this benchmark compares float32 forwards and"
            " takes fp32 and weight schemes such as int8 or w4c-asym"
        )
    return scheme
