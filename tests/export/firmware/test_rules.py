"""The rules of puzzles in C and in Python say the same of right, wrong and nearly right answers."""

import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from export.cortex_m.flash_contents import shape_of
from tests.support.firmware.cases import DIGITS
from tests.support.firmware.machines import FIRMWARE, need
from trm_jax.data.facts import PuzzleFacts, settle_facts
from trm_jax.data.maze.solver import FREE, GOAL, PATH, START, WALL, solve_maze
from trm_jax.tasks import TASKS

MAIN = Path(__file__).parents[2] / "support" / "firmware" / "rules_main.c"


class Asked(NamedTuple):
    facts: PuzzleFacts
    puzzle: np.ndarray
    answer: np.ndarray


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need("gcc")
    program = tmp_path_factory.mktemp("rules") / "rules"
    flags = ["-std=c11", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    sources = [str(MAIN), str(FIRMWARE / "rules.c")]
    subprocess.run(["gcc", *flags, f"-I{FIRMWARE}", *sources, "-o", str(program)], check=True)
    return program


def line(asked: Asked) -> str:
    texts = ("".join(DIGITS[t] for t in cells) for cells in (asked.puzzle, asked.answer))
    return " ".join([*(str(int(number)) for number in shape_of(asked.facts)), *texts])


def say(program: Path, lines: Sequence[str]) -> list[str]:
    done = subprocess.run(
        [str(program)], input="\n".join(lines) + "\n", capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def in_python(asked: Asked) -> bool:
    rules = TASKS[asked.facts.task].rules(asked.facts)
    assert rules is not None
    return rules(asked.puzzle, asked.answer)


def spoiled(
    rng: np.random.Generator, facts: PuzzleFacts, puzzle: np.ndarray, answer: np.ndarray
) -> Iterator[Asked]:
    """One cell other, two cells exchanged, another puzzle's given, anything."""
    vocab = TASKS[facts.task].vocab_size(facts)
    yield Asked(facts, puzzle, answer)
    for _ in range(6):
        other = answer.copy()
        other[rng.integers(len(other))] = rng.integers(vocab)
        yield Asked(facts, puzzle, other)
        swapped, (a, b) = answer.copy(), rng.choice(len(answer), 2, replace=False)
        swapped[[a, b]] = swapped[[b, a]]
        yield Asked(facts, puzzle, swapped)
        given = puzzle.copy()
        given[rng.integers(len(given))] = rng.integers(vocab)
        yield Asked(facts, given, answer)
        yield Asked(facts, puzzle, rng.integers(0, vocab, len(puzzle)))


@pytest.mark.parametrize("box", [(2, 2), (2, 3), (3, 2), (3, 3), (2, 4)])
def test_sudokus(program: Path, box: tuple[int, int]) -> None:
    side, rng = box[0] * box[1], np.random.default_rng(box)
    facts = settle_facts("sudoku", side * side, "here", box=box)
    rows, columns = np.indices((side, side))
    solved = (rows * box[1] + rows // box[0] + columns) % side + 2
    asked = []
    for _ in range(30):
        answer = (rng.permutation(side) + 2)[solved - 2].ravel()
        puzzle = np.where(rng.random(side * side) < 0.4, answer, 1)
        asked += spoiled(rng, facts, puzzle, answer)
    wanted = [in_python(each) for each in asked]
    assert wanted.count(True) >= 30
    assert wanted.count(False) > 400
    assert say(program, [line(each) for each in asked]) == [str(int(right)) for right in wanted]


def open_maze(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    maze = np.where(rng.random(shape) < 0.25, WALL, FREE)
    for token in (START, GOAL):
        maze.flat[rng.choice(np.flatnonzero(maze.ravel() <= FREE))] = token
    return maze


@pytest.mark.parametrize("shape", [(1, 5), (4, 1), (3, 5), (8, 8), (6, 3)])
def test_mazes(program: Path, shape: tuple[int, int]) -> None:
    """Among them paths that became detours: the shortest of a maze with one wall more."""
    rng, asked = np.random.default_rng(shape), []
    facts = settle_facts("maze", shape[0] * shape[1], "here", grid=shape)
    while len(asked) < 2000:
        maze = open_maze(rng, shape)
        puzzle = maze.copy()
        cell = rng.integers(maze.size)
        if puzzle.flat[cell] == WALL:
            puzzle.flat[cell] = FREE
        try:
            answer = solve_maze(maze)
        except ValueError:  # no path
            continue
        answer = np.where((maze == WALL) & (puzzle == FREE), FREE, answer)
        asked += spoiled(rng, facts, puzzle.ravel(), answer.ravel())
    wanted = [in_python(each) for each in asked]
    assert wanted.count(True) > 70
    assert wanted.count(False) > 1000
    assert say(program, [line(each) for each in asked]) == [str(int(right)) for right in wanted]


def test_a_detour_is_no_answer(program: Path) -> None:
    facts = settle_facts("maze", 9, "here", grid=(3, 3))
    puzzle = np.array([START, FREE, GOAL, FREE, FREE, FREE, FREE, FREE, FREE])
    short, detour = puzzle.copy(), puzzle.copy()
    short[1] = PATH
    detour[[3, 6, 7, 8, 5]] = PATH
    asked = [Asked(facts, puzzle, short), Asked(facts, puzzle, detour)]
    assert [in_python(each) for each in asked] == [True, False]
    assert say(program, [line(each) for each in asked]) == ["1", "0"]
