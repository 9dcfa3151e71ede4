"""Whole rollouts: the runtime's answers against the simulation's, puzzle by puzzle.

Recursion amplifies one-step differences, so rollouts are compared by statistics: share of equal
answers and equal cells, fidelity of the last state, and whether the runtime solves as many
puzzles as the simulation (exact McNemar test on the puzzles that only one of them solves).

Not here: single blocks, which have a bound (check_blocks.py).
"""

from collections.abc import Iterator
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from export.artifact.solver import ReadStep, Solution, Solver, split_groups
from quant.simulation import Simulation
from trm_jax import intervals
from trm_jax.data.batches import gather
from trm_jax.data.format import PuzzleDataset
from trm_jax.loading import gather_batch
from trm_jax.metrics import correct_cells, puzzle_exact, scored_cells, token_cosine


class RolloutGroup(NamedTuple):
    """Results of a group of puzzles; arrays run over its puzzles.

    Attributes:
      exact, simulated_exact: solved by the runtime, by the simulation.
      cells, correct: scored cells, and how many of them the runtime has right.
      equal_cells: cells on which both say the same.
      fidelity: of the runtime's last state (`last`) to the simulation's.
    """

    exact: np.ndarray
    simulated_exact: np.ndarray
    cells: np.ndarray
    correct: np.ndarray
    equal_cells: np.ndarray
    fidelity: np.ndarray
    solution: Solution
    last: np.ndarray


class Rollouts(NamedTuple):
    """Groups joined; fields as in `RolloutGroup`."""

    exact: np.ndarray
    simulated_exact: np.ndarray
    equal: np.ndarray
    equal_cells: float
    fidelity: np.ndarray

    @property
    def mcnemar(self) -> float:
        """Two-sided exact p-value of "both solve equally many"."""
        return intervals.mcnemar(intervals.pairs(self.simulated_exact, self.exact))


def compare_rollouts(
    solver: Solver, simulation: Simulation, dataset: PuzzleDataset, limit: int, steps: int
) -> Iterator[RolloutGroup]:
    """Run the first puzzles of a data set on both sides, group by group."""
    for rows in split_groups(min(limit, len(dataset)), solver.batch):
        yield compare_group(solver, simulation, dataset, np.arange(rows.start, rows.stop), steps)


def compare_group(
    solver: Solver,
    simulation: Simulation,
    dataset: PuzzleDataset,
    rows: np.ndarray,
    steps: int,
    read: ReadStep | None = None,
) -> RolloutGroup:
    """Run at most a batch of puzzles on both sides.

    Args:
      read: sees the runtime's answers after every supervision step.
    """
    host = gather(dataset, rows, len(rows))
    states: dict[int, np.ndarray] = {}
    solution = solver.solve(
        host.inputs,
        host.puzzle_identifiers,
        steps=steps,
        observe=lambda _, cycles, z_H: states.update({cycles: z_H}),
        read=read,
    )
    last = states[max(states)]
    # padded to one size, so that the simulation compiles once
    full = np.resize(rows, solver.batch)
    state = simulation.trajectory(gather_batch(dataset, full), steps=steps)[-1][: len(rows)]
    simulated = simulation.tokens(state)
    labels, answers = jnp.asarray(host.labels), jnp.asarray(solution.tokens)
    numbers = (
        puzzle_exact(answers, labels),
        puzzle_exact(simulated, labels),
        scored_cells(labels),
        correct_cells(answers, labels),
        jnp.sum(answers == simulated, axis=-1),
        token_cosine(jnp.asarray(last), state),
    )
    return RolloutGroup(*(np.asarray(x) for x in numbers), solution=solution, last=last)


def join_groups(groups: list[RolloutGroup], seq_len: int) -> Rollouts:
    """Join groups."""
    columns = {
        name: np.concatenate([getattr(group, name) for group in groups])
        for name in ("exact", "simulated_exact", "equal_cells", "fidelity")
    }
    equal_cells = columns.pop("equal_cells")
    return Rollouts(
        **columns, equal=equal_cells == seq_len, equal_cells=float(equal_cells.mean() / seq_len)
    )


def show_rate(flags: np.ndarray) -> str:
    """Write a rate with its 95 % Wilson interval."""
    return f"{intervals.wilson(int(flags.sum()), flags.size)} of {flags.size}"


def show_mean(values: np.ndarray) -> str:
    """Write a mean with its 95 % normal interval."""
    estimate = intervals.mean(float(values.sum()), float(np.square(values).sum()), values.size)
    return f"{estimate.value:.5f} +-{estimate.high - estimate.value:.5f}"
