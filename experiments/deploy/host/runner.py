"""What a deployment on a runtime of this computer measures, and its files as they grow.

Exports are made once, rows and probes appended as soon as they are there. Not here: the command
line and the report (command.py, job.py), the format of the lines (rows.py).
"""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from experiments.deploy.host.rows import (
    FULL,
    HostRow,
    HostSpec,
    Probe,
    export_folder,
    host_folder,
    probe_folder,
)
from experiments.measurement.halting import HaltedShard, halt_shard
from experiments.measurement.row_files import ResultFolder, drop_torn_line
from experiments.measurement.shards import moments, to_hex
from experiments.measurement.spec import pending
from export.artifact.check_rollouts import compare_group
from export.artifact.open import Export
from export.artifact.solver import Solver
from export.lowering.storage import plan_for
from export.pipeline import keep_artifact
from export.runtimes.registry import open_runtime
from export.targets import Target
from quant.ptq.calibrate import Calibration
from quant.scheme import parse
from quant.simulation import Simulation, calibrate_on, simulate
from trm_jax.data.batches import gather
from trm_jax.data.format import PuzzleDataset
from trm_jax.halting import NEVER, Halting, StepReading
from trm_jax.loading import LoadedModel, Puzzles, gather_batch, hash_dataset
from trm_jax.metrics import token_cosine
from trm_jax.tasks.calibration import CalibrationPuzzles
from trm_jax.tasks.task import Task


@dataclass(frozen=True, kw_only=True)
class HostJob:
    """What a command line asks for, loaded.

    Attributes:
      steps: supervision steps; limit: the first so many puzzles.
      halting: where puzzles end, beside full depth.
      aside: puzzles that schemes are calibrated on.
    """

    source: LoadedModel
    puzzles: Puzzles
    target: Target
    schemes: tuple[str, ...]
    limit: int
    batch: int
    steps: int
    threads: int
    halting: Halting
    out: Path
    aside: CalibrationPuzzles

    @cached_property
    def calibration(self) -> Calibration:
        """The model and the puzzles that schemes are calibrated on, measured once for all."""
        return calibrate_on(self.source, self.aside.batches(), self.steps)

    @property
    def task(self) -> Task:
        """What the puzzles are."""
        return self.puzzles.task

    @property
    def dataset(self) -> PuzzleDataset:
        """The puzzles in the order in which they are measured."""
        return self.puzzles.ordered

    @cached_property
    def spec(self) -> HostSpec:
        """What the rows of this job belong to."""
        return HostSpec(
            task=self.task.name,
            model=self.source.name,
            model_sha256=self.source.sha256,
            data_sha256=hash_dataset(self.dataset),
            target=self.target.value,
            schemes=self.schemes,
            num_puzzles=self.limit,
            total=len(self.dataset),
            batch=self.batch,
            steps=self.steps,
            threads=self.threads,
            halting="" if self.halting == NEVER else self.halting.name,
            calibration=self.aside.facts,
        )


class SimulatedExport(NamedTuple):
    """A scheme's simulation and its export."""

    simulation: Simulation
    artifact: Export


def simulate_export(job: HostJob, scheme: str) -> SimulatedExport:
    """Build a scheme's simulation, and its export if it is not there yet.

    Raises:
      ValueError: the target does not compute the scheme right.
      RuntimeError: the runtime refuses it.
    """
    plan = plan_for(parse(scheme), job.target)
    simulation = simulate(job.source, plan.precision, job.calibration)
    artifact = keep_artifact(
        export_folder(job.out, scheme),
        job.source,
        plan,
        simulation,
        job.dataset,
        batch=job.batch,
        steps=job.steps,
        calibration=job.aside.recorded_if(plan.precision.needs_puzzles),
    )
    return SimulatedExport(simulation, artifact)


class References:
    """Full-precision last states, each group computed once."""

    def __init__(self, job: HostJob) -> None:
        self.job = job
        self.simulation = simulate(job.source, parse(FULL), steps=job.steps)
        self.states: dict[int, np.ndarray] = {}

    def at(self, rows: slice) -> np.ndarray:
        if rows.start not in self.states:
            full = np.resize(np.arange(rows.start, rows.stop), self.job.batch)
            last = self.simulation.trajectory(
                gather_batch(self.job.dataset, full), steps=self.job.steps
            )[-1]
            self.states[rows.start] = np.asarray(last)[: rows.stop - rows.start]
        return self.states[rows.start]


