"""What a killed study keeps: answers stage by stage, weights, and the updates of a training.

    OUT/study.json          {"settings": {...}}: a study with others is refused
    OUT/answers.jsonl       one `AnswerRow` per stage, in the order in which they were finished
    OUT/NAME.safetensors    weights of a finished training, leaf by leaf
    OUT/NAME.part.safetensors
                            state of one that goes on, every `KEPT_EVERY` updates
    OUT/STUDY.md, .csv      the tables

Not here: what the stages are (budget.py and the others).
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from experiments.measurement.row_files import append_row, drop_torn_line, read_lines
from trm_jax.checkpoints.tensor_files import load_tensors, save_tensors
from trm_jax.output.staging import replace_text
from trm_jax.typed_json import read_json

SETTINGS_FILE, ANSWERS_FILE = "study.json", "answers.jsonl"
KEPT_EVERY = 20
CURE = "delete the line and --resume"

Tree = TypeVar("Tree")


@dataclass(frozen=True, kw_only=True)
class AnswerRow:
    """What one policy answered to the puzzles of a study, in order.

    Attributes:
      stage: its name.
      right: 1 for each puzzle without a wrong cell whose answer ended by itself.
      tokens: written for each, the stop token included.
      scores: of a judge, where the stage has one.
      values: other numbers of the stage.
    """

    stage: str
    right: tuple[int, ...]
    tokens: tuple[int, ...]
    scores: tuple[float, ...] = ()
    values: dict[str, float]

    def __post_init__(self) -> None:
        """Check the lengths.

        Raises:
          ValueError: they differ.
        """
        if len(self.right) != len(self.tokens) or len(self.scores) not in (0, len(self.right)):
            raise ValueError(
                f"stage {self.stage} has {len(self.right)} answers, {len(self.tokens)} lengths and"
                f" {len(self.scores)} scores"
            )

    @property
    def solved(self) -> np.ndarray:
        """Marks of right answers."""
        return np.asarray(self.right, bool)

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each answer."""
        return np.asarray(self.tokens)


def read_answers(folder: Path) -> list[AnswerRow]:
    """Read the finished stages of a study, in their order.

    Raises:
      ValueError: a line is damaged.
    """
    return [row for _, row in read_lines(folder / ANSWERS_FILE, AnswerRow, CURE)]


class StudyFolder:
    """The files of one study.

    Attributes:
      path: the folder.
      tell: shows a line of progress.
    """

    def __init__(
        self, path: Path, settings: Mapping[str, Any], tell: Callable[[str], None] = print
    ) -> None:
        """Open a folder.

        Raises:
          ValueError: it holds a study with other settings, or a damaged line.
        """
        self.path, self.tell = path, tell
        path.mkdir(parents=True, exist_ok=True)
        file = path / SETTINGS_FILE
        said = json.loads(json.dumps(dict(settings)))
        if file.is_file():
            document = read_json(file)
            held = document.get("settings") if isinstance(document, dict) else None
            if held != said:
                raise ValueError(
                    f"{path} holds a study with other settings ({_difference(held, said)}); choose"
                    " another --out"
                )
        else:
            replace_text(file, json.dumps({"settings": said}, indent=1) + "\n")
        self._rows = path / ANSWERS_FILE
        drop_torn_line(self._rows)
        self._kept = {row.stage: row for row in read_answers(path)}

    def answers(self, stage: str, compute: Callable[[], AnswerRow]) -> AnswerRow:
        """Take a stage's answers from the folder, or compute and keep them."""
        if stage not in self._kept:
            self.tell(f"answering: {stage}")
            row = compute()
            append_row(self._rows, row)
            self._kept[stage] = row
        return self._kept[stage]

    def trained(
        self,
        name: str,
        start: Tree,
        updates: int,
        update: Callable[[Tree, int], tuple[Tree, Callable[[], str]]],
    ) -> Tree:
        """Take a finished training from the folder, go on with one, or begin it.

        Args:
          start: the state before the first update; it gives the shapes.
          update: (state, number from 0) -> new state, and what says something of it. It is asked
            rarely, so that an update need not have ended before the next is prepared.
        """
        whole, part = (self.path / f"{name}{end}.safetensors" for end in ("", ".part"))
        if whole.is_file():
            return _read_tree(whole, start)[0]
        state, done = _read_tree(part, start) if part.is_file() else (start, 0)
        for number in range(done, updates):
            state, said = update(state, number)
            if (number + 1) % KEPT_EVERY == 0 or number + 1 == updates:
                self.tell(f"{name}: {number + 1} of {updates} updates, {said()}")
                _write_tree(part, state, number + 1)
        _write_tree(whole, state, updates)
        part.unlink(missing_ok=True)
        return state


def _difference(held: Any, said: dict[str, Any]) -> str:
    """Name the settings that differ."""
    if not isinstance(held, dict):
        return f"{SETTINGS_FILE} is damaged"
    names = [name for name in {**said, **held} if held.get(name) != said.get(name)]
    return ", ".join(f"{name}: {held.get(name)!r}, not {said.get(name)!r}" for name in names)


def _leaves(tree: Any) -> dict[str, np.ndarray]:
    """Name the leaves of any tree by their number: its shape says what they are."""
    return {f"leaf_{i:04d}": np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(tree))}


def _write_tree(file: Path, tree: Any, updates: int) -> None:
    new = file.with_suffix(".new")
    save_tensors(_leaves(tree) | {"updates": np.asarray(updates, np.int32)}, new)
    os.replace(new, file)


def _read_tree(file: Path, like: Tree) -> tuple[Tree, int]:
    """Read a tree of a known shape, and the updates it has seen.

    Raises:
      ValueError: another shape: the file is of another study.
    """
    tensors = load_tensors(file)
    updates = int(tensors.pop("updates", np.int32(0)))
    expected = {name: leaf.shape for name, leaf in _leaves(like).items()}
    if {name: x.shape for name, x in tensors.items()} != expected:
        raise ValueError(f"{file} does not hold this training; delete it and --resume")
    leaves = [jnp.asarray(tensors[name]) for name in sorted(expected)]
    return jax.tree.unflatten(jax.tree.structure(like), leaves), updates
