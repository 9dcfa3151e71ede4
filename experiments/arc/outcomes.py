"""From answers to scores with errors: pass@k by votes, by number of augmentations, and submissions.

Tasks are what is independent. A task's score at k is the share of its questions answered within
k attempts (as released); `solved` is HRM's stricter one, all questions or none. Rates are means
over tasks with Wilson intervals, differences to full precision with the adjusted Wald interval.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console

from experiments.arc.rows import (
    SCORES_FILE,
    VoteKey,
    VoteRow,
    VoteSpec,
    asked,
    read_grid,
    vote_folder,
)
from experiments.measurement.folders import file_stem
from experiments.measurement.row_checks import check_within
from experiments.measurement.row_files import ResultFolder, read_records, write_records
from experiments.measurement.spec import finished_shards
from experiments.render import tables
from experiments.render.tables import (
    Record,
    Table,
    digits_text,
    points_text,
    size_text,
    with_interval,
)
from quant.scheme import label
from trm_jax import intervals
from trm_jax.data.arc.dataset import Group
from trm_jax.data.arc.voting import (
    PASS_KS,
    TaskScore,
    Votes,
    score_tasks,
    submission,
    write_submission,
)
from trm_jax.intervals import Interval, interval_fields, interval_of

FEWER = tuple(2**power - 1 for power in range(10))
"""Numbers of augmentations that are scored beside the one asked for: 1, 2, 4, ... votes."""
SHOWN_KS = (1, 2, 5)
ATTEMPTS = 2  # of ARC Prize
DIFFERENCE = f"pass@{ATTEMPTS}_difference"


def collect_votes(rows: Sequence[VoteRow], groups: Sequence[Group], num_aug: int) -> Votes:
    """Count the answers of rows, those of the first augmentations only.

    Args:
      rows: of one scheme; of several models, to vote together.
      groups: all tasks of the spec, in its order.
      num_aug: augmentations beside the identity.
    """
    votes = Votes()
    for row in rows:
        grids = [read_grid(text) for text in row.grids]
        listed = zip(asked(groups[row.start : row.stop]), row.answers, row.q_halt, strict=True)
        for (group, turn, _, pair), answer, q_halt in listed:
            if turn <= num_aug:
                votes.count(group.task.name, pair.input, grids[answer], q_halt)
    return votes


@dataclass(frozen=True)
class ArcOutcome:
    """What one scheme did with a number of augmentations.

    Attributes:
      num_aug: augmentations beside the identity.
      scores: of the tasks, in order.
      right, asked: augmented questions whose whole canvas is right, and all, by task.
      seconds: of the rollouts behind it.
    """

    scheme: str
    num_aug: int
    scores: tuple[TaskScore, ...]
    right: np.ndarray
    asked: np.ndarray
    seconds: float

    def fractions(self, k: int) -> np.ndarray:
        """List the tasks' scores at k."""
        return np.array([score.fraction(k) for score in self.scores])

    def passed(self, k: int) -> Interval:
        """Estimate pass@k."""
        return intervals.wilson(float(self.fractions(k).sum()), len(self.scores))

    def solved(self, k: int) -> Interval:
        """Estimate the share of tasks all of whose questions are answered within k attempts."""
        return intervals.wilson(sum(s.solved(k) for s in self.scores), len(self.scores))

    def canvases(self) -> Interval:
        """Estimate the share of augmented questions whose whole canvas is right, task by task."""
        return intervals.wilson(float((self.right / self.asked).sum()), len(self.asked))


def outcome(
    rows: Sequence[VoteRow], groups: Sequence[Group], num_aug: int, scheme: str
) -> ArcOutcome:
    """Score a scheme on finished tasks.

    Args:
      rows: its rows, of all models.
      groups: all tasks of the spec.
    """
    right, total = np.zeros(len(groups)), np.zeros(len(groups))
    places = {group.task.name: at for at, group in enumerate(groups)}
    used = everything = 0
    for row in rows:
        for (group, turn, *_), exact in zip(
            asked(groups[row.start : row.stop]), row.exact, strict=True
        ):
            everything += 1
            if turn <= num_aug:
                used += 1
                right[places[group.task.name]] += exact
                total[places[group.task.name]] += 1
    finished = [group.task for group in groups if total[places[group.task.name]]]
    votes = collect_votes(rows, groups, num_aug)
    seconds = sum(row.seconds for row in rows) * used / max(everything, 1)
    counted = total > 0
    return ArcOutcome(
        scheme,
        num_aug,
        tuple(score_tasks(votes, finished)),
        right[counted],
        total[counted],
        seconds,
    )


