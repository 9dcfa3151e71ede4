"""Read and write ARC tasks: Kaggle's pairs of files, or a folder of one JSON file per task.

    PREFIX_SUBSET_challenges.json  {task: {"train": [{"input", "output"}], "test": [{"input"}]}}
    PREFIX_SUBSET_solutions.json   {task: [output, ...]}, may be missing
    FOLDER/SUBSET/TASK.json        {"train": [...], "test": [...]}, as in fchollet/ARC-AGI

A grid is a list of equally long rows of colours 0 to 9, at most 30 x 30. Every error names file,
task and pair. Other entries of a task (a few public files hold "name") are not read.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from trm_jax.typed_json import parse_json

MAX_SIDE = 30
NUM_COLOURS = 10
TRAIN, TEST = "train", "test"

Grid = UInt8[np.ndarray, "_ _"]
"""Rows and columns of colours. The axes are unnamed because turning a grid swaps them."""


@dataclass(frozen=True, eq=False)
class Pair:
    """An input grid and its output.

    Attributes:
      kind: "train" for a demonstration, "test" for a question.
      input: the question.
      output: the answer, or None where it is secret (then a test pair).
    """

    kind: str
    input: Grid
    output: Grid | None


@dataclass(frozen=True)
class ArcTask:
    """A task.

    Attributes:
      name: unique in a data set.
      pairs: in the order of the file; some hold the questions first, and the released builder
        keeps that order.
    """

    name: str
    pairs: tuple[Pair, ...]

    @property
    def demonstrations(self) -> tuple[Pair, ...]:
        """The pairs with a known output."""
        return tuple(pair for pair in self.pairs if pair.kind == TRAIN)

    @property
    def questions(self) -> tuple[Pair, ...]:
        """The pairs to be answered."""
        return tuple(pair for pair in self.pairs if pair.kind == TEST)


def read_subset(source: Path, subset: str) -> tuple[ArcTask, ...]:
    """Read the tasks of a subset in the order of its file, or of the file names.

    Args:
      source: a folder with a subfolder `subset`, or the start of Kaggle's file names
        (kaggle/combined/arc-agi).
      subset: training, evaluation, ...

    Raises:
      FileNotFoundError: neither is there.
      ValueError: bad JSON or a bad task; the message names file, task and pair.
    """
    folder, challenges = source / subset, kaggle_file(source, subset, "challenges")
    if folder.is_dir():
        files = sorted(folder.glob("*.json"))
        tasks = tuple(parse_task(read_json(file), file.stem, f"{file}") for file in files)
        where = folder
    elif challenges.is_file():
        tasks, where = _read_kaggle(source, subset), challenges
    else:
        raise FileNotFoundError(
            f"no ARC tasks of the subset {subset!r}: there is neither the folder {folder}"
            f" nor the file {challenges}"
        )
    if not tasks:
        raise ValueError(f"{where} holds no tasks")
    return tasks


def kaggle_file(source: Path, subset: str, what: str) -> Path:
    """Name one of Kaggle's files; `what` is challenges or solutions."""
    return source.parent / f"{source.name}_{subset}_{what}.json"


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
      ValueError: not JSON, or no object.
    """
    try:
        values = parse_json(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is no JSON: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} must hold a JSON object, got {type(values).__name__}")
    return values


def _read_kaggle(source: Path, subset: str) -> tuple[ArcTask, ...]:
    challenges, path = (kaggle_file(source, subset, s) for s in ("challenges", "solutions"))
    solutions = read_json(path) if os.path.lexists(path) else None
    tasks = []
    for name, values in read_json(challenges).items():
        if solutions is not None:
            values = _with_solutions(values, solutions.get(name), f"{path}: task {name}")
        tasks.append(parse_task(values, name, f"{challenges}: task {name}"))
    return tuple(tasks)


def _with_solutions(values: Any, solutions: Any, where: str) -> Any:
    """Put the outputs of the solutions file into the questions."""
    questions = values.get(TEST) if isinstance(values, dict) else None
    if not isinstance(questions, list):
        return values  # parse_task says what is wrong
    if not isinstance(solutions, list) or len(solutions) != len(questions):
        got = f"{len(solutions)} grids" if isinstance(solutions, list) else solutions
        raise ValueError(f"{where} must list {len(questions)} solutions, got {got}")
    for at, solution in enumerate(solutions):
        parse_grid(solution, f"{where}: test pair {at}: output")
    answered = [
        {**question, "output": solution} if isinstance(question, dict) else question
        for question, solution in zip(questions, solutions, strict=True)
    ]
    return {**values, TEST: answered}


def parse_task(values: Any, name: str, where: str) -> ArcTask:
    """Check a task as JSON gives it.

    Args:
      values: {"train": [...], "test": [...]}.
      name: of the task.
      where: file and task, for the messages.

    Raises:
      ValueError: keys are missing, or a pair is bad.
    """
    if not isinstance(values, dict) or not {TRAIN, TEST} <= values.keys():
        got = list(values) if isinstance(values, dict) else type(values).__name__
        raise ValueError(f'{where}: needs the keys "train" and "test", got {got}')
    kinds = [kind for kind in values if kind in (TRAIN, TEST)]
    for kind in kinds:
        if not isinstance(values[kind], list) or not values[kind]:
            raise ValueError(f"{where}: {kind!r} must list at least one pair")
    return ArcTask(
        name,
        tuple(
            _parse_pair(pair, kind, f"{where}: {kind} pair {at}")
            for kind in kinds
            for at, pair in enumerate(values[kind])
        ),
    )


def _parse_pair(values: Any, kind: str, where: str) -> Pair:
    needed = ("input", "output") if kind == TRAIN else ("input",)
    for key in needed:
        if not isinstance(values, dict) or key not in values:
            got = list(values) if isinstance(values, dict) else type(values).__name__
            raise ValueError(f"{where}: {key!r} is missing, got {got}")
    output = values.get("output")
    return Pair(
        kind,
        parse_grid(values["input"], f"{where}: input"),
        None if output is None and kind == TEST else parse_grid(output, f"{where}: output"),
    )


def parse_grid(rows: Any, where: str) -> Grid:
    """Check a grid as JSON gives it.

    Raises:
      ValueError: no rectangle of 1x1 to 30x30 integers from 0 to 9.
    """
    if not isinstance(rows, list) or not rows or not all(isinstance(r, list) and r for r in rows):
        raise ValueError(f"{where}: a grid is a list of rows of colours, got {str(rows)[:60]}")
    widths = [len(row) for row in rows]
    for at, width in enumerate(widths):
        if width != widths[0]:
            raise ValueError(
                f"{where}: not rectangular: row {at} has {width} cells, row 0 has {widths[0]}"
            )
    if max(len(rows), widths[0]) > MAX_SIDE:
        raise ValueError(
            f"{where}: at most {MAX_SIDE} x {MAX_SIDE} cells, got {len(rows)} x {widths[0]}"
        )
    for r, row in enumerate(rows):
        for c, colour in enumerate(row):
            if type(colour) is not int or not 0 <= colour < NUM_COLOURS:
                raise ValueError(
                    f"{where}: colours are integers 0 to {NUM_COLOURS - 1},"
                    f" got {colour!r} at row {r}, column {c}"
                )
    return np.array(rows, np.uint8)


def task_json(task: ArcTask) -> dict[str, list[dict[str, list[list[int]]]]]:
    """Turn a task into what JSON holds, in the order of its pairs."""
    values: dict[str, list[dict[str, list[list[int]]]]] = {}
    for pair in task.pairs:
        grids = {"input": pair.input.tolist()}
        if pair.output is not None:
            grids["output"] = pair.output.tolist()
        values.setdefault(pair.kind, []).append(grids)
    return values


def write_kaggle(source: Path, subset: str, tasks: Sequence[ArcTask]) -> None:
    """Write tasks as Kaggle's two files; all outputs must be known."""
    challenges: dict[str, Mapping[str, Any]] = {}
    solutions = {}
    for task in tasks:
        values = task_json(task)
        solutions[task.name] = [pair.pop("output") for pair in values[TEST]]
        challenges[task.name] = values
    source.parent.mkdir(parents=True, exist_ok=True)
    kaggle_file(source, subset, "challenges").write_text(json.dumps(challenges))
    kaggle_file(source, subset, "solutions").write_text(json.dumps(solutions))
