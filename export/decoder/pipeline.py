"""Makes an export of a decoder: simulate, lower, refuse, write, let it write tokens, record.

    export_decoder      a decoder by its scheme and target
    simulate_for        the simulation that the file must agree with
    calibration_texts   puzzles with their traces, for schemes that measure ranges

Not here: choosing models and puzzles (job.py), recursive models (export/pipeline.py).
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from export.artifact.manifest import facts_of
from export.decoder.confirmation import TokenComparison, compare_tokens
from export.decoder.graphs import check_cache, check_sizes, lower_decoder
from export.decoder.host import PromptTokens, WrittenTokens
from export.decoder.manifest import (
    KIND,
    DecoderManifest,
    ExpectedWriting,
    TokenLists,
    dump_decoder_manifest,
)
from export.decoder.open import EMBEDDINGS, DecoderExport
from export.graph.files import HOST_FILE, MANIFEST_FILE, convert_graphs, write_files
from export.graph.ir import GraphModel
from export.legality.check import check_legality
from export.lowering.model import parameters_sha256
from export.lowering.storage import StoragePlan, plan_for
from export.pipeline import count_operators, count_weight_bytes
from export.runtimes.registry import open_runtime
from export.targets import Target
from quant.decoder import CalibrationTexts, DecoderSimulation, simulate_decoder
from quant.decoder.simulation import check_decoder_scheme
from quant.scheme import Scheme
from trm_jax.checkpoints.tensor_files import save_tensors
from trm_jax.data.calibration import CalibrationFacts
from trm_jax.data.format import PuzzleDataset
from trm_jax.decoder.model_folder import PuzzleDecoder
from trm_jax.output.staging import staged
from trm_jax.tasks.tokens.form import STOP, join

TRIED = 8
"""Puzzles that are answered, and become the expected answers."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class NamedDecoder:
    """A decoder of puzzles and what reports call it.

    Attributes:
      origin: what loads it again.
    """

    name: str
    origin: str
    model: PuzzleDecoder


def plan_decoder(scheme: Scheme, target: Target) -> StoragePlan:
    """Make the plan of a scheme for a decoder on a target.

    Raises:
      ValueError: the target, or decoders, cannot have it; the message names what can be done.
    """
    check_decoder_scheme(scheme)
    if not target.facts.runs_here:
        raise ValueError(
            f"decoders are compared token by token before they are kept, and {target.value} does"
            f" not run here; use target {Target.LITERT.value}"
        )
    if target.facts.integer_graphs and scheme.weights is not None:
        raise ValueError(
            f"{target.value} takes decoders in fp32 alone: it has no products of floats and"
            f" integers, and integers from end to end are not made for them; {scheme.name} runs on"
            f" target {Target.LITERT.value}"
        )
    plan = plan_for(scheme, target)
    check_cache(plan)
    return plan


def simulate_for(
    model: PuzzleDecoder, scheme: Scheme, texts: CalibrationTexts | None
) -> DecoderSimulation:
    """Simulate a scheme with the float32 arithmetic that every exported file has.

    Raises:
      ValueError: as `quant.decoder.simulate_decoder`.
    """
    simulation = simulate_decoder(model.config, model.params, scheme, texts)
    decoder = simulation.decoder.with_config(forward_dtype="float32")
    return dataclasses.replace(simulation, decoder=decoder)


def calibration_texts(
    model: PuzzleDecoder, dataset: PuzzleDataset, rows: np.ndarray
) -> CalibrationTexts:
    """Write puzzles with the traces that the decoder was taught."""
    inputs, labels = np.asarray(dataset.inputs[rows]), np.asarray(dataset.labels[rows])
    written = join(model.form.prompts(inputs), model.form.traces(inputs, labels, model.order))
    width = min(written.tokens.shape[1], model.config.max_positions)
    lengths = np.minimum(written.lengths, width)
    return CalibrationTexts(tokens=written.tokens[:, :width], lengths=lengths)


def prompts_of(model: PuzzleDecoder, inputs: np.ndarray) -> list[PromptTokens]:
    """Write puzzles as prompts."""
    rows = model.form.prompts(np.asarray(inputs))
    return [tokens[:length] for tokens, length in zip(rows.tokens, rows.lengths, strict=True)]


