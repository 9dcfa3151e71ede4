"""The puzzles that schemes are calibrated on: chosen, loaded, and held against the evaluated ones.

    calibration = choose_calibration(model, puzzles, options)   # options: data/calibration.py
    calibration.check(num_puzzles)                              # none of them is evaluated
    simulate(model, scheme, calibration.batches())

They are the last of a data set in the order of evaluation: of the one that is evaluated, or of
another that a command line names. A puzzle that is evaluated is refused among them, also as a
symmetric image.

Not here: what is measured on them (quant/ptq/calibrate.py).
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Integer

from trm_jax.data.batches import calibration_batches, calibration_rows, identifiers_of
from trm_jax.data.calibration import CalibrationFacts, CalibrationOptions
from trm_jax.data.facts import check_agreement
from trm_jax.loading import LoadedModel, Puzzles, load_puzzles, to_batch
from trm_jax.tasks.task import Task
from trm_jax.types import Batch

NO_OPTIONS = CalibrationOptions()
OPTION = "--calibration"
NAMED_AT_ONCE = 8192  # puzzles whose names are in memory together


@dataclass(frozen=True, kw_only=True, eq=False)
class CalibrationPuzzles:
    """The last puzzles of a data set, and what must not be among them.

    Attributes:
      evaluated: puzzles whose first are evaluated.
      own: the data set that they are taken from, None: the evaluated one.
      options: what was asked for.
    """

    evaluated: Puzzles
    own: Puzzles | None = None
    options: CalibrationOptions = NO_OPTIONS

    @property
    def source(self) -> Puzzles:
        """The data set that they are taken from."""
        return self.evaluated if self.own is None else self.own

    @property
    def count(self) -> int:
        """How many they are."""
        return self.options.puzzles

    @property
    def left(self) -> int:
        """How many puzzles of the evaluated data set are not set apart for calibration."""
        apart = self.count if self.own is None else 0
        return max(len(self.evaluated) - apart, 0)

    @cached_property
    def rows(self) -> Integer[np.ndarray, " puzzles"]:
        """Their rows of the data set.

        Raises:
          ValueError: the data set has too few, or all of them are the same puzzle.
        """
        return calibration_rows(self.source.dataset, self.count)

    def batches(self) -> Iterator[Batch]:
        """Gather them, once they are asked for.

        Raises:
          ValueError: the data set has too few, or all of them are the same puzzle.
        """
        for host in calibration_batches(self.source.dataset, self.count):
            yield to_batch(host)

    @property
    def facts(self) -> CalibrationFacts | None:
        """The record for rows and manifests; None where nothing was chosen."""
        return self.recorded if self.options.is_chosen else None

    def recorded_if(self, needed: bool) -> CalibrationFacts | None:
        """Give the record of what was calibrated, chosen or not; None of what was not."""
        return self.recorded if needed else None

    @cached_property
    def recorded(self) -> CalibrationFacts:
        """The record, chosen or not."""
        dataset, digest = self.source.dataset, hashlib.sha256()
        for values in (dataset.inputs[self.rows], identifiers_of(dataset, self.rows)):
            digest.update(np.ascontiguousarray(values, np.int32).tobytes())
        return CalibrationFacts(
            puzzles=self.count, sha256=digest.hexdigest(), data=self.source.name
        )

    def check(self, num_puzzles: int) -> None:
        """Check that no calibration puzzle is an image of an evaluated one.

        Under another puzzle identifier an equal question is another one: a model reads both.

        Args:
          num_puzzles: that are evaluated, the first in their order.

        Raises:
          ValueError: one is, or there are too few, or all calibration puzzles are the same.
        """
        calibrated = image_names(self.source, self.rows)
        names, first = set(calibrated), {}
        for start in range(0, num_puzzles, NAMED_AT_ONCE):
            evaluated = self.evaluated.order[start : min(start + NAMED_AT_ONCE, num_puzzles)]
            named = zip(image_names(self.evaluated, evaluated), evaluated.tolist(), strict=True)
            first |= {name: row for name, row in named if name in names}
        rows = zip(calibrated, self.rows.tolist(), strict=True)
        pairs = [(row, first[name]) for name, row in rows if name in first]
        if not pairs:
            return
        row, other = pairs[0]
        same = (self.source.dataset.inputs[row] == self.evaluated.dataset.inputs[other]).all()
        what = "the same as" if same else "a symmetric image of"
        where = "" if self.own is None else f" of {self.evaluated.folder}"
        raise ValueError(
            f"{len(pairs)} of the last {self.count} puzzles of {self.source.folder}, which"
            f" calibration takes, are evaluated too: puzzle {row} is {what} puzzle {other}{where};"
            " take such puzzles out of the data or leave out the schemes that are calibrated"
        )


def image_names(puzzles: Puzzles, rows: Integer[np.ndarray, " rows"]) -> list[tuple[Any, int]]:
    """Name puzzles so that symmetric images of a question to the same identifier are equal.

    Args:
      rows: of the data set.
    """
    inputs = np.asarray(puzzles.dataset.inputs[rows], np.int32)  # names are made of bytes
    ids = puzzles.task.image_ids(inputs, puzzles.facts)
    return list(zip(ids, identifiers_of(puzzles.dataset, rows).tolist(), strict=True))


def choose_calibration(
    source: LoadedModel | Task, evaluated: Puzzles, options: CalibrationOptions = NO_OPTIONS
) -> CalibrationPuzzles:
    """Load the puzzles that a command line names, or take those of the evaluated data set.

    Args:
      source: the model that reads them; of a decoder its task, whose puzzles must be alike.

    Raises:
      FileNotFoundError: missing, or a file of the layout is.
      ValueError: damaged, puzzles of another task, grid or boxes, or fewer than asked for.
    """
    if options.data is None:
        return CalibrationPuzzles(evaluated=evaluated, options=options)
    own = load_puzzles(source, options.data, option=OPTION)
    check_agreement(
        evaluated.facts,
        f"data {evaluated.folder}",
        own.facts,
        f"{OPTION} {own.folder}",
        remedy=f"name another {OPTION}",
    )
    if len(own) < options.puzzles:
        raise ValueError(
            f"{OPTION} {own.folder} has {len(own)} puzzles, --calibration-puzzles asks for"
            f" {options.puzzles}; lower it or name a larger data set"
        )
    return CalibrationPuzzles(evaluated=evaluated, own=own, options=options)
