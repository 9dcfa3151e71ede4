"""Ask a model ARC questions under augmentations, its puzzle rows streamed batch by batch.

The puzzle table is never an argument of the model: each batch brings the rows it needs, read
from wherever the table lies (a mapped file, as a rule). Rows of augmentations the model was not
trained on come after the table's: the mean row, or trained ones (trm_jax/training/puzzle_rows.py).
"""

import argparse
import dataclasses
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from experiments.arc.job import ArcJob, header, prepare
from experiments.arc.outcomes import report
from experiments.arc.puzzle_rows import RowSource, row_source
from experiments.arc.rows import (
    LAYOUT,
    VoteKey,
    VoteRow,
    VoteSpec,
    asked,
    vote_folder,
    write_grid,
)
from experiments.jobs.engine import compute_rows, engine_facts, opened_engine, settled
from experiments.jobs.remote_work import RemoteEngine, RemoteWork, Worker
from experiments.measurement.choices import environment
from experiments.measurement.row_files import ResultFolder
from experiments.measurement.shards import matmul_precision
from experiments.measurement.spec import pending
from experiments.render.console import make_console, progress
from quant.scheme import label, parse
from quant.simulation import Simulation, simulate
from trm_jax.data.arc.augment import inverse_augment
from trm_jax.data.arc.canvas import crop
from trm_jax.data.arc.dataset import Group
from trm_jax.data.arc.test_time import TestTime, question_batches
from trm_jax.data.batches import PuzzleBatch
from trm_jax.loading import LoadedModel
from trm_jax.metrics import puzzle_exact
from trm_jax.models.act import predictions, rollout
from trm_jax.models.reasoner import Reasoner
from trm_jax.output.folder import writing
from trm_jax.sharding import device_mesh, replicate, shard_batch
from trm_jax.types import Batch, Weights


@partial(jax.jit, static_argnames=("reasoner", "steps"))
def answer(
    reasoner: Reasoner, weights: Weights, batch: Batch, *, steps: int
) -> tuple[Array, Array, Array]:
    """Run all steps; gives tokens, halting logits, and whether the whole canvas is right."""
    latents, _ = rollout(reasoner, weights, batch, steps=steps, observe=lambda _: None)
    out = reasoner.read_out(weights.params, latents.z_H)
    predicted = predictions(out.logits)
    return predicted, out.q_halt, puzzle_exact(predicted, batch.labels)


def make_row(
    digest: str,
    key: VoteKey,
    groups: Sequence[Group],
    tokens: np.ndarray,
    q_halt: np.ndarray,
    exact: np.ndarray,
    seconds: float,
) -> VoteRow:
    """Crop answers, turn and paint them back, and keep each different one once.

    Args:
      groups: the tasks of the shard.
      tokens, q_halt, exact: in the order of `asked`.
    """
    listed = zip(tokens, asked(groups), strict=True)
    texts = [
        write_grid(inverse_augment(crop(canvas), augmentation))
        for canvas, (_, _, augmentation, _) in listed
    ]
    places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
    return VoteRow(
        digest=digest,
        **key._asdict(),
        grids=tuple(places),
        answers=tuple(places[text] for text in texts),
        q_halt=tuple(map(float, q_halt)),
        exact=tuple(map(int, exact)),
        seconds=seconds,
    )


