"""Run every contestant under every scheme over shards: one run per model, scheme and shard.

Shards are the outer loop, and full precision of a model comes first in a shard, since all its
schemes are compared with it. Afterwards each model answers a few puzzles alone, by the clock.

Not here: how a family answers (token_solver.py, recursion_solver.py).
"""

import argparse
import functools
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from rich.console import Console

from experiments.decode.job import DecodeJob, prepare
from experiments.decode.recursion_solver import RecursionSolver
from experiments.decode.rows import (
    LAYOUT,
    TIMED_PUZZLES,
    TIMINGS,
    DecodeKey,
    DecodeRow,
    DecodeSpec,
    decode_folder,
)
from experiments.decode.solvers import Answered
from experiments.decode.token_solver import TokenSolver
from experiments.measurement.choices import environment
from experiments.measurement.row_files import ResultFolder, write_records
from experiments.measurement.shards import mark_exact, matmul_precision, moments, to_hex
from experiments.measurement.spec import Shard, pending
from experiments.render.console import make_console
from export.decoder.pipeline import calibration_texts
from quant.decoder import simulate_decoder
from quant.scheme import label, parse
from quant.simulation import calibrate_on, simulate
from trm_jax.command_line import progress_bar
from trm_jax.data.batches import PuzzleBatch, gather
from trm_jax.decoder.loading import NamedDecoder
from trm_jax.loading import LoadedModel, to_batch
from trm_jax.output.folder import writing
from trm_jax.types import IGNORE_LABEL

Solvers = dict[str, TokenSolver] | dict[str, RecursionSolver]
"""A model under each scheme, full precision first."""
Report = Callable[[DecodeSpec, Sequence[DecodeRow], Path, Console], None]
"""(spec, rows, folder, console) -> tables on the console, files in the folder."""


class Comparer:
    """Runs any key of a spec; compressed models are made once and kept."""

    def __init__(self, job: DecodeJob) -> None:
        self.job, self.spec = job, job.spec
        self.models: list[Solvers] = [
            *(self._recursion(model) for model in job.models),
            *(self._tokens(model) for model in job.decoders),
        ]
        self.lenient = job.puzzles.task.second_score(job.puzzles.facts)

    def _recursion(self, model: LoadedModel) -> dict[str, RecursionSolver]:
        job, puzzles = self.job, self.job.puzzles
        rules = puzzles.task.rules(puzzles.facts)
        calibration = calibrate_on(model, job.calibration.batches(), None)
        return {
            name: RecursionSolver(
                model,
                parse(name),
                simulate(model, parse(name), calibration, dtype=self.spec.dtype),
                rules,
            )
            for name in self.spec.schemes
        }

    def _tokens(self, model: NamedDecoder) -> dict[str, TokenSolver]:
        job = self.job
        most, aside = model.config.max_positions - job.prompt_width, job.calibration
        made = {}
        for name in self.spec.schemes:
            scheme = parse(name)
            texts = None
            if scheme.needs_puzzles:
                texts = calibration_texts(model.model, aside.source.dataset, aside.rows)
            simulation = simulate_decoder(
                model.config, model.params, scheme, texts, dtype=self.spec.dtype
            )
            made[name] = TokenSolver(model, job.form, scheme, simulation, job.prompt_width, most)
        return made

    def rows(self, keys: Sequence[DecodeKey]) -> Iterator[DecodeRow]:
        """Measure keys shard by shard, and yield every row as it is finished."""
        wanted = set(keys)
        for shard in dict.fromkeys((key.start, key.stop) for key in keys):
            host = self._load(shard)
            for solvers in self.models:
                yield from self._rows_of(host, shard, solvers, wanted)

    def _load(self, shard: Shard) -> PuzzleBatch:
        puzzles = self.job.puzzles
        rows = puzzles.order[slice(*shard)]
        return gather(puzzles.dataset, rows, len(rows))

    def _rows_of(
        self, host: PuzzleBatch, shard: Shard, solvers: Solvers, wanted: set[DecodeKey]
    ) -> Iterator[DecodeRow]:
        """Run a model under its schemes on a shard, where any row of it is wanted."""
        reference: Any = None
        for scheme, solver in solvers.items():
            keys = [DecodeKey(name, scheme, *shard) for name in solver.ends]
            missing = [key for key in keys if key in wanted]
            if reference is None and not missing and not self._any(solvers, shard, wanted):
                return
            if reference is not None and not missing:
                continue
            ran: Any = solver.run(host)
            if reference is None:
                reference = solver.reference(host, ran)
            answered = solver.read(host, ran, reference) if missing else {}
            for key in missing:
                yield self._row(key, host, answered[key.contestant])

    def _any(self, solvers: Solvers, shard: Shard, wanted: set[DecodeKey]) -> bool:
        return any(
            DecodeKey(name, scheme, *shard) in wanted
            for scheme, solver in solvers.items()
            for name in solver.ends
        )

    def _row(self, key: DecodeKey, host: PuzzleBatch, answered: Answered) -> DecodeRow:
        """Sum the answers of a shard, in float64."""
        digest = self.spec.digest_of_key(key.contestant, key.scheme)
        assert digest is not None
        scored = host.labels != IGNORE_LABEL
        right = (answered.cells == host.labels) & scored
        counts = scored.sum(axis=1)
        errors = (counts - right.sum(axis=1)) / np.maximum(counts, 1)
        lenient = np.asarray(self.lenient(jnp.asarray(answered.cells), to_batch(host)))
        flags = (mark_exact(answered.cells, host.labels), lenient, answered.ended, answered.same)
        exact, second, ended, same = (to_hex(each[None])[0] for each in flags)
        costs = np.stack([answered.gflops, answered.bytes_read, answered.state_bytes])
        gflops, bytes_read, state = moments(costs)
        free = answered.free_cosine
        if free is not None:
            (free,) = moments(1 - free[None])
        return DecodeRow(
            digest=digest,
            **key._asdict(),
            scored_cells=int(counts.sum()),
            correct_cells=int(right.sum()),
            cell_error=moments(errors[None])[0],
            exact=exact,
            lenient=second,
            depth=tuple(map(int, answered.depth)),
            read=tuple(map(int, answered.read)),
            ended=ended,
            infidelity=moments(1 - answered.cosine[None])[0],
            free_infidelity=free,
            same=same,
            gflops=gflops,
            bytes_read=bytes_read,
            state_bytes=state,
        )

    def time_alone(self) -> list[dict[str, Any]]:
        """Answer a few puzzles one at a time in full precision; medians of seconds."""
        puzzles, records = self.job.puzzles, []
        for solvers in self.models:
            solver, seconds = solvers[self.spec.reference], []
            for i in range(TIMED_PUZZLES + 1):  # of fewer puzzles, the first ones again
                row = puzzles.order[[i % len(puzzles)]]
                began = time.perf_counter()
                solver.answer_alone(gather(puzzles.dataset, row, 1))
                seconds.append(time.perf_counter() - began)
            records.append({"model": solver.model.name, "seconds": float(np.median(seconds[1:]))})
        return records


