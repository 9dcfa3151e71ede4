"""What rows belong to: a frozen specification, the digest of what decides its numbers, its work.

A program states its specification as a dataclass of scalars and tuples. `identity` is the part
that decides the numbers of a row; its hash, the digest, is written into every row, and rows of
another digest never mix. What is not in the identity (number of puzzles, schemes) may grow when
the program is resumed.

Not here: files (row_files.py); what a row is (rows.py of each program).
"""

import dataclasses
import hashlib
import json
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self, TypeVar

from experiments.measurement.row_checks import check_all_within, check_shards
from trm_jax.data.calibration import CalibrationFacts, describe_calibration

FORMAT = 1  # of rows and spec files
Shard = tuple[int, int]
"""First puzzle or task, and end."""
Key = TypeVar("Key", bound=tuple)


class KeyedRow(Protocol):
    """A row that says what it is of (`key`, the unit of work) and what decided its numbers."""

    @property
    def digest(self) -> str: ...

    @property
    def key(self) -> tuple: ...


def digest_of(values: Any) -> str:
    """Hash what decides the numbers of a row, as its digest."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def shards_of(total: int, size: int) -> tuple[Shard, ...]:
    """Cut `total` puzzles or tasks into shards, the unit of work: first and end of each."""
    return tuple((i, min(i + size, total)) for i in range(0, total, size))


@dataclass(frozen=True, kw_only=True)
class RowSpec:
    """What the rows of one folder belong to. Programs add the fields, and the list of work.

    Class attributes:
      IDENTITY: names of the fields that decide the numbers of a row.
    """

    IDENTITY: ClassVar[tuple[str, ...]] = ()

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the numbers of a row. Hashed into every row: a change orphans old rows."""
        return {name: getattr(self, name) for name in self.IDENTITY} | {"format": FORMAT}

    @property
    def digest(self) -> str:
        """Short hash of the identity, written into every row."""
        return digest_of(self.identity)

    def digest_for(self, row: Any) -> str | None:
        """Return the digest that a row must have; None if it is of no work of this spec."""
        del row  # here all rows have one
        return self.digest

    def check_row(self, row: Any) -> None:
        """Check a row's lengths and counts against what was asked for.

        Raises:
          ValueError: names the field.
        """
        del row  # here rows check themselves

    def lists(self, row: Any) -> bool:
        """Return whether a row is of what this spec, widened by all runs, asks for."""
        del row
        return True

    def conflicts(self, later: Self) -> list[str]:
        """List the reasons why the rows of two specs must not mix; none if they may."""
        return differences(self, later)

    def widened(self, later: Self) -> Self:
        """Join with the spec of a later run, which has no conflict with this one."""
        return later


@dataclass(frozen=True, kw_only=True)
class CalibratedSpec(RowSpec):
    """Rows of which some are of schemes that were calibrated on puzzles.

    Attributes:
      calibration: the puzzles that a command line chose for that; None: it chose none, and they are
        the last of the data.
    """

    calibration: CalibrationFacts | None = None

    @property
    def is_calibrated(self) -> bool:
        """Return whether any scheme is calibrated on puzzles that a command line may choose."""
        return False

    @property
    def chosen_calibration(self) -> dict[str, Any]:
        """What chosen puzzles add to the identity of a calibrated row; without a choice nothing."""
        return {} if self.calibration is None else {"calibration": self.calibration.identity}

    def conflicts(self, later: Self) -> list[str]:
        """List the reasons why the rows of two specs must not mix, other puzzles among them."""
        found = super().conflicts(later)
        both = self.is_calibrated and later.is_calibrated
        if both and self.chosen_calibration != later.chosen_calibration:
            was, asked = map(describe_calibration, (self.calibration, later.calibration))
            found.append(f"schemes are calibrated on {was}, asked for {asked}")
        return found

    def joined_calibration(self, later: Self) -> CalibrationFacts | None:
        """Return the choice of two specs without a conflict: that of the one that is calibrated."""
        return later.calibration if later.is_calibrated else self.calibration


@dataclass(frozen=True, kw_only=True)
class DeploymentSpec(CalibratedSpec):
    """What deployments of all targets have in common: the digest of their rows."""

    @property
    def digest(self) -> str:
        """Short hash of what decides the numbers of a row: the values alone, without names."""
        return digest_of(self.values)

    @property
    def calibrated_digest(self) -> str:
        """The digest of a row that is calibrated on puzzles."""
        return digest_of([*self.values, *self.chosen_calibration.values()])

    @property
    def values(self) -> list[Any]:
        """What decides the numbers of every row."""
        return [getattr(self, name) for name in self.IDENTITY]

    def widened(self, later: Self) -> Self:
        """Join with the spec of a later run, which has no conflict with this one."""
        joined = super().widened(later)
        return dataclasses.replace(joined, calibration=self.joined_calibration(later))


@dataclass(frozen=True, kw_only=True)
class MeasurementSpec(RowSpec):
    """A model, its puzzles and how they are cut: what sweeps and ablations have in common.

    Attributes:
      task, model, data: names for headings.
      model_sha256, data_sha256: what was run on what.
      num_parameters: weights of the model without its puzzle table.
      num_puzzles: the first so many puzzles of the data.
      batch_size: puzzles in a shard, the unit of work and of resuming.
      batch_reason: why so many; empty where a command line says so.
      dtype: arithmetic where a scheme or variant names none.
      seed: of what is drawn: what is trained for an ablation; a sweep draws nothing.
    """

    IDENTITY: ClassVar[tuple[str, ...]] = (
        "task",
        "model_sha256",
        "data_sha256",
        "batch_size",
        "dtype",
    )

    task: str
    model: str
    model_sha256: str
    num_parameters: int
    data: str
    data_sha256: str
    num_puzzles: int
    batch_size: int
    dtype: str
    seed: int
    batch_reason: str = ""

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
          ValueError: names the field.
        """
        check_shards("num_puzzles", self.num_puzzles, "batch_size", self.batch_size)
        check_all_within({"num_parameters": self.num_parameters, "seed": self.seed}, 0)

    @property
    def shards_text(self) -> str:
        """Say how many puzzles a shard has, and why."""
        reason = f" ({self.batch_reason})" if self.batch_reason else ""
        return f"shards of {self.batch_size}{reason}"

    @property
    def shards(self) -> tuple[Shard, ...]:
        """First puzzle and end of every shard."""
        return shards_of(self.num_puzzles, self.batch_size)


def differences(earlier: RowSpec, later: RowSpec) -> list[str]:
    """List where two identities differ, as text."""
    pairs = ((name, earlier.identity[name], value) for name, value in later.identity.items())
    return [f"{name} is {was}, asked for {value}" for name, was, value in pairs if was != value]


def pending(keys: Iterable[Key], rows: Iterable[KeyedRow]) -> list[Key]:
    """List the units of work that have no row yet, in their order."""
    done = {row.key for row in rows}
    return [key for key in keys if key not in done]


def finished_shards(
    shards: Sequence[Shard], names: Sequence[tuple], done: Container[tuple]
) -> list[Shard]:
    """List the shards that all of some variants have finished, in order.

    Args:
      names: of the variants, each the beginning of a key: (scheme,), (study, variant), ...
      done: keys of rows.
    """
    return [shard for shard in shards if all((*name, *shard) in done for name in names)]
