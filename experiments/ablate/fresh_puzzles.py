"""Puzzles to train on that are none of those which are evaluated.

By default they are drawn anew by the project's own generator, with the options that made the
evaluated set (generator.json beside it) and a seed of their own. Of these, and of a training
split given with --train-data, every puzzle is left out that is an image of an evaluated one:
for Sudoku by its exact canonical form (digits renamed, bands, stacks and lines permuted), for
mazes by turns and mirror images. What is kept is cached in the folder of the run.
"""

import dataclasses
import functools
import json
from pathlib import Path
from typing import Any

import numpy as np

from experiments.ablate.interventions import Context, NotApplicable
from experiments.ablate.rows import Facts
from trm_jax.data.facts import ONE_BLANK, PuzzleFacts
from trm_jax.data.format import PuzzleDataset, from_examples, load_dataset, save_dataset
from trm_jax.data.generate import CANDIDATES
from trm_jax.data.maze.generator import MazeSpec
from trm_jax.data.sudoku.generator import SudokuSpec
from trm_jax.loading import Puzzles, hash_dataset
from trm_jax.tasks.task import PuzzleGenerator, TokenPairs
from trm_jax.typed_json import read_fields, read_json

SEED_OFFSET = 1_000_003  # the generator's seeds for training sets and zoo are small numbers
TELL_EVERY = 200
NOT_OPTIONS = ("generator", "seed", "num_train", "num_test")  # of what generator.json says


SPECS = {"sudoku": SudokuSpec, "maze": MazeSpec}
"""What the options of each generator are."""


def generator_of(puzzles: Puzzles) -> PuzzleGenerator:
    """Return the generator of a task.

    Raises:
      NotApplicable: the task has none.
    """
    if puzzles.task.generator is None:
        raise NotApplicable(f"no training puzzles are generated for {puzzles.task.name}")
    return puzzles.task.generator(puzzles.facts)


def settings(context: Context, num: int) -> Facts:
    """Name the puzzles that training will see, `num` of them.

    Raises:
      NotApplicable: there is no source of training puzzles.
      OSError: --train-data is no data set.
    """
    generator_of(context.puzzles)
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
            return _options(folder / "generator.json", puzzles.facts)
    raise NotApplicable(
        f"{puzzles.folder} has no generator.json beside it, so nobody knows what training puzzles"
        " should be like: name a data set with --train-data"
    )


def _options(file: Path, facts: PuzzleFacts) -> dict[str, Any]:
    """Read the options that a generator takes, and check that they make such puzzles.

    Raises:
      ValueError: no JSON object, or of other puzzles.
    """
    said = read_json(file)
    if not isinstance(said, dict) or said.get("generator") != facts.task:
        raise ValueError(f"{file} is of no {facts.task} generator; name data with --train-data")
    height, width = facts.grid
    shape = {"box": list(facts.box)} if facts.box else {"height": height, "width": width}
    for name, value in shape.items():
        if said.get(name, value) != value:
            raise ValueError(f"{file} says {name} {said[name]}, {facts.title} is evaluated")
    options = {k: v for k, v in said.items() if k not in NOT_OPTIONS}
    try:
        read_fields(SPECS[facts.task], options)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    return options


def training_puzzles(context: Context, num: int) -> PuzzleDataset:
    """Take training puzzles from the cache, or make them.

    Raises:
      ValueError: --train-data has no puzzle that is not evaluated too.
    """
    said = settings(context, num)
    root = context.folder / "training-puzzles" / str(num)
    note = root / "made-of.json"
    if note.is_file() and _noted(note) == said:
        return load_dataset(root / "train")
    examples = taken(context, num) if context.train_data else generated(context, num)
    puzzles = context.puzzles
    facts = dataclasses.replace(puzzles.facts, identifiers_sha256=ONE_BLANK)
    dataset = from_examples(
        *examples, vocab_size=puzzles.dataset.metadata.vocab_size, puzzles=facts
    )
    save_dataset(dataset, root / "train")
    note.write_text(json.dumps(said), encoding="utf-8")  # last: the set is whole
    return dataset


def _noted(note: Path) -> Any:
    """Read what a cache says it was made of; a damaged note says nothing, and it is made anew."""
    try:
        return read_json(note)
    except ValueError:
        return None


def taken(context: Context, num: int) -> TokenPairs:
    """Take the first puzzle of each of the first groups of --train-data."""
    assert context.train_data is not None
    source = load_dataset(context.train_data / "train")
    rows = source.puzzle_indices[source.group_indices[:-1]][:num]
    inputs, labels = source.inputs[rows], source.labels[rows]
    new = generator_of(context.puzzles).new_classes(inputs, context.puzzles.dataset.inputs)
    if not new.any():
        raise ValueError(f"every training puzzle of {context.train_data} is evaluated too")
    return inputs[new], labels[new]


def generated(context: Context, num: int) -> TokenPairs:
    """Generate puzzles until `num` are none of the evaluated ones.

    Raises:
      ValueError: nearly all puzzles of this kind are evaluated.
    """
    generator, options = generator_of(context.puzzles), options_of(context.puzzles)
    parts: list[TokenPairs] = []
    num_tried = num_kept = 0
    while num_kept < num:
        if num_tried >= CANDIDATES * num:
            raise ValueError(
                f"only {num_kept} of {num} training puzzles are none of the evaluated ones among"
                f" {num_tried} tried: this kind has too few; name others with --train-data"
            )
        size, tell = num - num_kept, functools.partial(_tell, context, num_kept, num)
        inputs, labels = generator.generate(
            size, seed=SEED_OFFSET + context.seed, start=num_tried, progress=tell, **options
        )
        new = generator.new_classes(inputs, context.puzzles.dataset.inputs)
        parts.append((inputs[new], labels[new]))
        num_tried, num_kept = num_tried + size, num_kept + int(new.sum())
    inputs, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return inputs, labels


def _tell(context: Context, before: int, num: int, new: int) -> None:
    if new % TELL_EVERY == 0:
        context.announce(f"training puzzles: {before + new} of {num}")
