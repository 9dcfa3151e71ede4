"""Train puzzle rows of new tasks on their demonstrations, the backbone frozen.

The step is the training step of step.py with one thing left of it: sign-SGD on the rows. Slots,
halting, exploration and loss are the same, so that rows are trained as the table's were.
"""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Int

from trm_jax.models.act import empty_carry, halt, refill
from trm_jax.models.reasoner import Reasoner
from trm_jax.training.augment import no_augmentation
from trm_jax.training.optim import sign_sgd
from trm_jax.training.step import draw, supervised
from trm_jax.types import Batch, Carry, Weights


@dataclass(frozen=True, kw_only=True)
class RowRecipe:
    """How rows are trained. Rate and decay are those of the released ARC recipe.

    Attributes:
      steps: updates.
      batch_size: slots.
    """

    steps: int
    batch_size: int = 64
    lr: float = 1e-2
    weight_decay: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {name}={getattr(self, name)}")


class RowState(NamedTuple):
    """What a step hands to the next."""

    rows: Float[Array, "ids id_emb"]
    carry: Carry


def train_rows(
    reasoner: Reasoner,
    weights: Weights,
    rows: Float[Array, "ids id_emb"],
    demonstrations: Batch,
    recipe: RowRecipe,
) -> tuple[Float[Array, "ids id_emb"], Float[Array, " updates"]]:
    """Train rows; parameters and initial states are not touched.

    Args:
      rows: where they begin, the mean row of a table as a rule.
      demonstrations: their identifiers number `rows`.

    Returns:
      The rows and the loss of each update.
    """
    slots = jax.tree.map(
        lambda a: jnp.zeros((recipe.batch_size, *a.shape[1:]), jnp.int32), demonstrations
    )
    carry = empty_carry(reasoner, weights.buffers, slots)
    # slots are filled by turns (see Recipe.stagger): else a batch sees the same few for 16 updates
    turns = jnp.arange(recipe.batch_size, dtype=jnp.int32) % reasoner.config.halt_max_steps
    # a slot that waits for its turn holds puzzle 0 of no cells, whose row decays: a row for nobody
    state = RowState(
        jnp.concatenate([jnp.zeros_like(rows[:1]), rows]),
        carry._replace(steps=turns, halted=turns == 0),
    )
    demonstrations = demonstrations._replace(
        puzzle_identifiers=demonstrations.puzzle_identifiers + 1
    )
    losses = []
    for step in range(1, recipe.steps + 1):  # counted as a training run counts
        state, loss = update(reasoner, recipe, weights, demonstrations, state, jnp.int32(step))
        losses.append(loss)
    return state.rows[1:], jnp.stack(losses)


@partial(jax.jit, static_argnames=("reasoner", "recipe"), donate_argnames="state")
def update(
    reasoner: Reasoner,
    recipe: RowRecipe,
    weights: Weights,
    demonstrations: Batch,
    state: RowState,
    step: Int[Array, ""],
) -> tuple[RowState, Float[Array, ""]]:
    """Draw, refill, run one supervision step, move the rows by the signs of their gradients."""
    data_key, halt_key = jax.random.split(jax.random.fold_in(jax.random.key(recipe.seed), step))
    incoming = draw(data_key, demonstrations, recipe.batch_size, no_augmentation)
    carry = refill(reasoner, weights.buffers, state.carry, incoming)
    ids = carry.batch.puzzle_identifiers
    gradient = jax.value_and_grad(supervised, argnums=1, has_aux=True)
    (loss, (latents, out)), grads = gradient(weights.params, state.rows[ids], reasoner, carry)
    steps = carry.steps + 1
    halted = halt(reasoner.config, out, steps, halt_key)
    lr = jnp.float32(recipe.lr)
    rows = sign_sgd(state.rows, ids, grads, lr, recipe.weight_decay)
    return RowState(rows, Carry(latents, steps, halted, carry.batch)), loss
