"""Linear attention (elu+1) in the place of softmax attention (App. J): zero-shot and retrained.

The weights are the same either way; only the mixing changes. Retraining is brief: 200 updates
with the released loss, as in the paper.
"""

import dataclasses
from collections.abc import Callable

from experiments.ablate.interventions import (
    FULL,
    AblatedModel,
    Context,
    Intervention,
    NotApplicable,
)
from experiments.ablate.retraining import Setup, Training, brief, fresh_batch, retrained
from experiments.ablate.rows import Facts
from trm_jax.config import Mixer
from trm_jax.models.build import build
from trm_jax.models.reasoner import Reasoner
from trm_jax.sharding import device_mesh, replicate

STEPS, BATCH, LR, PUZZLES = 200, 32, 3e-4, 2048
RETRAINED = "linear, retrained"


def interventions(context: Context) -> tuple[Intervention, ...]:
    """List softmax attention, the swap, and the swap retrained, after one step and all.

    Raises:
      NotApplicable: the model has no attention, or there is nothing to train on.
    """
    if context.model.config.mixer is not Mixer.ATTENTION:
        raise NotApplicable(
            f"{context.model.name} has no attention to replace ({context.model.architecture})"
        )
    prepared = (
        at_depth(context, name, make, settings, steps)
        for steps in dict.fromkeys((1, context.steps))
        for name, make, settings in variants(context)
    )
    return tuple(prepared)


def variants(context: Context) -> list[tuple[str, Callable[[], AblatedModel], Facts]]:
    """List names, makers and settings; the swap is retrained once for both depths."""
    recipe = brief(context.effort.of(STEPS), BATCH, LR, context.seed)
    training = Training(recipe=recipe, puzzles=context.effort.of(PUZZLES))
    return [
        (FULL, lambda: context.original, {}),
        ("linear, zero-shot", lambda: swapped(context), {"mixer": "linear"}),
        (
            RETRAINED,
            lambda: retrained_swap(context, training),
            training.settings(context),
        ),
    ]


def at_depth(
    context: Context, name: str, make: Callable[[], AblatedModel], settings: Facts, steps: int
) -> Intervention:
    """Read a variant after some supervision steps; the paper's baseline has taken one."""
    made_once = RETRAINED if name == RETRAINED else ""
    if steps == context.steps:
        return Intervention(name=name, make=make, settings=settings, made_once=made_once)
    return Intervention(
        name=f"{name}, n={steps}",
        make=lambda: dataclasses.replace(make(), steps=steps),
        reference=f"{FULL}, n={steps}",
        settings={**settings, "steps": steps},
        made_once=made_once,
    )


def linear_reasoner(context: Context) -> Reasoner:
    """Change the mixer of the model."""
    return build(dataclasses.replace(context.config, mixer=Mixer.LINEAR_ATTENTION))


def swapped(context: Context) -> AblatedModel:
    """Keep the weights and swap the attention."""
    return dataclasses.replace(context.original, reasoner=linear_reasoner(context))


def retrained_swap(context: Context, training: Training) -> AblatedModel:
    """Swap and retrain briefly."""

    def setup() -> Setup:
        puzzles = fresh_batch(context, training.puzzles)
        return Setup(linear_reasoner(context), puzzles, context.model.weights)

    weights, facts = retrained(context, "linear-attention", training, setup)
    swap = swapped(context)
    return dataclasses.replace(
        swap, weights=replicate(weights, device_mesh()), facts=swap.facts | facts
    )
