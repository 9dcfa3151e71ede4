"""Puzzles to train on that are none of those which are evaluated.

By default they are drawn anew by the project's own generator, with the options that made the
evaluated set (generator.json beside it) and a seed of their own. Of these, and of a training
split given with --train-data, every puzzle is left out that is an image of an evaluated one:
for Sudoku by its exact canonical form (digits renamed, bands, stacks and lines permuted), for
mazes by turns and mirror images. What is kept is cached in the folder of the run.
"""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.ablate.interventions import Context, NotApplicable
from experiments.ablate.rows import Facts
from experiments.puzzles import Puzzles, hash_dataset
from trm_jax.data.format import PuzzleDataset, from_examples, load_dataset, save_dataset
from trm_jax.data.generate import CANDIDATES, NewClasses
from trm_jax.data.maze import symmetry
from trm_jax.data.maze.generator import generate_mazes
from trm_jax.data.sudoku import tokens
from trm_jax.data.sudoku.generator import generate_sudoku
from trm_jax.data.sudoku.symmetry import new_classes as new_sudokus
from trm_jax.tasks.task import Task
from trm_jax.training.augment import Augment, maze_augmentation, sudoku_augmentation

SEED_OFFSET = 1_000_003  # the generator's seeds for training sets and zoo are small numbers
BOXES = {4: (2, 2), 6: (2, 3), 8: (2, 4), 9: (3, 3), 16: (4, 4)}
"""Boxes by side of the grid."""
TELL_EVERY = 200
NOT_OPTIONS = ("generator", "seed", "num_train", "num_test")  # of what generator.json says
Tokens = tuple[np.ndarray, np.ndarray]
"""Inputs and labels."""


class PuzzleKind(NamedTuple):
    """How puzzles of a task are generated and told apart.

    Attributes:
      generate: (num, seed=, start=, **options) -> inputs and labels as tokens.
      new_classes: marks tokens of candidates that are no image of known ones.
      augment: symmetries for training.
    """

    generate: Callable[..., Tokens]
    new_classes: NewClasses
    augment: Augment


def kind_of(puzzles: Puzzles) -> PuzzleKind:
    """Find the generator and symmetries of a task.

    Raises:
      NotApplicable: the task has no generator of its own.
    """
    if puzzles.task not in KINDS:
        raise NotApplicable(f"no training puzzles are generated for {puzzles.task.value}")
    return KINDS[puzzles.task](puzzles.side)


def _sudoku(side: int) -> PuzzleKind:
    if side not in BOXES:
        raise NotApplicable(f"training knows Sudoku of sides {sorted(BOXES)}, not of side {side}")
    box = BOXES[side]

    def generate(num: int, **options: Any) -> Tokens:
        options["box"] = tuple(options["box"])
        if isinstance(options["num_clues"], list):
            options["num_clues"] = tuple(options["num_clues"])
        digits = generate_sudoku(num, **options)
        return tokens.encode(digits[0]), tokens.encode(digits[1])

    def new(candidates: np.ndarray, known: np.ndarray) -> np.ndarray:
        return new_sudokus(tokens.decode(candidates), tokens.decode(known), box)

    return PuzzleKind(generate, new, sudoku_augmentation(*box))


def _maze(side: int) -> PuzzleKind:
    def generate(num: int, **options: Any) -> Tokens:
        if isinstance(options["wall_prob"], list):
            options["wall_prob"] = tuple(options["wall_prob"])
        return generate_mazes(num, **options)

    new = functools.partial(symmetry.new_classes, shape=(side, side))
    return PuzzleKind(generate, new, maze_augmentation(side))


KINDS: dict[Task, Callable[[int], PuzzleKind]] = {Task.SUDOKU: _sudoku, Task.MAZE: _maze}


def settings(context: Context, num: int) -> Facts:
    """Name the puzzles that training will see, `num` of them.

    Raises:
      NotApplicable: there is no source of training puzzles.
      OSError: --train-data is no data set.
    """
    kind_of(context.puzzles)
    if context.train_data is not None:
        return {"train_data_sha256": hash_split(context.train_data), "train_puzzles": num}
    return {
        "generator": json.dumps(options_of(context.puzzles), sort_keys=True),
        "train_seed": SEED_OFFSET + context.seed,
        "train_puzzles": num,
    }


@functools.cache
def hash_split(root: Path) -> str:
    """Hash the training split of a data set, once."""
    return hash_dataset(load_dataset(root / "train"))


def options_of(puzzles: Puzzles) -> dict[str, Any]:
    """Read how the evaluated puzzles were generated.

    Raises:
      NotApplicable: nobody knows.
    """
    for folder in (puzzles.folder, puzzles.folder.parent):
        if (folder / "generator.json").is_file():
            said = json.loads((folder / "generator.json").read_text(encoding="utf-8"))
            return {k: v for k, v in said.items() if k not in NOT_OPTIONS}
    raise NotApplicable(
        f"{puzzles.folder} has no generator.json beside it, so nobody knows what training puzzles"
        " should be like: name a data set with --train-data"
    )


def training_puzzles(context: Context, num: int) -> PuzzleDataset:
    """Take training puzzles from the cache, or make them.

    Raises:
      ValueError: --train-data has no puzzle that is not evaluated too.
    """
    said = settings(context, num)
    root = context.folder / "training-puzzles" / str(num)
    note = root / "made-of.json"
    if note.is_file() and json.loads(note.read_text(encoding="utf-8")) == said:
        return load_dataset(root / "train")
    found = taken(context, num) if context.train_data else generated(context, num)
    dataset = from_examples(*found, vocab_size=context.puzzles.dataset.metadata.vocab_size)
    save_dataset(dataset, root / "train")
    note.write_text(json.dumps(said), encoding="utf-8")  # last: the set is whole
    return dataset


def taken(context: Context, num: int) -> Tokens:
    """Take the first puzzle of each of the first groups of --train-data."""
    assert context.train_data is not None
    source = load_dataset(context.train_data / "train")
    rows = source.puzzle_indices[source.group_indices[:-1]][:num]
    inputs, labels = source.inputs[rows], source.labels[rows]
    new = kind_of(context.puzzles).new_classes(inputs, context.puzzles.dataset.inputs)
    if not new.any():
        raise ValueError(f"every training puzzle of {context.train_data} is evaluated too")
    return inputs[new], labels[new]


def generated(context: Context, num: int) -> Tokens:
    """Generate puzzles until `num` are none of the evaluated ones.

    Raises:
      ValueError: nearly all puzzles of this kind are evaluated.
    """
    kind, options = kind_of(context.puzzles), options_of(context.puzzles)
    parts: list[Tokens] = []
    made = kept = 0
    while kept < num:
        if made >= CANDIDATES * num:
            raise ValueError(
                f"only {kept} of {num} training puzzles are none of the evaluated ones among"
                f" {made} tried: this kind has too few; name others with --train-data"
            )
        size, tell = num - kept, functools.partial(_tell, context, kept, num)
        inputs, labels = kind.generate(
            size, seed=SEED_OFFSET + context.seed, start=made, progress=tell, **options
        )
        new = kind.new_classes(inputs, context.puzzles.dataset.inputs)
        parts.append((inputs[new], labels[new]))
        made, kept = made + size, kept + int(new.sum())
    inputs, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return inputs, labels


def _tell(context: Context, before: int, num: int, new: int) -> None:
    if new % TELL_EVERY == 0:
        context.announce(f"training puzzles: {before + new} of {num}")
