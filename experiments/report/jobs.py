"""Everything that the default report needs, as commands of the programs that measure it.

The bundled models on bundled puzzles, unless a task is given another model. The full set is cut
to fit an hour of two idle cores; quick is a few puzzles of everything, for five minutes, to see
that all of it runs: its numbers decide nothing. jobs.jsonl (jobs/runner.py) says what each took.
Each job is a process of its own that writes one folder and, killed, goes on where it was.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from experiments.jobs.runner import CommandJob
from quant.integer.network import has_integers
from quant.scheme import parse
from trm_jax import zoo
from trm_jax.config import Config, flops_per_step
from trm_jax.data.calibration import CalibrationOptions
from trm_jax.loading import known_config, load_puzzles
from trm_jax.names import unknown_name

WEIGHTS = (
    "fp32,bf16,fp16,int8,w5t-sym,int4_naive,int4_calibrated,int3_naive,w3c-sym,int3_calibrated,"
    "int2_calibrated"
)
LOOP_AWARE = "w4t-sym-gptq-first,w4t-sym-gptq,w3t-sym-gptq"
INPUTS = "w8c-sym_a8da,w8c-sym_a8s,w8c-sym_a8s-cells-fold"
INTEGERS = "tflm_int8_int8,tflm_int4_int8,tflm_int4_int16"
QUICK_SCHEMES = "fp32,int8,int4_naive,int4_calibrated,int3_naive"
WATCHED = "fp32,int4_naive,int4_calibrated,int3_naive"
QUICK_STUDIES = {"maze": "linear_attention", "arc": "embedding"}
LIMIT, QUICK_LIMIT, QUICK_DEPLOYED, QUICK_WATCHED = 200, 16, 8, 50  # puzzles
LARGE, QUICK_LARGE = 150, 4  # of a model that takes several times as long as the small ones
MOST_TOGETHER = 50  # as a sweep chooses; fewer, so that there are shards for the predictor's halves
WITH_ENGINE = {"experiments.sweep", "experiments.ablate", "experiments.arc"}
"""Programs that compute rows on other machines too."""
LARGE_FLOPS = 5e8  # of a supervision step; the small models have 1.5 to 2.8e8


@dataclass(frozen=True, kw_only=True)
class ReportSubject:
    """A task with the model and puzzles that stand for it.

    Attributes:
      model, data: as experiments.sweep takes them; None is what is bundled.
    """

    task: str
    model: str | None
    data: str | None

    @property
    def config(self) -> Config | None:
        """Tell the model's configuration; None where only a foreign checkpoint tells."""
        name = self.model or next(e.name for e in zoo.MODELS.values() if e.task == self.task)
        return known_config(name)

    @property
    def has_decoder(self) -> bool:
        """Return whether a decoder of the same puzzles is bundled; it needs bundled puzzles."""
        decoders = (entry.task for entry in zoo.DECODERS.values())
        return self.task in decoders and self.data is None

    @property
    def arguments(self) -> tuple[str, ...]:
        """Options that every program shares."""
        model = ("--model", self.model) if self.model else ()
        data = ("--data", self.data) if self.data else ()
        return ("--task", self.task, *model, *data)


def subjects(models: Mapping[str, str], data: Mapping[str, str]) -> list[ReportSubject]:
    """List what is measured: every bundled model, or the one that stands for its task.

    Raises:
      ValueError: an unknown task.
    """
    tasks = list(dict.fromkeys(entry.task for entry in zoo.MODELS.values()))
    if unknown := sorted({*models, *data} - set(tasks)):
        raise ValueError(unknown_name("task", unknown[0], tasks))
    bundled = [
        ReportSubject(task=entry.task, model=entry.name, data=None)
        for entry in zoo.MODELS.values()
        if entry.task not in models and entry.task not in data
    ]
    given = [
        ReportSubject(task=task, model=models.get(task), data=data.get(task))
        for task in tasks
        if task in models or task in data
    ]
    return [*bundled, *given]


def jobs(
    listed: Sequence[ReportSubject],
    *,
    quick: bool,
    limit: int | None = None,
    counts: Mapping[ReportSubject, int] | None = None,
) -> list[CommandJob]:
    """List every job, the cheap ones first.

    Args:
      limit: puzzles of each sweep; None: as many as usual.
      counts: how many there are at most, as `count_puzzles` finds them.
    """
    limits = {s: limit or usual_limit(s, quick) for s in listed}
    limits = {s: min(number, (counts or {}).get(s, number)) for s, number in limits.items()}
    first = {subject.task: subject for subject in reversed(listed)}
    return [
        CommandJob(name="footprint", module="experiments.footprint", arguments=()),
        *(_sweep(subject, quick, limits[subject]) for subject in listed),
        *(_viewer(s, quick) for s in first.values() if s.task == "sudoku" or not quick),
        *(_ablation(subject, quick) for subject in reversed(first.values())),
        *(_vote(subject, quick) for subject in listed if subject.task == "arc"),
        *(_deployment(s, quick) for s in reversed(first.values()) if s.task != "arc"),
        *(_board(s, quick) for s in first.values() if s.task == "sudoku"),
        *(_comparison(s, quick) for s in first.values() if s.has_decoder),
    ]


def computed_at(listed: list[CommandJob], words: tuple[str, ...]) -> list[CommandJob]:
    """Have jobs compute where the options of an engine say, as far as their programs can."""
    return [replace(job, where=words) if job.module in WITH_ENGINE else job for job in listed]


