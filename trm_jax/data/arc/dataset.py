"""ARC data sets in the released layout: which augmentations of which task, then their examples.

All augmentations are drawn before anything is written (`plan`), because the released builder
draws them first and the translations after them from one stream. A plan holds eleven bytes per
augmented task; grids are made again from it one task at a time, so that memory hardly grows with
the number of augmentations.

The released builder visits its two splits in the order of a Python set, which changes from run
to run, and draws translations as it goes. Here train comes first, as in about half of its runs;
identifiers and the test split are the same either way.
"""

import argparse
import contextlib
import dataclasses
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from trm_jax.data import generate as data_generate
from trm_jax.data.arc import canvas
from trm_jax.data.arc.augment import IDENTITY, Augmentation, augment, augmentations, augmented_name
from trm_jax.data.arc.generator import ArcSpec, generate_tasks
from trm_jax.data.arc.task_files import (
    MAX_SIDE,
    TEST,
    TRAIN,
    ArcTask,
    Pair,
    read_subset,
    task_json,
    write_kaggle,
)
from trm_jax.data.facts import PuzzleFacts, hash_identifiers
from trm_jax.data.format import BLANK_IDENTIFIER, Metadata

TRAINING, EVALUATION = "training", "evaluation"  # subsets of generated tasks
SEED = 42  # of the released builder

Progress = Callable[[int], object]


@dataclass(frozen=True)
class Group:
    """A task with its augmentations.

    Attributes:
      task: as read.
      split: where its questions go, "train" or "test"; demonstrations go to train.
      drawn: transform and colours of each augmentation; the identity is not listed.
    """

    task: ArcTask
    split: str
    drawn: UInt8[np.ndarray, "drawn 11"]

    @property
    def num_puzzles(self) -> int:
        """Count the augmentations and the identity."""
        return len(self.drawn) + 1

    def augmentations(self) -> Iterator[Augmentation]:
        """Yield the identity, then the augmentations."""
        yield IDENTITY
        for transform, *colours in self.drawn.tolist():
            yield Augmentation(transform, bytes(colours))

    def names(self) -> Iterator[str]:
        """Yield the names of the augmented tasks."""
        return (augmented_name(self.task.name, aug) for aug in self.augmentations())

    def pairs(self, split: str) -> tuple[Pair, ...]:
        """List the pairs of a split, in the order of the file."""
        return tuple(p for p in self.task.pairs if (self.split, TRAIN)[p.kind == TRAIN] == split)


def group_of(task: ArcTask, split: str, drawn: Iterable[Augmentation]) -> Group:
    """Pack a task with its augmentations."""
    rows = [[augmentation.transform, *augmentation.colours] for augmentation in drawn]
    return Group(task, split, np.array(rows, np.uint8).reshape(-1, 11))


def plan(
    subsets: Mapping[str, Sequence[ArcTask]],
    *,
    test_set_name: str,
    num_aug: int,
    rng: np.random.RandomState,
    progress: Progress = lambda done: None,
) -> tuple[Group, ...]:
    """Shuffle the tasks of each subset and draw their augmentations.

    Args:
      subsets: tasks by subset, in the order of the command line.
      test_set_name: the subset whose questions are the test split.
      num_aug: augmentations per task; a task may have fewer different ones.
      rng: NumPy's legacy generator, `RandomState(SEED)` for the published identifiers.
      progress: called with the number of tasks done.

    Raises:
      ValueError: the test set is no subset, a task comes twice, or a question that would be
        trained on has no answer.
    """
    if test_set_name not in subsets:
        raise ValueError(f"the test set {test_set_name!r} is none of the subsets {list(subsets)}")
    seen: dict[str, str] = {}
    groups = []
    for subset, tasks in subsets.items():
        split = TEST if subset == test_set_name else TRAIN
        for task in (tasks[i] for i in rng.permutation(len(tasks))):
            if task.name in seen:
                raise ValueError(f"task {task.name} is in {seen[task.name]} and in {subset}")
            seen[task.name] = subset
            _check_answers(task, split, subset)
            groups.append(group_of(task, split, augmentations(task, num_aug, rng)))
            progress(len(groups))
    return tuple(groups)


def _check_answers(task: ArcTask, split: str, subset: str) -> None:
    if split == TRAIN and any(pair.output is None for pair in task.pairs):
        raise ValueError(
            f"task {task.name} of the subset {subset} has a question without an answer, so it"
            " cannot be trained on: add its solutions, or make the subset the test set"
        )


