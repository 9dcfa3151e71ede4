"""Batches of traces: functions of (seed, step), of puzzles under symmetries, little padding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.train.traces import CHUNK, WIDTH, TraceStream, TraceWriting
from trm_jax.data.facts import settle_facts
from trm_jax.data.sudoku.generator import generate_sudoku
from trm_jax.data.sudoku.tokens import decode, encode, valid_grids
from trm_jax.decoder.config import TraceOrder
from trm_jax.tasks import SUDOKU
from trm_jax.training.augment import sudoku_augmentation
from trm_jax.types import Batch

FORM = SUDOKU.token_form(settle_facts("sudoku", 16, "here"))
WRITING = TraceWriting(form=FORM, order=TraceOrder.SCAN, positions=256)


@pytest.fixture(scope="module")
def puzzles() -> Batch:
    inputs, labels = (encode(a) for a in generate_sudoku(20, box=(2, 2), seed=5))
    return Batch(jnp.asarray(inputs), jnp.asarray(labels), jnp.zeros(20, jnp.int32))


def stream(puzzles: Batch, seed: int = 0) -> TraceStream:
    return TraceStream(
        puzzles=puzzles,
        augment=sudoku_augmentation(2, 2),
        writing=WRITING,
        batch_size=3,
        seed=seed,
    )


def test_a_batch_is_a_function_of_seed_and_step(puzzles: Batch) -> None:
    forward, jumping = stream(puzzles), stream(puzzles)
    batches = {step: forward.at(step) for step in (1, 2, CHUNK, CHUNK + 1, 2 * CHUNK)}
    for step in (2 * CHUNK, 1, CHUNK + 1, 2, CHUNK):  # a resumed run begins anywhere
        jax.tree.map(np.testing.assert_array_equal, jumping.at(step), batches[step])
    assert not np.array_equal(stream(puzzles, seed=1).at(1).tokens, batches[1].tokens)
    seen = [np.asarray(batch.tokens[:, :8]).tobytes() for batch in batches.values()]
    assert len(set(seen)) == len(seen)


def test_every_sequence_is_a_puzzle_with_its_answer(puzzles: Batch) -> None:
    training = stream(puzzles)
    given = set()
    for step in range(1, CHUNK + 1):
        for tokens, begin, length in zip(*map(np.asarray, training.at(step)), strict=True):
            blank = np.ones((1, 16), np.uint8)
            puzzle = FORM.answers(blank, tokens[None, :begin])
            answer = FORM.answers(puzzle, tokens[None, begin:length])
            assert valid_grids(decode(answer), (2, 2)).all()
            assert (tokens[length:] == 0).all()
            trace = FORM.traces(puzzle, answer, TraceOrder.SCAN)
            np.testing.assert_array_equal(trace.tokens[0], tokens[begin:length])
            given.add(puzzle.tobytes())
    assert len(given) > 20  # more than there are: symmetries


def test_batches_hold_sequences_of_like_length_and_few_widths(puzzles: Batch) -> None:
    training = stream(puzzles)
    batches = [training.at(step) for step in range(1, CHUNK + 1)]
    assert {batch.tokens.shape[1] % WIDTH for batch in batches} == {0}
    spread = [np.ptp(np.asarray(batch.lengths)) for batch in batches]
    every = np.concatenate([batch.lengths for batch in batches])
    assert np.mean(spread) < 0.2 * np.ptp(every)


def test_what_a_model_has_no_positions_for_is_cut(puzzles: Batch) -> None:
    short = TraceWriting(form=FORM, order=TraceOrder.SCAN, positions=20)
    rows, begins = short.write(puzzles)
    batch = short.batch(rows, begins)
    assert batch.tokens.shape[1] == 20
    assert batch.lengths.max() == 20
    np.testing.assert_array_equal(batch.tokens, rows.tokens[:, :20])
    with pytest.raises(ValueError, match=r"a prompt has .* tokens, the model 4 positions"):
        TraceWriting(form=FORM, order=TraceOrder.SCAN, positions=4).write(puzzles)
