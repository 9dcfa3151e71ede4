"""What sweeps and ablations have in common: a model measured on puzzles, shard by shard."""

from dataclasses import dataclass
from typing import Any

from experiments.measurement.row_files import shards_of

FORMAT = 1  # of rows and spec files


@dataclass(frozen=True, kw_only=True)
class MeasurementSpec:
    """A model, its puzzles and how they are cut.

    Attributes:
      task, model, data: names for headings.
      model_sha256, data_sha256: what was run on what.
      num_parameters: weights of the model without its puzzle table.
      num_puzzles: the first so many puzzles of the data.
      batch_size: puzzles in a shard, the unit of work and of resuming.
      dtype: arithmetic where a scheme or variant names none.
      seed: of the bootstrap.
    """

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

    @property
    def shards(self) -> tuple[tuple[int, int], ...]:
        """First puzzle and end of every shard."""
        return shards_of(self.num_puzzles, self.batch_size)

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the numbers of a row. Hashed into every row: a change orphans old rows."""
        names = ("task", "model_sha256", "data_sha256", "batch_size", "dtype")
        return {name: getattr(self, name) for name in names} | {"format": FORMAT}


def differences(found: MeasurementSpec, wanted: MeasurementSpec) -> list[str]:
    """List in words where two identities differ."""
    pairs = ((name, found.identity[name], value) for name, value in wanted.identity.items())
    return [f"{name} is {was}, asked for {value}" for name, was, value in pairs if was != value]
