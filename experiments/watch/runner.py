"""Roll schemes out on chosen puzzles, or on many to find those that they break; write files."""

import argparse
from collections.abc import Iterator, Sequence

import jax
import numpy as np

from experiments.measurement.folders import WATCH
from experiments.measurement.shards import load_rows, matmul_precision
from experiments.measurement.spec import shards_of
from experiments.render.console import make_console
from experiments.watch import film, page
from experiments.watch.job import WatchJob, batch_of, pick_puzzle, prepare
from experiments.watch.recording import (
    WatchedPuzzle,
    WatchedView,
    is_right,
    make_recording,
    read_cycles,
)
from quant.scheme import parse, short_name
from quant.simulation import Simulation, calibrate_on, simulate
from trm_jax.command_line import progress_bar
from trm_jax.loading import to_batch
from trm_jax.output.folder import writing_whole
from trm_jax.output.staging import staged

DTYPE = "float32"
PAGE = "watch.html"


def watch(args: argparse.Namespace) -> None:
    """Plan, run and write.

    Raises:
      ValueError, OSError, ModuleNotFoundError: bad input, or no puzzle is broken.
    """
    console = make_console()
    job = prepare(args)
    with writing_whole(job.out, WATCH), matmul_precision(DTYPE), staged(job.out) as work:
        simulations = make_simulations(job)
        shown = [job.chosen] if job.chosen else find_broken(job, simulations)
        views = [view(job, simulations, watched) for watched in shown]
        (work / PAGE).write_text(page.render(job, views), encoding="utf-8")
        if args.gif:
            film.write_gif(job, views[0], work / "watch.gif")
        if args.frames:
            film.write_frames(job, views[0], work)
            film.drop_later_frames(job.out, len(views[0].recordings[0].tokens))
    for each in views:
        for line in describe(each):
            console.print(line, soft_wrap=True)
    console.print(f"page: {job.out / PAGE}", soft_wrap=True)


def make_simulations(job: WatchJob) -> dict[str, Simulation]:
    """Compress the model by every scheme."""
    calibration = calibrate_on(job.model, job.aside.batches(), job.steps)
    return {
        name: simulate(job.model, parse(name), calibration, dtype=DTYPE) for name in job.schemes
    }


def view(job: WatchJob, simulations: dict[str, Simulation], watched: WatchedPuzzle) -> WatchedView:
    """Record a puzzle under every scheme."""
    batch, facts = to_batch(batch_of(watched)), job.puzzles.facts
    rules = job.puzzles.task.rules(facts)
    reference = simulations[job.schemes[0]].trajectory(batch, steps=job.steps)
    recordings = []
    for name, simulation in simulations.items():
        states = reference
        if name != job.schemes[0]:
            states = simulation.trajectory(batch, steps=job.steps)
        readout = read_cycles(simulation, batch, states, reference)
        recordings.append(make_recording(name, watched, readout, 0, facts, rules))
    return WatchedView(watched, tuple(recordings))


def find_broken(job: WatchJob, simulations: dict[str, Simulation]) -> list[WatchedPuzzle]:
    """Find puzzles that full precision solves and a scheme does not, `count` for each scheme.

    Raises:
      ValueError: there is none.
    """
    broken: dict[str, list[int]] = {name: [] for name in job.schemes[1:]}
    for start, right in judged_shards(job, simulations):
        for name, numbers in broken.items():
            lost = np.flatnonzero(right[job.schemes[0]] & ~right[name])
            numbers += [start + int(i) for i in lost]
        if all(len(numbers) >= job.count for numbers in broken.values()):
            break
    chosen = {number for numbers in broken.values() for number in numbers[: job.count]}
    if not chosen:
        names = ", ".join(short_name(name) for name in job.schemes[1:])
        raise ValueError(
            f"{names}: none of the first {job.limit} puzzles is solved in full precision alone;"
            " look among more with --limit, or name schemes of fewer bits with --schemes"
        )
    return [pick_puzzle(job.puzzles, number) for number in sorted(chosen)]


def judged_shards(
    job: WatchJob, simulations: dict[str, Simulation]
) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    """Say of every shard which puzzles each scheme solves."""
    rules = job.puzzles.task.rules(job.puzzles.facts)
    shards = shards_of(job.limit, job.batch_size)
    with progress_bar("looking", len(shards)) as advance:
        for done, (start, stop) in enumerate(shards, start=1):
            host, batch = load_rows(job.puzzles, job.puzzles.order[start:stop], job.batch_size)
            right = {}
            for name, simulation in simulations.items():
                states = simulation.trajectory(batch, steps=job.steps)
                answers = np.asarray(jax.device_get(simulation.tokens(states[-1])))
                watched = [WatchedPuzzle("", *row) for row in zip(*host[:3], strict=True)]
                real = zip(watched[: host.num_real], answers, strict=False)
                right[name] = np.asarray([is_right(w, answer, rules) for w, answer in real])
            advance(done, f"puzzles {start}-{stop}")
            yield start, right


def describe(each: WatchedView) -> Sequence[str]:
    """Say in a line per scheme how a puzzle went."""
    full = each.recordings[0]
    lines = [f"{each.watched.name}: {len(full.tokens)} H-cycles"]
    for recording in each.recordings:
        name, parting = short_name(recording.scheme), recording.parting(full)
        wrong = int(recording.mistakes[-1])
        end = "solved" if recording.solved else f"{wrong} cells wrong or against a rule"
        apart = "" if parting is None else f"; parts from full precision at H-cycle {parting}"
        lines.append(f"  {name}: {end}{apart}")
    return lines
