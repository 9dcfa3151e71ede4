"""Whether a board's answer is the simulation's, at the steps that the board took.

The simulation's answers are the package's test vectors, and what the export of the package gives
on this computer, in the interpreter that confirmed its expected answers. Where states are integers
their checksums are compared too: one wrong bit anywhere in a rollout shows.

Not here: whether an answer is right by the rules (job.py).
"""

from typing import NamedTuple

import numpy as np

from export.artifact.host_state import state_checksum
from export.artifact.open import Export
from export.artifact.solver import Solver
from export.board.conversation import BoardAnswer
from export.board.package_folder import PackageFolder
from export.cortex_m.row_file import Depth
from export.runtimes.registry import open_runtime


class SimulatedAnswer(NamedTuple):
    """What a board should answer.

    Attributes:
      states: checksums of z_H and z_L; None where they are floats.
      where: whose answer it is, in words.
    """

    tokens: np.ndarray
    states: tuple[int, int] | None
    where: str


class Difference(NamedTuple):
    """What differs between a board and the simulation; cells that differ, and whether states do."""

    cells: int
    states: bool
    where: str

    @property
    def is_none(self) -> bool:
        return not self.cells and not self.states

    def __str__(self) -> str:
        if self.is_none:
            return f"equal to the simulation ({self.where})"
        cells = f"{self.cells} cells" if self.cells else "no cell, but bits of the states,"
        return f"OTHER THAN THE SIMULATION in {cells} ({self.where})"


def find_vector(package: PackageFolder, puzzle: np.ndarray, steps: int) -> SimulatedAnswer | None:
    """Find a puzzle among the test vectors of a package, answered in so many steps."""
    for index, vector in enumerate(package.vectors):
        if np.array_equal(vector.inputs, puzzle) and vector.steps == steps:
            return SimulatedAnswer(vector.tokens, vector.states, f"test vector {index}")
    return None


def simulate_answer(
    export: Export, puzzle: np.ndarray, steps: int, depth: Depth
) -> SimulatedAnswer:
    """Answer a puzzle with an export, on this computer, in so many steps.

    Args:
      depth: cycles of a step.

    Raises:
      RuntimeError: the runtime is missing or refuses the graphs.
    """
    target = export.manifest.target
    runtime = open_runtime(target, export.model)
    try:
        solution = Solver(export, runtime).solve(
            puzzle[None], steps=steps, H_cycles=depth.H_cycles, L_cycles=depth.L_cycles
        )
    finally:
        runtime.close()
    (z_H,), (z_L,) = solution.z_H, solution.z_L
    states = None
    if np.issubdtype(z_H.dtype, np.integer):
        states = (state_checksum(z_H), state_checksum(z_L))
    return SimulatedAnswer(solution.tokens[0], states, f"the export in {target.value}")


def compare(answer: BoardAnswer, simulated: SimulatedAnswer) -> Difference:
    """Compare a board's answer with the simulation's."""
    return Difference(
        cells=int((answer.tokens != simulated.tokens).sum()),
        states=simulated.states is not None and simulated.states != answer.states,
        where=simulated.where,
    )