def export_decoder(
    source: NamedDecoder,
    scheme: Scheme,
    folder: Path,
    *,
    target: Target,
    prompts: Sequence[PromptTokens],
    prompt: int,
    positions: int,
    texts: CalibrationTexts | None = None,
    calibration: CalibrationFacts | None = None,
) -> tuple[DecoderManifest, TokenComparison]:
    """Quantise a decoder as its simulation does and write it as files for a runtime.

    Args:
      folder: is replaced file by file if it exists.
      prompts: become the expected answers; prompt, positions: as of `lower_decoder`.
      texts: to calibrate on, where the scheme needs some; calibration: their record.

    Returns:
      The manifest, and what was compared.

    Raises:
      ValueError: the target cannot compute the scheme, or here writes otherwise than simulated.
      RuntimeError: the runtime refuses the file.
      ModuleNotFoundError: packages of the target's file format are not installed.
    """
    plan, sizes = plan_decoder(scheme, target), {"prompt": prompt, "positions": positions}
    check_sizes(source.model.config, **sizes)
    simulation = simulate_for(source.model, scheme, texts)
    model, embeddings = lower_for(simulation, plan, **sizes), embedding_rows(simulation)
    with staged(folder) as work:
        contents = _write_contents(work, model, embeddings, target)
        manifest = draft_decoder_manifest(source, plan, simulation, model, contents)
        manifest = dataclasses.replace(manifest, **sizes, calibration=calibration)
        draft = DecoderExport(manifest=manifest, model=model, embeddings=embeddings)
        compared, expected = confirm(draft, simulation, prompts)
        manifest = dataclasses.replace(manifest, expected=expected)
        (work / MANIFEST_FILE).write_text(dump_decoder_manifest(manifest), encoding="utf-8")
    return manifest, compared


def _write_contents(
    work: Path, model: GraphModel, embeddings: np.ndarray, target: Target
) -> dict[str, bytes]:
    """Write the files of graphs and host; returns what they hold."""
    save_tensors({EMBEDDINGS: embeddings}, work / HOST_FILE)
    contents = write_files(model, target)
    for name, content in contents.items():
        (work / name).write_bytes(content)
    return contents | {HOST_FILE: (work / HOST_FILE).read_bytes()}


def lower_for(
    simulation: DecoderSimulation, plan: StoragePlan, *, prompt: int, positions: int
) -> GraphModel:
    """Lower a simulated decoder to graphs that the plan's target computes right.

    Raises:
      ValueError: the target would refuse the graphs, or compute them wrong.
    """
    model = lower_decoder(
        simulation.decoder.config,
        simulation.quantised,
        plan,
        prompt=prompt,
        positions=positions,
        ranges=simulation.ranges,
    )
    model = convert_graphs(model, plan.target)
    check_legality(model, plan.target)
    return model


def draft_decoder_manifest(
    source: NamedDecoder,
    plan: StoragePlan,
    simulation: DecoderSimulation,
    model: GraphModel,
    contents: Mapping[str, bytes],
) -> DecoderManifest:
    """Make a manifest that expects no answers and says no lengths yet."""
    return DecoderManifest(
        kind=KIND,
        model=source.name,
        source=source.origin,
        parameters_sha256=parameters_sha256(simulation.quantised),
        config=simulation.decoder.config,
        order=source.model.order,
        puzzles=source.model.puzzles,
        scheme=plan.mixer.scheme.name,  # one for all roles
        plan=plan.name,
        target=plan.target,
        prompt=0,
        positions=0,
        weight_bytes=count_weight_bytes(model, plan.target.facts.file_format),
        operators=count_operators(model),
        files={name: facts_of(content) for name, content in contents.items()},
        expected=ExpectedWriting(prompts=(), tokens=(), confirmed_by="", logit_difference=0.0),
    )


def embedding_rows(simulation: DecoderSimulation) -> np.ndarray:
    """Give the row of every token; a tied head's columns are the rounded ones."""
    if simulation.decoder.config.tie_word_embeddings:
        return np.ascontiguousarray(np.asarray(simulation.params["lm_head"]["kernel"]).T)
    return np.asarray(simulation.params["embed_tokens"]["embedding"], np.float32)


def confirm(
    draft: DecoderExport, simulation: DecoderSimulation, prompts: Sequence[PromptTokens]
) -> tuple[TokenComparison, ExpectedWriting]:
    """Let the runtime answer prompts and hold its tokens against the simulation's.

    Raises:
      ValueError: they differ by more than rounding explains.
      RuntimeError: the runtime refuses the file.
    """
    target = draft.manifest.target
    written = write_all(draft, target, prompts)
    compared = compare_tokens(simulation, prompts, written)
    if not compared.passed:
        raise ValueError(
            f"{target.value} does not write as simulated under {draft.manifest.scheme}:"
            f" {compared.text}; the file computes something else"
        )
    return compared, ExpectedWriting(
        prompts=_lists(prompts),
        tokens=_lists([w.tokens for w in written]),
        confirmed_by=target.interpreter.value,
        logit_difference=compared.difference,
    )


def write_all(
    export: DecoderExport, target: Target, prompts: Sequence[PromptTokens], threads: int = 1
) -> list[WrittenTokens]:
    """Answer prompts on a runtime."""
    runtime = open_runtime(target, export.model, threads=threads)
    try:
        host = export.host(runtime)
        return [host.write(prompt, stop=STOP) for prompt in prompts]
    finally:
        runtime.close()


def _lists(rows: Sequence[np.ndarray]) -> TokenLists:
    return tuple(tuple(int(v) for v in row) for row in rows)
