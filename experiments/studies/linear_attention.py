"""Linear attention (elu+1) in the place of softmax attention (App. J): zero-shot and retrained.

The weights are the same either way; only the mixing changes. Retraining is brief: 200 updates
with the released loss, as in the paper.
"""

import dataclasses

from experiments.ablation import Context, Intervention, NotApplicable, Subject
from experiments.retraining import Setup, Training, brief, fresh_batch, retrained
from experiments.variants import on_every_device
from trm_jax.config import Mixer
from trm_jax.models import build
from trm_jax.reasoner import Reasoner

STEPS, BATCH, LR, PUZZLES = 200, 32, 3e-4, 2048


def interventions(context: Context) -> tuple[Intervention, ...]:
    """List softmax attention, the swap, and the swap retrained.

    Raises:
      NotApplicable: the model has no attention, or there is nothing to train on.
    """
    if context.model.config.mixer is not Mixer.ATTENTION:
        raise NotApplicable(
            f"{context.model.name} has no attention to replace ({context.model.architecture})"
        )
    zero_shot = Intervention(
        name="linear, zero-shot", make=lambda: swapped(context), settings={"mixer": "linear"}
    )
    return (context.full(), zero_shot, retrained_swap(context))


def linear_reasoner(context: Context) -> Reasoner:
    """Change the mixer of the model."""
    return build(dataclasses.replace(context.config, mixer=Mixer.LINEAR_ATTENTION))


def swapped(context: Context) -> Subject:
    """Keep the weights and swap the attention."""
    return dataclasses.replace(context.original, reasoner=linear_reasoner(context))


def retrained_swap(context: Context) -> Intervention:
    """Swap and retrain briefly."""
    recipe = brief(context.effort.of(STEPS), BATCH, LR, context.seed)
    training = Training(recipe=recipe, puzzles=context.effort.of(PUZZLES))

    def setup() -> Setup:
        puzzles = fresh_batch(context, training.puzzles)
        return Setup(linear_reasoner(context), puzzles, context.model.weights)

    def make() -> Subject:
        weights, facts = retrained(context, "linear-attention", training, setup)
        swap = swapped(context)
        return dataclasses.replace(swap, weights=on_every_device(weights), facts=swap.facts | facts)

    return Intervention(name="linear, retrained", make=make, settings=training.settings(context))
