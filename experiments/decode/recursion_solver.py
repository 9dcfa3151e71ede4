"""A recursive model under a scheme: at its full depth, and until the puzzle's rules are obeyed.

Fidelity is the cosine of z_H to full precision's after as many H-cycles. An answer is read out once
at full depth, and after every supervision step where the rules are asked.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from experiments.decode.solvers import Answered
from export.footprint.estimate import Footprint, estimate_footprint
from export.footprint.sram import state_bytes
from quant.ptq import weights
from quant.scheme import Scheme
from quant.simulation import Simulation
from trm_jax.data.batches import PuzzleBatch
from trm_jax.evaluators import Trajectory, step_readings
from trm_jax.halting import (
    BY_RULES,
    NEVER,
    Halting,
    StepReading,
    halted_tokens,
    halting_steps,
)
from trm_jax.halting.rules import Rules
from trm_jax.loading import LoadedModel, to_batch
from trm_jax.metrics import token_cosine

HEADS = ("lm_head", "q_head")
BY_RULES_SUFFIX = ", by rules"
"""What the name of a model gets where the puzzle's rules end it."""


@dataclass(frozen=True, eq=False)
class RolledOut:
    """A shard at full depth: z_H after every H-cycle.

    What is read out after every step is computed when it is first asked for.
    """

    simulation: Simulation
    states: Trajectory

    @cached_property
    def readings(self) -> list[StepReading]:
        """Read the states out after every supervision step."""
        return step_readings(self.simulation.reasoner, self.simulation.weights, self.states)


class ReferenceRollout(NamedTuple):
    """The states of full precision, and its answers by the way in which they end."""

    states: Trajectory
    cells: Mapping[str, np.ndarray]


class HeadCost(NamedTuple):
    """GFLOPs of a read-out of all positions, and the bytes of both heads."""

    gflops: float
    size: int


@dataclass(frozen=True, eq=False)
class RecursionSolver:
    """A recursive model under a scheme.

    Attributes:
      rules: of the puzzles; None: the task has none, and only full depth is measured.
    """

    model: LoadedModel
    scheme: Scheme
    simulation: Simulation
    rules: Rules | None

    @property
    def ends(self) -> tuple[str, ...]:
        """Full depth, and by rules where there are some."""
        name = self.model.name
        return (name,) if self.rules is None else (name, name + BY_RULES_SUFFIX)

    @cached_property
    def footprint(self) -> Footprint:
        """Costs by shapes."""
        return estimate_footprint(self.model.config, self.scheme)

    @cached_property
    def head(self) -> HeadCost:
        """What a read-out costs; a decoder's head is counted too (export/footprint/decoder.py)."""
        stored = weights.footprint(self.model.weights, self.scheme).backbone
        heads = [tensor for tensor in stored if tensor.name.split("/")[0] in HEADS]
        config = self.model.config
        macs = config.hidden_size * (config.vocab_size * config.num_positions + 2)
        return HeadCost(2e-9 * macs, sum(tensor.stored.total for tensor in heads))

    def run(self, host: PuzzleBatch) -> RolledOut:
        """Roll out to full depth."""
        steps = self.model.config.halt_max_steps
        return RolledOut(self.simulation, self.simulation.trajectory(to_batch(host), steps=steps))

    def answer_alone(self, host: PuzzleBatch) -> None:
        """Do what a device does for an answer: roll out, and read the last state out once."""
        simulation, ran = self.simulation, self.run(host)
        last = ran.states[-self.model.config.H_cycles :]
        step_readings(simulation.reasoner, simulation.weights, last)

    def read(
        self, host: PuzzleBatch, ran: RolledOut, reference: ReferenceRollout
    ) -> Mapping[str, Answered]:
        """Read the answers off at full depth, and at the step where the rules end a puzzle."""
        return {end: self._answered(host, end, ran, reference) for end in self.ends}

    def reference(self, host: PuzzleBatch, ran: RolledOut) -> ReferenceRollout:
        """What other schemes are compared with, if this is full precision."""
        cells = {end: self._ended(host, self._rule(end), ran)[1] for end in self.ends}
        return ReferenceRollout(ran.states, cells)

    def _rule(self, end: str) -> Halting:
        return NEVER if end == self.model.name else BY_RULES

    def _answered(
        self, host: PuzzleBatch, end: str, ran: RolledOut, reference: ReferenceRollout
    ) -> Answered:
        config, rule, rows = self.model.config, self._rule(end), np.arange(len(host.inputs))
        steps, cells = self._ended(host, rule, ran)
        cycles = steps * config.H_cycles
        at = (cycles - 1, rows)
        readouts = np.ones_like(steps) if rule is NEVER else steps
        return Answered(
            cells=cells,
            depth=cycles,
            read=np.zeros_like(cycles),
            ended=self._obeys(host, cells),
            cosine=np.asarray(token_cosine(reference.states[at], ran.states[at]), np.float64),
            free_cosine=None,  # no state is ever given: z_H goes on from its own
            same=(cells == reference.cells[end]).all(axis=1),
            gflops=self.footprint.work(1).total * cycles + self.head.gflops * readouts,
            bytes_read=self.footprint.read_per_cycle * cycles + 1.0 * self.head.size * readouts,
            state_bytes=np.full(len(rows), float(state_bytes(config, self.scheme))),
        )

    def _ended(
        self, host: PuzzleBatch, rule: Halting, ran: RolledOut
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find when a rule ends each puzzle, and its answer then."""
        steps = halting_steps(rule, host.inputs, ran.readings, self.rules)
        return steps, halted_tokens(ran.readings, steps)

    def _obeys(self, host: PuzzleBatch, cells: np.ndarray) -> np.ndarray:
        if self.rules is None:
            return np.ones(len(cells), bool)
        return np.array([self.rules(*pair) for pair in zip(host.inputs, cells, strict=True)], bool)
