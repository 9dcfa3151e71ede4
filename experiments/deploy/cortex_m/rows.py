"""Rows of a deployment on a Cortex-M55: what one scheme needs on the board.

    OUT/deployment.json   {"spec": {...}, "runs": [environment of every start]}
    OUT/rows.jsonl        one `BoardRow` per line
    OUT/exports, boards   exports for TFLite Micro, and packages for the firmware

Model, puzzles and the linked TFLM library decide the numbers of a row. Clock and patience do not:
a row counts bytes and instructions, and another `Speed` measures nothing again.

Not here: what a kill leaves and how files are read (measurement/row_files.py); sums, budgets and
seconds (tables.py).
"""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from experiments.measurement import folders
from experiments.measurement.halting import HaltedOutcome, HaltedShard, check_halted, join_halted
from experiments.measurement.row_checks import (
    MOST,
    ROOM,
    check_all_within,
    check_different,
    check_flags,
    check_moments,
    check_within,
)
from experiments.measurement.row_files import LATER, RERUN, FolderLayout, ResultFolder
from experiments.measurement.shards import Moments, from_hex
from experiments.measurement.spec import DeploymentSpec
from export.cortex_m.build import Counted
from export.cortex_m.emulator import Counts
from export.cortex_m.memory import BoardSram, Flash
from quant.scheme import parse
from trm_jax.halting import parse_halting
from trm_jax.intervals import Interval, one_minus_mean, wilson

TARGET = "cortex-m55"
EMULATED, MODELLED = "emulated", "operator model"


@dataclass(frozen=True, kw_only=True)
class Speed:
    """What instructions mean in seconds, and how many are too many.

    Attributes:
      cpi: cycles per instruction; patience: seconds a puzzle may take.

    Raises:
      ValueError: not positive.
    """

    mhz: float
    cpi: float
    patience: float

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if not 0 < value <= MOST:
                raise ValueError(f"--{name} must be positive, got {value:g}")

    def seconds(self, instructions: int) -> float:
        """Estimate the time of so many instructions."""
        return instructions * self.cpi / (self.mhz * 1e6)


@dataclass(frozen=True, kw_only=True)
class BoardSpec(DeploymentSpec):
    """One deployment.

    Attributes:
      task, model: names for headings.
      data_sha256: of the puzzles; empty where weights are random.
      library_sha256: of the TFLM library that was linked; empty without one.
      target: the value of --target.
      schemes: in the order of the tables.
      H_cycles, L_cycles, steps: of a puzzle at full depth.
      speed: of the estimate.
      limit: puzzles that are answered; 0 where weights are random.
      halting: name of the rule that the board begins with; empty in folders of earlier versions.
    """

    IDENTITY: ClassVar[tuple[str, ...]] = ("model_sha256", "data_sha256", "library_sha256")

    task: str
    model: str
    model_sha256: str
    data_sha256: str
    library_sha256: str
    target: str
    schemes: tuple[str, ...]
    H_cycles: int
    L_cycles: int
    steps: int
    speed: Speed
    limit: int = 0
    halting: str = ""

    @property
    def values(self) -> list[Any]:
        """What decides the numbers of every row; rows of earlier versions answered nothing."""
        return [*super().values, *((self.limit, self.halting) if self.halting else ())]

    def __post_init__(self) -> None:
        """Check the numbers and the schemes.

        Raises:
          ValueError: names the field, or an unknown scheme.
        """
        names = ("H_cycles", "L_cycles", "steps")
        check_all_within({name: getattr(self, name) for name in names}, 1)
        check_different("schemes", map(parse, self.schemes))
        check_within("limit", self.limit, 0)
        if self.halting:
            parse_halting(self.halting)

    @property
    def is_calibrated(self) -> bool:
        """Return whether any scheme of the spec is calibrated on puzzles."""
        return any(parse(name).needs_puzzles for name in self.schemes)

    def digest_of_scheme(self, name: str) -> str:
        """Hash what decides the numbers of a scheme's row."""
        return self.calibrated_digest if parse(name).needs_puzzles else self.digest

    def digest_for(self, row: "BoardRow") -> str:
        """Return the digest that a row must have."""
        return self.digest_of_scheme(row.scheme)

    @property
    def title(self) -> str:
        """Heading of the tables."""
        kind = "one puzzle at a time" if self.data_sha256 else "random weights, sizes only"
        return (
            f"{self.model} on Cortex-M55 ({kind}), {self.steps} steps of {self.H_cycles} H-cycles"
            f" of {self.L_cycles} L-cycles"
        )

    def work_keys(self) -> list[tuple[str]]:
        """List the work: a scheme is measured as a whole."""
        return [(scheme,) for scheme in self.schemes]