def measure(
    job: HostJob,
    scheme: str,
    rows: slice,
    solver: Solver,
    simulation: Simulation,
    references: References,
) -> HostRow:
    """Run a group of puzzles on runtime and simulation."""
    index = np.arange(rows.start, rows.stop)
    readings: list[StepReading] = []
    read = None if job.halting == NEVER else readings.append
    comparison = compare_group(solver, simulation, job.dataset, index, job.steps, read)
    fidelity = token_cosine(jnp.asarray(comparison.last), jnp.asarray(references.at(rows)))
    lenient = job.task.second_score(job.puzzles.facts)
    answered = lenient(jnp.asarray(comparison.solution.tokens), gather_batch(job.dataset, index))
    bits = {
        "exact": comparison.exact,
        "simulated_exact": comparison.simulated_exact,
        "lenient": np.asarray(answered),
    }
    return HostRow(
        digest=job.spec.digest_of_scheme(scheme),
        scheme=scheme,
        start=rows.start,
        stop=rows.stop,
        **{name: to_hex(flags[None])[0] for name, flags in bits.items()},
        cells=int(comparison.cells.sum()),
        correct=int(comparison.correct.sum()),
        equal_cells=int(comparison.equal_cells.sum()),
        infidelity=moments(1 - np.asarray(fidelity, np.float64)[None])[0],
        disagreement=moments(1 - comparison.fidelity.astype(np.float64)[None])[0],
        halted=halt(job, index, readings) if readings else None,
    )


def halt(job: HostJob, index: np.ndarray, readings: Sequence[StepReading]) -> HaltedShard:
    """Find where the job's rule ends puzzles, and whether they are right there."""
    host = gather(job.dataset, index, len(index))
    rules = job.task.rules(job.puzzles.facts)
    return halt_shard(job.halting, host.inputs, host.labels, readings, rules)


def probe(job: HostJob, scheme: str) -> Probe:
    """Time and weigh an export in a fresh process.

    Raises:
      RuntimeError: it failed there.
    """
    command = [
        sys.executable,
        "-m",
        "experiments.deploy.host.probe",
        str(export_folder(job.out, scheme)),
        "--threads",
        str(job.threads),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"the probe of {scheme} failed: {done.stderr.strip()}")
    answer = json.loads(done.stdout.splitlines()[-1])
    return Probe(
        digest=job.spec.digest_of_scheme(scheme),
        scheme=scheme,
        step_ms=tuple(answer["step_ms"]),
        memory_bytes=answer["memory_bytes"],
    )


class HostFiles(NamedTuple):
    """Finished rows and probes, in memory and on the disk."""

    rows: list[HostRow]
    probes: list[Probe]
    row_files: ResultFolder[HostSpec, HostRow]
    probe_files: ResultFolder[HostSpec, Probe]

    def add_row(self, row: HostRow) -> None:
        self.rows.append(row)
        self.row_files.append(row)

    def add_probe(self, probe: Probe) -> None:
        self.probes.append(probe)
        self.probe_files.append(probe)


def open_files(job: HostJob, environment: dict[str, Any]) -> HostFiles:
    """Read what is finished, and note the start of this run.

    Raises:
      ValueError: it is damaged, or of another deployment.
    """
    rows, probes = host_folder(job.out), probe_folder(job.out)
    rows.check(job.spec, resume=True)
    files = HostFiles(rows.read_rows(job.spec), probes.read_rows(job.spec), rows, probes)
    rows.open(job.spec, environment)
    drop_torn_line(probes.rows_file)
    return files


def run_scheme(
    job: HostJob,
    scheme: str,
    files: HostFiles,
    references: References,
    advance: Callable[[int], None],
) -> None:
    """Measure what is left of a scheme.

    Raises:
      ValueError: the target does not compute it right.
      RuntimeError: the runtime refuses it.
    """
    keys = job.spec.work_keys(scheme)
    left = pending(keys, files.rows)
    advance(len(keys) - len(left))
    if left:
        simulation, artifact = simulate_export(job, scheme)
        runtime = open_runtime(job.target, artifact.model, threads=job.threads)
        try:
            solver = Solver(artifact, runtime)
            for key in left:
                rows = slice(key.start, key.stop)
                files.add_row(measure(job, scheme, rows, solver, simulation, references))
                advance(1)
        finally:
            runtime.close()
    if scheme not in {p.scheme for p in files.probes}:
        files.add_probe(probe(job, scheme))
