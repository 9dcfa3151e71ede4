"""From the rows of a sweep to numbers with errors: one `SweepOutcome` per scheme.

Only here are sums divided. Schemes are compared on the same puzzles: shards that not every
scheme has finished are left out, and `num_puzzles` says how many remain.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.measurement.halting import HaltedOutcome, join_halted
from experiments.measurement.shards import Moments
from experiments.measurement.spec import finished_shards
from experiments.sweep.rows import (
    CompactRow,
    SweepKey,
    SweepRow,
    SweepSpec,
    compact,
    merge_sweeps,
    sweep_folder,
)
from trm_jax import intervals
from trm_jax.intervals import Interval, Pairs, one_minus_mean


@dataclass(frozen=True)
class SweepOutcome:
    """What one scheme did on all puzzles.

    Attributes:
      scheme: its name.
      cycles: the depths, in H-cycles.
      num_puzzles: n of every rate.
      rows: of its shards, in order.
      halting: rules of halting, by name.
    """

    scheme: str
    cycles: tuple[int, ...]
    num_puzzles: int
    rows: tuple[CompactRow, ...]
    halting: tuple[str, ...] = ()

    def exact(self, cycles: int) -> Interval:
        """Estimate the share of puzzles without a wrong cell."""
        return intervals.wilson(int(self.solved(cycles).sum()), self.num_puzzles)

    def lenient(self, cycles: int) -> Interval:
        """Estimate the share of puzzles solved in any right way."""
        return intervals.wilson(int(self._flags("lenient", cycles).sum()), self.num_puzzles)

    def cell(self, cycles: int) -> Interval:
        """Estimate cell accuracy; its interval treats puzzles, not cells, as independent."""
        return one_minus_mean(self._moments("cell_error", cycles), self.num_puzzles)

    def fidelity(self, cycles: int) -> Interval:
        """Estimate carry-trajectory fidelity at a depth (Eq. 4)."""
        return one_minus_mean(self._moments("infidelity", cycles), self.num_puzzles, floor=-1.0)

    def similarity(self, cycles: int) -> Interval:
        """Estimate the cosine to the state one H-cycle before."""
        return self._mean("similarity", cycles)

    def residual(self, cycles: int) -> Interval:
        """Estimate the relative change over the last H-cycle."""
        return self._mean("residual", cycles)

    @property
    def call_similarity(self) -> Interval:
        """Estimate the paper's consecutive similarity (Eq. 3, Table 7)."""
        return self._combine(row.call_similarity for row in self.rows)

    def solved(self, cycles: int) -> np.ndarray:
        """Return which puzzles are exact, in order."""
        return self._flags("exact", cycles)

    def halted(self, rule: str) -> HaltedOutcome:
        """Return what a rule of halting made of the puzzles, in order."""
        at = self.halting.index(rule)
        return join_halted(row.halted[at] for row in self.rows)

    def _flags(self, name: str, cycles: int) -> np.ndarray:
        at = self.cycles.index(cycles)
        return np.concatenate([row.flags(name, at) for row in self.rows])

    def _mean(self, name: str, cycles: int) -> Interval:
        return self._combine(self._moments(name, cycles))

    def _moments(self, name: str, cycles: int) -> list[Moments]:
        at = self.cycles.index(cycles)
        return [row.moments(name, at) for row in self.rows]

    def _combine(self, moments: Iterable[Moments]) -> Interval:
        totals, squares = zip(*moments, strict=True)
        return intervals.mean(sum(totals), sum(squares), self.num_puzzles)


def outcomes(spec: SweepSpec, rows: Iterable[SweepRow | CompactRow]) -> list[SweepOutcome]:
    """Collect the shards that every scheme has finished, one outcome per scheme.

    Args:
      rows: taken one after the other, and kept in little memory.

    Raises:
      ValueError: there is no such shard.
    """
    by_key = {row.key: row for row in map(compact, rows)}
    shards = finished_shards(spec.shards, [(scheme,) for scheme in spec.schemes], by_key)
    if not shards:
        raise ValueError("no shard is finished for every scheme yet; go on with --resume")
    total = sum(stop - start for start, stop in shards)
    return [
        SweepOutcome(
            s,
            spec.grid.cycles,
            total,
            tuple(by_key[SweepKey(s, *shard)] for shard in shards),
            spec.halting,
        )
        for s in spec.schemes
    ]


def compare(reference: SweepOutcome, other: SweepOutcome, cycles: int) -> Pairs:
    """Count the puzzles on which two schemes differ."""
    return intervals.pairs(reference.solved(cycles), other.solved(cycles))


class Sweep(NamedTuple):
    """A sweep and what each scheme did, full precision first."""

    spec: SweepSpec
    outcomes: list[SweepOutcome]

    @property
    def reference(self) -> SweepOutcome:
        return self.outcomes[0]

    @property
    def is_unfinished(self) -> bool:
        """Return whether puzzles are left that not every scheme has solved."""
        return self.reference.num_puzzles < self.spec.num_puzzles

    @property
    def puzzles_text(self) -> str:
        """How many puzzles the numbers are of, and whether there will be more."""
        count = f"{self.reference.num_puzzles} puzzles"
        if not self.is_unfinished:
            return count
        return f"unfinished: {self.reference.num_puzzles} of {self.spec.num_puzzles} puzzles"

    def change(self, outcome: SweepOutcome, cycles: int) -> Interval:
        """Estimate the change of exact match against full precision at full depth, paired."""
        deepest = self.spec.grid.deepest
        if outcome is self.reference and cycles == deepest:
            return intervals.UNCHANGED
        pairs = intervals.pairs(self.reference.solved(deepest), outcome.solved(cycles))
        return intervals.paired_difference(pairs)

    def scheme(self, name: str) -> SweepOutcome | None:
        """Find a scheme by its long name."""
        return next((o for o in self.outcomes if o.scheme == name), None)


def read_sweeps(folders: Sequence[Path]) -> list[Sweep]:
    """Read sweeps, joining the folders of one.

    Raises:
      ValueError: a folder is damaged, or no shard of a sweep is finished for every scheme.
      FileNotFoundError: a folder holds none.
    """
    groups: dict[tuple, list[Path]] = {}
    for folder in folders:
        spec = sweep_folder(folder).read_spec()
        groups.setdefault((spec.digest, str(spec.chosen_calibration)), []).append(folder)
    sweeps = []
    for group in groups.values():
        spec, rows = merge_sweeps(group)
        try:
            sweeps.append(Sweep(spec, outcomes(spec, rows)))
        except ValueError as error:
            raise ValueError(f"{group[0]}: {error}, or leave the folder out") from error
    return sweeps