def identifiers(groups: Sequence[Group]) -> Iterator[str]:
    """Yield the names of the puzzle identifiers in order, blank first."""
    yield BLANK_IDENTIFIER
    for group in groups:
        yield from group.names()


def write_index(groups: Sequence[Group], out: Path) -> None:
    """Write identifiers.json and test_puzzles.json, name by name."""
    out.mkdir(parents=True, exist_ok=True)
    with open(out / "identifiers.json", "w") as file:
        for at, name in enumerate(identifiers(groups)):
            file.write(("[" if at == 0 else ", ") + json.dumps(name))
        file.write("]")
    tests = {g.task.name: task_json(g.task) for g in groups if g.split == TEST}
    (out / "test_puzzles.json").write_text(json.dumps(tests))


def encode_pair(
    pair: Pair, augmentation: Augmentation, side: int, place: tuple[int, int] = (0, 0)
) -> tuple[np.ndarray, np.ndarray]:
    """Make the tokens of an augmented pair; an unknown output becomes pads, which do not score."""
    top, left = place
    question, answer = (
        np.zeros(side * side, np.uint8)
        if grid is None
        else canvas.encode(augment(grid, augmentation), side=side, top=top, left=left)
        for grid in (pair.input, pair.output)
    )
    return question, answer


def draw_place(
    pair: Pair, augmentation: Augmentation, side: int, rng: np.random.RandomState
) -> tuple[int, int]:
    """Draw a row and a column at which both turned grids fit the canvas."""
    grids = [augment(g, augmentation) for g in (pair.input, pair.output) if g is not None]
    rows, columns = (side - max(grid.shape[axis] for grid in grids) for axis in (0, 1))
    return int(rng.randint(0, rows + 1)), int(rng.randint(0, columns + 1))


