"""A run that ends when its time does: its length from its speed, corrected as it goes."""

from typing import NamedTuple

from trm_jax.training.step import Schedule

WARMUP_SHARE = 0.03  # 2,000 of 65,104 updates, as released
EMA_SHARE = 0.015  # the released horizon, 1,000 updates of 65,104
LEAST_HORIZON = 10  # updates, of the shortest runs


class RunLength(NamedTuple):
    """How long a run is.

    Attributes:
      begin: updates done before it, by the run that it goes on from.
      updates: of this run, a multiple of the chunk.
    """

    begin: int
    updates: int

    @property
    def end(self) -> int:
        return self.begin + self.updates

    @property
    def warmup(self) -> int:
        return max(1, round(WARMUP_SHARE * self.updates))

    @property
    def ema(self) -> float:
        """Decay of the average: its horizon is a fixed share of the run."""
        return 1 - 1 / max(LEAST_HORIZON, EMA_SHARE * self.updates)

    @property
    def schedule(self) -> Schedule:
        return Schedule(self.begin, self.warmup, self.updates, self.ema)


def length_of(
    begin: int,
    done: int,
    seconds_left: float,
    updates_per_second: float,
    chunk: int,
    most: int | None = None,
) -> RunLength:
    """Choose a length that ends with the time: whole chunks, one at least.

    Args:
      begin: updates done before the run.
      done: updates of the run so far.
      seconds_left: for training.
      most: updates of the run at most.
    """
    chunks = int(max(0.0, seconds_left) * updates_per_second / chunk)
    updates = done + chunks * chunk
    if most is not None:
        updates = min(updates, -(-most // chunk) * chunk)
    return RunLength(begin, max(chunk, updates))
