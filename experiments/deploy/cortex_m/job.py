"""A deployment on a Cortex-M55: what a command line asks for, loaded, then measured and reported.

Not here: the options (command.py), how an export is cut and packaged (exports.py), the table of a
board (tables.py).
"""

import argparse
import dataclasses
import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from rich.console import Console

from experiments.deploy.cortex_m import exports, tables
from experiments.deploy.cortex_m.answers import AskedModel
from experiments.deploy.cortex_m.exports import cut_for, smaller_package
from experiments.deploy.cortex_m.rows import (
    EMULATED,
    LAYOUT,
    MODELLED,
    TARGET,
    BoardAnswers,
    BoardRow,
    BoardSpec,
    Speed,
    board_folder,
)
from experiments.measurement.choices import (
    check_calibration,
    choose_limit,
    environment,
    parse_names,
)
from experiments.measurement.folders import file_stem
from experiments.measurement.halting import choose_halting
from experiments.measurement.row_files import ResultFolder
from experiments.render.console import make_console
from export.artifact.open import Export
from export.cortex_m import build as cortex_m_build
from export.cortex_m import emulator
from export.cortex_m import package as cortex_m_package
from export.cortex_m.arena import Arena
from export.cortex_m.build import Counted, Linked, Tflm
from export.cortex_m.emulator import Counts
from export.cortex_m.instructions import count_instructions
from export.cortex_m.memory import flash_of, sram_of
from export.cortex_m.row_file import Depth
from export.graph.ir import Graph
from export.lowering.stages import PartitionSpec, stages_of
from quant.scheme import parse
from trm_jax.command_line import progress_bar
from trm_jax.config import PRESET_TASKS
from trm_jax.data.calibration import NOT_NEEDED, read_calibration
from trm_jax.data.format import PuzzleDataset
from trm_jax.halting import Halting
from trm_jax.loading import LoadedModel, hash_dataset, load_model, load_puzzles
from trm_jax.output.folder import writing
from trm_jax.tasks.calibration import CalibrationPuzzles, choose_calibration
from trm_jax.tasks.table import agreed_task, task_named
from trm_jax.tasks.task import Task

NOT_COUNTED = Linked(code=0, statics=0, stack=0, counted=Counted.NOTHING)