@dataclass(frozen=True, kw_only=True)
class BoardAnswers:
    """What the board's arithmetic answers to the first puzzles.

    Attributes:
      exact, halted: one bit per puzzle, hex: exact at full depth, and where the board halts.
      steps: supervision steps of each puzzle, halting.
      infidelity: 1 - cosine of z_H to full precision at full depth.
    """

    puzzles: int
    exact: str
    halted: str
    steps: tuple[int, ...]
    infidelity: Moments

    def __post_init__(self) -> None:
        """Check the numbers against each other.

        Raises:
          ValueError: names the field.
        """
        check_within("answers.puzzles", self.puzzles, 1)
        check_flags("answers.exact", self.exact, self.puzzles)
        check_halted("answers.halted", HaltedShard(self.halted, self.steps), self.puzzles)
        check_moments("answers.infidelity", self.infidelity, self.puzzles, -ROOM, 2 + ROOM)

    @property
    def solved(self) -> int:
        """Puzzles that are exact at full depth."""
        return int(from_hex(self.exact, self.puzzles).sum())

    @property
    def exact_rate(self) -> Interval:
        """Share of exact puzzles at full depth."""
        return wilson(self.solved, self.puzzles)

    @property
    def halted_rate(self) -> Interval:
        """Share of exact puzzles where halting ended them."""
        return self._outcome.exact

    @property
    def fidelity(self) -> Interval:
        """Fidelity to full precision at full depth."""
        return one_minus_mean([self.infidelity], self.puzzles, floor=-1.0)

    @property
    def mean_steps(self) -> float:
        """Supervision steps of a puzzle, halting."""
        return self._outcome.mean_steps.value

    @property
    def late_steps(self) -> int:
        """The 95th percentile of the supervision steps, halting."""
        return self._outcome.late_steps

    @property
    def _outcome(self) -> HaltedOutcome:
        return join_halted([HaltedShard(self.halted, self.steps)])


@dataclass(frozen=True, kw_only=True)
class BoardRow:
    """What one scheme needs on the board.

    Attributes:
      digest: of what decides the numbers.
      graphs: files on the board, the head's among them.
      counted: whose code is in `flash` and `sram`.
      update_L, update_H, rest: instructions, as in `Counts`.
      counted_by: EMULATED or MODELLED.
      answers: None where weights are random, and in folders of earlier versions.
    """

    digest: str
    scheme: str
    flash: Flash
    sram: BoardSram
    graphs: int
    counted: Counted
    update_L: int
    update_H: int
    rest: int
    counted_by: str
    answers: BoardAnswers | None = field(default=None, metadata={LATER: True})

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
          ValueError: names the field.
        """
        names = ("graphs", "update_L", "update_H", "rest")
        check_all_within({name: getattr(self, name) for name in names}, 0)
        for part in ("flash", "sram"):
            sizes = dataclasses.asdict(getattr(self, part))
            check_all_within({f"{part}.{name}": size for name, size in sizes.items()}, 0)

    @property
    def key(self) -> tuple[str]:
        return (self.scheme,)

    @property
    def counts(self) -> Counts:
        """Instructions, ready to be multiplied out."""
        return Counts(self.update_L, self.update_H, self.rest)


LAYOUT = FolderLayout(
    "deployment",
    BoardSpec,
    BoardRow,
    spec_name="deployment",
    output=folders.DEPLOYMENT,
    kind="deployment on a board",
    cure=RERUN,
)


def board_folder(path: Path) -> ResultFolder[BoardSpec, BoardRow]:
    """Name the files of a deployment."""
    return ResultFolder(path, LAYOUT)
