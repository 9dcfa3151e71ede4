"""MLP mixing against attention against HRM on one task (section 4.4, App. F, Table 10).

Each architecture is compared with itself in full precision. By default all bundled models that
read the same puzzles take part; --models names others.
"""

import dataclasses

from experiments.ablate.interventions import (
    FULL,
    AblatedModel,
    Context,
    Intervention,
    NotApplicable,
    put_under,
)
from experiments.ablate.rows import Facts
from quant.scheme import parse
from trm_jax import zoo
from trm_jax.loading import LoadedModel, check_fit, load_model

SCHEMES = (FULL, "int8", "int4_naive", "int4_calibrated")


def interventions(context: Context) -> tuple[Intervention, ...]:
    """List the architectures under four precisions.

    Raises:
      NotApplicable: there is only one model.
    """
    models = contestants(context)
    if len(models) < 2:
        raise NotApplicable(
            f"the mixer study compares architectures on one task; the only model that reads"
            f" {context.puzzles.name} is {context.model.name}: name others with --models"
        )
    return tuple(under(context, model, scheme) for model in models for scheme in SCHEMES)


def contestants(context: Context) -> list[LoadedModel]:
    """Load the models that take part, the context's own first."""
    bundled = [entry.name for entry in zoo.MODELS.values() if entry.task == context.task.name]
    names = context.others or bundled
    others = [load_model(name, task=context.task) for name in names if name != context.model.name]
    if context.others:
        for model in others:
            check_fit(model, context.puzzles)
    models = [context.model, *(m for m in others if fits(m, context))]
    return list({model.sha256: model for model in models}.values())


def fits(model: LoadedModel, context: Context) -> bool:
    """Return whether a model reads the puzzles of the context's model."""
    names = ("seq_len", "vocab_size")
    return all(getattr(model.config, n) == getattr(context.model.config, n) for n in names)


def under(context: Context, model: LoadedModel, scheme: str) -> Intervention:
    """Put one architecture under one precision."""

    def make() -> AblatedModel:
        intervention = put_under(context, parse(scheme), model)
        names: Facts = {"architecture": model.architecture, "model": model.name}
        return dataclasses.replace(intervention, facts=intervention.facts | names)

    return Intervention(
        name=f"{model.name} {scheme}",
        make=make,
        reference=f"{model.name} {FULL}",
        settings={
            "scheme": scheme,
            "model_sha256": model.sha256,
            **context.calibrated_on(parse(scheme)),
        },
    )