class Finished(NamedTuple):
    """Rows of the shards that every scheme and model has answered.

    Attributes:
      rows: by scheme.
      tasks: how many that are.
    """

    rows: dict[str, list[VoteRow]]
    tasks: int


def finished(spec: VoteSpec, rows: Sequence[VoteRow]) -> Finished:
    """Choose the shards that all schemes have finished.

    Raises:
      ValueError: there is none.
    """
    done = {row.key: row for row in rows}
    voters = [(scheme, model) for scheme in spec.schemes for model in range(len(spec.models))]
    shards = finished_shards(spec.shards, voters, done)
    if not shards:
        raise ValueError("no task is finished for every scheme yet; go on with --resume")
    # several checkpoints vote one after the other, as their evaluations follow each other
    chosen = {
        scheme: [
            done[VoteKey(scheme, model, *shard)]
            for model in range(len(spec.models))
            for shard in shards
        ]
        for scheme in spec.schemes
    }
    return Finished(chosen, sum(stop - start for start, stop in shards))


def records(spec: VoteSpec, outcomes: Sequence[ArcOutcome]) -> list[Record]:
    """List one record per scheme and number of augmentations; the first scheme is the reference."""
    sizes = dict(zip(spec.schemes, spec.bytes, strict=True))
    reference = {o.num_aug: o for o in outcomes if o.scheme == spec.schemes[0]}
    listed = []
    for each in outcomes:
        lost = each.fractions(ATTEMPTS) - reference[each.num_aug].fractions(ATTEMPTS)
        tasks, rollouts = len(each.scores), each.asked.sum()
        record: Record = {
            "scheme": label(each.scheme, spec.dtype),
            "bytes": sizes[each.scheme],
            "num_aug": each.num_aug,
            "tasks": tasks,
            "questions": sum(score.questions for score in each.scores),
            "rollouts_per_task": rollouts / tasks,
            "gflops_per_task": rollouts * spec.gflops / tasks,
            "seconds_per_task": each.seconds / tasks,
            **interval_fields("canvas_exact", each.canvases()),
        }
        for k in PASS_KS:
            record |= interval_fields(f"pass@{k}", each.passed(k))
        for k in SHOWN_KS:
            record |= interval_fields(f"solved@{k}", each.solved(k))
        difference = intervals.paired_mean(lost)
        listed.append(record | interval_fields(DIFFERENCE, difference))
    return listed


def scheme_table(spec: VoteSpec, listed: Sequence[Record]) -> Table:
    """Lay out the schemes at the full number of augmentations."""
    shown = [record for record in listed if record["num_aug"] == spec.num_aug]
    title = (
        f"{' + '.join(spec.models)}: {shown[0]['tasks']} tasks, {shown[0]['questions']} questions,"
        f" {spec.num_aug} augmentation{'' if spec.num_aug == 1 else 's'} and the identity,"
        f" n={spec.steps}"
    )
    header = (
        "Variant",
        "Size",
        "Canvas exact",
        *(f"pass@{k}" for k in SHOWN_KS),
        f"HRM: all @{ATTEMPTS}",
        f"pass@{ATTEMPTS} - full precision, pp",
        "s/task",
    )
    rows = tuple(
        (
            record["scheme"],
            size_text(record["bytes"]),
            with_interval(interval_of(record, "canvas_exact")),
            *(with_interval(interval_of(record, f"pass@{k}")) for k in SHOWN_KS),
            with_interval(interval_of(record, f"solved@{ATTEMPTS}")),
            "" if record is shown[0] else points_text(interval_of(record, DIFFERENCE)),
            digits_text(record["seconds_per_task"]),
        )
        for record in shown
    )
    return Table(title, header, rows, frozenset())


def augmentation_table(spec: VoteSpec, listed: Sequence[Record]) -> Table:
    """Lay out what more augmentations bring and cost."""
    numbers = sorted({record["num_aug"] for record in listed})
    first = [record for record in listed if record["scheme"] == listed[0]["scheme"]]
    costs = {record["num_aug"]: record for record in first}
    rows = [
        ("", "rollouts", *(digits_text(costs[n]["rollouts_per_task"], 4) for n in numbers)),
        ("", "GFLOPs", *(digits_text(costs[n]["gflops_per_task"], 4) for n in numbers)),
        ("", "seconds", *(digits_text(costs[n]["seconds_per_task"]) for n in numbers)),
    ]
    sections = set()
    for scheme in dict.fromkeys(record["scheme"] for record in listed):
        sections.add(len(rows))
        by_number = {r["num_aug"]: r for r in listed if r["scheme"] == scheme}
        for at, k in enumerate(SHOWN_KS[:2]):
            cells = (with_interval(interval_of(by_number[n], f"pass@{k}")) for n in numbers)
            rows.append((scheme if at == 0 else "", f"pass@{k}", *cells))
    header = ("Variant", "per task", *(f"{n} aug" for n in numbers))
    return Table("Votes of more augmentations", header, tuple(rows), frozenset(sections))


