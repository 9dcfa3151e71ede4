"""Measure sensitivities, choose, measure what was chosen, and write it down."""

import argparse
import itertools
import math
import time
from collections.abc import Iterator, Mapping, Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Integer
from rich.console import Console

from experiments.measurement.choices import environment
from experiments.measurement.folders import RECIPE
from experiments.measurement.shards import load_rows
from experiments.measurement.spec import shards_of
from experiments.recipe import tables
from experiments.recipe.job import RecipeJob, carrier, deployed, matrix_bytes, prepare
from experiments.recipe.outcomes import (
    FrontMeasurement,
    RecipeOutcome,
    SolvedScheme,
    TriedSize,
    find_first,
    find_uniform,
    shown_points,
    thinned,
)
from experiments.render.console import make_console
from experiments.render.tables import print_tables
from quant.ptq.calibrate import Calibration
from quant.ptq.mixed_precision import (
    PASSES,
    FrontPoint,
    Picks,
    WeightChoice,
    best_within,
    pareto_front,
    refine,
)
from quant.ptq.sensitivity import Sensitivity, StateLoss, state_losses
from quant.scheme import Scheme, WeightScheme, parse_weights
from quant.simulation import Simulation, calibrate_on, simulate
from trm_jax.command_line import progress_bar
from trm_jax.intervals import LEVEL, paired_difference, pairs
from trm_jax.metrics import puzzle_exact
from trm_jax.output.folder import writing_whole
from trm_jax.output.staging import staged

STEPS, BATCHES = 1, 4  # supervision steps and batches that losses are measured on


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
        notes = tables.notes(job, outcome) | environment()
        with staged(job.out) as work:
            tables.write_files(job, outcome, notes, work)
        _report(job, outcome, console, time.monotonic() - started)


def search(job: RecipeJob) -> RecipeOutcome:
    """Find the recipe of a job and measure it.

    Raises:
      ValueError: no recipe within the budget keeps to --max-drop.
    """
    calibration = calibrate_on(job.model, job.aside.batches())
    sensitivity = Sensitivity(calibration, steps=STEPS, batches=BATCHES)
    choices = measure_choices(job, sensitivity)
    front = pareto_front(choices)
    largest = front[-1].stored if job.budget is None else job.budget - job.rest
    start, tried = best_within(front, largest), ()
    if job.max_drop is not None:
        start, tried = find_smallest(job, calibration, sensitivity, choices, front, largest)
        largest = start.stored
    chosen = _refined(job, sensitivity, choices, start, largest)
    measured = [
        _measure_point(job, sensitivity, choices, point)
        for point in shown_points(front, start)
        if point is not start
    ]
    best = _measure_point(job, sensitivity, choices, chosen)
    uniform = [
        FrontMeasurement(
            stored=stored,
            predicted=predicted,
            measured=sensitivity.loss(dict.fromkeys(job.sites, parse_weights(name))),
            name=name,
        )
        for name, stored, predicted in find_uniform(choices, job.rest)
    ]
    picked = [of[i] for of, i in zip(choices, chosen.picks, strict=True)]
    scheme, budget = job.scheme(_mix(job, choices, chosen.picks)), largest + job.rest
    return RecipeOutcome(
        budget=budget,
        matrices=tuple(
            (site, c.name, carrier(parse_weights(c.name), job.target), c.stored, c.loss)
            for site, c in zip(job.sites, picked, strict=True)
        ),
        chosen=best,
        front=tuple(sorted([*measured, best], key=lambda point: point.stored)),
        every=tuple(front),
        uniform=tuple(uniform),
        solved=solve_all(job, calibration, scheme, best, uniform, budget),
        tried=tried,
        states=measure_states(job, calibration),
    )


def measure_states(job: RecipeJob, calibration: Calibration) -> Mapping[str, StateLoss]:
    """Measure what each static activation costs alone, where a target has any."""
    has_states = job.target is not None and job.target.facts.integer_graphs
    return state_losses(calibration) if has_states else {}


def _refined(
    job: RecipeJob,
    sensitivity: Sensitivity,
    choices: Sequence[Sequence[WeightChoice]],
    start: FrontPoint,
    budget: int,
) -> FrontPoint:
    """Choose again around a recipe, by what its matrices cost together."""
    total = PASSES * sum(map(len, choices))
    with progress_bar("refining", total) as advance:
        asked = itertools.count(1)

        def measure(picks: Picks) -> float:
            advance(min(next(asked), total), "")
            return sensitivity.loss(_mix(job, choices, picks))

        picks = refine(choices, start.picks, budget, measure).picks
    picked = [of[i] for of, i in zip(choices, picks, strict=True)]
    return FrontPoint(sum(c.stored for c in picked), sum(c.loss for c in picked), picks)


