"""Measure sensitivities, choose, measure what was chosen, and write it down."""

import argparse
import time
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from rich.console import Console

from experiments.measurement.choices import environment
from experiments.measurement.folders import RECIPE
from experiments.measurement.shards import load_shard
from experiments.measurement.spec import shards_of
from experiments.recipe import tables
from experiments.recipe.job import RecipeJob, carrier, deployed, matrix_bytes, prepare
from experiments.recipe.outcomes import (
    FrontMeasurement,
    RecipeOutcome,
    SolvedScheme,
    find_uniform,
    shown_points,
)
from experiments.render.console import make_console
from experiments.render.tables import print_tables
from quant.ptq.calibrate import Calibration
from quant.ptq.mixed_precision import FrontPoint, WeightChoice, best_within, pareto_front
from quant.ptq.sensitivity import Sensitivity
from quant.scheme import Scheme, WeightScheme, parse_weights
from quant.simulation import calibrate_on, simulate
from trm_jax.command_line import progress_bar
from trm_jax.intervals import LEVEL
from trm_jax.loading import gather_calibration
from trm_jax.metrics import puzzle_exact
from trm_jax.output.folder import writing_whole
from trm_jax.output.staging import staged


def find_recipe(args: argparse.Namespace) -> None:
    """Search, print and write.

    Raises:
      ValueError, OSError: bad input, a budget too small, or too many puzzles lost; nothing is
        written then.
    """
    console = make_console()
    job = prepare(args)
    with writing_whole(job.out, RECIPE):
        started = time.monotonic()
        console.print(tables.header(job), soft_wrap=True)
        outcome = search(job)
        check_drop(job, outcome)
        notes = tables.notes(job, outcome) | environment()
        with staged(job.out) as work:
            tables.write_files(job, outcome, notes, work)
        _report(job, outcome, console, time.monotonic() - started)


def search(job: RecipeJob) -> RecipeOutcome:
    """Find the recipe of a job and measure it.

    Raises:
      ValueError: the budget is too small, or the calibration puzzles are too few.
    """
    calibration = calibrate_on(job.model, gather_calibration(job.puzzles.dataset))
    sensitivity = Sensitivity(calibration)
    choices = measure_choices(job, sensitivity)
    front = pareto_front(choices)
    chosen = best_within(front, job.budget - job.rest)
    measured = [_measure_point(job, sensitivity, choices, p) for p in shown_points(front, chosen)]
    best = next(point for point in measured if point.stored == chosen.stored + job.rest)
    uniform = [
        FrontMeasurement(
            stored=stored,
            predicted=predicted,
            measured=sensitivity.loss(dict.fromkeys(job.sites, parse_weights(name))),
            name=name,
        )
        for name, stored, predicted, _ in find_uniform(choices, job.rest, job.budget)
    ]
    picked = [of[i] for of, i in zip(choices, chosen.picks, strict=True)]
    return RecipeOutcome(
        matrices=tuple(
            (site, c.name, carrier(parse_weights(c.name), job.target), c.stored, c.loss)
            for site, c in zip(job.sites, picked, strict=True)
        ),
        chosen=best,
        front=tuple(measured),
        every=tuple(front),
        uniform=tuple(uniform),
        solved=solve_all(job, calibration, job.scheme(_mix(job, choices, chosen)), best, uniform),
    )


def measure_choices(job: RecipeJob, sensitivity: Sensitivity) -> list[list[WeightChoice]]:
    """Measure every matrix alone in every way that the target takes."""
    measured: dict[str, list[WeightChoice]] = {site: [] for site in job.sites}
    shapes = dict(zip(job.sites, job.shapes, strict=True))
    total = len(job.sites) * len(job.candidates)
    with progress_bar("measuring", total) as advance:
        losses = sensitivity.losses(job.sites, job.candidates)
        for done, (site, weights, loss) in enumerate(losses, start=1):
            stored = matrix_bytes(shapes[site], weights, job.target)
            measured[site].append(WeightChoice(weights.name, stored, loss))
            advance(done, site)
    return list(measured.values())


def _mix(
    job: RecipeJob, choices: Sequence[Sequence[WeightChoice]], point: FrontPoint
) -> dict[str, WeightScheme]:
    picked = zip(job.sites, choices, point.picks, strict=True)
    return {site: parse_weights(of[i].name) for site, of, i in picked}


def _measure_point(
    job: RecipeJob,
    sensitivity: Sensitivity,
    choices: Sequence[Sequence[WeightChoice]],
    point: FrontPoint,
) -> FrontMeasurement:
    return FrontMeasurement(
        stored=point.stored + job.rest,
        predicted=point.loss,
        measured=sensitivity.loss(_mix(job, choices, point)),
    )


def solve_all(
    job: RecipeJob,
    calibration: Calibration,
    recipe: Scheme,
    chosen: FrontMeasurement,
    uniform: Sequence[FrontMeasurement],
) -> tuple[SolvedScheme, ...]:
    """Solve puzzles in full precision, under the recipe, and under the best scheme that fits."""
    full = Scheme()
    asked = [
        ("full precision", job.rest + 4 * _count(job), full),
        ("recipe", chosen.stored, recipe),
    ]
    fitting = [point for point in uniform if point.stored <= job.budget]
    if fitting:
        best = min(fitting, key=lambda point: point.measured)
        scheme = deployed(parse_weights(best.name), job.target)
        asked.append((best.name, best.stored, scheme))
    size = min(job.batch_size, job.num_puzzles)
    shards = shards_of(job.num_puzzles, size)
    solved = []
    with progress_bar("solving", len(asked) * len(shards)) as advance:
        for name, stored, scheme in asked:
            model = simulate(job.model, scheme, calibration)
            flags = []
            for start, stop in shards:
                host, batch = load_shard(job.puzzles, start, stop, size)
                tokens = jnp.asarray(model.answers(batch, steps=job.model.config.halt_max_steps))
                flags.append(np.asarray(puzzle_exact(tokens, batch.labels))[: host.num_real])
                advance(len(solved) * len(shards) + len(flags), name)
            exact = np.concatenate(flags)
            solved.append(SolvedScheme(name=name, stored=stored, scheme=scheme, exact=exact))
    return tuple(solved)


def _count(job: RecipeJob) -> int:
    return sum(inputs * outputs for inputs, outputs in job.shapes)


def check_drop(job: RecipeJob, outcome: RecipeOutcome) -> None:
    """Refuse a recipe that loses more puzzles than allowed.

    Raises:
      ValueError: it does; the message says how many.
    """
    if job.max_drop is None:
        return
    reference, recipe, *_ = outcome.solved
    difference = recipe.difference(reference)
    if -difference.value > job.max_drop:
        low, high = (f"{100 * end:+.1f}" for end in difference[1:])
        raise ValueError(
            f"--max-drop {100 * job.max_drop:g}pp is not reached within {job.budget:,} bytes: the"
            f" best recipe solves {100 * difference.value:+.1f} points [{low}, {high}] of"
            f" {job.num_puzzles} puzzles against full precision ({LEVEL:.0%}); raise --budget"
        )


def _report(job: RecipeJob, outcome: RecipeOutcome, console: Console, seconds: float) -> None:
    print_tables(tables.all_tables(outcome), console)
    console.print(
        f"found in {seconds:.0f} s; as a scheme: --schemes @{job.out / 'recipe.json'}",
        soft_wrap=True,
        markup=False,
        highlight=False,
    )
