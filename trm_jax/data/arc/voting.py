"""Vote over augmented answers and score ARC tasks (released evaluator).

Each answer is cropped from its canvas, turned and painted back, and counted under the question
it belongs to, which is found by its own grid. Per question the candidates are ranked by (votes,
mean halting probability); pass@k asks whether one of the first k is right. `Votes` may go on
over several evaluations (checkpoints, seeds, numbers of augmentations) and be merged over hosts.
A grid is kept once, however often it is voted for.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Integer

from trm_jax.data.arc.augment import inverse_augment, parse_name
from trm_jax.data.arc.canvas import crop, grid_hash
from trm_jax.data.arc.task_files import ArcTask, Grid, parse_task, read_json
from trm_jax.data.format import BLANK_IDENTIFIER

PASS_KS = (1, 2, 5, 10, 100, 1000)
ATTEMPTS = 2  # of a submission

Key = tuple[str, bytes]
"""Task and grid hash of a question."""


class Candidate(NamedTuple):
    """An answer to a question and the votes for it.

    Attributes:
      votes: how many augmentations gave it.
      q_halt: their mean halting probability.
      grid: the answer.
    """

    votes: int
    q_halt: float
    grid: Grid


@dataclass
class Votes:
    """Votes for answers, by question.

    Attributes:
      tallies: question to answer's hash to [votes, sum of halting probabilities], in the order
        of first votes, which decides ties.
      grids: answers by hash.
    """

    tallies: dict[Key, dict[bytes, list[float]]] = field(default_factory=dict)
    grids: dict[bytes, Grid] = field(default_factory=dict)

    def add(
        self,
        names: Sequence[str],
        inputs: Integer[np.ndarray, "_ seq"],
        predictions: Integer[np.ndarray, "_ seq"],
        q_halt: Float[np.ndarray, " _"],
    ) -> None:
        """Count the answers of a batch.

        Args:
          names: identifier names (TASK or TASK|||tN|||DIGITS); rows named <blank> are padding.
          inputs: tokens of the questions.
          predictions: tokens of the answers.
          q_halt: halting logits.

        Raises:
          ValueError: lengths differ, a name is no identifier, or a canvas is not square.
        """
        for name, question, answer, q in zip(names, inputs, predictions, q_halt, strict=True):
            if name != BLANK_IDENTIFIER:
                task, augmentation = parse_name(name)
                asked = inverse_augment(crop(question), augmentation)
                self.count(task, asked, inverse_augment(crop(answer), augmentation), float(q))

    def count(self, task: str, question: Grid, answer: Grid, q_halt: float) -> None:
        """Count one answer, both grids as they are without augmentation.

        Args:
          q_halt: halting logit.
        """
        key, answered = (task, grid_hash(question)), grid_hash(answer)
        self.grids[answered] = answer
        tally = self.tallies.setdefault(key, {}).setdefault(answered, [0.0, 0.0])
        tally[0] += 1
        tally[1] += _sigmoid(q_halt)

    def merge(self, other: "Votes") -> None:
        """Add the votes of another host or evaluation; ties go to the answers known first."""
        self.grids.update(other.grids)
        for key, tallies in other.tallies.items():
            ours = self.tallies.setdefault(key, {})
            for answer, (votes, chances) in tallies.items():
                tally = ours.setdefault(answer, [0.0, 0.0])
                tally[0] += votes
                tally[1] += chances

    def ranked(self, task: str, question: Grid) -> list[Candidate]:
        """List the answers to a question, the best first; empty where none was given."""
        tallies = self.tallies.get((task, grid_hash(question)), {})
        candidates = [
            Candidate(int(votes), chances / votes, self.grids[answer])
            for answer, (votes, chances) in tallies.items()
        ]
        return sorted(candidates, key=lambda c: (c.votes, c.q_halt), reverse=True)


def _sigmoid(logit: float) -> float:
    """Turn a halting logit into a probability, in float64 as released."""
    return 0.5 * (1 + math.tanh(0.5 * float(logit)))


def row_names(identifiers: Sequence[str], rows: Iterable[int]) -> list[str]:
    """Look up the names of a batch's puzzle identifiers.

    Raises:
      ValueError: a number has no name.
    """
    names = []
    for row in rows:
        if not 0 <= row < len(identifiers):
            raise ValueError(f"puzzle identifier {row} has no name: there are {len(identifiers)}")
        names.append(identifiers[row])
    return names


class TaskScore(NamedTuple):
    """How many questions of a task were answered rightly within k attempts.

    Attributes:
      task: its name.
      questions: questions with a known answer.
      right: rightly answered questions, by k.
    """

    task: str
    questions: int
    right: dict[int, int]

    def fraction(self, k: int) -> float:
        """The released score: the part of the questions answered within k attempts."""
        return self.right[k] / self.questions

    def solved(self, k: int) -> bool:
        """HRM's stricter score: every question answered within k attempts."""
        return self.right[k] == self.questions


def score_tasks(
    votes: Votes, tasks: Iterable[ArcTask], *, ks: Sequence[int] = PASS_KS
) -> list[TaskScore]:
    """Score tasks one by one; who reports divides, with an interval.

    A question nobody answered counts as wrong; a task without known answers is left out.

    Args:
      votes: of any number of augmentations and evaluations.
      tasks: with their answers.
      ks: attempts allowed.

    Raises:
      ValueError: a number of attempts below 1.
    """
    if min(ks, default=1) < 1:
        raise ValueError(f"the numbers of attempts must be at least 1, got {list(ks)}")
    scores = []
    for task in tasks:
        ranks = [
            _rank(votes.ranked(task.name, pair.input), pair.output)
            for pair in task.questions
            if pair.output is not None
        ]
        if ranks:
            right = {k: sum(rank < k for rank in ranks) for k in ks}
            scores.append(TaskScore(task.name, len(ranks), right))
    return scores


def _rank(candidates: Sequence[Candidate], answer: Grid) -> int | float:
    """Find the place of the right answer, counted from 0; infinite where it is missing."""
    places = (i for i, c in enumerate(candidates) if np.array_equal(c.grid, answer))
    return next(places, math.inf)


Submission = dict[str, list[dict[str, list[list[int]]]]]


def submission(votes: Votes, tasks: Iterable[ArcTask], *, attempts: int = ATTEMPTS) -> Submission:
    """Make what ARC Prize takes: attempt_1, attempt_2, ... for every question of every task.

    Missing attempts repeat the first. A question nobody answered gets [[0]] in its place: the
    released evaluator leaves it out, which would shift the answers after it.
    """
    return {
        task.name: [
            _attempts(votes.ranked(task.name, pair.input), attempts) for pair in task.questions
        ]
        for task in tasks
    }


def _attempts(candidates: Sequence[Candidate], attempts: int) -> dict[str, list[list[int]]]:
    grids = [candidate.grid.tolist() for candidate in candidates[:attempts]] or [[[0]]]
    grids += grids[:1] * (attempts - len(grids))
    return {f"attempt_{i + 1}": grid for i, grid in enumerate(grids)}


def write_submission(answers: Submission, path: Path) -> None:
    """Write submission.json."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(answers))


def load_test_tasks(root: Path) -> tuple[ArcTask, ...]:
    """Read test_puzzles.json, the tasks of a data set's test split.

    Raises:
      FileNotFoundError: the data set has none.
      ValueError: bad JSON or a bad task; the message names file, task and pair.
    """
    path = root / "test_puzzles.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; `python -m trm_jax.data.arc` writes it")
    values: Mapping[str, object] = read_json(path)
    return tuple(parse_task(task, name, f"{path}: task {name}") for name, task in values.items())
