"""From rows to numbers with errors: one `DecodeOutcome` per contestant and scheme.

Only here are sums divided. All contestants are compared on the same puzzles: shards that not
every one has finished under every scheme are left out.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from experiments.decode.rows import Contestant, DecodeKey, DecodeRow, DecodeSpec
from experiments.measurement.shards import Moments, flags_of
from experiments.measurement.spec import finished_shards
from export.footprint.energy import estimate_energy
from export.footprint.sram import Residency
from quant.scheme import parse
from trm_jax import intervals
from trm_jax.intervals import Interval, one_minus_mean


@dataclass(frozen=True, eq=False)
class DecodeOutcome:
    """What a contestant did under a scheme on all puzzles.

    Attributes:
      size: stored bytes of the model.
      rows: its shards, in order.
    """

    contestant: Contestant
    scheme: str
    size: int
    rows: tuple[DecodeRow, ...]

    @property
    def num_puzzles(self) -> int:
        """n of every rate."""
        return sum(row.stop - row.start for row in self.rows)

    @property
    def solved(self) -> np.ndarray:
        """Which puzzles are exact, in order."""
        return flags_of(self.rows, "exact")

    @property
    def depth(self) -> np.ndarray:
        """Tokens or H-cycles of every puzzle, in order."""
        return np.concatenate([np.asarray(row.depth) for row in self.rows])

    @property
    def exact(self) -> Interval:
        """Estimate the share of puzzles without a wrong cell."""
        return self.rate("exact")

    def rate(self, name: str) -> Interval:
        """Estimate the share of puzzles with a flag."""
        return intervals.wilson(int(flags_of(self.rows, name).sum()), self.num_puzzles)

    def solved_within(self, cap: int) -> Interval:
        """Estimate the share that is exact and ended within so many tokens or H-cycles."""
        within = self.solved & flags_of(self.rows, "ended") & (self.depth <= cap)
        return intervals.wilson(int(within.sum()), self.num_puzzles)

    @property
    def cells(self) -> Interval:
        """Estimate cell accuracy; its interval treats puzzles as independent, not cells."""
        return one_minus_mean([row.cell_error for row in self.rows], self.num_puzzles)

    @property
    def fidelity(self) -> Interval:
        """Estimate the cosine to full precision."""
        return one_minus_mean([row.infidelity for row in self.rows], self.num_puzzles, floor=-1.0)

    @property
    def free_fidelity(self) -> Interval | None:
        """Estimate the cosine where each reads its own text; None where no row has it."""
        sums = [row.free_infidelity for row in self.rows if row.free_infidelity is not None]
        if len(sums) < len(self.rows):
            return None
        return one_minus_mean(sums, self.num_puzzles, floor=-1.0)

    @property
    def own_fidelity(self) -> Interval:
        """Estimate the cosine where everyone goes on from its own states and tokens."""
        free = self.free_fidelity
        return self.fidelity if free is None else free

    @property
    def mean_depth(self) -> Interval:
        """Estimate the mean number of tokens or H-cycles."""
        depth = self.depth.astype(np.float64)
        return intervals.mean(float(depth.sum()), float(np.square(depth).sum()), depth.size)

    @property
    def late_depth(self) -> int:
        """The 95th percentile: so many are enough for 19 of 20 puzzles."""
        return int(np.quantile(self.depth, 0.95, method="inverted_cdf"))

    def mean_of(self, take: Callable[[DecodeRow], Moments]) -> float:
        """Average a cost over puzzles."""
        return sum(take(row).total for row in self.rows) / self.num_puzzles

    @property
    def gflops(self) -> float:
        """GFLOPs of a puzzle, on average."""
        return self.mean_of(lambda row: row.gflops)

    @property
    def bytes_read(self) -> float:
        """Bytes of weights read for a puzzle, on average."""
        return self.mean_of(lambda row: row.bytes_read)

    @property
    def state_bytes(self) -> float:
        """Bytes of the state of a puzzle, on average."""
        return self.mean_of(lambda row: row.state_bytes)

    @property
    def energy(self) -> float:
        """Lower bound of the mJ of a puzzle (export/footprint/energy.py), weights in SRAM."""
        read = round(self.bytes_read)
        scheme = parse(self.scheme)
        return estimate_energy(self.gflops, read, scheme, Residency.FULL).total


class Comparison(NamedTuple):
    """A comparison and what everyone did: by contestant, then by scheme."""

    spec: DecodeSpec
    outcomes: list[DecodeOutcome]

    @property
    def num_puzzles(self) -> int:
        """n of every rate."""
        return self.outcomes[0].num_puzzles

    def under(self, scheme: str) -> list[DecodeOutcome]:
        """All contestants under a scheme, in their order."""
        return [each for each in self.outcomes if each.scheme == scheme]

    def find(self, contestant: str, scheme: str) -> DecodeOutcome:
        """Find an outcome."""
        return next(
            each
            for each in self.outcomes
            if (each.contestant.name, each.scheme) == (contestant, scheme)
        )


def compare(reference: DecodeOutcome, other: DecodeOutcome) -> tuple[Interval, float]:
    """Estimate the difference of exact match in pairs, and McNemar's p."""
    pairs = intervals.pairs(reference.solved, other.solved)
    return intervals.paired_difference(pairs), intervals.mcnemar(pairs)


class Ordering(NamedTuple):
    """How a sign orders schemes by exact match, pair by pair.

    Attributes:
      alike: pairs that it orders as exact match does; a tie of the sign counts half.
      pairs: those whose exact match differs.
    """

    alike: float
    pairs: int


def order_schemes(
    outcomes: Sequence[DecodeOutcome], sign: Callable[[DecodeOutcome], float]
) -> Ordering:
    """Count how often the greater sign of two schemes goes with more exact answers.

    Args:
      outcomes: of one contestant, full precision among them.
    """
    alike, count = 0.0, 0
    for one, other in itertools.combinations(outcomes, 2):
        step = one.exact.value - other.exact.value
        if step:
            product = step * (sign(one) - sign(other))
            alike, count = alike + (1 if product > 0 else 0.5 if product == 0 else 0), count + 1
    return Ordering(alike, count)


def comparison(spec: DecodeSpec, rows: Sequence[DecodeRow]) -> Comparison:
    """Collect the shards that everyone has finished.

    Raises:
      ValueError: there is no such shard.
    """
    by_key = {row.key: row for row in rows}
    names = [(each.name, scheme) for each in spec.contestants for scheme in spec.schemes]
    shards = finished_shards(spec.shards, names, by_key)
    if not shards:
        raise ValueError("no shard is finished for every contestant yet; go on with --resume")
    outcomes = [
        DecodeOutcome(
            each,
            scheme,
            size,
            tuple(by_key[DecodeKey(each.name, scheme, *shard)] for shard in shards),
        )
        for each in spec.contestants
        for scheme, size in zip(spec.schemes, each.bytes, strict=True)
    ]
    return Comparison(spec, outcomes)
