"""A question of an ARC task, asked of an export: found by the task's name, a task file or chance.

An ARC model has learnt a task's demonstrations into a row of its puzzle table, one row for each
name in the identifiers.json of its data. A question is therefore a grid and a name: of a task, or
of one of its augmentations (NAME|||t3|||0481529637). A task that the model was not trained on has
no row; `python -m experiments.arc --tasks` makes new ones.

Not here: votes over augmentations (experiments/arc), the command line (export/solve.py).
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from export.artifact.open import Export
from export.artifact.single_puzzle import PuzzleAnswer, run_once
from trm_jax import zoo
from trm_jax.data.arc import canvas
from trm_jax.data.arc.augment import augment, parse_name
from trm_jax.data.arc.dataset import encode_pair
from trm_jax.data.arc.task_files import TEST, TRAIN, ArcTask, Grid, parse_task, read_json
from trm_jax.data.arc.voting import load_test_tasks
from trm_jax.data.facts import PuzzleFacts, hash_identifiers
from trm_jax.data.format import load_identifiers
from trm_jax.names import did_you_mean
from trm_jax.tasks import ARC


class ArcQuestion(NamedTuple):
    """A grid to be answered.

    Attributes:
      title: task and number of the question, for people.
      tokens: on the canvas.
      identifier: row of the puzzle table.
      grid: the question as it is asked.
      answer: the known one, or None.
    """

    title: str
    tokens: np.ndarray
    identifier: int
    grid: Grid
    answer: Grid | None


def load_names(data: Path | None, export: Export) -> tuple[Path, list[str]]:
    """Find the data set of an export's rows; gives its folder and the names of the rows.

    Args:
      data: its folder; None is the bundled one.

    Raises:
      FileNotFoundError: missing.
      ValueError: the names are not those of the export's rows.
    """
    facts = export.need_facts(ARC)
    root = zoo.puzzles(ARC.name, export.config.seq_len) if data is None else data
    root = root.parent if (root / "dataset.json").is_file() else root
    names = load_identifiers(root)
    check_names(facts, names, root, export)
    return root, names


def check_names(facts: PuzzleFacts, names: list[str], root: Path, export: Export) -> None:
    """Check that names are those of an export's rows.

    Raises:
      ValueError: they are others, or nobody knows.
    """
    what = f"export {export.manifest.model}"
    if not facts.identifiers_sha256:
        raise ValueError(
            f"{what} does not say which puzzles the rows of its puzzle table belong to; write it"
            " into its model (`python -m trm_jax.tasks.describe`) and export again"
        )
    if hash_identifiers(names) != facts.identifiers_sha256:
        raise ValueError(
            f"{what} was trained on other tasks than {root} names; give its own data with --data"
        )


def ask_by_name(name: str, number: int, data: Path | None, export: Export) -> ArcQuestion:
    """Take a question of a task of the data set's test split.

    Args:
      name: of the task or of one of its augmentations.
      number: of the question, from 1.

    Raises:
      FileNotFoundError: no such data.
      ValueError: the model has no row of that name, or the task's questions are not in the data.
    """
    root, names = load_names(data, export)
    task_name, _ = parse_name(name)
    row = row_of(name, names, export)
    tasks = {task.name: task for task in load_test_tasks(root)}
    if task_name not in tasks:
        raise ValueError(
            f"{root} has no questions of task {task_name!r}, which was trained on as a whole;"
            f"{did_you_mean(task_name, tasks)} or give its file with --task-file"
        )
    return make_question(tasks[task_name], name, number, row, export)


def ask_from_file(
    file: Path, name: str | None, number: int, data: Path | None, export: Export
) -> ArcQuestion:
    """Take a question of a task file.

    Args:
      file: one task, {"train": [...], "test": [...]}, named by the file; or several by name.
      name: of the task, where the file does not say it or holds several.
      number: of the question, from 1.

    Raises:
      OSError: no such file or data.
      ValueError: no task file, no such task, or the model has no row of that name.
    """
    _, names = load_names(data, export)
    values: dict[str, Any] = read_json(file)
    if {TRAIN, TEST} <= values.keys():
        task_name = parse_name(name or file.stem)[0]
    elif not values:
        raise ValueError(f"{file} holds no task: an object with {TRAIN} and {TEST}, or several")
    elif name is None:
        raise ValueError(
            f"{file} holds several tasks; name one as PUZZLE, e.g. {next(iter(values))!r}"
        )
    else:
        task_name = parse_name(name)[0]
        if task_name not in values:
            raise ValueError(f"{file} has no task {task_name!r};{did_you_mean(task_name, values)}")
        values = values[task_name]
    name = name or task_name
    row = row_of(name, names, export)
    return make_question(parse_task(values, task_name, str(file)), name, number, row, export)


def row_of(name: str, names: list[str], export: Export) -> int:
    """Find the row of a name.

    Raises:
      ValueError: the model has none.
    """
    if name not in names[1:]:  # the first is the blank
        raise ValueError(
            f"export {export.manifest.model} has no row for {name[:80]!r};"
            f"{did_you_mean(name, names[1:])} only tasks that were trained on have one"
            " (python -m experiments.arc makes new ones)"
        )
    return names.index(name)


def make_question(task: ArcTask, name: str, number: int, row: int, export: Export) -> ArcQuestion:
    """Lay a question out on the canvas.

    Raises:
      ValueError: no such question, or a grid larger than the canvas.
    """
    if not 1 <= number <= len(task.questions):
        raise ValueError(
            f"task {task.name} has questions 1 to {len(task.questions)}, got --question {number}"
        )
    pair, (_, augmentation) = task.questions[number - 1], parse_name(name)
    tokens, _ = encode_pair(pair, augmentation, export.need_facts(ARC).grid[0])
    answer = None if pair.output is None else augment(pair.output, augmentation)
    return ArcQuestion(
        title=f"task {name}, question {number} of {len(task.questions)}",
        tokens=tokens.astype(np.int32),
        identifier=row,
        grid=augment(pair.input, augmentation),
        answer=answer,
    )


def draw_question(data: Path | None, seed: int | None, export: Export) -> ArcQuestion:
    """Draw one of the questions of a data set, augmentations included.

    Raises:
      FileNotFoundError, ValueError: missing, or not the export's.
    """
    puzzles = export.load_puzzles(data, ARC)
    _, names = load_names(puzzles.folder, export)
    dataset = puzzles.ordered
    at = int(np.random.default_rng(seed).integers(len(dataset)))
    row = int(dataset.puzzle_identifiers[at])
    tokens = np.asarray(dataset.inputs[at], np.int32)
    label = np.asarray(dataset.labels[at])
    return ArcQuestion(
        title=f"task {names[row]}",
        tokens=tokens,
        identifier=row,
        grid=canvas.crop(tokens),
        answer=canvas.crop(label) if (label != canvas.PAD).any() else None,
    )


def answer_question(export: Export, question: ArcQuestion, **options: Any) -> PuzzleAnswer:
    """Let an export answer a question.

    Args:
      options: as `single_puzzle.run_once` takes them.

    Raises:
      ValueError, RuntimeError: as `run_once`.
    """
    raw = run_once(export, question.tokens, question.identifier, **options)
    answer = canvas.crop(raw.tokens)
    known = question.answer
    return PuzzleAnswer(
        question=f"{question.title}\n{show_grid(question.grid)}",
        answer=show_grid(answer),
        is_right=known is not None and np.array_equal(answer, known),
        steps=raw.steps,
        seconds=raw.seconds,
        fault="nobody says the right answer" if known is None else None,
        wrong="WRONG, the answer is another",
    )


def show_grid(grid: Grid) -> str:
    """Draw a grid of colours 0 to 9; black is a dot."""
    if not grid.size:
        return "(no grid)"
    return "\n".join(" ".join("." if c == 0 else str(int(c)) for c in row) for row in grid)
