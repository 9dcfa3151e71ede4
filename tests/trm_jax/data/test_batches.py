"""Batches: padding and masks for evaluation, a reproducible stream for training."""

import itertools

import numpy as np
import pytest

from trm_jax import types
from trm_jax.data.batches import (
    IGNORE_LABEL,
    eval_batches,
    evaluation_order,
    gather,
    in_evaluation_order,
    train_batches,
)
from trm_jax.data.format import ARRAYS, Metadata, PuzzleDataset, from_examples, validate


def numbered(num, group_size=1):
    """A data set whose first token is the number of the example."""
    inputs = np.stack([np.arange(num), np.ones(num, int)], axis=1)
    labels = np.stack([np.arange(num), np.zeros(num, int)], axis=1)
    return from_examples(inputs, labels, vocab_size=num + 2, group_size=group_size)


def several_examples():
    """Two groups of two puzzles; the puzzles have 3, 3 and 1, 1 examples."""
    inputs = np.arange(1, 9)[:, None]
    return PuzzleDataset(
        inputs=inputs,
        labels=inputs,
        puzzle_identifiers=np.array([5, 6, 7, 8]),
        puzzle_indices=np.array([0, 3, 6, 7, 8]),
        group_indices=np.array([0, 2, 4]),
        metadata=Metadata(
            seq_len=1,
            vocab_size=9,
            num_puzzle_identifiers=9,
            blank_identifier_id=2,
            total_groups=2,
            mean_puzzle_examples=2.0,
            total_puzzles=4,
        ),
    )


def take(dataset, size, count, **options):
    return list(itertools.islice(train_batches(dataset, size, **options), count))


def test_the_ignored_label_is_the_models():
    assert IGNORE_LABEL == types.IGNORE_LABEL


def test_evaluation_keeps_the_order_and_pads_the_last_batch():
    batches = list(eval_batches(numbered(5), 3))
    assert [b.num_real for b in batches] == [3, 2]
    assert batches[0].inputs.tolist() == [[0, 1], [1, 1], [2, 1]]
    assert batches[1].inputs.tolist() == [[3, 1], [4, 1], [0, 0]]
    assert batches[1].labels.tolist() == [[3, -100], [4, -100], [-100, -100]]
    assert all(array.dtype == np.int32 for array in batches[0][:3])


def test_the_order_of_evaluation_goes_round_the_groups():
    assert evaluation_order(numbered(5)).tolist() == [0, 1, 2, 3, 4]
    rows = evaluation_order(several_examples())
    examples = [(0, 0), (6, 1), (1, 0), (2, 0), (3, 0), (7, 1), (4, 0), (5, 0)]  # row, group
    assert rows.tolist() == [row for row, _ in examples]


def test_a_data_set_in_that_order_is_read_from_its_beginning():
    dataset = several_examples()
    laid_out = in_evaluation_order(dataset)
    theirs = gather(dataset, evaluation_order(dataset), 8)
    (ours,) = eval_batches(laid_out, 8)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)
    assert evaluation_order(laid_out).tolist() == list(range(8))
    validate({name: getattr(laid_out, name) for name in ARRAYS}, laid_out.metadata, "")
    assert in_evaluation_order(laid_out) is laid_out  # nothing is copied twice


def test_identifiers_belong_to_puzzles_and_padding_is_blank():
    (batch,) = eval_batches(several_examples(), 10)
    assert batch.puzzle_identifiers.tolist() == [5, 5, 5, 6, 6, 6, 7, 8, 2, 2]


@pytest.mark.parametrize(("limit", "rows"), [(1, 1), (4, 4), (99, 5)])
def test_limit_takes_the_first_examples(limit, rows):
    batches = list(eval_batches(numbered(5), 2, limit=limit))
    firsts = np.concatenate([b.inputs[: b.num_real, 0] for b in batches])
    assert firsts.tolist() == list(range(rows))


def test_no_ignored_label_when_the_metadata_has_none():
    dataset = several_examples()
    object.__setattr__(dataset.metadata, "ignore_label_id", None)
    (batch,) = eval_batches(dataset, 8)
    assert (batch.labels == batch.inputs).all()


@pytest.mark.parametrize("size", [1, 3, 7, 10])
def test_every_epoch_visits_each_group_once(size):
    dataset = numbered(12, group_size=2)  # 6 groups: epochs of 6 examples
    drawn = np.concatenate([b.inputs[:, 0] for b in take(dataset, size, 30, seed=0)])
    epochs = drawn[: len(drawn) // 6 * 6].reshape(-1, 6)
    np.testing.assert_array_equal(np.sort(epochs // 2, axis=1), np.tile(range(6), (len(epochs), 1)))


def test_both_puzzles_of_a_group_are_drawn_and_the_order_changes():
    drawn = np.concatenate([b.inputs[:, 0] for b in take(numbered(12, 2), 6, 20, seed=0)])
    assert set(drawn.tolist()) == set(range(12))
    assert len({tuple(epoch // 2) for epoch in drawn.reshape(-1, 6)}) > 10


def test_a_puzzle_brings_all_its_examples():
    for batch in take(several_examples(), 4, 20, seed=1):
        values = batch.inputs[:, 0]
        single = values[values > 6]
        assert len(single) == 1
        assert sorted(values[values <= 6].tolist()) in ([1, 2, 3], [4, 5, 6])
        assert set(batch.puzzle_identifiers[values <= 6].tolist()) in ({5}, {6})


def test_batches_depend_on_seed_and_number_alone():
    def jitter(rng, inputs, labels):
        return inputs + rng.integers(0, 100, inputs.shape, np.int32), labels

    whole = take(numbered(12, 2), 5, 9, seed=3, augment=jitter)
    resumed = take(numbered(12, 2), 5, 4, seed=3, start=5, augment=jitter)
    for a, b in zip(whole[5:], resumed, strict=True):
        for left, right in zip(a, b, strict=True):
            np.testing.assert_array_equal(left, right)
    other = take(numbered(12, 2), 5, 9, seed=4, augment=jitter)
    assert any((a.inputs != b.inputs).any() for a, b in zip(whole, other, strict=True))


def test_a_batch_may_be_larger_than_the_data():
    (batch,) = take(numbered(3), 7, 1, seed=0)
    assert batch.num_real == 7
    assert np.bincount(batch.inputs[:, 0]).tolist() in ([3, 2, 2], [2, 3, 2], [2, 2, 3])


def test_refuses_bad_sizes():
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        next(eval_batches(numbered(3), 0))
    with pytest.raises(ValueError, match="limit must be at least 1, got 0"):
        next(eval_batches(numbered(3), 1, limit=0))
    with pytest.raises(ValueError, match="the data set is empty"):
        next(
            train_batches(
                from_examples(np.ones((0, 2), int), np.ones((0, 2), int), vocab_size=2), 1, seed=0
            )
        )


def test_refuses_uneven_groups():
    dataset = several_examples()
    uneven = PuzzleDataset(**(vars(dataset) | {"puzzle_indices": np.array([0, 3, 5, 7, 8])}))
    with pytest.raises(ValueError, match="puzzle 1 has 2, its group began with 3"):
        next(train_batches(uneven, 2, seed=0))
