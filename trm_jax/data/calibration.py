"""Which puzzles static activations are calibrated on: the last ones of a data set.

The sweep's simulation and the exports must take the same ones, or their integers differ.
"""

from collections.abc import Iterator

import numpy as np

from trm_jax.data.batches import PuzzleBatch, gather
from trm_jax.data.format import PuzzleDataset

CALIBRATION_PUZZLES = 128  # as many as the paper names (App. L)
CALIBRATION_BATCH = 32


def calibration_batches(dataset: PuzzleDataset) -> Iterator[PuzzleBatch]:
    """Gather them, in batches of one size without padding.

    Raises:
      ValueError: there are too few.
    """
    total = len(dataset)
    if total < CALIBRATION_PUZZLES:
        raise ValueError(f"calibration takes {CALIBRATION_PUZZLES} puzzles, the data has {total}")
    for start in range(total - CALIBRATION_PUZZLES, total, CALIBRATION_BATCH):
        yield gather(dataset, np.arange(start, start + CALIBRATION_BATCH), CALIBRATION_BATCH)