def compare(args: argparse.Namespace, report: Report | None = None) -> None:
    """Plan, run and report.

    Args:
      report: writes tables and figures; None: those of a comparison (tables.py).

    Raises:
      ValueError, OSError, ModuleNotFoundError: bad input; nothing was lost.
    """
    console, job = make_console(), prepare(args)
    out = args.out or Path("runs") / f"decode-{job.spec.task}"
    with writing(out, LAYOUT.output, resume=args.resume):
        folder = decode_folder(out)
        folder.check(job.spec, resume=True)
        facts = environment()
        console.print(job.header(facts), soft_wrap=True)
        whole = functools.reduce(DecodeSpec.widened, [*folder.read_specs(), job.spec])
        keys = pending(job.spec.work_keys(), folder.read_rows(whole))
        if keys or not (out / TIMINGS).exists():
            run(job, folder, keys, facts)
        write = report
        if write is None:
            from experiments.decode.tables import write_report  # late: rows need no figures

            write = write_report
        write(job.spec, folder.read_rows(whole), out, console)


def run(
    job: DecodeJob,
    folder: ResultFolder[DecodeSpec, DecodeRow],
    keys: Sequence[DecodeKey],
    facts: dict[str, Any],
) -> None:
    """Measure keys and append every row as it is finished; then answer alone, by the clock."""
    with progress_bar("answering", len(keys)) as advance, matmul_precision(job.spec.dtype):
        comparer = Comparer(job)
        folder.open(job.spec, facts)
        for done, row in enumerate(comparer.rows(keys), start=1):
            folder.append(row)
            name = label(row.scheme, job.spec.dtype)
            advance(done, f"{row.contestant}, {name}, puzzles {row.start}-{row.stop}")
        write_records(folder.path / TIMINGS, comparer.time_alone())
