"""Run the schemes of a sweep over its shards: one rollout per scheme and shard, every depth.

Shards are the outer loop, so that the full-precision trajectory of a shard is computed once
and all schemes are compared with it. On CPU several rows are computed at once, in threads. Schemes
with rows to compute are compressed first, so that what no row can be had of is refused before
anything is written; rounding is learned, minutes a scheme, for a scheme's first row. Schemes that
only change weights share one compiled evaluator: their reasoners are equal, their weights are
arguments. Within a process the puzzles of a shard lie over all local devices.
"""

import argparse
import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from rich.console import Console

from experiments.jobs import processes
from experiments.jobs.engine import compute_rows, engine_facts, opened_engine, settled
from experiments.jobs.remote_work import RemoteEngine, RemoteWork, Worker
from experiments.measurement.choices import environment
from experiments.measurement.halting import HaltedShard, halt_shard
from experiments.measurement.options import read_common
from experiments.measurement.row_files import ResultFolder
from experiments.measurement.shards import (
    load_shard,
    matmul_precision,
    moments,
    to_hex,
)
from experiments.measurement.side_by_side import Once, in_order, num_threads
from experiments.measurement.spec import pending
from experiments.render.console import make_console
from experiments.sweep.job import SweepJob, output_of, prepare
from experiments.sweep.rows import LAYOUT, SweepKey, SweepRow, SweepSpec, sweep_folder
from quant.scheme import Scheme, label, parse
from quant.simulation import Simulation, calibrate_on, simulate
from trm_jax.command_line import progress_bar
from trm_jax.data.batches import PuzzleBatch
from trm_jax.evaluators import (
    Readout,
    Trajectory,
    consecutive_similarity,
    measure,
    step_readings,
)
from trm_jax.halting import Halting, StepReading, parse_halting
from trm_jax.loading import LoadedModel, Puzzles
from trm_jax.output.folder import writing
from trm_jax.tasks.calibration import CalibrationPuzzles
from trm_jax.types import IGNORE_LABEL, Batch


class SweepShard(NamedTuple):
    """Puzzles of a shard on host and devices, and their full-precision trajectory on demand."""

    host: PuzzleBatch
    batch: Batch
    reference: Once[Trajectory]


class Runner:
    """Runs any (scheme, shard) of a spec. Weights are compressed when first asked for, and kept.

    Args:
      aside: what schemes are calibrated on; None: the last of the puzzles.
    """

    def __init__(
        self,
        spec: SweepSpec,
        model: LoadedModel,
        puzzles: Puzzles,
        aside: CalibrationPuzzles | None = None,
    ) -> None:
        self.spec = spec
        self.puzzles = puzzles
        self.rules = puzzles.task.rules(puzzles.facts)
        self.lenient = puzzles.task.second_score(puzzles.facts)
        aside = aside or CalibrationPuzzles(evaluated=puzzles)
        self.calibration = calibrate_on(model, aside.batches(), spec.grid.steps)
        self.model = model
        self.simulations: dict[str, Simulation] = {}

    def simulation(self, scheme: str) -> Simulation:
        """Compress the model under a scheme, when first asked for; not from several threads."""
        if scheme not in self.simulations:
            self.simulations[scheme] = self._simulate(parse(scheme))
        return self.simulations[scheme]

    def _simulate(self, scheme: Scheme) -> Simulation:
        return simulate(self.model, scheme, self.calibration, dtype=self.spec.dtype)

    def compress(self, schemes: Iterable[str]) -> None:
        """Compress schemes before their rows are computed, those that learn for their first row.

        Raises:
          ValueError: a scheme that the model cannot have.
        """
        for name in dict.fromkeys(schemes):
            if parse(name).is_learned:  # refused here for all that is not its rounding
                self._simulate(parse(name).to_nearest)
            else:
                self.simulation(name)

    def rows(self, keys: Sequence[SweepKey]) -> Iterator[SweepRow]:
        """Measure keys, which come shard by shard, and yield every row as it is finished."""
        work = self.work(keys)
        for first in itertools.islice(work, 1):  # alone: it compiles what the others share
            yield self.measure(*first)
        yield from in_order(lambda each: self.measure(*each), work, num_threads())

    def work(self, keys: Sequence[SweepKey]) -> Iterator[tuple[SweepKey, SweepShard]]:
        """Give every key its shard, loaded for its first key, once its scheme is compressed."""
        for (start, stop), group in itertools.groupby(keys, key=lambda key: key[1:]):
            shard = self.prepare(start, stop)
            for key in group:
                self.simulation(key.scheme)  # here: a thread that measures is not stopped midway
                yield key, shard

    def prepare(self, start: int, stop: int) -> SweepShard:
        """Load a shard, padded to one size for all shards."""
        size = min(self.spec.batch_size, self.spec.num_puzzles)
        host, batch = load_shard(self.puzzles, start, stop, size)
        reference = self.simulation(self.spec.reference)
        return SweepShard(host, batch, Once(lambda: self.run(reference, batch)))

    def run(self, simulation: Simulation, batch: Batch) -> Trajectory:
        """Roll a compressed model out over the depths of the spec."""
        return simulation.trajectory(batch, steps=self.spec.grid.steps)

    def measure(self, key: SweepKey, shard: SweepShard) -> SweepRow:
        """Run a scheme on a shard and count."""
        simulation = self.simulations[key.scheme]
        model = (simulation.reasoner, simulation.weights)
        full = key.scheme == self.spec.reference
        states = shard.reference() if full else self.run(simulation, shard.batch)
        readout = measure(
            *model,
            shard.batch,
            states,
            shard.reference(),
            depths=self.spec.grid.cycles,
            lenient=self.lenient,
        )
        calls = consecutive_similarity(*model, shard.batch)
        readout, calls = jax.device_get((readout, calls))
        row = make_row(self.spec.digest_of_scheme(key.scheme), key, shard.host, readout, calls)
        if not self.spec.halting:
            return row
        readings = step_readings(*model, states)
        halted = (
            self.halt(parse_halting(name), shard.host, readings) for name in self.spec.halting
        )
        return dataclasses.replace(row, halted=tuple(halted))

    def halt(
        self, halting: Halting, host: PuzzleBatch, readings: Sequence[StepReading]
    ) -> HaltedShard:
        """Find when a rule ends the puzzles of a shard, and whether they are right then."""
        real = np.arange(host.num_real)
        inputs, labels = host.inputs[real], host.labels[real]
        some = [reading.only(real) for reading in readings]
        return halt_shard(halting, inputs, labels, some, self.rules)


