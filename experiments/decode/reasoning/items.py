"""Questions with answers from the package reasoning-gym, drawn by seeds and scored by itself.

    chain_sum    "State the final answer to the following arithmetic problem: 4 - 1 - 7 ="    "-4"

An item is a function of (task, seed, number): in the package item i of seed s is item 0 of seed
s + i, so that items to learn from are drawn `TRAINING_SEEDS` further on; questions that are
answered are left out of them all the same. The package and what it brings (sympy among others) are
imported here alone, and late.
"""

import itertools
from collections.abc import Callable, Collection
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

from trm_jax.command_line import install_text
from trm_jax.names import unknown_name

DISTRIBUTION = "reasoning-gym"
TRAINING_SEEDS = 1_000_000
"""How far the seeds of items to learn from lie behind those of items that are answered."""
SPARE = 4
"""Items that are looked through for one to learn from, where others are asked already."""


class GymItem(NamedTuple):
    """A question and the answer that the package expects.

    Attributes:
      score: what the package gives for a text, from 0 to 1.
    """

    question: str
    answer: str
    score: Callable[[str], float]


class GymTask(NamedTuple):
    """Items of a task."""

    name: str
    items: tuple[GymItem, ...]

    @property
    def questions(self) -> frozenset[str]:
        """The questions alone."""
        return frozenset(item.question for item in self.items)


def gym_version() -> str:
    """Return the version of the package, which decides the items; empty where it says none."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return ""


def import_gym() -> Any:
    """Import the package.

    Raises:
      ModuleNotFoundError: it or a package that it needs is not installed; says what to install.
    """
    try:
        import reasoning_gym  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ModuleNotFoundError(
            f"tasks need the package {DISTRIBUTION} ({error}): {install_text('reasoning_gym')}"
        ) from error
    return reasoning_gym


def make_task(name: str, count: int, seed: int) -> GymTask:
    """Draw items of a task.

    Raises:
      ModuleNotFoundError: the package is not installed.
      ValueError: an unknown task, or one that cannot be drawn without further settings.
    """
    return GymTask(name, tuple(itertools.islice(_draw(name, count, seed), count)))


def make_training_task(name: str, count: int, seed: int, asked: Collection[str]) -> GymTask:
    """Draw items to learn from, none of them with a question that is asked.

    Raises:
      ValueError: a task with too few other questions; and as `make_task`.
    """
    drawn = _draw(name, SPARE * count, seed + TRAINING_SEEDS)
    items = (item for item in drawn if item.question not in asked)
    task = GymTask(name, tuple(itertools.islice(items, count)))
    if len(task.items) < count:
        raise ValueError(
            f"task {name} has too few questions: of {SPARE * count} only {len(task.items)} are not"
            f" among those that are answered, and {count} are needed; lower --limit or --lora-steps"
        )
    return task


def _draw(name: str, size: int, seed: int) -> Any:
    """Make the items of a task one by one.

    Raises:
      ValueError: as `make_task`.
    """
    gym = import_gym()
    if name not in (known := sorted(gym.factory.DATASETS)):
        raise ValueError(unknown_name("task of reasoning-gym", name, known))
    try:
        dataset = gym.create_dataset(name, size=size, seed=seed)
        for number in range(size):
            yield _item(dataset, dataset[number])
    except Exception as error:  # a task's own settings: the package raises what it likes
        raise ValueError(
            f"reasoning-gym cannot draw task {name} with its own settings: {error}"
        ) from error


def _item(dataset: Any, entry: dict[str, Any]) -> GymItem:
    def score(text: str) -> float:
        """Score a text; one that the package's scorer fails on is worth nothing."""
        try:
            return min(max(float(dataset.score_answer(answer=text, entry=entry)), 0.0), 1.0)
        except Exception:  # scorers read a model's text as numbers, code or boards
            return 0.0

    return GymItem(str(entry["question"]), str(entry["answer"]), score)
