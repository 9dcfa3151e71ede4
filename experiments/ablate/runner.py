"""Run interventions over shards of puzzles and count.

Two states are kept of every rollout, after one supervision step and at the end: fidelity is
read at both, everything else at the end. Those of references are kept for all shards (two
states a puzzle, in host memory), so that each is computed once, however many variants and
studies are compared with it. Of many puzzles the first are kept (KEPT_BYTES), the others computed
again for each variant. On CPU several rows are computed at once, in threads; what is trained is
trained outside of them, where Ctrl-C reaches it.
"""

import argparse
import itertools
import shutil
import tempfile
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.ablate import tables
from experiments.ablate.interventions import AblatedModel, Intervention, SolvedPuzzles
from experiments.ablate.job import AblationJob, StudyFunction, prepare
from experiments.ablate.rows import (
    LAYOUT,
    AblationKey,
    AblationRow,
    AblationSpec,
    AblationStudy,
    PlannedVariant,
    ablation_folder,
)
from experiments.ablate.studies import (
    activations,
    distillation,
    linear_attention,
    mixer,
    pruning,
    puzzle_table,
    qat,
    toolkits,
    truncation,
)
from experiments.jobs.engine import compute_rows, engine_facts, opened_engine, settled
from experiments.jobs.remote_work import RemoteEngine, RemoteWork, Worker
from experiments.measurement.choices import environment
from experiments.measurement.row_files import ResultFolder
from experiments.measurement.shards import Moments, load_shard, matmul_precision, moments, to_hex
from experiments.measurement.side_by_side import Once, in_order, num_threads
from experiments.measurement.spec import pending
from experiments.render.console import make_console, progress
from trm_jax import metrics
from trm_jax.data.batches import PuzzleBatch
from trm_jax.evaluators import Lenient, Readout, measure, trajectory
from trm_jax.loading import Puzzles
from trm_jax.output.folder import writing
from trm_jax.types import IGNORE_LABEL, Batch

Ends = np.ndarray
"""z_H after one supervision step and after all: (2, batch, pos, emb)."""
ReferenceEnds = dict[tuple[AblatedModel, int], Once[Ends]]
"""Those of references on the shards, by the shard's first puzzle."""
KEPT_BYTES = 2**30  # of the states of references
ONE_STEP, DEEPEST = 1, 2  # places in `Ends`, counted as `measure` counts depths


STUDIES: dict[AblationStudy, StudyFunction] = {
    AblationStudy.ACTIVATIONS: activations.interventions,
    AblationStudy.EMBEDDING: puzzle_table.interventions,
    AblationStudy.MIXER: mixer.interventions,
    AblationStudy.TRUNCATION: truncation.interventions,
    AblationStudy.PRUNING: pruning.interventions,
    AblationStudy.DISTILLATION: distillation.interventions,
    AblationStudy.LINEAR_ATTENTION: linear_attention.interventions,
    AblationStudy.QAT: qat.interventions,
    AblationStudy.TOOLKITS: toolkits.interventions,
}


class AblationShard(NamedTuple):
    """Puzzles of a shard, on host and devices."""

    start: int
    host: PuzzleBatch
    batch: Batch


class AblationWork(NamedTuple):
    """What a row needs: a variant, what it is compared with, and puzzles."""

    key: AblationKey
    planned: PlannedVariant
    subject: AblatedModel
    reference: AblatedModel
    shard: AblationShard