def make_row(
    digest: str, key: SweepKey, host: PuzzleBatch, readout: Readout, calls: np.ndarray
) -> SweepRow:
    """Sum the read-out of a shard over its real puzzles, in float64."""
    real = slice(host.num_real)
    scored = np.sum(host.labels[real] != IGNORE_LABEL, axis=-1)
    correct = np.asarray(readout.cell_correct)[:, real]
    return SweepRow(
        digest=digest,
        **key._asdict(),
        scored_cells=int(scored.sum()),
        correct_cells=tuple(int(x) for x in correct.sum(axis=-1)),
        exact=to_hex(np.asarray(readout.exact)[:, real]),
        lenient=to_hex(np.asarray(readout.lenient)[:, real]),
        cell_error=moments((scored - correct) / np.maximum(scored, 1)),
        infidelity=moments(1 - np.asarray(readout.fidelity, np.float64)[:, real]),
        similarity=moments(np.asarray(readout.similarity)[:, real]),
        residual=moments(np.asarray(readout.residual)[:, real]),
        call_similarity=moments(calls[None, real])[0],
    )


def make_runner(job: SweepJob, keys: Sequence[SweepKey]) -> Runner:
    """Make what measures some keys, their schemes compressed.

    Raises:
      ValueError: a scheme that the model cannot have.
    """
    runner = Runner(*job)
    runner.compress(key.scheme for key in keys)
    return runner


def make_worker(args: argparse.Namespace, shared: None) -> Worker[Sequence[SweepKey], SweepRow]:
    """Load what a command line names in a process elsewhere, to measure keys there."""
    del shared  # everything is in files
    job = prepare(args)
    runner = Runner(*job)

    def measure(keys: Sequence[SweepKey]) -> list[SweepRow]:
        with matmul_precision(job.spec.dtype):
            return list(runner.rows(keys))

    return Worker(identity=identity_of(job.spec), compute=measure)


def identity_of(spec: SweepSpec) -> dict[str, str]:
    """Say what decides the numbers of every row of a sweep."""
    return {"model": spec.model_sha256, "puzzles": spec.data_sha256} | spec.digests


def run(
    job: SweepJob,
    args: argparse.Namespace,
    folder: ResultFolder[SweepSpec, SweepRow],
    keys: Sequence[SweepKey],
    facts: dict[str, Any],
    engine: RemoteEngine | None = None,
) -> None:
    """Measure keys and append every row as it is finished.

    Args:
      args: the command line that the job is of.
      facts: of the environment, to be noted in the folder.
      engine: None measures here.
    """
    spec = job.spec
    with progress_bar("compressing", len(keys)) as advance, matmul_precision(spec.dtype):
        shards = [list(group) for _, group in itertools.groupby(keys, key=lambda key: key[1:])]
        parts = shards if engine else [keys]
        chosen = settled(args, dtype=spec.dtype, batch_size=spec.batch_size)
        work = RemoteWork(make=make_worker, args=chosen, identity=identity_of(spec))
        here = None if engine else make_runner(job, keys).rows
        rows = compute_rows(engine, work, parts, here)
        folder.open(spec, facts | engine_facts(engine))
        for done, row in enumerate(rows, start=1):
            folder.append(row)
            name = label(row.scheme, spec.dtype)
            advance(done, f"{name}, puzzles {row.start}-{row.stop}")


def sweep(args: argparse.Namespace) -> None:
    """Plan, run and report.

    Raises:
      ValueError, OSError, ModuleNotFoundError: bad input; nothing was lost.
    """
    console = make_console()
    with opened_engine(args) as engine:
        if engine and args.coordinator:
            raise ValueError("--coordinator and --engine ray both share out the puzzles; take one")
        process = processes.start(args.coordinator, args.num_processes, args.process_id)
        job = prepare(args)
        out = output_of(read_common(args), job.puzzles.task, job.model)
        with writing(out, LAYOUT.output, resume=args.resume, process=process.index):
            folder = sweep_folder(out, process.index)
            measure_and_report(job, args, folder, process, engine, console)


def measure_and_report(
    job: SweepJob,
    args: argparse.Namespace,
    folder: ResultFolder[SweepSpec, SweepRow],
    process: processes.Process,
    engine: RemoteEngine | None,
    console: Console,
) -> None:
    """Measure what is missing in a folder that is held, and report.

    Raises:
      ValueError, OSError: rows of another sweep, or damaged ones; nothing was lost.
    """
    spec = job.spec
    folder.check(spec, resume=True)
    keys = pending(spec.work_keys(process.shard_offset, process.count), folder.iter_heads(spec))
    process.wait_for_others("checked")
    facts = environment()
    if process.reports:
        console.print(job.header(facts), soft_wrap=True)
    if keys:
        run(job, args, folder, keys, facts, engine)
    process.wait_for_others("measured")
    if process.reports:
        from experiments.sweep.tables import write_report  # late: rows need no figures

        write_report(spec, folder.iter_rows(spec), folder.path, console)