class Asker:
    """Asks any (scheme, model, tasks) of a spec. Compressed weights are made once and kept."""

    def __init__(
        self,
        spec: VoteSpec,
        models: Sequence[LoadedModel],
        sources: Sequence[RowSource],
        plan: TestTime,
        batch_size: int,
        side: int,
    ) -> None:
        self.spec, self.models, self.sources, self.plan = spec, models, sources, plan
        self.batch_size, self.side = batch_size, side
        self.simulations: dict[tuple[str, int], Simulation] = {}
        self.programs: dict[tuple[Reasoner, int], Callable] = {}

    def rows(self, keys: Sequence[VoteKey]) -> Iterator[VoteRow]:
        """Ask, and yield every row as it is finished."""
        for key in keys:
            yield self.row(key)

    def row(self, key: VoteKey) -> VoteRow:
        """Ask the tasks of a shard."""
        plan = self.plan._replace(groups=self.plan.groups[key.start : key.stop])
        parts, seconds = [], 0.0
        for host in question_batches(plan, self.batch_size, side=self.side):
            weights, batch = self.arguments(key, host)
            program = self.program(key, weights, batch)
            began = time.monotonic()
            result = jax.device_get(program(weights, batch))
            seconds += time.monotonic() - began
            parts.append([np.asarray(x)[: host.num_real] for x in result])
        tokens, q_halt, exact = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        return make_row(self.spec.digest, key, plan.groups, tokens, q_halt, exact, seconds)

    def simulation(self, scheme: str, model: int) -> Simulation:
        """Compress a model, its table left out."""
        if (scheme, model) not in self.simulations:
            whole = self.models[model]
            width = whole.config.puzzle_emb_ndim
            without_table = whole.weights._replace(puzzle_emb=jnp.zeros((1, width), jnp.float32))
            self.simulations[scheme, model] = simulate(
                dataclasses.replace(whole, weights=without_table),
                parse(scheme),
                steps=self.spec.steps,
                dtype=self.spec.dtype,
            )
        return self.simulations[scheme, model]

    def arguments(self, key: VoteKey, host: PuzzleBatch) -> tuple[Weights, Batch]:
        """Bring a batch and its rows to the devices; row i is that of question i."""
        stored = jnp.dtype(parse(key.scheme).float_dtype.dtype)
        rows = self.sources[key.model].take(host.puzzle_identifiers)
        rows = rows.astype(stored).astype(np.float32)
        weights = self.simulation(key.scheme, key.model).weights
        numbers = jnp.arange(self.batch_size, dtype=jnp.int32)
        batch = Batch(jnp.asarray(host.inputs), jnp.asarray(host.labels), numbers)
        here = replicate(jnp.asarray(rows), device_mesh())
        return weights._replace(puzzle_emb=here), shard_batch(batch)

    def program(self, key: VoteKey, weights: Weights, batch: Batch) -> Callable:
        """Compile the rollout; schemes that only change weights share it."""
        reasoner = self.simulation(key.scheme, key.model).reasoner
        place = (reasoner, self.spec.steps)
        if place not in self.programs:
            lowered = answer.lower(reasoner, weights, batch, steps=self.spec.steps)
            self.programs[place] = lowered.compile()
        return self.programs[place]


def say(text: str) -> None:
    """Write a line beside the progress."""
    sys.stderr.write(text + "\n")


def make_asker(job: ArcJob, new_rows: Sequence[np.ndarray]) -> Asker:
    """Put the rows of every model beside the job.

    Args:
      new_rows: of each model, those that come after its table.
    """
    pairs = zip(job.models, new_rows, strict=True)
    sources = [RowSource(np.asanyarray(model.weights.puzzle_emb), new) for model, new in pairs]
    return Asker(job.spec, job.models, sources, job.plan, job.batch_size, job.side)


def make_worker(
    args: argparse.Namespace, new_rows: Sequence[np.ndarray]
) -> Worker[Sequence[VoteKey], VoteRow]:
    """Load what a command line names in a process elsewhere, to ask there.

    Args:
      new_rows: as of `make_asker`; trained once, where the program was started.
    """
    job = prepare(args)
    asker = make_asker(job, new_rows)

    def ask(keys: Sequence[VoteKey]) -> list[VoteRow]:
        with matmul_precision(job.spec.dtype):
            return list(asker.rows(keys))

    return Worker(identity={"work": job.spec.digest}, compute=ask)


def run(
    job: ArcJob,
    args: argparse.Namespace,
    folder: ResultFolder[VoteSpec, VoteRow],
    engine: RemoteEngine | None,
) -> None:
    """Ask what is missing and append every row as it is finished.

    Args:
      args: the command line that the job is of.
      engine: None asks here.
    """
    spec = job.spec
    keys = pending(spec.work_keys(), folder.read_rows(spec))
    if not keys:
        return
    new_rows = [row_source(m, job.plan, job.side, job.new_rows, say).new for m in job.models]
    chosen = settled(args, dtype=spec.dtype, batch_size=job.batch_size)
    identity = {"work": spec.digest}
    work = RemoteWork(make=make_worker, args=chosen, identity=identity, shared=new_rows)
    here = None if engine else make_asker(job, new_rows).rows
    total = len(spec.shards) * len(spec.models) * len(spec.schemes)
    with progress("asking", total, total - len(keys)) as show, matmul_precision(spec.dtype):
        rows = compute_rows(engine, work, [[key] for key in keys], here)
        for done, row in enumerate(rows, start=total - len(keys) + 1):
            folder.append(row)
            show(done, f"{label(row.scheme, spec.dtype)}, tasks {row.start}-{row.stop}")


def vote(args: argparse.Namespace) -> None:
    """Plan, ask and report.

    Raises:
      ValueError, OSError, ModuleNotFoundError: bad input; nothing was lost.
    """
    console = make_console()
    with opened_engine(args) as engine:
        job = prepare(args)
        folder = vote_folder(args.out or Path("runs") / f"arc-{'-'.join(job.spec.models)}")
        with writing(folder.path, LAYOUT.output, resume=args.resume):
            folder.check(job.spec, resume=True)
            console.print(header(job), soft_wrap=True)
            folder.open(job.spec, environment() | engine_facts(engine))
            run(job, args, folder, engine)
            report(job.spec, job.plan.groups, folder, console)