class StudyRunner:
    """Measures the interventions of one study.

    Args:
      ends: states of references, shared by the studies of a run.
    """

    def __init__(
        self,
        spec: AblationSpec,
        puzzles: Puzzles,
        interventions: Sequence[Intervention],
        ends: ReferenceEnds,
    ) -> None:
        self.spec, self.puzzles, self.ends = spec, puzzles, ends
        self.lenient = puzzles.task.second_score(puzzles.facts)
        self.interventions = {each.name: each for each in interventions}
        self.subjects: dict[str, AblatedModel] = {}
        self.solving = threading.Lock()  # a runtime's interpreter answers one call at a time

    def rows(self, keys: Sequence[AblationKey]) -> Iterator[AblationRow]:
        """Measure keys of the study and yield every row as it is finished."""
        return in_order(self.row, self.work(keys), num_threads())

    def work(self, keys: Sequence[AblationKey]) -> Iterator[AblationWork]:
        """Make the variants and load the shards of keys, as they are taken."""
        planned: Mapping[tuple[str, str], PlannedVariant] = {x.name: x for x in self.spec.planned}
        size = min(self.spec.batch_size, self.spec.num_puzzles)
        for key in keys:
            variant = planned[key.study, key.variant]
            yield AblationWork(
                key,
                variant,
                self.subject(key.variant),
                self.subject(variant.reference),
                AblationShard(key.start, *load_shard(self.puzzles, key.start, key.stop, size)),
            )

    def subject(self, name: str) -> AblatedModel:
        """Make a variant, or take the one made before."""
        if name not in self.subjects:
            self.subjects[name] = self.interventions[name].make()
        return self.subjects[name]

    def row(self, work: AblationWork) -> AblationRow:
        """Run a variant on a shard and count."""
        key, planned, subject, reference, shard = work
        if subject.solve is not None:
            with self.solving:
                solved = subject.solve(subject.show(shard.batch))
            ends = self.reference_ends(reference, shard)
            readout, comparable = read_answers(solved, shard.batch, ends, self.lenient), True
        else:
            readout, comparable = self.read_states(subject, reference, shard)
        counts = count(jax.device_get(readout), shard.host, comparable=comparable)
        return AblationRow(digest=planned.digest, **key._asdict(), **counts, facts=subject.facts)

    def read_states(
        self, subject: AblatedModel, reference: AblatedModel, shard: AblationShard
    ) -> tuple[Readout, bool]:
        """Run a reasoner and read its states out; and whether they have the reference's shape."""
        reference_ends = self.reference_ends(reference, shard)
        states = reference_ends if subject is reference else run(subject, shard.batch)
        comparable = states.shape == reference_ends.shape
        readout = measure(
            subject.reasoner,
            subject.weights,
            shard.batch,
            jnp.asarray(states),
            jnp.asarray(reference_ends if comparable else states),
            depths=(ONE_STEP, DEEPEST),
            lenient=self.lenient,
        )
        return readout, comparable

    def reference_ends(self, reference: AblatedModel, shard: AblationShard) -> Ends:
        """Run a reference, or take its states of before."""
        place = (reference, shard.start)
        if place not in self.ends and self.kept_bytes() >= KEPT_BYTES:
            return run(reference, shard.batch)
        return self.ends.setdefault(place, Once(lambda: run(reference, shard.batch)))()

    def kept_bytes(self) -> int:
        """Count the bytes of the states that are kept."""
        return sum(ends.nbytes for once in list(self.ends.values()) for ends in once.values)


def run(subject: AblatedModel, batch: Batch) -> Ends:
    """Roll a subject out over what it is shown."""
    shown = subject.show(batch)
    states = trajectory(subject.reasoner, subject.weights, shown, steps=subject.steps)
    cycles = subject.reasoner.config.H_cycles
    return np.asarray(states[np.array([cycles - 1, subject.steps * cycles - 1])])


def read_answers(solved: SolvedPuzzles, batch: Batch, reference: Ends, lenient: Lenient) -> Readout:
    """Score answers that came from elsewhere; what only a reasoner tells is NaN."""
    tokens, states = jnp.asarray(solved.tokens), jnp.asarray(solved.ends)
    unknown = jnp.full(states.shape[:2], jnp.nan)
    return Readout(
        cell_correct=metrics.correct_cells(tokens, batch.labels)[None],
        exact=metrics.puzzle_exact(tokens, batch.labels)[None],
        lenient=lenient(tokens, batch)[None],
        q_halt=unknown,
        fidelity=jax.vmap(metrics.token_cosine)(states, jnp.asarray(reference)),
        similarity=unknown,
        residual=unknown,
    )


def count(readout: Readout, host: PuzzleBatch, *, comparable: bool) -> dict:
    """Sum the read-out of a shard over its real puzzles, in float64.

    Args:
      comparable: whether the states have the reference's shape, so that fidelity has a meaning.
    """
    real = slice(host.num_real)
    scored = np.sum(host.labels[real] != IGNORE_LABEL, axis=-1)
    correct = np.asarray(readout.cell_correct)[-1:, real]
    infidelity: tuple[Moments | None, ...] = (None, None)
    if comparable:
        infidelity = moments(1 - np.asarray(readout.fidelity, np.float64)[:, real])
    return {
        "scored_cells": int(scored.sum()),
        "correct_cells": int(correct.sum()),
        "exact": to_hex(np.asarray(readout.exact)[-1:, real])[0],
        "lenient": to_hex(np.asarray(readout.lenient)[-1:, real])[0],
        "cell_error": moments((scored - correct) / np.maximum(scored, 1))[0],
        "infidelity_one_step": infidelity[0],
        "infidelity": infidelity[1],
    }