def report(
    spec: VoteSpec,
    groups: Sequence[Group],
    folder: ResultFolder[VoteSpec, VoteRow],
    console: Console,
) -> None:
    """Score, print both tables and write all files.

    Raises:
      ValueError: no shard is finished for every scheme.
    """
    done = finished(spec, folder.read_rows(spec))
    numbers = [n for n in FEWER if n < spec.num_aug]
    outcomes = [
        outcome(done.rows[scheme], groups, n, scheme)
        for scheme in spec.schemes
        for n in (*numbers, spec.num_aug)
    ]
    listed = records(spec, outcomes)
    write_records(folder.path / SCORES_FILE, listed)
    for name, table in vote_tables(spec, listed).items():
        tables.print_tables([table], console)
        (folder.path / f"{name}.md").write_text(tables.to_markdown(table), encoding="utf-8")
    (folder.path / "scores.csv").write_text(tables.to_csv(listed), encoding="utf-8")
    for scheme in spec.schemes:
        votes = collect_votes(done.rows[scheme], groups, spec.num_aug)
        answers = submission(votes, [group.task for group in groups])
        write_submission(answers, folder.path / f"submission-{file_stem(scheme)}.json")
    console.print(f"answers, tables and submissions: {folder.path}", soft_wrap=True)


def vote_tables(spec: VoteSpec, listed: Sequence[Record]) -> dict[str, Table]:
    """Lay out both tables, by the names of their files."""
    return {
        "schemes": scheme_table(spec, listed),
        "augmentations": augmentation_table(spec, listed),
    }


def read_tables(folder: Path) -> list[Table]:
    """Lay out the tables of a folder from its scores.

    Raises:
      FileNotFoundError: it holds no vote, or one without scores.
      ValueError: it is damaged.
    """
    spec = vote_folder(folder).read_spec()
    if not (folder / SCORES_FILE).is_file():
        raise FileNotFoundError(
            f"{folder} has no {SCORES_FILE}: run its `python -m experiments.arc` command again"
            " with --resume (nothing is asked twice)"
        )
    cure = "run experiments.arc again with --resume"
    listed = read_records(folder / SCORES_FILE, cure, record_kinds())
    what = f"{folder / SCORES_FILE} is damaged, or not of the run in votes.json ({cure})"
    check_records(spec, listed, what)
    return list(vote_tables(spec, listed).values())


def record_kinds() -> dict[str, Any]:
    """List the fields of a record (`records`) with their types."""
    counts = ("bytes", "num_aug", "tasks", "questions")
    costs = ("rollouts_per_task", "gflops_per_task", "seconds_per_task")
    rates = (
        "canvas_exact",
        *(f"pass@{k}" for k in PASS_KS),
        *(f"solved@{k}" for k in SHOWN_KS),
        DIFFERENCE,
    )
    parts = [name for rate in rates for name in interval_fields(rate, Interval(0.0, 0.0, 0.0))]
    return {
        "scheme": str,
        **dict.fromkeys(counts, int),
        **dict.fromkeys(costs, float),
        **dict.fromkeys(parts, float | None),
    }


def check_records(spec: VoteSpec, listed: Sequence[Record], what: str) -> None:
    """Check that there is one record for every scheme and number of augmentations.

    Args:
      what: said before the reason.

    Raises:
      ValueError: one is missing, there twice, or has no tasks.
    """
    found = [(record["scheme"], record["num_aug"]) for record in listed]
    numbers = {number for _, number in found} | {spec.num_aug}
    expected = {(label(name, spec.dtype), n) for name in spec.schemes for n in numbers}
    if len(found) != len(set(found)) or set(found) != expected:
        wrong = sorted(set(found) ^ expected) or found
        raise ValueError(f"{what}: records of {wrong[0]} are missing, unknown or there twice")
    for record in listed:
        check_within("tasks", record["tasks"], 1)
        check_within("bytes", record["bytes"], 0)
