"""Mazes as tokens: answers of traces, and the search against one with a queue of Python."""

from collections import deque

import numpy as np
import pytest

from trm_jax.data.facts import settle_facts
from trm_jax.data.maze.generator import generate_mazes
from trm_jax.tasks import MAZE
from trm_jax.tasks.tokens.form import PAD, STOP, TokenForm, TraceOrder
from trm_jax.tasks.tokens.maze import make_maze_tokens

WALL, FREE, START, GOAL, PATH = range(1, 6)
MOVES = {"^": (-1, 0), "<": (0, -1), ">": (0, 1), "v": (1, 0)}


@pytest.fixture(scope="module", params=[(8, 8), (5, 9)], ids=str)
def mazes(request: pytest.FixtureRequest) -> tuple[tuple[int, int], np.ndarray, np.ndarray]:
    height, width = request.param
    made = generate_mazes(40, height=height, width=width, min_path=6, one_path=True, seed=2)
    return request.param, *made


def named(form: TokenForm, tokens: np.ndarray) -> list[str]:
    return [form.vocabulary[token] for token in tokens if token != PAD]


def name(cell: tuple[int, int]) -> str:
    return f"r{cell[0] + 1}c{cell[1] + 1}"


@pytest.mark.parametrize("order", TraceOrder)
def test_the_answer_of_a_trace_is_the_label(mazes, order: TraceOrder) -> None:
    shape, inputs, labels = mazes
    form = make_maze_tokens(shape)
    traces = form.traces(inputs, labels, order)
    np.testing.assert_array_equal(form.answers(inputs, traces.tokens), labels)
    assert (traces.tokens[np.arange(len(inputs)), traces.lengths - 1] == STOP).all()
    assert ((traces.tokens != PAD).sum(axis=1) == traces.lengths).all()
    if order is not TraceOrder.SCAN:
        np.testing.assert_array_equal(traces.lengths, (labels == PATH).sum(axis=1) + 1)


def test_a_prompt_is_the_open_cells(mazes) -> None:
    shape, inputs, _ = mazes
    form = make_maze_tokens(shape)
    words = {FREE: "free", START: "start", GOAL: "goal"}
    for maze, tokens in zip(inputs, form.prompts(inputs).tokens, strict=True):
        cells = [(divmod(i, shape[1]), t) for i, t in enumerate(maze) if t != WALL]
        expected = [f"{words[int(token)]} {name(cell)}" for cell, token in cells]
        assert named(form, tokens) == [*expected, "separator"]


def test_the_solver_moves_from_start_to_goal(mazes) -> None:
    shape, inputs, labels = mazes
    form = make_maze_tokens(shape)
    for maze, trace in zip(
        inputs, form.traces(inputs, labels, TraceOrder.SOLVER).tokens, strict=True
    ):
        at = divmod(int(np.flatnonzero(maze == START)[0]), shape[1])
        goal = divmod(int(np.flatnonzero(maze == GOAL)[0]), shape[1])
        for word in [*named(form, trace)[:-1], f"path {name(goal)}"]:
            beside = {f"path {name((at[0] + r, at[1] + c))}": (r, c) for r, c in MOVES.values()}
            at = (at[0] + beside[word][0], at[1] + beside[word][1])
        assert at == goal


def expected_scan(maze: np.ndarray) -> list[str]:
    """Search one maze with a queue."""
    is_open = {(int(r), int(c)) for r, c in np.argwhere(maze != WALL)}
    start, goal = (divmod(int(np.flatnonzero(maze == t)[0]), maze.shape[1]) for t in (START, GOAL))
    came, queue, written = {start: start}, deque([start]), []
    while goal not in came:
        here = queue.popleft()
        written.append(f"from {name(here)}")
        for move, (r, c) in MOVES.items():
            there = (here[0] + r, here[1] + c)
            if there in is_open and there not in came and goal not in came:
                came[there] = here
                queue.append(there)
                written.append(f"reach {name(there)} {move}")
    at = came[goal]
    while at != start:
        written.append(f"path {name(at)}")
        at = came[at]
    return [*written, "stop"]


def test_a_scan_equals_a_search_with_a_queue(mazes) -> None:
    shape, inputs, labels = mazes
    form = make_maze_tokens(shape)
    traces = form.traces(inputs, labels, TraceOrder.SCAN)
    for maze, trace in zip(inputs, traces.tokens, strict=True):
        assert named(form, trace) == expected_scan(maze.reshape(shape))


def test_a_scan_finds_a_shortest_path_where_there_are_several() -> None:
    facts = settle_facts("maze", 9, "here")
    inputs = np.array([[START, FREE, FREE, FREE, FREE, FREE, FREE, FREE, GOAL]], np.int8)
    form = MAZE.token_form(facts)
    trace = form.traces(inputs, inputs, TraceOrder.SCAN)
    (answer,) = form.answers(inputs, trace.tokens)
    text = MAZE.need_text()
    assert text.is_right(inputs[0], answer, facts)


def test_start_and_goal_stay_and_walls_are_no_way_out() -> None:
    form = make_maze_tokens((2, 2))
    inputs = np.array([[START, WALL, FREE, GOAL]], np.int8)
    index = form.vocabulary.index
    written = [[index("path r1c1"), index("path r1c2"), index("path r2c2"), index("stop")]]
    np.testing.assert_array_equal(
        form.answers(inputs, np.array(written)), [[START, PATH, FREE, GOAL]]
    )


@pytest.mark.parametrize(
    ("maze", "label", "order", "message"),
    [
        ([3, 1, 1, 4], [3, 1, 1, 4], TraceOrder.SCAN, "no path leads from start to goal in maze 0"),
        ([3, 2, 1, 4], [3, 2, 1, 4], TraceOrder.SOLVER, "maze 0 marks no path from start to goal"),
        ([3, 2, 2, 4], [3, 5, 5, 4], TraceOrder.SOLVER, "maze 0 marks no path from start to goal"),
        ([3, 3, 2, 4], [3, 5, 2, 4], TraceOrder.SCAN, "maze 0 must have one start, got 2"),
        ([3, 2, 2, 2], [3, 5, 2, 2], TraceOrder.SOLVER, "maze 0 must have one goal, got 0"),
    ],
)
def test_mazes_without_a_path_are_refused(maze, label, order, message) -> None:
    with pytest.raises(ValueError, match=message):
        make_maze_tokens((2, 2)).traces(np.array([maze]), np.array([label]), order)
