"""The depth grid: which recursion depths are read off one trajectory (sections 3.5, App. N).

    --depths T,T,...xn,n,...      e.g. 1,3x1,2,4,8,16 (Tables 16-18); `all` on either side

T counts H-cycles in a supervision step, n supervision steps. The carry passes through, so a
cell (T, n) is the state after T*n H-cycles, and cells with the same product are one state. The
trajectory runs at the model's own H_cycles; T runs from 1 to H_cycles. n may go beyond the
steps of training (halt_max_steps), to see whether more thinking helps or hurts.
"""

import re
from dataclasses import dataclass

from trm_jax.config import Config

COLUMNS = (1, 2, 4, 8, 16)  # n in the paper's tables
NUMBER = re.compile("-?[0-9]{1,9}")
MAX_CYCLES = 1024  # of a supervision step; models have 2 to 8
MAX_STEPS = 1024  # a larger n is a slip of the pen: the trajectory is kept in memory


@dataclass(frozen=True)
class DepthGrid:
    """Rows and columns of the table, and the model's own cycle count.

    Attributes:
      T: H-cycles per supervision step, ascending.
      n: supervision steps, ascending.
      H_cycles: of the model; one supervision step of its trajectory.
    """

    T: tuple[int, ...]
    n: tuple[int, ...]
    H_cycles: int

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
          ValueError: names the field.
        """
        for name, values, most in (("T", self.T, self.H_cycles), ("n", self.n, MAX_STEPS)):
            if not values or list(values) != sorted(set(values)):
                raise ValueError(f"field grid.{name} must ascend, got {list(values)}")
            if not 1 <= values[0] <= values[-1] <= most:
                raise ValueError(f"field grid.{name} must be 1 to {most}, got {list(values)}")
        if self.H_cycles > MAX_CYCLES:
            raise ValueError(f"field grid.H_cycles must be 1 to {MAX_CYCLES}, got {self.H_cycles}")

    @property
    def deepest(self) -> int:
        """H-cycles of the lower right cell, at which schemes are summarised."""
        return max(self.T) * max(self.n)

    @property
    def cycles(self) -> tuple[int, ...]:
        """H-cycle counts to read out: all cells, and the end of the first supervision step."""
        return tuple(sorted({t * n for t in self.T for n in self.n} | {self.H_cycles}))

    @property
    def steps(self) -> int:
        """Supervision steps the trajectory must run."""
        return -(-max(self.cycles) // self.H_cycles)


def full_grid(config: Config) -> DepthGrid:
    """Make the default: every T, and n in powers of two up to the steps of training."""
    last = config.halt_max_steps
    columns = tuple(n for n in COLUMNS if n < last)
    return DepthGrid(tuple(range(1, config.H_cycles + 1)), (*columns, last), config.H_cycles)


def parse_depths(text: str, config: Config) -> DepthGrid:
    """Read `--depths`.

    Raises:
      ValueError: another form, or depths that the model does not have.
    """
    everything = full_grid(config)
    if text == "all":
        return everything
    left, cross, right = text.partition("x")
    if not cross:
        raise ValueError(
            f"--depths reads T,...xn,... such as 1,3x1,2,4,8,16 or all, got {text[:80]!r}"
        )
    T, n = _numbers(left, everything.T), _numbers(right, everything.n)
    if min(T) < 1 or max(T) > config.H_cycles:
        wrong = min(T) if min(T) < 1 else max(T)
        raise ValueError(
            f"T={wrong} is impossible: this model has H_cycles={config.H_cycles}, so T is 1 to"
            f" {config.H_cycles}; only T*n counts, so for more depth give a larger n"
        )
    if min(n) < 1 or max(n) > MAX_STEPS:
        wrong = min(n) if min(n) < 1 else max(n)
        raise ValueError(f"n={wrong} is impossible: supervision steps are 1 to {MAX_STEPS}")
    return DepthGrid(T, n, config.H_cycles)


def _numbers(text: str, everything: tuple[int, ...]) -> tuple[int, ...]:
    if text == "all":
        return everything
    parts = text.split(",")
    if not all(NUMBER.fullmatch(part) for part in parts):
        raise ValueError(
            f"depths are numbers joined by commas (or all), got {text[:80]!r};"
            " --depths reads T,...xn,... such as 1,3x1,2,4,8,16"
        )
    return tuple(sorted({int(part) for part in parts}))
