"""The table of tasks: alphabets, scores, names, and that importing it is cheap."""

import pickle
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from trm_jax import zoo
from trm_jax.config import PRESET_TASKS, PRESETS
from trm_jax.convert.published import PUBLISHED
from trm_jax.data.format import from_examples
from trm_jax.evaluators import strict
from trm_jax.tasks import ARC, MAZE, SUDOKU, TASKS, task_named
from trm_jax.tasks.table import agreed_task, need_task
from trm_jax.tasks.task import side_of
from trm_jax.types import Batch

ONES = np.ones((3, 81), np.int32)
PACKAGED = [name for name in PRESETS if not name.startswith("tiny-")]  # those are of other tests
SUDOKUS = from_examples(ONES, ONES, vocab_size=11)


def test_sides_and_alphabets():
    assert SUDOKU.check_side(SUDOKUS, "here") == 9
    assert MAZE.check_side(from_examples(ONES, ONES, vocab_size=6), "here") == 9
    with pytest.raises(ValueError, match=r"here is no maze data: 9x9 maze has 6 tokens.*=11"):
        MAZE.check_side(SUDOKUS, "here")
    with pytest.raises(ValueError, match=r"here: puzzles must be square, got 80 cells"):
        SUDOKU.check_side(from_examples(ONES[:, 1:], ONES[:, 1:], vocab_size=11), "here")
    with pytest.raises(ValueError, match=r"unknown task 'chess'; known: sudoku, maze, arc"):
        task_named("chess")


@pytest.mark.parametrize("side", [6, 10, 30])
def test_arc_has_twelve_tokens_on_any_canvas(side):
    ones = np.ones((2, side * side), np.int32)
    assert ARC.check_side(from_examples(ones, ones, vocab_size=12), "here") == side
    with pytest.raises(ValueError, match=r"has 12 tokens, got vocab_size=11"):
        ARC.check_side(SUDOKUS, "here")


def test_only_mazes_have_a_second_score():
    """A detour of equal length through open cells: wrong by the label, right for a maze."""
    assert [task.has_second_score for task in (SUDOKU, MAZE, ARC)] == [False, True, False]
    assert SUDOKU.second_score(9) is strict
    assert ARC.second_score(9) is strict
    maze = [[3, 2, 2, 4]]  # start, free / free, goal: two shortest paths
    label, other = [[3, 5, 2, 4]], jnp.asarray([[3, 2, 5, 4]])
    batch = Batch(*map(jnp.asarray, (maze, label, [0])))
    assert not strict(other, batch)[0]
    assert MAZE.second_score(2)(other, batch)[0]


def test_augmentations_are_named_by_task_and_side():
    assert SUDOKU.augmentation(6).name == "sudoku-2x3"
    assert MAZE.augmentation(4).name == "maze"
    assert ARC.augmentation(30) is None


def test_every_name_of_a_task_in_tables_is_known():
    assert PRESET_TASKS.keys() == PRESETS.keys()
    named = {*PRESET_TASKS.values(), *(entry.task for entry in PUBLISHED.values())}
    named |= {entry.task for entry in zoo.MODELS.values()} | zoo.PUZZLES.keys()
    assert named == TASKS.keys()
    assert all(task.name == name for name, task in TASKS.items())


@pytest.mark.parametrize("name", PACKAGED)
def test_presets_have_the_alphabet_of_their_task(name):
    config = PRESETS[name]
    task = TASKS[PRESET_TASKS[name]]
    assert config.vocab_size == task.vocab_size(side_of(config.seq_len, name))


def test_what_is_asked_and_what_is_recorded_must_agree():
    assert agreed_task("maze", None, "m") is agreed_task(None, "maze", "m") is MAZE
    assert agreed_task(SUDOKU, "sudoku", "m") is SUDOKU
    assert agreed_task(None, "", "m") is None
    with pytest.raises(ValueError, match="m is for sudoku, not for maze; name another model"):
        agreed_task("maze", "sudoku", "m")
    with pytest.raises(ValueError, match=r"m: unknown task 'chess'; known: sudoku"):
        agreed_task(None, "chess", "m")
    with pytest.raises(ValueError, match=r"nothing says .* m is for; name it with --task \(sudok"):
        need_task(None, "m")


def test_tasks_without_a_text_form_say_so():
    with pytest.raises(ValueError, match="puzzles of task 'arc' have no text form"):
        ARC.need_text()


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_tasks_travel_between_processes(task):
    assert pickle.loads(pickle.dumps(task)) == task


def test_importing_tasks_loads_nothing_heavy():
    """Command lines list the tasks before anything is computed."""
    heavy = "{'jax', 'flax', 'optax', 'matplotlib', 'rich', 'scipy', 'pandas'}"
    code = f"import sys, trm_jax.tasks; print(sorted({heavy} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