def group_examples(
    group: Group, split: str, side: int, rng: np.random.RandomState
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the tokens of a group's pairs, augmentation by augmentation.

    In training all pairs of an augmented task but one, drawn for each, are translated.
    """
    pairs = group.pairs(split)
    for augmentation in group.augmentations():
        still = int(rng.randint(0, len(pairs)))
        for at, pair in enumerate(pairs):
            moves = split == TRAIN and at != still
            place = draw_place(pair, augmentation, side, rng) if moves else (0, 0)
            yield encode_pair(pair, augmentation, side, place)


def check_canvas(groups: Sequence[Group], side: int) -> None:
    """Refuse a canvas that is smaller than a grid.

    Raises:
      ValueError: names the first task that does not fit.
    """
    if not 1 <= side <= MAX_SIDE:
        raise ValueError(f"the canvas must be 1 to {MAX_SIDE} cells wide, got {side}")
    for group in groups:
        grids = [g for p in group.task.pairs for g in (p.input, p.output) if g is not None]
        largest = max(max(grid.shape) for grid in grids)
        if largest > side:
            raise ValueError(
                f"task {group.task.name} has a grid with a side of {largest} cells, more than"
                f" the canvas's {side}; choose a larger canvas"
            )


class Numbered(NamedTuple):
    """A group with pairs in a split.

    Attributes:
      group: the task and its augmentations.
      first: identifier of the task without augmentation.
      size: pairs of each augmented task.
    """

    group: Group
    first: int
    size: int


def number_groups(groups: Sequence[Group], split: str) -> list[Numbered]:
    """Number all groups and keep those that have pairs in a split."""
    firsts = np.cumsum([1, *(group.num_puzzles for group in groups)]).tolist()
    numbered = zip(groups, firsts, strict=False)  # the last number is that of the next group
    sized = (Numbered(group, first, len(group.pairs(split))) for group, first in numbered)
    return [entry for entry in sized if entry.size]


@contextlib.contextmanager
def _npy_rows(path: Path, rows: int, columns: int) -> Iterator[Callable[[bytes], object]]:
    """Open an .npy file of bytes; yields the function that appends a row."""
    header = {"descr": "|u1", "fortran_order": False, "shape": (rows, columns)}
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        yield file.write


def write_split(
    groups: Sequence[Group],
    split: str,
    out: Path,
    *,
    side: int = MAX_SIDE,
    rng: np.random.RandomState,
    progress: Progress = lambda done: None,
) -> Metadata:
    """Write OUT/SPLIT; dataset.json comes last, so that a broken-off split does not load.

    Args:
      groups: the whole plan.
      split: "train" or "test".
      out: folder of the data set.
      side: of the canvas, in cells.
      rng: the generator of the plan, as `plan` left it, for the released translations.
      progress: called with the number of tasks done.

    Returns:
      What was written to dataset.json.

    Raises:
      ValueError: a grid is larger than the canvas.
    """
    check_canvas(groups, side)
    numbered = number_groups(groups, split)
    folder = out / split
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset.json").unlink(missing_ok=True)
    shape = sum(entry.size * entry.group.num_puzzles for entry in numbered), side * side
    with (
        _npy_rows(folder / "all__inputs.npy", *shape) as add_input,
        _npy_rows(folder / "all__labels.npy", *shape) as add_label,
    ):
        for at, entry in enumerate(numbered):
            for question, answer in group_examples(entry.group, split, side, rng):
                add_input(question.tobytes())
                add_label(answer.tobytes())
            progress(at + 1)
    _write_puzzles(numbered, folder)
    metadata = _metadata(groups, numbered, side)
    (folder / "dataset.json").write_text(json.dumps(metadata.to_json()))
    return metadata


def _write_puzzles(numbered: Sequence[Numbered], folder: Path) -> None:
    """Write the identifier of each puzzle and where puzzles and groups begin."""
    counts = [entry.group.num_puzzles for entry in numbered]
    ids = [np.arange(e.first, e.first + n) for e, n in zip(numbered, counts, strict=True)]
    sizes = np.repeat([entry.size for entry in numbered], counts)
    arrays = {
        "puzzle_identifiers": np.concatenate(ids),
        "puzzle_indices": np.cumsum([0, *sizes]),
        "group_indices": np.cumsum([0, *counts]),
    }
    for name, values in arrays.items():
        np.save(folder / f"all__{name}.npy", values.astype(np.int32))


def _metadata(groups: Sequence[Group], numbered: Sequence[Numbered], side: int) -> Metadata:
    puzzles = sum(entry.group.num_puzzles for entry in numbered)
    examples = sum(entry.size * entry.group.num_puzzles for entry in numbered)
    return Metadata(
        seq_len=side * side,
        vocab_size=canvas.VOCAB_SIZE,
        num_puzzle_identifiers=1 + sum(group.num_puzzles for group in groups),
        total_groups=len(numbered),
        mean_puzzle_examples=examples / puzzles,
        total_puzzles=puzzles,
        puzzles=PuzzleFacts(
            task="arc",
            grid=(side, side),
            box=None,
            identifiers_sha256=hash_identifiers(identifiers(groups)),
        ),
    )


def save(args: argparse.Namespace, subsets: Mapping[str, Sequence[ArcTask]], seed: int) -> None:
    """Augment tasks and write the data set, with identifiers.json and test_puzzles.json.

    Raises:
      ValueError: see `plan` and `write_split`.
    """
    rng = np.random.RandomState(seed)
    with data_generate.progress_bar("tasks planned", sum(map(len, subsets.values()))) as progress:
        groups = plan(
            subsets,
            test_set_name=args.test_set_name,
            num_aug=args.num_aug,
            rng=rng,
            progress=progress,
        )
    check_canvas(groups, args.canvas)
    data_generate.drop_splits(args.out, args.splits)
    write_index(groups, args.out)
    for split in dict.fromkeys(s for s in (TRAIN, TEST) if s in args.splits):
        with data_generate.progress_bar(f"{split} tasks", len(groups)) as progress:
            meta = write_split(
                groups, split, args.out, side=args.canvas, rng=rng, progress=progress
            )
        sys.stdout.write(
            f"{args.out / split}: {meta.total_groups} tasks, {meta.total_puzzles} augmented,"
            f" {meta.num_puzzle_identifiers} identifiers\n"
        )


def build(args: argparse.Namespace) -> None:
    """Run `build`: task files to a data set."""
    subsets = {subset: read_subset(args.source, subset) for subset in args.subsets}
    save(args, subsets, args.seed)


def generate(args: argparse.Namespace) -> None:
    """Run `generate`: a data set of the project's own tasks, with generator.json beside it."""
    spec = ArcSpec(
        num_training=args.num_train,
        num_evaluation=args.num_test,
        demonstrations=args.demonstrations,
        questions=args.questions,
        canvas=args.canvas,
        families=tuple(args.families),
    )
    training, evaluation = generate_tasks(spec, seed=args.seed)
    subsets = {TRAINING: training, EVALUATION: evaluation}
    subsets = {name: tasks for name, tasks in subsets.items() if tasks}
    save(args, subsets, args.seed)
    for name, tasks in subsets.items():
        write_kaggle(args.out / "tasks", name, tasks)
    facts = {"generator": "arc", **dataclasses.asdict(spec)}
    facts |= {"num_aug": args.num_aug, "seed": args.seed}
    (args.out / data_generate.GENERATED).write_text(json.dumps(facts))
