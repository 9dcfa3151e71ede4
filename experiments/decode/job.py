"""From a command line to a frozen spec with its models and puzzles, everything checked."""

import argparse
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.decode.recursion_solver import BY_RULES_SUFFIX
from experiments.decode.rows import CYCLES, TOKENS, Contestant, DecodeSpec
from experiments.measurement.choices import (
    check_calibration,
    choose_dtype,
    choose_limit,
    parse_schemes,
)
from experiments.measurement.options import read_common
from export.footprint.decoder import decoder_footprint
from quant.ptq import weights
from quant.scheme import Scheme, parse
from trm_jax import zoo
from trm_jax.convert.hints import Hints
from trm_jax.data.calibration import describe_calibration, read_calibration
from trm_jax.decoder.loading import NamedDecoder, is_decoder, load_named_decoder
from trm_jax.loading import LoadedModel, Puzzles, load_model, load_puzzles
from trm_jax.tasks.calibration import CalibrationPuzzles, choose_calibration
from trm_jax.tasks.table import task_named
from trm_jax.tasks.tokens.form import TokenForm

SHARD = 50
"""Puzzles computed together where the command line says nothing."""


class DecodeJob(NamedTuple):
    """A spec and what it speaks of, loaded.

    Attributes:
      form: how a decoder reads and writes the puzzles.
      prompt_width: tokens of the longest prompt of the data.
    """

    spec: DecodeSpec
    decoders: tuple[NamedDecoder, ...]
    models: tuple[LoadedModel, ...]
    puzzles: Puzzles
    form: TokenForm
    prompt_width: int
    calibration: CalibrationPuzzles

    def header(self, facts: dict[str, Any]) -> str:
        """Say what is about to be measured, and where."""
        spec = self.spec
        named = ", ".join(
            f"{each.name} ({each.num_parameters:,} weights)"
            for each in (*self.models, *self.decoders)
        )
        aside = f"; calibrated on {describe_calibration(spec.calibration)}"
        return (
            f"{named}\n{spec.data}: first {spec.num_puzzles} of {len(self.puzzles.dataset)}"
            f" puzzles in shards of {spec.batch_size}; {spec.dtype} on {facts['devices']};"
            f" jax {facts['jax']}, Python {facts['python']}{aside if spec.is_calibrated else ''}"
        )


def split_models(text: str | None, task: str) -> tuple[list[str], list[str]]:
    """Tell decoders from recursive models by name; None: the bundled ones of the task.

    Raises:
      ValueError: no decoder of the task is bundled, or an empty name.
    """
    if text is None:
        return [zoo.default_decoder(task)], [zoo.default(task)]
    names = [part.strip() for part in text.split(",")]
    if not all(names):
        raise ValueError(f"--models reads names joined by commas, got {text!r}")
    decoders = [name for name in names if is_decoder(name)]
    return decoders, [name for name in names if name not in decoders]


def prepare(args: argparse.Namespace) -> DecodeJob:
    """Load and check everything that a command line names.

    Raises:
      ValueError: unknown names, or parts that do not fit.
      OSError: missing files.
    """
    common, task = read_common(args), task_named(args.task)
    task.need_tokens()
    decoder_names, model_names = split_models(args.models, task.name)
    decoders = tuple(load_named_decoder(name, task=task) for name in decoder_names)
    hints = Hints(preset=common.preset)
    models = tuple(load_model(name, hints, task=task) for name in model_names)
    puzzles = _load_puzzles(common.data, models, decoders)
    form = task.token_form(puzzles.facts)
    num_puzzles = choose_limit(common.limit or 0, len(puzzles))
    schemes = [parse(name) for name in parse_schemes(args.schemes)]
    reader = models[0] if models else task
    calibration = choose_calibration(reader, puzzles, read_calibration(args))
    check_calibration(schemes, num_puzzles, calibration)
    spec = DecodeSpec(
        task=task.name,
        data=puzzles.name,
        data_sha256=puzzles.sha256,
        num_puzzles=num_puzzles,
        batch_size=common.batch_size or SHARD,
        contestants=(
            *_recursions(models, schemes, has_rules=task.rules(puzzles.facts) is not None),
            *(_tokens(each, schemes) for each in decoders),
        ),
        schemes=tuple(scheme.name for scheme in schemes),
        dtype=choose_dtype(common.dtype),
        seed=common.seed,
        calibration=calibration.facts,
    )
    # of all puzzles: what a decoder has room to write must not depend on --limit
    width = int(form.prompts(np.asarray(puzzles.dataset.inputs)).lengths.max())
    return DecodeJob(spec, decoders, models, puzzles, form, width, calibration)


def _load_puzzles(
    folder: Any, models: Sequence[LoadedModel], decoders: Sequence[NamedDecoder]
) -> Puzzles:
    """Load the puzzles that all models read.

    Raises:
      ValueError: the models read different puzzles.
    """
    if models:
        puzzles = load_puzzles(models[0], folder)
    else:
        puzzles = load_puzzles(decoders[0].task, folder, cells=decoders[0].facts.cells)
    for each in models[1:]:
        load_puzzles(each, folder)
    for each in decoders:
        each.check_fit(puzzles)
    return puzzles


def _recursions(
    models: Sequence[LoadedModel], schemes: Sequence[Scheme], *, has_rules: bool
) -> list[Contestant]:
    ends = ("", BY_RULES_SUFFIX) if has_rules else ("",)
    return [
        Contestant(
            name=model.name + end,
            sha256=model.sha256,
            unit=CYCLES,
            num_parameters=model.num_parameters,
            bytes=tuple(weights.footprint(model.weights, scheme).total for scheme in schemes),
        )
        for model in models
        for end in ends
    ]


def _tokens(model: NamedDecoder, schemes: Sequence[Scheme]) -> Contestant:
    return Contestant(
        name=model.name,
        sha256=model.sha256,
        unit=TOKENS,
        num_parameters=model.num_parameters,
        bytes=tuple(decoder_footprint(model.config, scheme).total for scheme in schemes),
    )
