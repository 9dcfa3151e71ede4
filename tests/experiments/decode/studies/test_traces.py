"""Tokens of work are those that no answer is read from; traces without them answer the same."""

import numpy as np
import pytest

from experiments.decode.studies.traces import (
    Work,
    cut_work,
    leave_out,
    shorten,
    thin,
    work_tokens,
)
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
def test_shortened_traces_give_the_same_answer(make) -> None:
    form, inputs, labels = make()
    whole = form.traces(inputs, labels, TraceOrder.SCAN)
    short = shorten(form, whole, np.random.default_rng(0))
    np.testing.assert_array_equal(form.answers(inputs, short.tokens), labels)
    share = short.lengths / whole.lengths
    assert share.max() == 1  # some are whole
    assert share.min() < 0.7
    # without any excursion, every search still finds its answer
    direct = leave_out(whole, form.excursions(whole.tokens) > 0)
    np.testing.assert_array_equal(form.answers(inputs, direct.tokens), labels)
    assert (form.excursions(direct.tokens) == 0).all()


@pytest.mark.parametrize("make", [sudoku, maze])
def test_a_brief_trace_lacks_what_its_next_token_tells(make) -> None:
    form, inputs, labels = make()
    whole = form.traces(inputs, labels, TraceOrder.SCAN)
    brief = cut_work(form, whole, Work.BRIEF, np.random.default_rng(0))
    np.testing.assert_array_equal(form.answers(inputs, brief.tokens), labels)
    announced = ("cells", "boxes", "rows", "columns", "from")
    for row in range(len(inputs)):
        names = [form.vocabulary[token] for token in whole.tokens[row, : whole.lengths[row]]]
        kept = [form.vocabulary[token] for token in brief.tokens[row, : brief.lengths[row]]]
        told = [
            name.split()[0] in announced and after.split()[0] in ("look", "reach")
            for name, after in zip(names, [*names[1:], "stop"], strict=True)
        ]
        assert kept == [name for name, left in zip(names, told, strict=True) if not left]
    assert brief.lengths.sum() < whole.lengths.sum()


def test_an_excursion_of_a_maze_is_what_hangs_on_one_cell_beside_the_path() -> None:
    form, inputs, labels = maze()
    whole = form.traces(inputs, labels, TraceOrder.SCAN)
    sizes = form.excursions(whole.tokens)
    for row, length in zip(range(len(inputs)), whole.lengths, strict=True):
        names = [form.vocabulary[token].split() for token in whole.tokens[row, :length]]
        parents = {name[1]: before(*name[1:]) for name in names if name[0] == "reach"}
        goal = list(parents)[-1]
        path = {goal, *cells_before(goal, parents)}
        roots = {cell: root_of(cell, parents, path) for cell in parents}
        for column, name in enumerate(names):
            root = roots.get(name[1]) if name[0] in ("from", "reach") else None
            expected = 0 if root is None else list(roots.values()).count(root)
            assert sizes[row, column] == expected


def before(cell: str, move: str) -> str:
    """Undo a move."""
    row, column = map(int, cell[1:].split("c"))
    down, right = {"^": (-1, 0), "<": (0, -1), ">": (0, 1), "v": (1, 0)}[move]
    return f"r{row - down}c{column - right}"


def cells_before(cell: str, parents: dict[str, str]) -> list[str]:
    """Walk back to where the search began."""
    cells = []
    while cell in parents:
        cell = parents[cell]
        cells.append(cell)
    return cells


def root_of(cell: str, parents: dict[str, str], path: set[str]) -> str | None:
    """Find the first cell beside the path by way of which a cell is reached; None on the path."""
    found = None
    while cell not in path:
        found, cell = cell, parents[cell]
    return found


def test_fruitless_looks_of_a_sudoku_are_counted_between_placements() -> None:
    form, inputs, labels = sudoku()
    whole = form.traces(inputs, labels, TraceOrder.SCAN)
    sizes = form.excursions(whole.tokens)
    for tokens, row in zip(whole.tokens, sizes, strict=True):
        words = [form.vocabulary[token].split()[0] for token in tokens]
        run: list[int] = []
        for column, word in enumerate(words):
            follows = words[column + 1] if column + 1 < len(words) else ""
            if word == "look" and "=" not in follows:
                run.append(column)
            elif "=" in word or word == "stop":
                assert (row[run] == len(run)).all()
                run = []
        assert (row[[word != "look" for word in words]] == 0).all()


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
