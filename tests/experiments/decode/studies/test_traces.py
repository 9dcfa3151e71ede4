"""Tokens of work are those that no answer is read from; traces without them answer the same."""

import numpy as np
import pytest

from experiments.decode.studies.traces import thin, work_tokens
from trm_jax.data.maze.generator import generate_mazes
from trm_jax.data.sudoku.generator import generate_sudoku
from trm_jax.data.sudoku.tokens import encode
from trm_jax.tasks.tokens.form import STOP, TokenForm, TraceOrder
from trm_jax.tasks.tokens.maze import make_maze_tokens
from trm_jax.tasks.tokens.sudoku import make_sudoku_tokens


def sudoku() -> tuple[TokenForm, np.ndarray, np.ndarray]:
    """Draw small puzzles."""
    inputs, labels = (encode(x) for x in generate_sudoku(20, box=(2, 2), seed=1)[:2])
    return make_sudoku_tokens((2, 2)), inputs, labels


def maze() -> tuple[TokenForm, np.ndarray, np.ndarray]:
    """Draw small mazes."""
    inputs, labels = generate_mazes(20, height=6, width=6, min_path=5, seed=1, one_path=True)[:2]
    return make_maze_tokens((6, 6)), inputs, labels


@pytest.mark.parametrize("make", [sudoku, maze])
def test_thinned_traces_give_the_same_answer_in_fewer_tokens(make) -> None:
    form, inputs, labels = make()
    whole = form.traces(inputs, labels, TraceOrder.SCAN)
    work, rng = work_tokens(form), np.random.default_rng(0)
    draws = rng.random(whole.tokens.shape)
    shares = np.linspace(0, 1, len(inputs))
    thinned = thin(whole, work, shares, draws)
    np.testing.assert_array_equal(form.answers(inputs, thinned.tokens), labels)
    assert thinned.lengths[0] == whole.lengths[0]
    np.testing.assert_array_equal(
        thinned.tokens[0, : thinned.lengths[0]], whole.tokens[0, : whole.lengths[0]]
    )
    # the last one has no work left, and as many tokens as its answer and the stop token
    last = thinned.tokens[-1, : thinned.lengths[-1]]
    assert not work[last].any()
    assert last[-1] == STOP
    assert (thinned.tokens[-1, thinned.lengths[-1] :] == 0).all()


@pytest.mark.parametrize("make", [sudoku, maze])
def test_work_is_what_the_answer_does_not_need(make) -> None:
    form, inputs, labels = make()
    work = work_tokens(form)
    assert 0 < work.sum() < len(work)
    solver = form.traces(inputs, labels, TraceOrder.SOLVER)
    assert not work[solver.tokens].any()
    assert not work[form.prompts(inputs).tokens].any()
    alone = np.where(work)[0][None].repeat(len(inputs), axis=0)
    np.testing.assert_array_equal(form.answers(inputs, alone), inputs)
