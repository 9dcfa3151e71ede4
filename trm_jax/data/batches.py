"""Batches of data sets: in order for evaluation, an endless seeded stream for training.

Training batch k is a pure function of (data set, batch size, seed, k): a run resumes exactly by
naming the step, with no state to save. As in the released loader an epoch visits every group
once and draws one of its puzzles; unlike it, epochs follow each other without a gap, so that no
remainder is dropped and a batch may be larger than an epoch.

Static activations are calibrated on the last puzzles in the order of evaluation
(`calibration_batches`). A sweep's simulation and an export must take the same ones, or their
integers differ. Of ARC these are questions under their last augmentations: as hard as the
evaluated ones, but augmentations of tasks that are evaluated too.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Int32

from trm_jax.data.format import PuzzleDataset

IGNORE_LABEL = -100  # equals trm_jax.types.IGNORE_LABEL; this package stays importable without jax
CALIBRATION_PUZZLES = 128  # as many as the paper names (App. L)
CALIBRATION_BATCH = 32

Augment = Callable[[np.random.Generator, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Changes inputs and labels of a batch at random, e.g. `symmetry.augment_sudoku`."""


class PuzzleBatch(NamedTuple):
    """A batch on the host. `Batch(*batch[:3])` is what the models take.

    Rows from `num_real` on are padding: pad tokens, no scored label, blank identifier.
    """

    inputs: Int32[np.ndarray, "batch seq"]
    labels: Int32[np.ndarray, "batch seq"]
    puzzle_identifiers: Int32[np.ndarray, " batch"]
    num_real: int


def gather(dataset: PuzzleDataset, examples: np.ndarray, batch_size: int) -> PuzzleBatch:
    """Copy examples into a batch, mask unscored labels and pad to `batch_size` rows.

    Args:
      dataset: where from.
      examples: row numbers, at most `batch_size`.
      batch_size: rows of the result.
    """
    meta, num = dataset.metadata, len(examples)
    inputs = np.full((batch_size, meta.seq_len), meta.pad_id, np.int32)
    labels = np.full((batch_size, meta.seq_len), IGNORE_LABEL, np.int32)
    identifiers = np.full(batch_size, meta.blank_identifier_id, np.int32)
    inputs[:num] = dataset.inputs[examples]
    labels[:num] = dataset.labels[examples]
    if meta.ignore_label_id is not None:
        labels[labels == meta.ignore_label_id] = IGNORE_LABEL
    identifiers[:num] = identifiers_of(dataset, examples)
    return PuzzleBatch(inputs, labels, identifiers, num)


def identifiers_of(dataset: PuzzleDataset, examples: np.ndarray) -> np.ndarray:
    """Look up the puzzle identifiers of examples."""
    puzzles = np.searchsorted(dataset.puzzle_indices, examples, side="right") - 1
    return dataset.puzzle_identifiers[puzzles]


def evaluation_order(dataset: PuzzleDataset) -> np.ndarray:
    """Order the examples so that any first few are spread over all groups.

    First the first example of every group's first puzzle, then their further examples, then the
    same of the second puzzles, ... Where each group is one example this is the order of the
    data set. An ARC split holds one task's augmentations after the other: of it these are all
    questions as they are, then all of them under a first augmentation, and so on.

    Returns:
      Row numbers, each once.
    """
    sizes, puzzles = np.diff(dataset.puzzle_indices), np.diff(dataset.group_indices)
    group = np.repeat(np.arange(len(puzzles)), puzzles)
    turn = np.arange(len(sizes)) - dataset.group_indices[:-1][group]
    example = np.arange(len(dataset)) - np.repeat(dataset.puzzle_indices[:-1], sizes)
    return np.lexsort((np.repeat(group, sizes), example, np.repeat(turn, sizes)))


def in_evaluation_order(dataset: PuzzleDataset) -> PuzzleDataset:
    """Lay a data set out in `evaluation_order`, every example a group of its own.

    Where it is already so, it is returned as it is (and stays memory-mapped).
    """
    order, num = evaluation_order(dataset), len(dataset)
    if len(dataset.group_indices) == num + 1:
        return dataset
    puzzles = np.searchsorted(dataset.puzzle_indices, order, side="right") - 1
    bounds = np.arange(num + 1, dtype=np.int32)
    metadata = dataclasses.replace(
        dataset.metadata, total_groups=num, mean_puzzle_examples=1.0, total_puzzles=num
    )
    return PuzzleDataset(
        inputs=dataset.inputs[order],
        labels=dataset.labels[order],
        puzzle_identifiers=dataset.puzzle_identifiers[puzzles],
        puzzle_indices=bounds,
        group_indices=bounds,
        metadata=metadata,
    )


def _check_batch_size(batch_size: int) -> None:
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")


def eval_batches(
    dataset: PuzzleDataset, batch_size: int, *, limit: int | None = None
) -> Iterator[PuzzleBatch]:
    """Yield the examples in order; the last batch is padded.

    Args:
      dataset: what to evaluate on.
      batch_size: rows of every batch.
      limit: only the first so many examples.

    Raises:
      ValueError: batch size or limit below 1.
    """
    _check_batch_size(batch_size)
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1, got {limit}")
    num = len(dataset) if limit is None else min(limit, len(dataset))
    for first in range(0, num, batch_size):
        yield gather(dataset, np.arange(first, min(first + batch_size, num)), batch_size)


