"""An export of a decoder as a command line asks for it: find, load, export, say what was made.

Not here: the options (export/options.py), the stages of an export (pipeline.py).
"""

import shlex
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from export.decoder.confirmation import TokenComparison
from export.decoder.manifest import DecoderManifest
from export.decoder.pipeline import (
    TRIED,
    NamedDecoder,
    calibration_texts,
    export_decoder,
    plan_decoder,
    prompts_of,
)
from export.targets import Target
from quant.scheme import Scheme, parse
from trm_jax import zoo
from trm_jax.checkpoints.model_files import CONFIG_FILE
from trm_jax.data.calibration import NOT_NEEDED, CalibrationOptions
from trm_jax.data.hub import local_path
from trm_jax.decoder.model_folder import load_puzzle_decoder
from trm_jax.loading import Puzzles, check_facts_fit, load_puzzles
from trm_jax.tasks.calibration import NO_OPTIONS, CalibrationPuzzles
from trm_jax.typed_json import parse_json


@dataclass(frozen=True, kw_only=True)
class DecoderJob:
    """What an export command asks for of a decoder.

    Attributes:
      name: as it was given; folder: that it names.
      task: what it must be for; None: what its files say.
      data: puzzles to answer; None: the bundled ones.
      positions: tokens of prompt and answer together; None: the model's.
      calibration: what is said of the puzzles to calibrate on.
    """

    name: str
    folder: Path
    scheme: str
    target: Target
    out: Path
    task: str | None = None
    data: Path | None = None
    positions: int | None = None
    calibration: CalibrationOptions = NO_OPTIONS


def find_decoder(name: str) -> Path | None:
    """Find the folder of a decoder of puzzles; None where the name is of something else.

    Args:
      name: of a bundled decoder, or a path.
    """
    if name in zoo.DECODERS:
        return zoo.DECODERS[name].directory
    folder = local_path(name)
    try:
        values = parse_json((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # the loader of recursive models says what is wrong
    config = values.get("config") if isinstance(values, dict) else None
    is_decoder = isinstance(config, dict) and config.get("architecture") == "decoder"
    return folder if is_decoder else None


def export_decoder_and_describe(job: DecoderJob) -> str:
    """Load, simulate and export a decoder, and say what was made.

    Raises:
      ValueError, OSError, RuntimeError, ModuleNotFoundError: bad input, or a runtime's refusal.
    """
    scheme = read_scheme(job.scheme)
    plan_decoder(scheme, job.target)  # refuses what the target cannot compute before loading
    if job.calibration.is_chosen and not scheme.needs_puzzles:
        raise ValueError(f"{scheme.name} is calibrated on no puzzles; {NOT_NEEDED}")
    source = load_named(job.name, job.folder)
    if job.task not in (None, source.model.puzzles.task):
        raise ValueError(f"{source.name} is for {source.model.puzzles.title}, not for {job.task}")
    puzzles = load_decoder_puzzles(source, job.data)
    calibration = choose_decoder_calibration(source, puzzles, job.calibration)
    texts = None
    if scheme.needs_puzzles:
        calibration.check(min(TRIED, len(puzzles)))
        texts = calibration_texts(source.model, calibration.source.dataset, calibration.rows)
    prompts = prompts_of(source.model, puzzles.ordered.inputs)
    positions = job.positions or source.model.config.max_positions
    longest = max(map(len, prompts)) - 1  # decode reads the last token
    manifest, compared = export_decoder(
        source,
        scheme,
        job.out,
        target=job.target,
        prompts=prompts[:TRIED],
        prompt=min(max(longest, 1), positions - 1),
        positions=positions,
        texts=texts,
        calibration=calibration.recorded_if(scheme.needs_puzzles),
    )
    return describe_decoder(manifest, compared, job.out)


def read_scheme(text: str) -> Scheme:
    """Read the scheme of a decoder: one for all matrices.

    Raises:
      ValueError: unknown, or one for each role.
    """
    if "," in text:
        raise ValueError(f"a decoder takes one scheme for all its matrices, got {text!r}")
    return parse(text)


def load_named(name: str, folder: Path) -> NamedDecoder:
    """Load a decoder.

    Raises:
      ValueError, OSError: damaged, or missing.
    """
    bundled = name in zoo.DECODERS
    return NamedDecoder(
        name=name if bundled else folder.resolve().name,
        origin=name if bundled else str(folder.resolve()),
        model=load_puzzle_decoder(folder),
    )


def load_decoder_puzzles(source: NamedDecoder, data: Path | None) -> Puzzles:
    """Load puzzles that a decoder can read.

    Args:
      data: a data set, or one split of it; None: the bundled ones.

    Raises:
      ValueError, OSError: missing, damaged, or of another kind than the decoder's.
    """
    facts = source.model.puzzles
    puzzles = load_puzzles(facts.task, data, cells=int(np.prod(facts.grid)))
    check_facts_fit(facts, f"model {source.name}", puzzles)
    return puzzles


def choose_decoder_calibration(
    source: NamedDecoder, puzzles: Puzzles, options: CalibrationOptions
) -> CalibrationPuzzles:
    """Choose the puzzles to calibrate on.

    Raises:
      ValueError, OSError: as `load_decoder_puzzles`.
    """
    own = None if options.data is None else load_decoder_puzzles(source, options.data)
    return CalibrationPuzzles(evaluated=puzzles, own=own, options=options)


def describe_decoder(manifest: DecoderManifest, compared: TokenComparison, folder: Path) -> str:
    """Say what an export holds and what to do next."""
    expected = manifest.expected
    return (
        f"{manifest.model} as {manifest.scheme} ({manifest.plan}) for {manifest.target.value}\n"
        f"{', '.join(str(folder / name) for name in manifest.model_files)}:"
        f" {manifest.model_bytes:,} bytes, {manifest.weight_bytes:,} of them weights;"
        f" with host tensors {manifest.total_bytes:,} bytes\n"
        f"{manifest.positions} positions: {manifest.cache_bytes:,} bytes of keys and values;"
        f" prefill reads {manifest.prompt} tokens at once\n"
        f"expected answers: {len(expected.tokens)} puzzles by {expected.confirmed_by};"
        f" {compared.text}\n"
        f"next: python -m export.verify {shlex.quote(str(folder))}"
    )
