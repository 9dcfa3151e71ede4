"""Sudoku as tokens: answers of traces, and every step against candidates counted by hand."""

import numpy as np
import pytest

from trm_jax import zoo
from trm_jax.data.facts import settle_facts
from trm_jax.data.format import load_dataset
from trm_jax.data.sudoku.generator import generate_sudoku
from trm_jax.data.sudoku.tokens import encode
from trm_jax.tasks import ARC, SUDOKU
from trm_jax.tasks.tokens.form import PAD, SEPARATOR, STOP, TokenForm, TraceOrder, join
from trm_jax.tasks.tokens.sudoku import SudokuVocabulary, make_sudoku_tokens

SHAPES = {(2, 2): (4, 60), (2, 3): (6, 40), (3, 2): (6, 10), (3, 3): (9, 2)}
"""Side and number of puzzles of each box shape."""


@pytest.fixture(scope="module", params=list(SHAPES), ids=str)
def puzzles(request: pytest.FixtureRequest) -> tuple[tuple[int, int], np.ndarray, np.ndarray]:
    box = request.param
    inputs, labels = generate_sudoku(SHAPES[box][1], box=box, seed=3)
    return box, encode(inputs), encode(labels)


def peers(box: tuple[int, int], cell: int) -> list[int]:
    """List the other cells of a cell's row, column and box, without the vocabulary's tables."""
    side = box[0] * box[1]
    place = divmod(cell, side)
    found = []
    for other in range(side * side):
        at = divmod(other, side)
        same_box = all(a // n == b // n for a, b, n in zip(place, at, box, strict=True))
        if other != cell and (at[0] == place[0] or at[1] == place[1] or same_box):
            found.append(other)
    return found


def candidates(box: tuple[int, int], board: dict[int, int], cell: int) -> set[int]:
    side = box[0] * box[1]
    return set(range(1, side + 1)) - {board.get(other, 0) for other in peers(box, cell)}


def units(box: tuple[int, int]) -> dict[str, list[int]]:
    """Name the units and list their cells, in the order in which they are searched."""
    side, (height, width) = box[0] * box[1], box
    cells = [divmod(cell, side) for cell in range(side * side)]
    boxes = [r // height * (side // width) + c // width for r, c in cells]
    lines = {"box": boxes, "row": [r for r, _ in cells], "column": [c for _, c in cells]}
    return {
        f"{kind} {n + 1}": [cell for cell, unit in enumerate(of) if unit == n]
        for kind, of in lines.items()
        for n in range(side)
    }


def placed(name: str, side: int) -> tuple[int, int]:
    """Read `r1c2=3`."""
    place, digit = name.split("=")
    row, column = place[1:].split("c")
    return (int(row) - 1) * side + int(column) - 1, int(digit)


def givens(puzzle: np.ndarray) -> dict[int, int]:
    return {cell: int(token) - 1 for cell, token in enumerate(puzzle) if token > 1}


def named(form: TokenForm, tokens: np.ndarray) -> list[str]:
    return [form.vocabulary[token] for token in tokens if token != PAD]


@pytest.mark.parametrize("order", TraceOrder)
def test_the_answer_of_a_trace_is_the_label(puzzles, order: TraceOrder) -> None:
    box, inputs, labels = puzzles
    form = make_sudoku_tokens(box)
    traces = form.traces(inputs, labels, order)
    np.testing.assert_array_equal(form.answers(inputs, traces.tokens), labels)
    ends = traces.tokens[np.arange(len(inputs)), traces.lengths - 1]
    assert (ends == STOP).all()
    assert ((traces.tokens != PAD).sum(axis=1) == traces.lengths).all()
    blanks = (inputs == 1).sum(axis=1)
    assert (traces.lengths >= blanks + 1).all()
    if order is not TraceOrder.SCAN:
        np.testing.assert_array_equal(traces.lengths, blanks + 1)


def test_a_prompt_is_the_given_digits_in_reading_order(puzzles) -> None:
    box, inputs, _ = puzzles
    form, side = make_sudoku_tokens(box), box[0] * box[1]
    prompts = form.prompts(inputs)
    for puzzle, tokens, length in zip(inputs, *prompts, strict=True):
        *places, end = named(form, tokens[:length])
        assert end == "separator"
        assert [placed(name, side) for name in places] == list(givens(puzzle).items())


def singles(box, board) -> list[tuple[int, int]]:
    """List forced placements in the solver's order, the naked ones alone where there are some."""
    side = box[0] * box[1]
    left = {c: candidates(box, board, c) for c in range(side * side) if c not in board}
    if naked := [(cell, max(digits)) for cell, digits in left.items() if len(digits) == 1]:
        return naked
    hidden = []
    for cells in units(box).values():
        for digit in range(1, side + 1):
            places = [cell for cell in cells if digit in left.get(cell, ())]
            hidden += [(places[0], digit)] if len(places) == 1 else []
    return hidden


def test_every_step_of_the_solver_is_the_first_single_or_a_guess_where_none_is(puzzles) -> None:
    box, inputs, labels = puzzles
    form, side = make_sudoku_tokens(box), box[0] * box[1]
    traces = form.traces(inputs, labels, TraceOrder.SOLVER)
    for puzzle, label, trace in zip(inputs, labels, traces.tokens, strict=True):
        board = givens(puzzle)
        for name in named(form, trace)[:-1]:
            cell, digit = placed(name, side)
            if forced := singles(box, board):
                assert (cell, digit) == forced[0]
            else:
                counts = {
                    c: len(candidates(box, board, c)) for c in range(side**2) if c not in board
                }
                assert cell == min(counts, key=lambda c: (counts[c], c))
                assert digit == label[cell] - 1
            board[cell] = digit


def expected_scan(box, puzzle, label) -> list[str]:
    """Write a scan by dictionaries and strings, one puzzle at a time."""
    side, board, written, idle, kind = box[0] * box[1], givens(puzzle), [], 0, 0
    passes = ("cells", "boxes", "rows", "columns")

    def place(cell: int, digit: int) -> None:
        board[cell] = digit
        written.append(f"r{cell // side + 1}c{cell % side + 1}={digit}")

    while len(board) < side * side:
        before = len(board)
        written.append(passes[kind])
        if kind == 0:
            for cell in [c for c in range(side * side) if c not in board]:
                written.append(f"look r{cell // side + 1}c{cell % side + 1}")
                if len(left := candidates(box, board, cell)) == 1:
                    place(cell, *left)
        for name, cells in units(box).items():
            if not passes[kind].startswith(name.split()[0]):
                continue
            for digit in range(1, side + 1):
                if digit in [board.get(cell) for cell in cells]:
                    continue
                written.append(f"look {digit} in {name}")
                can = [c for c in cells if c not in board and digit in candidates(box, board, c)]
                if len(can) == 1:
                    place(can[0], digit)
        idle = idle + 1 if len(board) == before else 0
        if idle == 4:
            counts = {c: len(candidates(box, board, c)) for c in range(side**2) if c not in board}
            cell = min(counts, key=lambda c: (counts[c], c))
            written.append("guess")
            place(cell, int(label[cell]) - 1)
            idle = 0
        kind = (kind + 1) % 4
    return [*written, "stop"]


def test_a_scan_equals_one_written_with_dictionaries(puzzles) -> None:
    box, inputs, labels = puzzles
    form = make_sudoku_tokens(box)
    traces = form.traces(inputs, labels, TraceOrder.SCAN)
    for puzzle, label, trace in zip(inputs, labels, traces.tokens, strict=True):
        assert named(form, trace) == expected_scan(box, puzzle, label)


def test_a_batch_is_its_puzzles_one_by_one(puzzles) -> None:
    box, inputs, labels = puzzles
    form = make_sudoku_tokens(box)
    for order in TraceOrder:
        whole = join(form.prompts(inputs), form.traces(inputs, labels, order))
        one = join(form.prompts(inputs[1:2]), form.traces(inputs[1:2], labels[1:2], order))
        np.testing.assert_array_equal(whole.tokens[1, : whole.lengths[1]], one.tokens[0])


def test_only_the_first_placement_of_an_empty_cell_before_the_stop_counts() -> None:
    form = make_sudoku_tokens((2, 2))
    inputs = np.ones((1, 16), np.uint8)
    inputs[0, 0] = 2
    place = form.vocabulary.index
    written = ["r1c1=4", "r1c2=2", "look r1c3", "r1c2=3", "stop", "r1c3=4"]
    answer = form.answers(inputs, np.array([[place(name) for name in written]]))
    np.testing.assert_array_equal(answer[0, :4], [2, 3, 1, 1])
    np.testing.assert_array_equal(inputs[0, :4], [2, 1, 1, 1])  # left as it was


def test_labels_that_break_the_rules_are_refused() -> None:
    inputs, labels = (encode(a) for a in generate_sudoku(2, box=(2, 2), seed=1))
    wrong = labels.copy()
    wrong[1] = np.where(labels[1] == 2, 3, np.where(labels[1] == 3, 2, labels[1]))
    for order in (TraceOrder.SOLVER, TraceOrder.SCAN):
        with pytest.raises(ValueError, match="the label of puzzle 1 is not the answer"):
            make_sudoku_tokens((2, 2)).traces(inputs, wrong, order)


def test_tokens_are_named_once_and_sequences_read_as_text() -> None:
    form = SUDOKU.token_form(settle_facts("sudoku", 36, "here", box=(2, 3)))
    assert len(set(form.vocabulary)) == len(form.vocabulary) == SudokuVocabulary((2, 3)).guess + 1
    assert form.vocabulary[SEPARATOR] == "separator"
    puzzle = np.ones((1, 36), np.uint8)
    puzzle[0, 7] = 5
    assert form.show(form.prompts(puzzle).tokens[0]) == "r2c2=4 separator"
    with pytest.raises(ValueError, match="'arc' are not written as tokens"):
        ARC.token_form(settle_facts("arc", 36, "here"))


def test_the_bundled_puzzles_have_short_traces() -> None:
    data = load_dataset(zoo.puzzles("sudoku") / "test")
    form = make_sudoku_tokens((2, 3))
    inputs, labels = data.inputs[:1000], data.labels[:1000]
    lengths = {order: form.traces(inputs, labels, order).lengths for order in TraceOrder}
    assert lengths[TraceOrder.SCAN].max() + form.prompts(inputs).lengths.max() <= 512
    assert (lengths[TraceOrder.SCAN] > 2 * lengths[TraceOrder.SOLVER]).all()
