"""The table of tasks: alphabets, scores, names, and that importing it is cheap."""

import math
import pickle
import subprocess
import sys

import jax.numpy as jnp
import pytest

from trm_jax import zoo
from trm_jax.config import PRESET_TASKS, PRESETS
from trm_jax.convert.published import PUBLISHED
from trm_jax.data.facts import boxes_of, settle_facts
from trm_jax.evaluators import strict
from trm_jax.tasks import ARC, MAZE, SUDOKU, TASKS, task_named
from trm_jax.tasks.sudoku import named_box
from trm_jax.tasks.table import agreed_task, need_task
from trm_jax.types import Batch

PACKAGED = [name for name in PRESETS if not name.startswith("tiny-")]  # those are of other tests


def test_sides_and_alphabets():
    sudoku, maze = (settle_facts(task, 81, "here") for task in ("sudoku", "maze"))
    SUDOKU.check_alphabet(sudoku, 11, "here")
    MAZE.check_alphabet(maze, 6, "here")
    with pytest.raises(ValueError, match=r"here is no maze data: 9x9 maze has 6 tokens.*=11"):
        MAZE.check_alphabet(maze, 11, "here")
    with pytest.raises(ValueError, match=r"here is sudoku data, not maze"):
        MAZE.check_alphabet(sudoku, 6, "here")
    with pytest.raises(ValueError, match=r"unknown task 'chess'; known: sudoku, maze, arc"):
        task_named("chess")


@pytest.mark.parametrize("side", [6, 10, 30])
def test_arc_has_twelve_tokens_on_any_canvas(side):
    facts = settle_facts("arc", side * side, "here")
    ARC.check_alphabet(facts, 12, "here")
    assert facts.grid == (side, side)
    with pytest.raises(ValueError, match=r"has 12 tokens, got vocab_size=11"):
        ARC.check_alphabet(facts, 11, "here")


def test_only_mazes_have_a_second_score():
    """A detour of equal length through open cells: wrong by the label, right for a maze."""
    assert [task.has_second_score for task in (SUDOKU, MAZE, ARC)] == [False, True, False]
    assert SUDOKU.second_score(settle_facts("sudoku", 81, "here")) is strict
    assert ARC.second_score(settle_facts("arc", 81, "here")) is strict
    maze = [[3, 2, 2, 4]]  # start, free / free, goal: two shortest paths
    label, other = [[3, 5, 2, 4]], jnp.asarray([[3, 2, 5, 4]])
    batch = Batch(*map(jnp.asarray, (maze, label, [0])))
    assert not strict(other, batch)[0]
    assert MAZE.second_score(settle_facts("maze", 4, "here"))(other, batch)[0]


def test_augmentations_are_named_by_task_and_box():
    for box in ((2, 3), (3, 2)):
        facts = settle_facts("sudoku", 36, "here", box=box)
        assert SUDOKU.augmentation(facts).name == f"sudoku-{box[0]}x{box[1]}"
        assert named_box(SUDOKU.augmentation(facts).name) == box
    assert MAZE.augmentation(settle_facts("maze", 48, "here", grid=(8, 6))).name == "maze"
    assert ARC.augmentation(settle_facts("arc", 900, "here")) is None


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
    side = math.isqrt(config.seq_len)
    box = next((b for b in boxes_of(side)), None) if task is SUDOKU else None
    facts = settle_facts(task.name, config.seq_len, name, grid=(side, side), box=box)
    assert config.vocab_size == task.vocab_size(facts)


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
