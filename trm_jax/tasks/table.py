"""All tasks by name: where command lines, files and the bundled models find them.

Here and not beside the record, so that every task's file imports the record and nothing imports
in a circle.

A task is never inferred from sizes or alphabets: a 4x4 maze has as many tokens as a 4x4 Sudoku.
It is said by a command line, or by what comes with a model: the bundled models' table, the
presets' table, the key `task` of a model directory's config.json, an export's manifest.
"""

from trm_jax.names import unknown_name
from trm_jax.tasks.arc import ARC
from trm_jax.tasks.maze import MAZE
from trm_jax.tasks.sudoku import SUDOKU
from trm_jax.tasks.task import Task

TASKS: dict[str, Task] = {task.name: task for task in (SUDOKU, MAZE, ARC)}


def task_named(name: str) -> Task:
    """Look a task up.

    Raises:
      ValueError: unknown; the message lists the known ones.
    """
    if name not in TASKS:
        raise ValueError(unknown_name("task", name, TASKS))
    return TASKS[name]


def agreed_task(asked: Task | str | None, recorded: str | None, what: str) -> Task | None:
    """Choose the task of a model from what was asked for and what its files say.

    Args:
      asked: by the user; None or an empty name: nothing.
      recorded: a task's name that came with the model; None or empty: nothing.
      what: the model, for the message.

    Returns:
      The task, None where neither says one.

    Raises:
      ValueError: an unknown name, or both say different tasks.
    """
    if isinstance(asked, str):
        asked = task_named(asked) if asked else None
    if not recorded:
        return asked
    try:
        task = task_named(recorded)
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from error
    if asked is not None and asked != task:
        raise ValueError(
            f"{what} is for {task.name}, not for {asked.name}; name another model or task"
        )
    return task


def need_task(task: Task | None, what: str) -> Task:
    """Return a task that something must have.

    Args:
      what: the model or export, for the message.

    Raises:
      ValueError: nothing says it.
    """
    if task is None:
        raise ValueError(
            f"nothing says which task {what} is for; name it with --task ({', '.join(TASKS)})"
        )
    return task
