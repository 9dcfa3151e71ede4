"""What is seen of puzzles under a scheme after every H-cycle, and where two schemes part."""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float, Integer

from experiments.watch.violations import find_violations
from quant.scheme import short_name
from quant.simulation import Simulation
from trm_jax.data.facts import PuzzleFacts
from trm_jax.evaluators import Trajectory, measure
from trm_jax.halting.rules import Rules
from trm_jax.models.act import predictions
from trm_jax.models.reasoner import Reasoner
from trm_jax.types import IGNORE_LABEL, Batch, Tokens, Weights


class WatchedPuzzle(NamedTuple):
    """A puzzle on the host.

    Attributes:
      name: for people.
      label: its answer; IGNORE_LABEL where none is known or scored.
      identifier: row of the puzzle table.
    """

    name: str
    puzzle: Integer[np.ndarray, " cells"]
    label: Integer[np.ndarray, " cells"]
    identifier: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Recording:
    """One puzzle under one scheme, after every H-cycle.

    Attributes:
      tokens: the answers read out.
      wrong: cells that are not the answer's; none where the whole answer is right, or no answer is
        known.
      violations: cells that break a rule.
      right: the answer is the label's or obeys the rules.
      q_halt, fidelity, residual: halting logit, cosine to full precision, relative change.
    """

    scheme: str
    tokens: Integer[np.ndarray, "cycles cells"]
    wrong: Bool[np.ndarray, "cycles cells"]
    violations: Bool[np.ndarray, "cycles cells"]
    right: Bool[np.ndarray, " cycles"]
    q_halt: Float[np.ndarray, " cycles"]
    fidelity: Float[np.ndarray, " cycles"]
    residual: Float[np.ndarray, " cycles"]

    @property
    def solved(self) -> bool:
        """Return whether the last answer is right."""
        return bool(self.right[-1])

    @property
    def mistakes(self) -> Integer[np.ndarray, " cycles"]:
        """Count the cells that are wrong or break a rule."""
        return (self.wrong | self.violations).sum(axis=1)

    def parting(self, reference: "Recording") -> int | None:
        """Find the H-cycle from which on there are always more mistakes than in full precision.

        Returns:
          From 1; None where there are not more of them at the end.
        """
        level = np.flatnonzero(self.mistakes <= reference.mistakes)
        last = int(level[-1]) if level.size else -1
        return None if last == len(self.tokens) - 1 else last + 2


class WatchedView(NamedTuple):
    """A puzzle of the page: its recordings, full precision first."""

    watched: WatchedPuzzle
    recordings: tuple[Recording, ...]

    @property
    def partings(self) -> dict[str, int]:
        """The H-cycle at which each scheme parts from full precision, of those that do."""
        full = self.recordings[0]
        found = {short_name(r.scheme): r.parting(full) for r in self.recordings[1:]}
        return {name: cycle for name, cycle in found.items() if cycle is not None}


class BatchReadout(NamedTuple):
    """What a rollout of a batch says after every H-cycle: arrays (cycles, batch, ...)."""

    tokens: np.ndarray
    q_halt: np.ndarray
    fidelity: np.ndarray
    residual: np.ndarray


def read_cycles(
    simulation: Simulation, batch: Batch, states: Trajectory, reference: Trajectory
) -> BatchReadout:
    """Read a rollout out after every H-cycle.

    Args:
      states, reference: trajectories under the scheme and in full precision.
    """
    model = (simulation.reasoner, simulation.weights)
    depths = tuple(range(1, len(states) + 1))
    tokens = _read_tokens(*model, states)
    readout = measure(*model, batch, states, reference, depths=depths)
    named = (tokens, readout.q_halt, readout.fidelity, readout.residual)
    return BatchReadout(*map(np.asarray, jax.device_get(named)))


@partial(jax.jit, static_argnames="reasoner")
def _read_tokens(reasoner: Reasoner, weights: Weights, states: Trajectory) -> Tokens:
    return jax.lax.map(lambda z: predictions(reasoner.read_out(weights.params, z).logits), states)


def make_recording(
    scheme: str,
    watched: WatchedPuzzle,
    readout: BatchReadout,
    row: int,
    facts: PuzzleFacts,
    rules: Rules | None,
) -> Recording:
    """Take one puzzle out of a rollout and judge its answers."""
    tokens = readout.tokens[:, row]
    marks = [find_violations(watched.puzzle, answer, facts) for answer in tokens]
    right = np.asarray([is_right(watched, answer, rules) for answer in tokens])
    known = watched.label != IGNORE_LABEL
    return Recording(
        scheme=scheme,
        tokens=tokens,
        wrong=(tokens != watched.label) & known & ~right[:, None],
        violations=np.stack(marks),
        right=right,
        q_halt=readout.q_halt[:, row],
        fidelity=readout.fidelity[:, row],
        residual=readout.residual[:, row],
    )


def is_right(watched: WatchedPuzzle, answer: np.ndarray, rules: Rules | None) -> bool:
    """Judge an answer: the label's where one is known, or one that obeys the rules."""
    scored = watched.label != IGNORE_LABEL
    if scored.any() and (answer[scored] == watched.label[scored]).all():
        return True
    return rules is not None and rules(watched.puzzle, answer)
