"""Which puzzles a model is calibrated on: the options, and the record in what programs write.

    --calibration DIR          a data set of its own; silent: the puzzles of --data
    --calibration-puzzles N    the last N of it in the order of evaluation; silent: 128

Rows, specs and manifests hold a record where one of both was said; without it a scheme was
calibrated on the last 128 puzzles of the data that it was measured on.

Not here: loading and checking them (trm_jax/tasks/calibration.py), and batches (batches.py).
Nothing here imports jax.
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trm_jax.command_line import positive_int, user_path
from trm_jax.data.batches import CALIBRATION_PUZZLES
from trm_jax.data.facts import SHA256

NOT_NEEDED = "leave --calibration and --calibration-puzzles out"
"""What to do where nothing is calibrated, for the end of a message."""
FEWEST_PUZZLES = 8
"""Fewer cost what calibration is for (docs/numerics.md has the numbers)."""


@dataclass(frozen=True, kw_only=True)
class CalibrationOptions:
    """What a command line says of calibration; the defaults where it says nothing.

    Attributes:
      data: a data set of its own, None: the evaluated one.
      puzzles: how many of it.

    Raises:
      ValueError: fewer puzzles than FEWEST_PUZZLES.
    """

    data: Path | None = None
    puzzles: int = CALIBRATION_PUZZLES

    def __post_init__(self) -> None:
        if self.puzzles < FEWEST_PUZZLES:
            raise ValueError(
                f"--calibration-puzzles must be at least {FEWEST_PUZZLES}, got {self.puzzles}:"
                " scales and rounding fitted to fewer lose accuracy on others"
            )

    @property
    def is_chosen(self) -> bool:
        """Return whether anything was said."""
        return self != CalibrationOptions()


@dataclass(frozen=True, kw_only=True)
class CalibrationFacts:
    """The record of calibration puzzles that a command line chose.

    Attributes:
      puzzles: how many.
      sha256: of their inputs and identifiers.
      data: name of the data set they were taken from, for people.

    Raises:
      ValueError: names the field.
    """

    puzzles: int
    sha256: str
    data: str

    def __post_init__(self) -> None:
        if self.puzzles < 1:
            raise ValueError(f"field calibration.puzzles must be at least 1, got {self.puzzles}")
        if not SHA256.fullmatch(self.sha256):
            raise ValueError(
                f"field calibration.sha256 must be 64 hexadecimal digits, got {self.sha256[:80]!r}"
            )

    @property
    def identity(self) -> Mapping[str, int | str]:
        """What decides numbers: not where the puzzles lay."""
        return {"puzzles": self.puzzles, "sha256": self.sha256}


def describe_calibration(facts: CalibrationFacts | None) -> str:
    """Say which puzzles something was calibrated on."""
    if facts is None:
        return f"the last {CALIBRATION_PUZZLES} puzzles of the data"
    return f"the last {facts.puzzles} of {facts.data} (sha256 {facts.sha256[:12]})"


def add_calibration(container: argparse._ActionsContainer) -> None:
    """Declare --calibration and --calibration-puzzles."""
    add_calibration_folder(
        container, "data set that schemes are calibrated on (default: the last puzzles of --data)"
    )
    container.add_argument(
        "--calibration-puzzles",
        type=positive_int,
        default=CALIBRATION_PUZZLES,
        metavar="N",
        help=f"how many of them, at least {FEWEST_PUZZLES} (%(default)s)",
    )


def add_calibration_folder(container: argparse._ActionsContainer, text: str) -> None:
    """Declare --calibration alone.

    Args:
      text: its help.
    """
    container.add_argument("--calibration", type=user_path, metavar="DIR", help=text)


def read_calibration(args: argparse.Namespace) -> CalibrationOptions:
    """Take the options out of a parsed command line.

    Raises:
      ValueError: fewer puzzles than FEWEST_PUZZLES.
    """
    return CalibrationOptions(data=args.calibration, puzzles=args.calibration_puzzles)
