"""A deployment on an Ethos-U: what a command line asks for, loaded, then measured and reported.

Not here: the options (command.py), answers (../cortex_m/answers.py), the tables (tables.py).
"""

import argparse
import dataclasses
from collections.abc import Mapping, Set
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from rich.console import Console

from experiments.deploy.cortex_m.answers import AskedModel
from experiments.deploy.cortex_m.exports import ANSWERED, random_export
from experiments.deploy.cortex_m.job import (
    choose_board_halting,
    load_subject,
    measure_schemes,
    print_refused,
)
from experiments.deploy.cortex_m.rows import BoardAnswers, Speed
from experiments.deploy.ethos_u import tables
from experiments.deploy.ethos_u.rows import (
    LAYOUT,
    TARGET,
    AcceleratorRow,
    AcceleratorSpec,
    accelerator_folder,
)
from experiments.measurement.choices import check_calibration, check_limit, parse_names
from experiments.measurement.folders import file_stem
from experiments.render.console import make_console
from export.artifact.open import Export
from export.cortex_m.emulator import Counts
from export.cortex_m.instructions import count_instructions
from export.ethos_u.accelerators import Accelerator
from export.ethos_u.compiled import compile_export, make_record, save_compiled
from export.ethos_u.vela import CompiledGraph, vela_version
from export.graph.ir import Graph
from export.lowering.model import blocks_of
from export.lowering.storage import plan_for
from export.pipeline import keep_artifact
from export.targets import Target
from quant.scheme import parse
from quant.simulation import simulate
from trm_jax.command_line import split_names
from trm_jax.halting import Halting
from trm_jax.loading import LoadedModel, Puzzles
from trm_jax.names import unknown_name
from trm_jax.output.folder import writing
from trm_jax.tasks.calibration import CalibrationPuzzles
from trm_jax.tasks.table import task_named
from trm_jax.tasks.task import Task


@dataclass(frozen=True, kw_only=True)
class AcceleratorJob(AskedModel):
    """What a command line asks for, loaded.

    Attributes:
      aside: puzzles to calibrate on, beside those to answer; None: weights are random.
      limit: puzzles that are answered; halting: where they end.
    """

    task: Task
    source: LoadedModel
    aside: CalibrationPuzzles | None
    schemes: tuple[str, ...]
    accelerators: tuple[Accelerator, ...]
    limit: int
    halting: Halting
    speed: Speed
    out: Path

    @property
    def puzzles(self) -> Puzzles | None:
        """Puzzles to answer; None: weights are random."""
        return None if self.aside is None else self.aside.evaluated

    @cached_property
    def spec(self) -> AcceleratorSpec:
        """What the rows of this job belong to."""
        config = self.source.config
        return AcceleratorSpec(
            task=self.task.name,
            model=self.source.name,
            model_sha256=self.source.sha256,
            data_sha256="" if self.puzzles is None else self.puzzles.sha256,
            num_puzzles=0 if self.puzzles is None else self.limit,
            vela=vela_version(),
            target=TARGET,
            schemes=self.schemes,
            accelerators=self.accelerators,
            H_cycles=config.H_cycles,
            L_cycles=config.L_cycles,
            steps=config.halt_max_steps,
            halting="" if self.puzzles is None else self.halting.name,
            speed=self.speed,
            calibration=None if self.aside is None else self.aside.facts,
        )


def run_job(args: argparse.Namespace) -> None:
    """Load, measure and report.

    Raises:
      ValueError, OSError, RuntimeError, ModuleNotFoundError: bad input, or rows of another
        deployment.
    """
    console, job = make_console(), prepare(args)
    with writing(job.out, LAYOUT.output):
        deploy(job, console)


def prepare(args: argparse.Namespace) -> AcceleratorJob:
    """Load and check what a command line names.

    Raises:
      ValueError: unknown names, a model and a preset at once, numbers out of range, or puzzles to
        answer that ranges are taken on.
      OSError: missing files.
      ModuleNotFoundError: Vela is not installed.
    """
    vela_version()
    task, accelerators = task_named(args.task), parse_accelerators(args.accelerators)
    source, aside = load_subject(args, task)
    schemes = parse_names(args.schemes)
    if aside is not None:
        check_limit(args.limit, aside.evaluated)
        check_calibration([parse(name) for name in schemes], max(args.limit, ANSWERED), aside)
    out = args.out or Path("runs") / f"deploy-{task.name}-{source.name}-{TARGET}"
    return AcceleratorJob(
        task=task,
        source=source,
        aside=aside,
        schemes=schemes,
        accelerators=accelerators,
        limit=args.limit,
        halting=choose_board_halting(args.halt, task),
        speed=Speed(mhz=args.mhz, cpi=args.cpi, patience=args.patience),
        out=out,
    )