@dataclass(frozen=True, kw_only=True)
class CortexJob(AskedModel):
    """What a command line asks for, loaded.

    Attributes:
      aside: puzzles to calibrate on, beside those to answer; None: weights are random.
      limit: how many are answered; halting: how the board ends them.
    """

    task: Task
    source: LoadedModel
    aside: CalibrationPuzzles | None
    schemes: tuple[str, ...]
    limit: int
    halting: Halting
    speed: Speed
    tflm: Tflm | None
    out: Path

    @property
    def dataset(self) -> PuzzleDataset | None:
        """Puzzles to answer, in their order."""
        return None if self.aside is None else self.aside.evaluated.ordered

    @cached_property
    def spec(self) -> BoardSpec:
        """What the rows of this job belong to."""
        config = self.source.config
        return BoardSpec(
            task=self.task.name,
            model=self.source.name,
            model_sha256=self.source.sha256,
            data_sha256="" if self.dataset is None else hash_dataset(self.dataset),
            library_sha256="" if self.tflm is None else _sha256(self.tflm.library),
            target=TARGET,
            schemes=self.schemes,
            H_cycles=config.H_cycles,
            L_cycles=config.L_cycles,
            steps=config.halt_max_steps,
            speed=self.speed,
            limit=0 if self.dataset is None else self.limit,
            halting="" if self.dataset is None else self.halting.name,
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


def prepare(args: argparse.Namespace) -> CortexJob:
    """Load and check what a command line names.

    Raises:
      ValueError: unknown names, a model and a preset at once, or numbers out of range.
      OSError: missing files.
    """
    task = task_named(args.task)
    halting, limit = choose_board_halting(args.halt, task), args.limit
    source, aside = load_subject(args, task)
    if aside is not None:
        limit = choose_limit(args.limit, len(aside.evaluated))
    schemes = parse_names(args.schemes)
    if aside is not None:
        check_calibration([parse(name) for name in schemes], max(limit, exports.ANSWERED), aside)
    out = args.out or Path("runs") / f"deploy-{task.name}-{source.name}-{TARGET}"
    return CortexJob(
        task=task,
        source=source,
        aside=aside,
        schemes=schemes,
        limit=limit,
        halting=halting,
        speed=Speed(mhz=args.mhz, cpi=args.cpi, patience=args.patience),
        tflm=_tflm(args.tflm_lib, args.tflm_inc),
        out=out,
    )


def choose_board_halting(text: str | None, task: Task) -> Halting:
    """Read --halt of a board.

    Raises:
      ValueError: as `choose_halting`, or no board has the rule.
    """
    halting = choose_halting(text, task)
    Depth(H_cycles=1, L_cycles=1, halt_max_steps=1, halting=halting)  # refuses what no board has
    return halting


def load_subject(
    args: argparse.Namespace, task: Task
) -> tuple[LoadedModel, CalibrationPuzzles | None]:
    """Load a model and its puzzles, or make random weights of a published size.

    Returns:
      The model, and the puzzles to calibrate on beside those to answer; None: it is random.

    Raises:
      ValueError: a model and a preset at once, or parts that do not fit.
      OSError: missing files.
    """
    if args.preset and (args.model or args.data):
        raise ValueError("--preset has random weights and no puzzles; leave --model and --data out")
    if args.preset and args.halt:
        raise ValueError("--preset has random weights and answers nothing; leave --halt out")
    options = read_calibration(args)
    if args.preset and options.is_chosen:
        raise ValueError(f"--preset has random weights and is calibrated on nothing; {NOT_NEEDED}")
    if args.preset:
        source = exports.random_source(args.preset)
        agreed_task(task, PRESET_TASKS.get(args.preset), f"--preset {args.preset}")
        return source, None
    source = load_model(args.model, task=task)
    return source, choose_calibration(source, load_puzzles(source, args.data), options)


def _tflm(library: Path | None, includes: list[Path]) -> Tflm | None:
    if library is None and includes:
        raise ValueError("--tflm-inc names the headers of --tflm-lib, which is missing")
    if library is None:
        return None
    if missing := [str(path) for path in (library, *includes) if not path.exists()]:
        raise FileNotFoundError(f"no such file or folder: {', '.join(missing)}")
    if not cortex_m_build.has_compiler():
        raise RuntimeError(
            "--tflm-lib needs make and arm-none-eabi-g++ (gcc-arm-none-eabi and"
            " libstdc++-arm-none-eabi-newlib of Debian)"
        )
    return Tflm(library=library, includes=tuple(includes))


def deploy(job: CortexJob, console: Console) -> None:
    """Measure what is not measured yet, and report."""
    spec = job.spec

    def missing(scheme: str, finished: Set[tuple]) -> Iterator[BoardRow]:
        if (scheme,) not in finished:
            yield measure(job, scheme, spec.digest_of_scheme(scheme))

    refused = measure_schemes(board_folder(job.out), spec, missing)
    tables.report(job.out, console)
    print_refused(refused, console)


def measure_schemes(
    folder: ResultFolder, spec: Any, missing: Callable[[str, Set[tuple]], Iterable[Any]]
) -> dict[str, str]:
    """Measure what a deployment's folder lacks; a scheme that is refused does not end the others.

    Args:
      spec: names the schemes and lists the keys of all rows.
      missing: makes the rows of a scheme whose keys are not among the finished ones.

    Returns:
      Why schemes were refused.

    Raises:
      RuntimeError: every scheme was; a folder that is new then holds nothing.
    """
    folder.check(spec, resume=True)
    finished = {row.key for row in folder.read_rows(spec)}
    is_new = not folder.spec_file.exists()
    folder.open(spec, environment())
    refused: dict[str, str] = {}
    with progress_bar("exporting", len(spec.schemes)) as advance:
        for done, scheme in enumerate(spec.schemes):
            advance(done, scheme)
            try:
                for row in missing(scheme, finished):
                    folder.append(row)
                    finished.add(row.key)
            except (ValueError, RuntimeError) as error:
                refused[scheme] = str(error)
    if not finished & set(spec.work_keys()):
        if is_new:
            folder.spec_file.unlink()  # nothing was deployed, and nothing stays of it
        raise RuntimeError("; ".join(map(refusal, refused.items())))
    return refused


def print_refused(refused: Mapping[str, str], console: Console) -> None:
    """Say which schemes are left out, and why."""
    for each in refused.items():
        console.print(f"left out: {refusal(each)}", soft_wrap=True)


def refusal(refused: tuple[str, str]) -> str:
    """Say why a scheme was refused; its name stands in front where the reason has none."""
    scheme, reason = refused
    return reason if scheme in reason else f"{scheme}: {reason}"


def measure(job: CortexJob, scheme: str, digest: str) -> BoardRow:
    """Export, package, weigh and count one scheme.

    Raises:
      ValueError: TFLM does not compute it right.
      RuntimeError: TFLM refuses it, or the firmware does not build.
    """
    cut = cut_for(job.source.config, parse(scheme))
    answers = None
    if job.aside is None:
        artifact = exports.random_export(job.source, scheme, cut)
    else:
        artifact, answers = answer_and_export(job, job.aside, scheme, cut)
    package = smaller_package(artifact)
    board = job.out / "boards" / file_stem(scheme)
    if job.aside is not None or job.tflm is not None:
        cortex_m_package.save_package(package, board)
    package, linked, counts = on_board(job, package, board)
    rows = len(package.flash) - len(package.vectors)
    flash = flash_of(package.graphs, package.model, rows, len(package.vectors), linked)
    return BoardRow(
        digest=digest,
        scheme=scheme,
        flash=flash,
        sram=sram_of(package.arena, package.rows, linked, package.work_bytes),
        graphs=len(package.graphs),
        counted=linked.counted,
        **(counts or modelled(package))._asdict(),
        counted_by=EMULATED if counts else MODELLED,
        answers=answers,
    )


def answer_and_export(
    job: CortexJob, aside: CalibrationPuzzles, scheme: str, cut: PartitionSpec | None
) -> tuple[Export, BoardAnswers]:
    """Make the export of a scheme, and answer puzzles with its simulation.

    Raises:
      ValueError, RuntimeError: as `measure`.
    """
    simulation = exports.trained_simulation(job.source, job.calibration, scheme)
    folder = job.out / "exports" / file_stem(scheme)
    artifact = exports.trained_export(
        folder, job.source, aside, scheme, simulation, job.halting, cut
    )
    return artifact, job.questions.answer(simulation)


def on_board(
    job: CortexJob, package: cortex_m_package.Package, folder: Path
) -> tuple[cortex_m_package.Package, Linked, Counts | None]:
    """Link what can be linked, and run it where TFLM and an emulator are.

    Returns:
      The package, its arena as the board measured it if it ran there; sizes; instructions, None
      if nothing ran.

    Raises:
      RuntimeError: the firmware does not build, or fails.
    """
    with tempfile.TemporaryDirectory() as build:
        if job.tflm is not None and emulator.has_room(package):
            linked, elf = cortex_m_build.link_package(Path(build), folder, job.tflm)
            if not emulator.has_emulator():
                return package, linked, None
            flash = folder / "flash.bin"
            used = emulator.measure_arena_bytes(elf, flash)
            arena = Arena(head=package.arena.head, tail=used - package.arena.head)
            package = dataclasses.replace(package, arena=arena)
            cortex_m_package.save_package(
                package, folder
            )  # and again, with the arena that the board needs
            linked, elf = cortex_m_build.link_package(Path(build), folder, job.tflm)
            counts = emulator.measure_instructions(elf, flash, [1] * job.source.config.seq_len)
            return package, linked, counts
        if cortex_m_build.has_compiler():
            linked = cortex_m_build.link_firmware(Path(build))
            return package, cortex_m_build.add_tflm(linked, package.model), None
        return package, NOT_COUNTED, None


def modelled(package: cortex_m_package.Package) -> Counts:
    """Count by the operator model.

    Raises:
      ValueError: an operator whose cost was not measured.
    """
    positions = package.export.config.num_positions

    def update(role: str) -> int:
        graphs = package.networks[role]
        stages = stages_of(graphs)
        return sum(_count(g, -(-positions // s.rows)) for g, s in zip(graphs, stages, strict=True))

    head = _count(package.export.model.graph("head"), 1)
    return Counts(update_L=update("update_L"), update_H=update("update_H"), rest=head)


def _count(graph: Graph, calls: int) -> int:
    return calls * sum(count_instructions(graph).values())


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
