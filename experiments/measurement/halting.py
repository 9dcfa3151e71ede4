"""What a rule of halting made of puzzles: when they ended and which were right, in rows and summed.

    choose_halting    --halt of a command line, or the default of the task
    halt_shard        the readings of one rollout -> `HaltedShard`, which rows hold
    join_halted       shards -> `HaltedOutcome`, whose numbers `halting_fields` lays out

Sweeps and deployments of every target share it. Every rule is read off a rollout of all steps, so
that the same puzzles are known at full depth too.

Not here: when a puzzle is done (trm_jax/halting); the table (experiments/render/halting_table.py).
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from experiments.measurement.row_checks import MOST, check_all_within, check_flags, check_length
from experiments.measurement.shards import from_hex, mark_exact, to_hex
from trm_jax import intervals
from trm_jax.halting import (
    BY_RULES,
    NEVER,
    Halting,
    StepReading,
    halted_tokens,
    halting_steps,
    parse_halting,
)
from trm_jax.halting.rules import Rules
from trm_jax.intervals import Interval, interval_fields
from trm_jax.tasks.task import Task


class HaltedShard(NamedTuple):
    """What a rule of halting made of a shard.

    Attributes:
      exact: one bit per puzzle, hex (shards.py: to_hex).
      steps: supervision steps of each puzzle.
    """

    exact: str
    steps: tuple[int, ...]


class HaltedOutcome(NamedTuple):
    """Which puzzles were exact when a rule ended them, and after how many supervision steps."""

    solved: np.ndarray
    steps: np.ndarray

    @property
    def exact(self) -> Interval:
        """Estimate the share of puzzles that are exact where the rule ends them."""
        return intervals.wilson(int(self.solved.sum()), self.solved.size)

    @property
    def mean_steps(self) -> Interval:
        """Estimate the mean number of steps."""
        steps = self.steps.astype(np.float64)
        return intervals.mean(float(steps.sum()), float(np.square(steps).sum()), steps.size)

    @property
    def late_steps(self) -> int:
        """The 95th percentile of the steps: so many are enough for 19 of 20 puzzles."""
        return int(np.quantile(self.steps, 0.95, method="inverted_cdf"))


def choose_halting(text: str | None, task: Task) -> Halting:
    """Read one rule of --halt.

    Args:
      text: None: the default of the task, its rules where it has some, else never.

    Raises:
      ValueError: no rule has this name, or puzzles without rules are to be checked by them.
    """
    halting = task.default_halting if text is None else parse_halting(text)
    if halting == BY_RULES and task.text is None:
        raise ValueError(f"--halt rules: {task.name} has no rules to check; use unchanged:K")
    return halting


def halt_shard(
    halting: Halting,
    inputs: Int[np.ndarray, "batch seq"],
    labels: Int[np.ndarray, "batch seq"],
    readings: Sequence[StepReading],
    rules: Rules | None,
) -> HaltedShard:
    """Find when a rule ends the puzzles of a shard, and whether they are right then.

    Args:
      readings: after every supervision step of a rollout of these puzzles.
      rules: of the puzzles; None: they have none.
    """
    steps = halting_steps(halting, inputs, readings, rules)
    exact = mark_exact(halted_tokens(readings, steps), labels)
    return HaltedShard(to_hex(exact[None])[0], tuple(int(step) for step in steps))


def check_halted(name: str, halted: HaltedShard, count: int) -> None:
    """Check a row's shard against the number of its puzzles.

    Raises:
      ValueError: names the field.
    """
    check_flags(f"{name}.exact", halted.exact, count)
    check_length(f"{name}.steps", halted.steps, count)
    check_halted_steps(name, halted)


def check_halted_steps(name: str, halted: HaltedShard, most: float = MOST) -> None:
    """Check that every puzzle took a step, and at most so many.

    Raises:
      ValueError: names the field.
    """
    steps = {f"{name}.steps[{i}]": step for i, step in enumerate(halted.steps)}
    check_all_within(steps, 1, most)


def check_has_halted(halted: HaltedShard | None, halting: str, steps: int) -> None:
    """Check that a row of a deployment halts where its specification names a rule, and only there.

    Args:
      halting: name of the rule; empty: there is none.
      steps: at full depth.

    Raises:
      ValueError: names the field.
    """
    if (halted is None) != (not halting):
        raise ValueError(f"field halted must be there for halting {halting!r} and not without")
    if halted is not None:
        check_halted_steps("halted", halted, steps)


def join_halted(shards: Iterable[HaltedShard]) -> HaltedOutcome:
    """Put shards one after the other."""
    listed = list(shards)
    return HaltedOutcome(
        solved=np.concatenate([from_hex(each.exact, len(each.steps)) for each in listed]),
        steps=np.concatenate([np.asarray(each.steps) for each in listed]),
    )


def halting_fields(
    halting: str, halted: HaltedOutcome, full: np.ndarray, prefix: str = "halted_"
) -> dict[str, Any]:
    """Lay out what a rule saves, and what it costs against full depth on the same puzzles.

    Args:
      halting: name of the rule.
      full: which puzzles are exact at full depth.
      prefix: of the fields of answers; a record of full depth has fields of these names itself.
    """
    pairs = intervals.pairs(full, halted.solved)
    change = intervals.UNCHANGED
    if halting != NEVER.name:
        change = intervals.paired_difference(pairs)
    return {
        "halting": halting,
        **interval_fields(f"{prefix}exact", halted.exact),
        **interval_fields("mean_steps", halted.mean_steps),
        "late_steps": halted.late_steps,
        **interval_fields(f"{prefix}exact_difference", change),
        f"{prefix}lost": pairs.lost,
        f"{prefix}gained": pairs.gained,
        f"{prefix}mcnemar_p": intervals.mcnemar(pairs),
    }
