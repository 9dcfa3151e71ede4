"""Measure sensitivities, choose, measure what was chosen, and write it down."""

import argparse
import itertools
import shlex
import time
from collections.abc import Mapping, Sequence

from rich.console import Console

from experiments.jobs.engine import compute_rows, engine_facts, opened_engine, settled
from experiments.jobs.remote_work import RemoteEngine, RemoteWork, Worker
from experiments.measurement.choices import environment
from experiments.measurement.folders import RECIPE
from experiments.recipe import rows, tables
from experiments.recipe.job import RecipeJob, carrier, matrix_bytes, most_loss_batches, prepare
from experiments.recipe.outcomes import (
    FrontMeasurement,
    RecipeOutcome,
    best_single,
    find_uniform,
    shown_points,
    without_repeats,
)
from experiments.recipe.solving import MixMeasurement, choose_finalist, find_smallest, solve_all
from experiments.render.console import make_console
from experiments.render.tables import print_tables
from quant.ptq.calibrate import Calibration
from quant.ptq.mixed_precision import (
    NEAR,
    PASSES,
    FrontPoint,
    Picks,
    WeightChoice,
    best_within,
    pareto_front,
    refine,
)
from quant.ptq.sensitivity import Sensitivity, StateLoss, state_losses
from quant.scheme import WeightScheme, parse_weights
from quant.simulation import calibrate_on
from trm_jax.command_line import progress_bar
from trm_jax.data.batches import batch_size_of
from trm_jax.data.calibration import describe_calibration
from trm_jax.output.folder import writing_whole
from trm_jax.output.staging import staged

STEPS = 1  # supervision steps that losses are measured over
Measured = tuple[str, WeightScheme, float]
"""A matrix, its weights, and what they cost alone."""


def find_recipe(args: argparse.Namespace) -> None:
    """Search, print and write.

    Raises:
      ValueError, OSError: bad input, a budget too small, or too many puzzles lost; nothing is
        written then.
    """
    console = make_console()
    with opened_engine(args) as engine:
        job = prepare(args)
        with writing_whole(job.out, RECIPE):
            started = time.monotonic()
            console.print(tables.header(job), soft_wrap=True)
            outcome = search(job, args, engine)
            record = record_search(job, outcome, time.monotonic() - started)
            facts = environment() | engine_facts(engine)
            notes = tables.notes(job, outcome) | facts
            with staged(job.out) as work:
                tables.write_files(job, outcome, notes, work)
                rows.write_search(work, record)
            _report(job, outcome, console, record)


def record_search(job: RecipeJob, outcome: RecipeOutcome, seconds: float) -> rows.SearchRecord:
    """Collect what readers of results are told.

    Args:
      seconds: that all took, of which solving for the report is none of the search.
    """
    return rows.SearchRecord(
        task=job.puzzles.task.name,
        model=job.model.name,
        data=job.puzzles.name,
        target=job.target.value if job.target else None,
        budget=outcome.budget,
        seconds=round(seconds - outcome.solving_seconds, 1),
        num_puzzles=job.num_puzzles,
        deciding_puzzles=len(job.deciding),
        solved=rows.records_of(outcome.solved),
    )


def search(
    job: RecipeJob, args: argparse.Namespace, engine: RemoteEngine | None = None
) -> RecipeOutcome:
    """Find the recipe of a job and measure it.

    Args:
      args: the command line that the job is of.
      engine: measures matrices; None measures them here.

    Raises:
      ValueError: no recipe within the budget keeps to --max-drop.
    """
    calibration = calibrate_on(job.model, job.aside.batches())
    sensitivity = make_sensitivity(job, calibration)
    choices = measure_choices(job, args, sensitivity, engine)
    mixes = MixMeasurement(
        job=job, calibration=calibration, sensitivity=sensitivity, choices=choices
    )
    front = pareto_front(choices)
    largest = front[-1].stored if job.budget is None else job.budget - job.rest
    start, tried = best_within(front, largest), ()
    if job.max_drop is not None:
        start, tried = find_smallest(mixes, front, largest)
        largest = start.stored
    uniform = [mixes.measured(mixes.point(picks), name) for name, picks in find_uniform(choices)]
    single = best_single(uniform, largest + job.rest)
    finalists = {"refined": _refined(mixes, start, largest), "not refined": start}
    if single is not None:
        finalists[single.name] = mixes.point(dict(find_uniform(choices))[single.name])
    chosen, final = choose_finalist(mixes, without_repeats(finalists))
    best = mixes.measured(chosen)
    scheme = job.scheme(mixes.mix(chosen.picks))
    same = single is not None and chosen.picks == finalists[single.name].picks
    front_points = measure_front(mixes, front, start, best)
    states = measure_states(job, calibration)
    began = time.monotonic()
    solved = solve_all(mixes, scheme, best, None if same else single)
    return RecipeOutcome(
        budget=largest + job.rest,
        matrices=describe_matrices(mixes, chosen),
        chosen=best,
        front=front_points,
        every=tuple(front),
        uniform=tuple(uniform),
        solved=solved,
        solving_seconds=time.monotonic() - began,
        tried=tried,
        final=final,
        states=states,
    )