def _epoch_size(dataset: PuzzleDataset) -> int:
    """Count the examples of an epoch: one puzzle per group.

    Raises:
      ValueError: puzzles of a group differ in their number of examples (then the place of a
        batch in the stream would depend on all draws before it), or there is nothing to draw.
    """
    sizes, first = np.diff(dataset.puzzle_indices), dataset.group_indices[:-1]
    if not len(first):
        raise ValueError("the data set is empty: there is no group to train on")
    expected = np.repeat(sizes[first], np.diff(dataset.group_indices))
    if (sizes != expected).any():
        puzzle = int(np.flatnonzero(sizes != expected)[0])
        raise ValueError(
            f"all puzzles of a group need the same number of examples; puzzle {puzzle} has"
            f" {sizes[puzzle]}, its group began with {expected[puzzle]}"
        )
    return int(sizes[first].sum())


def epoch_order(dataset: PuzzleDataset, seed: int, epoch: int) -> np.ndarray:
    """Order the examples of an epoch: groups shuffled, one puzzle of each, its examples shuffled.

    Returns:
      Row numbers of the examples.
    """
    rng = np.random.default_rng([seed, epoch])
    low, high = dataset.group_indices[:-1], dataset.group_indices[1:]
    puzzles = rng.permutation(rng.integers(low, high))
    first, last = dataset.puzzle_indices[puzzles], dataset.puzzle_indices[puzzles + 1]
    turn = np.repeat(np.arange(len(puzzles)), last - first)
    begin = np.repeat(np.cumsum(last - first) - (last - first), last - first)
    examples = first[turn] + np.arange(len(turn)) - begin
    return examples[np.lexsort((rng.random(len(turn)), turn))]


class _Stream:
    """The endless sequence of example numbers, one epoch in memory at a time."""

    def __init__(self, dataset: PuzzleDataset, seed: int):
        self.dataset, self.seed = dataset, seed
        self.size = _epoch_size(dataset)
        self.epoch, self.order = -1, np.empty(0, np.int64)

    def rows(self, place: int, count: int) -> np.ndarray:
        """Return `count` example numbers from `place` of the stream on."""
        parts, end = [], place + count
        while place < end:
            if place // self.size != self.epoch:
                self.epoch = place // self.size
                self.order = epoch_order(self.dataset, self.seed, self.epoch)
            offset = place % self.size
            parts.append(self.order[offset : offset + end - place])
            place += len(parts[-1])
        return np.concatenate(parts)


def train_batches(
    dataset: PuzzleDataset,
    batch_size: int,
    *,
    seed: int,
    start: int = 0,
    augment: Augment | None = None,
) -> Iterator[PuzzleBatch]:
    """Yield training batches without end, from batch number `start` on.

    Args:
      dataset: what to train on.
      batch_size: rows of every batch.
      seed: of order, draws and augmentation.
      start: number of the first batch; resuming after k steps means `start=k`.
      augment: applied to each batch with a generator of its own.

    Raises:
      ValueError: batch size below 1, or groups with puzzles of different sizes.
    """
    _check_batch_size(batch_size)
    stream = _Stream(dataset, seed)
    for k in itertools.count(start):
        batch = gather(dataset, stream.rows(k * batch_size, batch_size), batch_size)
        if augment is not None:
            rng = np.random.default_rng([seed, k, 1])  # two entries: that of an epoch's order
            inputs, labels = augment(rng, batch.inputs, batch.labels)
            batch = batch._replace(inputs=inputs, labels=labels)
        yield batch


def calibration_rows(dataset: PuzzleDataset, count: int = CALIBRATION_PUZZLES) -> np.ndarray:
    """Choose the puzzles that a model is calibrated on.

    Args:
      count: how many.

    Returns:
      Rows of the data set, the last in the order of evaluation.

    Raises:
      ValueError: there are too few, or all of them are the same puzzle.
    """
    total = len(dataset)
    if count < 1:
        raise ValueError(f"calibration takes at least one puzzle, got count={count}")
    if total < count:
        raise ValueError(f"calibration takes {count} puzzles, the data has {total}")
    rows = evaluation_order(dataset)[-count:]
    inputs = dataset.inputs[rows]
    if count > 1 and (inputs == inputs[0]).all():
        raise ValueError(
            f"the last {count} puzzles, which calibration takes, are all the same"
            " puzzle; a model calibrated on one puzzle says nothing of others: name data with"
            " different ones"
        )
    return rows


def calibration_batches(
    dataset: PuzzleDataset, count: int = CALIBRATION_PUZZLES
) -> Iterator[PuzzleBatch]:
    """Gather them, in batches without padding, of one size where `count` can be cut so.

    Raises:
      ValueError: there are too few, or all of them are the same puzzle.
    """
    rows = calibration_rows(dataset, count)
    size = batch_size_of(count)
    for start in range(0, count, size):
        chosen = rows[start : start + size]
        yield gather(dataset, chosen, len(chosen))


def batch_size_of(count: int) -> int:
    """Choose the batches of calibration: few, and none much smaller than the rest.

    Returns:
      Puzzles of a batch, at most CALIBRATION_BATCH; the last may have fewer.
    """
    return -(-count // -(-count // CALIBRATION_BATCH))
