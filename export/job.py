"""An export as a command line asks for it: load, simulate, export, and say what was made.

Not here: the options (options.py, tflite.py, onnx.py), the stages of an export (pipeline.py).
"""

import itertools
import shlex
from dataclasses import dataclass, replace
from pathlib import Path

from export.artifact.manifest import Expected, IntegerFacts, Manifest
from export.artifact.open import open_artifact
from export.decoder.job import DecoderJob, export_decoder_and_describe, find_decoder
from export.ethos_u.accelerators import Accelerator
from export.ethos_u.compiled import compile_export, describe_record, make_record, save_compiled
from export.ethos_u.vela import vela_version
from export.lowering.stages import parse_cut
from export.lowering.storage import plan_for
from export.pipeline import export_model
from export.targets import BATCH, Target
from quant.precision_plan import parse_plan
from trm_jax.command_line import progress_bar
from trm_jax.data.calibration import NOT_NEEDED, CalibrationOptions
from trm_jax.halting import Halting
from trm_jax.loading import load_model, load_puzzles
from trm_jax.output.staging import staged
from trm_jax.tasks.calibration import NO_OPTIONS, choose_calibration


@dataclass(frozen=True, kw_only=True)
class ExportJob:
    """What an export command asks for.

    Attributes:
      model: name or path; scheme: one for all matrices, or ROLE=SCHEME,...
      task: what the model solves; None: what its files say.
      data: puzzles to answer, and to calibrate on where nothing else is said; None: the bundled
        ones.
      calibration: what is said of the puzzles to calibrate on.
      batch: puzzles per call of the graphs.
      steps: supervision steps of the expected answers; None: the model's.
      cut: attention in integers in graphs that share one arena (lowering/stages.py).
      halting: what a board's self-test halts by; None: the default of the task.
      accelerator: an Ethos-U that the graphs are compiled for; None for other targets.
      positions: of a decoder: tokens of prompt and answer together; None: the model's.
    """

    model: str
    task: str | None
    scheme: str
    target: Target
    out: Path
    data: Path | None
    batch: int
    steps: int | None
    cut: str | None
    halting: Halting | None = None
    calibration: CalibrationOptions = NO_OPTIONS
    accelerator: Accelerator | None = None
    positions: int | None = None


def export_and_describe(job: ExportJob) -> str:
    """Export, compile where an accelerator is asked for, and say what was made.

    Raises:
      As `run_job`, and where Vela refuses a graph; then nothing is left of the export.
    """
    if (decoder := find_decoder(job.model)) is not None:
        return export_decoder_and_describe(decoder_job(job, decoder))
    if job.positions is not None:
        raise ValueError(f"--positions is for decoders; {job.model} is none")
    if job.accelerator is None:
        return describe_export(run_job(job), job.out)
    vela_version()  # says how to install it, before anything is loaded
    with staged(job.out) as work:
        manifest = run_job(replace(job, out=work))
        export = open_artifact(work)
        compiled = compile_export(export, job.accelerator)
        record = make_record(export, job.accelerator, compiled)
        save_compiled(work, record, compiled)
    return f"{describe_export(manifest, job.out)}\n{describe_record(record)}"


def decoder_job(job: ExportJob, folder: Path) -> DecoderJob:
    """Take what an export of a decoder needs.

    Args:
      folder: of the decoder.

    Raises:
      ValueError: an option or target that is not for decoders.
    """
    if job.target.facts.is_npu:
        raise ValueError(
            f"{job.target.value} multiplies integers only, and decoders have no graphs of integers;"
            f" use --target {Target.LITERT.value}"
        )
    given = {
        "--steps": job.steps is not None,
        "--halt": job.halting is not None,
        "--cut": job.cut is not None,
        "--batch-size": job.batch not in (1, BATCH),
    }
    if wrong := [name for name, said in given.items() if said]:
        raise ValueError(
            f"{job.model} is a decoder, which writes one stream of tokens; leave"
            f" {', '.join(wrong)} out"
        )
    return DecoderJob(
        name=job.model,
        folder=folder,
        task=job.task,
        scheme=job.scheme,
        target=job.target,
        out=job.out,
        data=job.data,
        positions=job.positions,
        calibration=job.calibration,
    )


def run_job(job: ExportJob) -> Manifest:
    """Load, simulate and export.

    Raises:
      ValueError, OSError, RuntimeError, ModuleNotFoundError: bad input, or a runtime's refusal.
    """
    cut = parse_cut(job.cut) if job.cut else None
    precision = parse_plan(job.scheme)
    plan_for(precision, job.target)  # refuses what the target cannot compute before loading
    if job.calibration.is_chosen and not precision.needs_puzzles:
        raise ValueError(f"{precision.name} is calibrated on no puzzles; {NOT_NEEDED}")
    model = load_model(job.model, task=job.task)
    puzzles = load_puzzles(model, job.data)
    calibration = choose_calibration(model, puzzles, job.calibration)
    with progress_bar("loading", 2) as advance:
        begun = itertools.count()
        return export_model(
            model,
            precision,
            job.out,
            target=job.target,
            puzzles=puzzles,
            batch=job.batch,
            steps=job.steps,
            halting=job.halting,
            cut=cut,
            calibration=calibration,
            on_stage=lambda stage: advance(next(begun), stage),
        )


def describe_export(manifest: Manifest, folder: Path) -> str:
    """Say what an export holds and what to do next."""
    expected = manifest.expected
    integers = "" if manifest.integers is None else f"{describe_room(manifest.integers)}\n"
    return (
        f"{manifest.model} as {manifest.scheme} ({manifest.plan}) for {manifest.target.value}\n"
        f"{', '.join(str(folder / name) for name in manifest.model_files)}:"
        f" {manifest.model_bytes:,} bytes, {manifest.weight_bytes:,} of them weights;"
        f" with host tensors {manifest.total_bytes:,} bytes\n"
        f"{integers}"
        f"expected answers: {len(expected.tokens)} puzzles at {expected.steps} steps,"
        f" confirmed by {expected.confirmed_by or 'nothing here'}{describe_halted(expected)}\n"
        f"next: python -m export.verify {shlex.quote(str(folder))}"
    )


def describe_halted(expected: Expected) -> str:
    """Say when the expected puzzles halt."""
    halted = expected.halted
    return "" if halted is None else f"; by {halted.halting} at {', '.join(map(str, halted.steps))}"


def describe_room(integers: IntegerFacts) -> str:
    """Say how much room integers have, and whether it was enough."""
    saturated = ", ".join(f"{name} {count}" for name, count in integers.saturated.items())
    return (
        f"integers: {integers.bits} bits, ranges times {integers.headroom:g}; sums need at most"
        f" {max(integers.accumulator_bits.values())} bits; saturated in"
        f" {integers.saturated_puzzles} puzzles: {saturated or 'nothing'}"
    )
