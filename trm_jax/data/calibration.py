"""Which puzzles static activations are calibrated on: the last ones in the order of evaluation.

Of ARC these are questions under their last augmentations: as hard as the evaluated ones, but no
strangers to them.

The sweep's simulation and the exports must take the same ones, or their integers differ.
"""

from collections.abc import Iterator

from trm_jax.data.batches import PuzzleBatch, evaluation_order, gather
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
    rows = evaluation_order(dataset)[-CALIBRATION_PUZZLES:]
    for start in range(0, CALIBRATION_PUZZLES, CALIBRATION_BATCH):
        yield gather(dataset, rows[start : start + CALIBRATION_BATCH], CALIBRATION_BATCH)