def parse_accelerators(text: str) -> tuple[Accelerator, ...]:
    """Read names joined by commas, each once.

    Raises:
      ValueError: an unknown name.
    """
    known = {accelerator.value: accelerator for accelerator in Accelerator}
    names = split_names(text)
    for name in names:
        if name not in known:
            raise ValueError(unknown_name("accelerator", name, known))
    return tuple(known[name] for name in names)


def deploy(job: AcceleratorJob, console: Console) -> None:
    """Measure what is not measured yet, and report."""

    def missing(scheme: str, finished: Set[tuple]) -> list[AcceleratorRow]:
        left = [a for a in job.accelerators if (scheme, a.value) not in finished]
        return measure(job, scheme, left) if left else []

    refused = measure_schemes(accelerator_folder(job.out), job.spec, missing)
    tables.report(job.out, console)
    print_refused(refused, console)


def measure(
    job: AcceleratorJob, scheme: str, accelerators: list[Accelerator]
) -> list[AcceleratorRow]:
    """Export a scheme, answer puzzles, and compile for every accelerator.

    Raises:
      ValueError: the target does not compute it right.
      RuntimeError: TFLM or Vela refuses it.
    """
    if job.aside is None:
        export, answers = random_export(job.source, scheme, target=Target.ETHOS_U), None
    else:
        export, answers = trained_export(job, job.aside, scheme)
    rows, digest = [], job.spec.calibrated_digest
    for accelerator in accelerators:
        compiled = compile_export(export, accelerator)
        if job.aside is not None:
            record = make_record(export, accelerator, compiled)
            save_compiled(export_folder(job, scheme), record, compiled)
        rows.append(make_row(digest, scheme, accelerator, export, compiled, answers))
    return rows


def export_folder(job: AcceleratorJob, scheme: str) -> Path:
    """Name the folder of a scheme's export."""
    return job.out / "exports" / file_stem(scheme)


def trained_export(
    job: AcceleratorJob, aside: CalibrationPuzzles, scheme: str
) -> tuple[Export, BoardAnswers]:
    """Export a model, or open its export, and answer puzzles in its integers."""
    plan, steps = plan_for(parse(scheme), Target.ETHOS_U), job.source.config.halt_max_steps
    simulation = simulate(job.source, plan.precision, job.calibration)
    export = keep_artifact(
        export_folder(job, scheme),
        job.source,
        plan,
        simulation,
        aside.evaluated.ordered,
        batch=1,
        steps=steps,
        tried=ANSWERED,
        calibration=aside.recorded_if(plan.precision.needs_puzzles),
    )
    return export, job.questions.answer(simulation)


def make_row(
    digest: str,
    scheme: str,
    accelerator: Accelerator,
    export: Export,
    compiled: Mapping[str, CompiledGraph],
    answers: BoardAnswers | None,
) -> AcceleratorRow:
    """Lay out what Vela and the operator model say."""
    block_L, block_H = blocks_of(export.config)
    names = (block_L, block_H, "head")
    estimates = {name: graph.estimate for name, graph in compiled.items()}
    left = {name: cpu_instructions(export.model.graph(name), g) for name, g in compiled.items()}
    return AcceleratorRow(
        digest=digest,
        scheme=scheme,
        accelerator=accelerator,
        clock_mhz=estimates["head"].clock_mhz,
        npu=Counts(*(estimates[name].cycles for name in names)),
        cpu=Counts(*(left[name] for name in names)),
        cpu_operators=len(compiled[block_L].cpu),
        npu_calls=compiled[block_L].npu_calls,
        sram_bytes=max(each.sram_bytes for each in estimates.values()),
        constant_bytes=sum(each.constant_bytes for each in estimates.values()),
        answers=answers,
    )


def cpu_instructions(graph: Graph, compiled: CompiledGraph) -> int:
    """Count instructions of the operators that Vela left on the CPU, by the operator model.

    Raises:
      ValueError: an operator whose cost was not measured.
    """
    left = {op.output for op in compiled.cpu}
    ops = tuple(op for op in graph.ops if op.outputs[0] in left)
    return sum(count_instructions(dataclasses.replace(graph, ops=ops)).values())
