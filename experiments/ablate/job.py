"""From a command line to the studies of an ablation with model and puzzles, everything checked."""

import argparse
import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from experiments.ablate.interventions import Context, Effort, Intervention, NotApplicable
from experiments.ablate.rows import AblationSpec, AblationStudy, ablation_folder
from experiments.measurement.choices import (
    check_named_for,
    choose_batch_size,
    choose_dtype,
    choose_limit,
    kept_batch_size,
)
from experiments.measurement.options import DEFAULT_LIMIT, QUICK_LIMIT, CommonOptions, read_common
from trm_jax.convert.hints import Hints
from trm_jax.data.calibration import read_calibration
from trm_jax.loading import load_model, load_puzzles
from trm_jax.names import unknown_name
from trm_jax.tasks.calibration import choose_calibration
from trm_jax.tasks.table import task_named

StudyFunction = Callable[[Context], tuple[Intervention, ...]]
Studies = Mapping[AblationStudy, StudyFunction]

ON_REQUEST = (AblationStudy.TOOLKITS,)
"""Studies that run only where --only names them: they need packages of an extra."""

LIMITS = {Effort.DEFAULT: DEFAULT_LIMIT, Effort.QUICK: QUICK_LIMIT}
"""Puzzles to evaluate."""


class AblationJob(NamedTuple):
    """What a command line asks for, loaded and checked.

    Attributes:
      skipped: why studies that were not named do not apply.
    """

    context: Context
    spec: AblationSpec
    studies: dict[str, tuple[Intervention, ...]]
    skipped: tuple[str, ...]

    def header(self) -> str:
        """Say what is about to be measured on what, and what is not."""
        spec, model = self.spec, self.context.model
        lines = [
            f"{spec.model} ({model.where}): {model.architecture}, {spec.num_parameters:,} weights",
            f"{spec.data}: first {spec.num_puzzles} of {len(self.context.puzzles.dataset)} puzzles"
            f" in {spec.shards_text}; {spec.dtype}, seed {spec.seed}",
            f"studies: {', '.join(self.studies)}",
            *(f"left out, {reason}" for reason in self.skipped),
        ]
        return "\n".join(lines)


def prepare(args: argparse.Namespace, studies: Studies) -> AblationJob:
    """Load and check everything that a command line names.

    Raises:
      ValueError: unknown names, parts that do not fit, or a named study that does not apply.
      OSError: missing files.
    """
    common, options = read_common(args), read_calibration(args)
    task = task_named(common.task)
    selected = parse_studies(args.only, studies)
    model = load_model(common.model, Hints(preset=common.preset), task=task)
    data = load_puzzles(model, common.data)
    effort = Effort.QUICK if args.quick else Effort.DEFAULT
    limit = LIMITS[effort] if common.limit is None else common.limit
    context = Context(
        model=model,
        puzzles=data,
        dtype=choose_dtype(common.dtype),
        num_puzzles=choose_limit(limit, len(data.dataset)),
        effort=effort,
        seed=common.seed,
        folder=common.out or Path("runs") / f"ablate-{task.name}-{model.name}",
        train_data=args.train_data,
        chosen=choose_calibration(model, data, options) if options.is_chosen else None,
        others=tuple(filter(None, (name.strip() for name in args.models.split(",")))),
    )
    interventions, skipped = collect(selected, context, named=args.only is not None)
    check_chosen(context, interventions)
    compares = AblationStudy.MIXER.value
    if context.others and compares not in interventions:
        raise ValueError(f"--models is for the study {compares}, which is none of those that run")
    return AblationJob(context, make_spec(context, interventions, common), interventions, skipped)


def parse_studies(text: str | None, studies: Studies) -> dict[str, StudyFunction]:
    """Read names joined by commas, in the order of the tables.

    Without a text they are all but those `ON_REQUEST`.

    Raises:
      ValueError: a name is unknown.
    """
    by_name = {study.value: function for study, function in studies.items()}
    usual = [study.value for study in studies if study not in ON_REQUEST]
    names = usual if text is None else [name.strip() for name in text.split(",")]
    if unknown := [name for name in names if name not in by_name]:
        raise ValueError(unknown_name("study", unknown[0], by_name))
    return {name: function for name, function in by_name.items() if name in names}


def collect(
    selected: Mapping[str, StudyFunction], context: Context, *, named: bool
) -> tuple[dict[str, tuple[Intervention, ...]], tuple[str, ...]]:
    """Ask studies for their interventions.

    Args:
      named: the user named them, so one that does not apply is an error.

    Returns:
      Interventions by study, and why other studies do not apply.

    Raises:
      ValueError: see `named`; or no study applies.
    """
    interventions, skipped = {}, []
    for name, function in selected.items():
        try:
            interventions[name] = function(context)
        except NotApplicable as reason:
            if named:
                raise
            skipped.append(f"{name}: {reason}")
    if not interventions:
        raise ValueError(f"no study applies: {'; '.join(skipped)}")
    return interventions, tuple(skipped)


def check_chosen(context: Context, studies: Mapping[str, tuple[Intervention, ...]]) -> None:
    """Check that puzzles chosen to calibrate on serve a study.

    Raises:
      ValueError: they serve none.
    """
    names = [n for n, listed in studies.items() if any("calibration" in i.settings for i in listed)]
    if context.chosen is not None:
        check_named_for(names, context.num_puzzles, context.chosen)


def make_spec(
    context: Context, studies: dict[str, tuple[Intervention, ...]], common: CommonOptions
) -> AblationSpec:
    """Write down what will be measured."""
    model, data = context.model, context.puzzles
    kept = kept_batch_size(ablation_folder(context.folder), resume=common.resume)
    batch = choose_batch_size(common.batch_size, model.config, context.steps, kept)
    spec = AblationSpec(
        task=context.task.name,
        model=model.name,
        model_sha256=model.sha256,
        num_parameters=model.num_parameters,
        data=data.name,
        data_sha256=data.sha256,
        num_puzzles=context.num_puzzles,
        batch_size=batch.number,
        batch_reason=batch.reason,
        dtype=context.dtype,
        seed=context.seed,
    )
    planned = (
        spec.plan(study, each.name, each.reference, each.settings)
        for study, listed in studies.items()
        for each in listed
    )
    return dataclasses.replace(spec, planned=tuple(planned))
