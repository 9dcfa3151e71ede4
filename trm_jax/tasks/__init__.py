"""What a puzzle is, task by task. A new task is one file here and one entry in TASKS.

Read in this order: `task.py` (the record: what a program asks of a task), `sudoku.py`, `maze.py`
and `arc.py` (one record each), `table.py` (all of them by name), `tokens/` (puzzles as decoders
read and write them).

Importing this package loads NumPy and nothing heavier: command lines list the tasks before JAX
is needed. What computes on the device (second scores, augmentation) is imported when it is asked
for.

Not here: the files of data sets and the programs that make them (trm_jax/data), bundled puzzles
(trm_jax/zoo).
"""

from trm_jax.tasks.arc import ARC
from trm_jax.tasks.maze import MAZE
from trm_jax.tasks.sudoku import SUDOKU
from trm_jax.tasks.table import TASKS, task_named
from trm_jax.tasks.task import Task

__all__ = ["ARC", "MAZE", "SUDOKU", "TASKS", "Task", "task_named"]