def find_smallest(
    job: RecipeJob,
    calibration: Calibration,
    sensitivity: Sensitivity,
    choices: Sequence[Sequence[WeightChoice]],
    front: Sequence[FrontPoint],
    largest: int,
) -> tuple[FrontPoint, tuple[TriedSize, ...]]:
    """Find the smallest recipe that loses no more of the deciding puzzles than --max-drop.

    Products are computed in floats: weights alone decide, whatever the target.

    Args:
      largest: bytes of the matrices.

    Raises:
      ValueError: even the largest loses more; the message says how many.
    """
    size = min(job.batch_size, len(job.deciding))
    tried: list[TriedSize] = []
    with progress_bar("deciding", 2 + math.ceil(math.log2(len(front)))) as advance:

        def solve(matrices: dict[str, WeightScheme]) -> np.ndarray:
            weights = sensitivity.weights_of(matrices)
            model = Simulation(
                reasoner=calibration.reasoner, weights=weights, ranges={}, quantised={}
            )
            return np.concatenate(list(solve_rows(job, model, job.deciding, size)))

        exact = solve({})

        def holds(point: FrontPoint) -> bool:
            found = paired_difference(pairs(exact, solve(_mix(job, choices, point.picks))))
            tried.append(TriedSize(stored=point.stored + job.rest, difference=found))
            advance(len(tried), "")
            return -found.value <= (job.max_drop or 0.0)

        sizes = thinned([point for point in front if point.stored <= largest], job.rest)
        found = find_first(sizes, holds)
    if found is None:
        raise ValueError(_refused_drop(job, tried[0]))
    return found, tuple(sorted(tried, key=lambda each: each.stored))


def _refused_drop(job: RecipeJob, best: TriedSize) -> str:
    low, high = (f"{100 * end:+.1f}" for end in best.difference[1:])
    within = f"within {job.budget:,} bytes" if job.budget else "with any weights of the target"
    return (
        f"--max-drop {100 * (job.max_drop or 0):g}pp is not reached {within}: the best recipe"
        f" solves {100 * best.difference.value:+.1f} points [{low}, {high}] of the"
        f" {len(job.deciding)} deciding puzzles against full precision ({LEVEL:.0%}); raise"
        f" {'--budget' if job.budget else '--max-drop'}"
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
    job: RecipeJob, choices: Sequence[Sequence[WeightChoice]], picks: Picks
) -> dict[str, WeightScheme]:
    picked = zip(job.sites, choices, picks, strict=True)
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
        measured=sensitivity.loss(_mix(job, choices, point.picks)),
    )


def solve_all(
    job: RecipeJob,
    calibration: Calibration,
    recipe: Scheme,
    chosen: FrontMeasurement,
    uniform: Sequence[FrontMeasurement],
    budget: int,
) -> tuple[SolvedScheme, ...]:
    """Solve puzzles in full precision, under the recipe, and under the best scheme that fits."""
    asked = [
        ("full precision", job.rest + 4 * job.num_weights, Scheme()),
        ("recipe", chosen.stored, recipe),
    ]
    fitting = [point for point in uniform if point.stored <= budget]
    if fitting:
        best = min(fitting, key=lambda point: point.measured)
        scheme = deployed(parse_weights(best.name), job.target)
        asked.append((best.name, best.stored, scheme))
    size = min(job.batch_size, job.num_puzzles)
    rows = job.puzzles.order[: job.num_puzzles]
    shards = -(-job.num_puzzles // size)
    solved = []
    with progress_bar("solving", len(asked) * shards) as advance:
        for name, stored, scheme in asked:
            model = simulate(job.model, scheme, calibration)
            flags = []
            for exact in solve_rows(job, model, rows, size):
                flags.append(exact)
                advance(len(solved) * shards + len(flags), name)
            exact = np.concatenate(flags)
            solved.append(SolvedScheme(name=name, stored=stored, scheme=scheme, exact=exact))
    return tuple(solved)


def solve_rows(
    job: RecipeJob, model: Simulation, rows: Integer[np.ndarray, " puzzles"], size: int
) -> Iterator[Bool[np.ndarray, " shard"]]:
    """Solve puzzles at full depth, so many at a time; gives which of them are right."""
    steps = job.model.config.halt_max_steps
    for start, stop in shards_of(len(rows), size):
        host, batch = load_rows(job.puzzles, rows[start:stop], size)
        tokens = jnp.asarray(model.answers(batch, steps=steps))
        yield np.asarray(puzzle_exact(tokens, batch.labels))[: host.num_real]


def _report(job: RecipeJob, outcome: RecipeOutcome, console: Console, seconds: float) -> None:
    print_tables(tables.all_tables(outcome), console)
    console.print(
        f"found in {seconds:.0f} s; as a scheme: --schemes @{job.out / 'recipe.json'}",
        soft_wrap=True,
        markup=False,
        highlight=False,
    )
