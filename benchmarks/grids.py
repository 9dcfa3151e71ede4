"""Which cells are timed: grids over H-cycles T, supervision steps n and schemes."""

import dataclasses
from dataclasses import dataclass
from typing import NamedTuple

from experiments.measurement.depths import DepthGrid, full_grid, parse_depths
from quant.scheme import Scheme, parse
from trm_jax.config import Config


class Cell(NamedTuple):
    """One cell: a scheme after n supervision steps of T H-cycles."""

    scheme: str
    T: int
    n: int


@dataclass(frozen=True)
class Plan:
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


def make_plan(config: Config, depths: str | None, schemes: str) -> Plan:
    """Choose the grids: those asked for, or every n and the paper's n; and the deepest cell.

    Raises:
      ValueError: impossible depths, or a scheme that does more than replace weights.
    """
    names = tuple(dict.fromkeys(weight_scheme(name).name for name in schemes.split(",")))
    paper = full_grid(config)
    every = dataclasses.replace(paper, n=tuple(range(1, config.halt_max_steps + 1)))
    grids = {"every n": every, "paper's n": paper}
    if depths is not None:
        grids = {depths: parse_depths(depths, config)}
    widest = next(iter(grids.values()))
    corner = DepthGrid(widest.T[-1:], widest.n[-1:], config.H_cycles)
    return Plan({**grids, "deepest cell": corner}, names)


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
