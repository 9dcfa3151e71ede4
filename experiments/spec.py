"""The frozen specification of a sweep: what its rows mean and what its report needs.

`identity` is the part that decides the numbers of a row; rows of another identity never mix.
Schemes and the number of puzzles are not in it, so a sweep can be widened by resuming it.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

from experiments.depths import Grid
from experiments.measured import Measured, differences
from experiments.row_files import digest_of


@dataclass(frozen=True, kw_only=True)
class Spec(Measured):
    """One sweep.

    Attributes:
      architecture: and mixer, for reports; empty in folders of earlier versions.
      gflops_per_cycle: cost of an H-cycle for one puzzle.
      schemes: names as `quant.scheme.Scheme.name` writes them, full precision first.
      bytes: stored size of the model under each scheme, puzzle table included.
      grid: depths.
    """

    gflops_per_cycle: float
    schemes: tuple[str, ...]
    bytes: tuple[int, ...]
    grid: Grid
    architecture: str = ""

    @property
    def reference(self) -> str:
        """The full-precision scheme that all others are compared with."""
        return self.schemes[0]

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the numbers of a row."""
        return super().identity | {"cycles": list(self.grid.cycles)}

    @property
    def digest(self) -> str:
        """Short hash of the identity, written into every row."""
        return digest_of(self.identity)


def to_dict(spec: Spec) -> dict[str, Any]:
    """Make a JSON-ready dict."""
    return dataclasses.asdict(spec)


def from_dict(values: dict[str, Any]) -> Spec:
    """Rebuild a spec from `to_dict`.

    Raises:
      ValueError: fields are missing or unknown.
    """
    try:
        lists = {name: tuple(values[name]) for name in ("schemes", "bytes")}
        grid = values["grid"]
        grid = Grid(tuple(grid["T"]), tuple(grid["n"]), grid["H_cycles"])
        return Spec(**{**values, **lists, "grid": grid})
    except (KeyError, TypeError) as error:
        raise ValueError(f"not the spec of a sweep: {error}") from error


def union(specs: list[Spec]) -> Spec:
    """Join specs of one identity: all schemes, and the most puzzles.

    Raises:
      ValueError: identities differ.
    """
    first, *rest = specs
    for other in rest:
        if problems := differences(first, other):
            raise ValueError(f"rows of different sweeps do not merge: {'; '.join(problems)}")
    sizes = {k: size for spec in specs for k, size in zip(spec.schemes, spec.bytes, strict=True)}
    return dataclasses.replace(
        first,
        schemes=tuple(sizes),
        bytes=tuple(sizes.values()),
        num_puzzles=max(spec.num_puzzles for spec in specs),
    )
