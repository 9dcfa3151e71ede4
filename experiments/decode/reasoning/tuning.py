"""Low-rank adapters that learn tasks of reasoning-gym, on a decoder of text as a scheme makes it.

Updates take the tasks in turn; an update learns from items of its own. The state of the training is
kept (experiments/decode/studies/folder.py), the adapters go to OUT/adapter in PEFT's layout.
"""

import argparse
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from experiments.decode.reasoning.items import GymTask, make_training_task
from experiments.decode.reasoning.prompts import TextForm
from experiments.decode.studies.folder import StudyFolder
from experiments.decode.studies.lora import lora_of
from quant.decoder.simulation import DecoderSimulation
from trm_jax.decoder.files.adapter_files import save_adapters
from trm_jax.decoder.lora import AdaptedRows, init_adapters
from trm_jax.decoder.tuning import TraceTuner, TuningRecipe, TuningState, start_tuning
from trm_jax.output.staging import replace_text

ADAPTER = "adapter"
FEW = 5
"""Updates whose losses are averaged for a line of progress."""


class LossState(NamedTuple):
    """A tuning, and the loss of every update done."""

    tuning: TuningState
    losses: Float[Array, " updates"]


def tuned_adapters(
    args: argparse.Namespace,
    form: TextForm,
    policy: DecoderSimulation,
    scheme: str,
    taught: Sequence[GymTask],
    folder: StudyFolder,
) -> AdaptedRows:
    """Train adapters, save them, and return them.

    Args:
      taught: of `training_tasks`.
    """
    lora, size = lora_of(args), args.batch_size
    recipe = TuningRecipe(updates=args.lora_steps, learning_rate=args.adapter_lr, seed=args.seed)
    tuner = TraceTuner(policy.decoder, recipe, base=policy.params, lora=lora)
    widths = form.widths(item for task in taught for item in task.items)

    def update(now: LossState, number: int) -> tuple[LossState, Callable[[], str]]:
        turn, which = divmod(number, len(taught))
        items = taught[which].items[turn * size : (turn + 1) * size]
        tuning, loss = tuner.step(now.tuning, *form.batch(items, size, widths))
        losses = now.losses.at[number].set(loss)
        return LossState(tuning, losses), lambda: f"{loss:.3f} nats a token"

    first = init_adapters(jax.random.key(args.seed), policy.params, lora)
    start = LossState(start_tuning(first), jnp.zeros(recipe.updates, jnp.float32))
    ended = folder.trained("lora", start, recipe.updates, update)
    state, losses = ended.tuning, np.asarray(ended.losses)
    lines = [f"{number},{loss:.6f}\n" for number, loss in enumerate(losses, start=1)]
    replace_text(folder.path / "losses.csv", "update,nats_a_token\n" + "".join(lines))
    few = min(FEW, len(losses))
    folder.tell(
        f"loss: {losses[:few].mean():.3f} nats a token over the first {few} updates,"
        f" {losses[-few:].mean():.3f} over the last"
    )
    base = f"{form.loaded.origin} ({scheme})"
    save_adapters(folder.path / ADAPTER, state.tuned, lora, form.loaded.config, base)
    folder.tell(f"adapters are in {folder.path / ADAPTER}")
    return AdaptedRows(state.tuned, jnp.float32(lora.scale))


def training_tasks(args: argparse.Namespace, tasks: Sequence[GymTask]) -> tuple[GymTask, ...]:
    """Draw what all updates learn from, none of it answered.

    Raises:
      ValueError: a task with too few items.
    """
    turns = -(-args.lora_steps // len(tasks))
    asked = frozenset().union(*(task.questions for task in tasks))
    count = turns * args.batch_size
    return tuple(make_training_task(task.name, count, args.seed, asked) for task in tasks)
