"""The checks of an exported decoder: files, legality, operators, answers, tokens.

The first three are those of recursive models. `answers`: the runtime writes the tokens of the
manifest again, exactly. `tokens`: the first puzzles are written on the runtime, and every token and
logit is held against the simulation (confirmation.py).
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from export.artifact.check_rollouts import show_rate
from export.artifact.verification import (
    CheckResult,
    check_calibrated,
    check_graphs,
    find_calibration,
)
from export.decoder.confirmation import compare_tokens
from export.decoder.host import WrittenTokens
from export.decoder.job import find_decoder, load_decoder_puzzles, load_named, read_scheme
from export.decoder.open import DecoderExport, open_decoder
from export.decoder.pipeline import (
    NamedDecoder,
    calibration_texts,
    prompts_of,
    simulate_for,
    write_all,
)
from export.lowering.model import parameters_sha256
from export.targets import Target
from quant.decoder import DecoderSimulation
from trm_jax.command_line import progress_bar
from trm_jax.data.batches import calibration_rows


def run_decoder_checks(
    folder: Path,
    *,
    limit: int,
    data: Path | None = None,
    calibration: Path | None = None,
    task: str | None = None,
    model: str | None = None,
    target: Target | None = None,
    threads: int = 1,
) -> Iterator[CheckResult]:
    """Run the checks of an exported decoder.

    Args:
      as of `export.artifact.verification.run_checks`.

    Raises:
      ValueError, OSError, RuntimeError: missing, damaged, or refused by the runtime.
    """
    export = open_decoder(folder)
    manifest = export.manifest
    if task not in (None, manifest.puzzles.task):
        raise ValueError(f"the export is for {manifest.puzzles.title}, not for {task}")
    if calibration is not None:
        check_calibrated(manifest.scheme, manifest.target)
    target = target or manifest.target
    yield from check_graphs(manifest, export.model, target)
    yield check_written(export, target, threads)
    source = load_source(export, model)
    simulation = simulate_again(export, source, data, calibration)
    yield check_tokens(export, source, simulation, data, limit, target, threads)


def check_written(export: DecoderExport, target: Target, threads: int) -> CheckResult:
    """Write the tokens of the manifest again."""
    expected = export.manifest.expected
    prompts = [np.asarray(prompt, np.int32) for prompt in expected.prompts]
    written = write_all(export, target, prompts, threads)
    pairs = zip(written, expected.tokens, strict=True)
    same = sum(w.tokens.tolist() == list(tokens) for w, tokens in pairs)
    return CheckResult("answers", same == len(prompts), f"{same} of {len(prompts)} as expected")


def load_source(export: DecoderExport, model: str | None) -> NamedDecoder:
    """Load the decoder that an export was made from.

    Args:
      model: another copy of it; None: the one that the manifest names.

    Raises:
      ValueError, OSError: missing or damaged.
    """
    name = model or export.manifest.source
    folder = find_decoder(name)
    if folder is None:
        raise ValueError(f"{name} is no decoder of puzzles; name the one it was made from: --model")
    return load_named(name, folder)


def simulate_again(
    export: DecoderExport, source: NamedDecoder, data: Path | None, calibration: Path | None
) -> DecoderSimulation:
    """Build the simulation of an export.

    Raises:
      ValueError: the decoder or the calibration puzzles are others than the export was made from.
    """
    manifest = export.manifest
    scheme, texts = read_scheme(manifest.scheme), None
    if scheme.needs_puzzles:
        found = find_calibration(
            manifest.calibration,
            lambda folder: load_decoder_puzzles(source, folder),
            [calibration] if calibration else [data, None],
        )
        rows = calibration_rows(found.dataset, found.count)
        texts = calibration_texts(source.model, found.dataset, rows)
    simulation = simulate_for(source.model, scheme, texts)
    if parameters_sha256(simulation.quantised) != manifest.parameters_sha256:
        raise ValueError(
            f"{source.name} under {manifest.scheme} gives other parameters than the export holds;"
            " name the decoder it was made from with --model"
        )
    return simulation


def check_tokens(
    export: DecoderExport,
    source: NamedDecoder,
    simulation: DecoderSimulation,
    data: Path | None,
    limit: int,
    target: Target,
    threads: int,
) -> CheckResult:
    """Answer the first puzzles and compare every token."""
    dataset = load_decoder_puzzles(source, data).ordered
    count = min(limit, len(dataset))
    if not count:
        return CheckResult("tokens", True, "no puzzles were asked for (--limit 0)")
    inputs, labels = (np.asarray(x[:count]) for x in (dataset.inputs, dataset.labels))
    prompts = prompts_of(source.model, inputs)
    with progress_bar("tokens", 2) as advance:
        written = write_all(export, target, prompts, threads)
        advance(1, "comparing")
        compared = compare_tokens(simulation, prompts, written)
    cells = export.form.answers(inputs, written_rows(written))
    exact = (cells == labels).all(axis=1)
    each = 1e3 * np.median([w.seconds_per_token for w in written])
    first = 1e3 * np.median([w.first_seconds for w in written])
    text = (
        f"{compared.text}; exact match {show_rate(exact)};"
        f" {first:.1f} ms to the first token, {each:.2f} ms a token"
    )
    return CheckResult("tokens", compared.passed, text)


def written_rows(written: list[WrittenTokens]) -> np.ndarray:
    """Put written tokens into rows, padded on the right."""
    rows = np.zeros((len(written), max(len(w.tokens) for w in written)), np.int32)
    for row, w in zip(rows, written, strict=True):
        row[: len(w.tokens)] = w.tokens
    return rows