def is_large(subject: ReportSubject) -> bool:
    """Return whether a model is so large that the report takes fewer puzzles of it.

    One that nothing is known of counts as large: published ones have over 20 times LARGE_FLOPS.
    """
    return subject.config is None or flops_per_step(subject.config) > LARGE_FLOPS


def schemes(subject: ReportSubject) -> str:
    """Name the schemes that a full sweep takes of a model."""
    weights = f"{WEIGHTS},{LOOP_AWARE}"
    if is_large(subject):
        return weights
    config = subject.config
    return ",".join([weights, INPUTS, *([INTEGERS] if config and has_integers(config) else [])])


def _name(kind: str, subject: ReportSubject) -> str:
    return f"{kind}-{subject.task}-{Path(subject.model or 'bundled').name.replace(':', '-')}"


def count_puzzles(listed: Sequence[ReportSubject], *, quick: bool) -> dict[ReportSubject, int]:
    """Count the puzzles that a sweep can take: schemes that are calibrated keep some apart.

    Returns:
      Nothing of a foreign checkpoint on bundled puzzles: its sweep finds out which it reads.

    Raises:
      OSError, ValueError: there are no such puzzles.
    """
    counts = {}
    for subject in listed:
        if subject.data is None and subject.config is None:
            continue
        folder = None if subject.data is None else Path(subject.data).expanduser()
        cells = None if subject.config is None else subject.config.seq_len
        counts[subject] = len(load_puzzles(subject.task, folder, cells=cells))
        if any(parse(name).needs_puzzles for name in sweep_schemes(subject, quick).split(",")):
            counts[subject] = max(counts[subject] - CalibrationOptions().puzzles, 1)
    return counts


def tell_limits(
    counts: Mapping[ReportSubject, int], *, quick: bool, limit: int | None
) -> list[str]:
    """Say of which models there are fewer puzzles than are asked for."""
    return [
        f"{subject.model or zoo.default(subject.task)}: {count} puzzles instead of {wanted}:"
        " there are no more to evaluate"
        for subject, count in counts.items()
        if count < (wanted := limit or usual_limit(subject, quick))
    ]


def usual_limit(subject: ReportSubject, quick: bool) -> int:
    """Choose how many puzzles a sweep takes where nobody says."""
    large = is_large(subject)
    return (QUICK_LARGE if large else QUICK_LIMIT) if quick else LARGE if large else LIMIT


def sweep_schemes(subject: ReportSubject, quick: bool) -> str:
    """Name the schemes that a sweep takes."""
    return QUICK_SCHEMES if quick else schemes(subject)


def _sweep(subject: ReportSubject, quick: bool, limit: int) -> CommandJob:
    size = ("--batch-size", str(min(max(limit // 4, 1), MOST_TOGETHER)))
    names = sweep_schemes(subject, quick)
    options = ("--schemes", names, "--limit", str(limit), *size, "--resume")
    arguments = (*subject.arguments, *options)
    return CommandJob(name=_name("sweep", subject), module="experiments.sweep", arguments=arguments)


def _viewer(subject: ReportSubject, quick: bool) -> CommandJob:
    """Show a puzzle that each scheme breaks; 3 bits per tensor break some of every model."""
    limit = str(QUICK_WATCHED if quick else LIMIT)
    options = ("--schemes", WATCHED, "--broken", "--count", "1", "--limit", limit)
    arguments = (*subject.arguments, *options)
    return CommandJob(name=_name("watch", subject), module="experiments.watch", arguments=arguments)


def _ablation(subject: ReportSubject, quick: bool) -> CommandJob:
    """A quick run leaves out of other tasks what Sudoku shows too."""
    only = ("--only", QUICK_STUDIES[subject.task]) if subject.task in QUICK_STUDIES else ()
    options = ("--resume", *(("--quick", *only) if quick else ()))
    arguments = (*subject.arguments, *options)
    return CommandJob(
        name=_name("ablate", subject), module="experiments.ablate", arguments=arguments
    )


def _vote(subject: ReportSubject, quick: bool) -> CommandJob:
    few = ("--limit", "4", "--num-aug", "1") if quick else ("--limit", "20")
    arguments = (*subject.arguments[2:], *few, "--resume")  # experiments.arc knows one task
    return CommandJob(name=_name("votes", subject), module="experiments.arc", arguments=arguments)


def _comparison(subject: ReportSubject, quick: bool) -> CommandJob:
    """Put the task's model beside the bundled decoder."""
    model = subject.model or zoo.default(subject.task)
    names = f"{model},{zoo.default_decoder(subject.task)}"
    few = ("--limit", str(QUICK_LIMIT), "--schemes", "fp32,w4c-sym") if quick else ()
    arguments = ("--task", subject.task, "--models", names, *few, "--resume")
    return CommandJob(
        name=_name("decode", subject), module="experiments.decode", arguments=arguments
    )


def _board(subject: ReportSubject, quick: bool) -> CommandJob:
    """Memory and time on a Cortex-M55: by TFLM's own planner on this computer, no board needed."""
    few = ("--schemes", "tflm_int8_int8", "--limit", "8") if quick else ()
    arguments = ("--target", "cortex-m55", *subject.arguments, *few)
    return CommandJob(
        name=_name("board", subject), module="experiments.deploy", arguments=arguments
    )


def _deployment(subject: ReportSubject, quick: bool) -> CommandJob:
    few = (
        "--limit",
        str(QUICK_DEPLOYED),
        "--batch-size",
        str(QUICK_DEPLOYED),
        "--schemes",
        "fp32,int8",
    )
    arguments = (*subject.arguments, *(few if quick else ()))
    return CommandJob(
        name=_name("deploy", subject), module="experiments.deploy", arguments=arguments
    )