class JobRunner:
    """Measures keys of all studies of a job; what is made once is kept."""

    def __init__(self, job: AblationJob) -> None:
        ends: ReferenceEnds = {}
        self.spec = job.spec
        self.runners = {
            study: StudyRunner(job.spec, job.context.puzzles, interventions, ends)
            for study, interventions in job.studies.items()
        }

    def rows(self, keys: Sequence[AblationKey]) -> Iterator[AblationRow]:
        """Measure keys study by study and yield every row as it is finished."""
        for study, group in itertools.groupby(keys, key=lambda key: key.study):
            yield from self.runners[study].rows(list(group))


def parts_of(job: AblationJob, keys: Sequence[AblationKey]) -> list[list[AblationKey]]:
    """Cut keys for several processes: a shard with all variants of its study.

    Variants that one process makes are a part, with all their shards.
    """
    once = {
        (study, each.name): each.made_once
        for study, interventions in job.studies.items()
        for each in interventions
    }
    parts: dict[tuple, list[AblationKey]] = {}
    for key in keys:
        made_once = once[key.study, key.variant]
        place = (key.study, made_once) if made_once else (key.study, key.start, key.stop)
        parts.setdefault(place, []).append(key)
    return sorted(parts.values(), key=len, reverse=True)  # what takes long is begun first


def make_worker(
    args: argparse.Namespace, shared: None
) -> Worker[Sequence[AblationKey], AblationRow]:
    """Load what a command line names in a process elsewhere, to measure keys there.

    What it trains lies in a folder of its own until the part is done: no other part needs it.
    """
    del shared  # everything is in files
    trained = Path(tempfile.gettempdir()) / f"ablate-{uuid.uuid4().hex}"
    job = prepare(settled(args, out=trained), STUDIES)
    runner = JobRunner(job)

    def measure(keys: Sequence[AblationKey]) -> list[AblationRow]:
        try:
            with matmul_precision(job.spec.dtype):
                return list(runner.rows(keys))
        finally:
            shutil.rmtree(trained, ignore_errors=True)

    return Worker(identity=identity_of(job.spec), compute=measure)


def identity_of(spec: AblationSpec) -> dict[str, str]:
    """Say what decides the numbers of every row of an ablation."""
    return {f"{each.study}: {each.variant}": each.digest for each in spec.planned}


def run_job(
    job: AblationJob,
    args: argparse.Namespace,
    folder: ResultFolder[AblationSpec, AblationRow],
    engine: RemoteEngine | None,
) -> None:
    """Measure what is missing and append every row as it is finished.

    Args:
      args: the command line that the job is of.
      engine: None measures here.
    """
    spec = job.spec
    keys = pending(spec.work_keys(), folder.read_rows(folder.read_spec()))
    total = len(spec.planned) * len(spec.shards)
    chosen = settled(args, dtype=spec.dtype, batch_size=spec.batch_size)
    work = RemoteWork(make=make_worker, args=chosen, identity=identity_of(spec))
    parts, here = (parts_of(job, keys), None) if engine else ([keys], JobRunner(job).rows)
    with progress("ablating", total, total - len(keys)) as show, matmul_precision(spec.dtype):
        done = total - len(keys)

        def tell(text: str) -> None:
            show(done, text)

        job.context.announce.listener = tell
        for row in compute_rows(engine, work, parts, here):
            folder.append(row)
            done += 1
            show(done, f"{row.study}: {row.variant}, puzzles {row.start}-{row.stop}")


def ablate(args: argparse.Namespace) -> None:
    """Plan, run and report.

    Raises:
      ValueError, OSError, ModuleNotFoundError: bad input; nothing was lost.
      FloatingPointError: a training left the numbers; finished rows are kept.
    """
    with opened_engine(args) as engine:
        job = prepare(args, STUDIES)
        folder, console = ablation_folder(job.context.folder), make_console()
        with writing(folder.path, LAYOUT.output, resume=args.resume):
            folder.check(job.spec, resume=True)
            console.print(job.header(), soft_wrap=True)
            folder.open(job.spec, environment() | engine_facts(engine))
            run_job(job, args, folder, engine)
            tables.report(folder.path, console)