def describe_matrices(
    mixes: MixMeasurement, chosen: FrontPoint
) -> tuple[tuple[str, str, str, int, float], ...]:
    """Say of every matrix: site, name of weights, stored type, bytes, loss alone."""
    target = mixes.job.target
    picked = [of[i] for of, i in zip(mixes.choices, chosen.picks, strict=True)]
    return tuple(
        (site, c.name, carrier(parse_weights(c.name), target), c.stored, c.loss)
        for site, c in zip(mixes.job.sites, picked, strict=True)
    )


def measure_front(
    mixes: MixMeasurement, front: Sequence[FrontPoint], start: FrontPoint, best: FrontMeasurement
) -> tuple[FrontMeasurement, ...]:
    """Measure a few points of the front, and put the recipe in the place of where it started."""
    points = [mixes.measured(p) for p in shown_points(front, start) if p is not start]
    return tuple(sorted([*points, best], key=lambda point: point.stored))


def measure_states(job: RecipeJob, calibration: Calibration) -> Mapping[str, StateLoss]:
    """Measure what each static activation costs alone, where a target has any."""
    has_states = job.target is not None and job.target.facts.integer_graphs
    return state_losses(calibration) if has_states else {}


def _refined(mixes: MixMeasurement, start: FrontPoint, budget: int) -> FrontPoint:
    """Choose again around a recipe, by what its matrices cost together."""
    total = PASSES * (2 * NEAR + 1) * len(mixes.choices)
    with progress_bar("refining", total) as advance:
        asked = itertools.count(1)

        def measure(picks: Picks) -> float:
            advance(min(next(asked), total), "")
            return mixes.sensitivity.loss(mixes.mix(picks))

        return mixes.point(refine(mixes.choices, start.picks, budget, measure).picks)


def make_worker(args: argparse.Namespace, shared: None) -> Worker[str, Measured]:
    """Load what a command line names in a process elsewhere, to measure matrices there."""
    del shared  # everything is in files
    job = prepare(args)
    sensitivity = make_sensitivity(job, calibrate_on(job.model, job.aside.batches()))
    return Worker(
        identity=identity_of(job),
        compute=lambda site: sensitivity.losses([site], job.candidates),
    )


def make_sensitivity(job: RecipeJob, calibration: Calibration) -> Sensitivity:
    """Measure full precision, which mixes are compared with."""
    batches = most_loss_batches(job.model.config, batch_size_of(job.aside.count))
    return Sensitivity(calibration, steps=STEPS, batches=batches)


def identity_of(job: RecipeJob) -> dict[str, str]:
    """Say what decides the losses of matrices."""
    return {
        "model": job.model.sha256,
        "puzzles": job.puzzles.sha256,
        "calibration": describe_calibration(job.aside.facts),
        "candidates": ",".join(weights.name for weights in job.candidates),
    }


def measure_choices(
    job: RecipeJob,
    args: argparse.Namespace,
    sensitivity: Sensitivity,
    engine: RemoteEngine | None = None,
) -> list[list[WeightChoice]]:
    """Measure every matrix alone in every way that the target takes.

    Args:
      args: the command line that the job is of.
      sensitivity: measures here, without an engine.
    """
    measured: dict[str, list[WeightChoice]] = {site: [] for site in job.sites}
    shapes = dict(zip(job.sites, job.shapes, strict=True))
    total = len(job.sites) * len(job.candidates)
    with progress_bar("measuring", total) as advance:
        chosen = settled(args, batch_size=job.batch.number, out=job.out)
        work = RemoteWork(make=make_worker, args=chosen, identity=identity_of(job))
        losses = compute_rows(
            engine, work, job.sites, lambda site: sensitivity.losses([site], job.candidates)
        )
        for done, (site, weights, loss) in enumerate(losses, start=1):
            stored = matrix_bytes(shapes[site], weights, job.target)
            measured[site].append(WeightChoice(weights.name, stored, loss))
            advance(done, site)
    return list(measured.values())


def _report(
    job: RecipeJob, outcome: RecipeOutcome, console: Console, record: rows.SearchRecord
) -> None:
    print_tables(tables.all_tables(outcome), console)
    console.print(
        f"found in {record.seconds:.0f} s, puzzles solved in {outcome.solving_seconds:.0f} s; as a"
        f" scheme: --schemes {shlex.quote(f'@{job.out}/recipe.json')}",
        soft_wrap=True,
    )
