"""What a training step does around its gradient: slots in turns, and a watch on infinities."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from trm_jax.reasoner import Reasoner
from trm_jax.types import Carry, Params, Weights

Gradient = Callable[..., Any]
"""(params, rows, reasoner, carry) -> (loss, (latents, outputs)), (grads, row_grads)."""


def in_turns(gradient: Gradient, turns: int) -> Gradient:
    """Take the gradient over the slots in turns, one after the other.

    Slot i belongs to turn i % turns: each device keeps its own slots.
    """
    if turns == 1:
        return gradient

    def deal(x: Array) -> Array:
        return x.reshape(-1, turns, *x.shape[1:]).swapaxes(0, 1)

    def gather(x: Array) -> Array:
        return x.swapaxes(0, 1).reshape(-1, *x.shape[2:])

    def whole(params: Params, rows: Array, reasoner: Reasoner, carry: Carry) -> Any:
        def turn(sums: Any, slots: tuple[Array, Carry]) -> tuple[Any, Any]:
            (loss, seen), (grads, row_grads) = gradient(params, slots[0], reasoner, slots[1])
            return jax.tree.map(jnp.add, sums, (loss, grads)), (seen, row_grads)

        nothing = (jnp.zeros(()), jax.tree.map(jnp.zeros_like, params))
        sums, (seen, row_grads) = jax.lax.scan(turn, nothing, jax.tree.map(deal, (rows, carry)))
        # a turn's loss is the mean over its own slots
        loss, grads = jax.tree.map(lambda x: x / turns, sums)
        return (loss, jax.tree.map(gather, seen)), (grads, gather(row_grads) / turns)

    return whole


def watched(grads: Params, weights: Weights, optimiser: Any) -> dict[str, Any]:
    """Name the tensors that must stay finite."""
    return {"gradient": grads, "optimiser": optimiser, "weights": weights}


def watched_names(weights: Weights, optimiser: Any) -> list[str]:
    """List the names of these tensors in the order in which `first_not_finite` counts."""
    tree = watched(weights.params, weights, optimiser)
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in leaves]


def first_not_finite(tree: Any) -> Float[Array, ""]:
    """Number the first tensor with an infinity or NaN, counted from 1; 0 if there is none."""
    bad = jnp.stack([~jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(tree)])
    return jnp.where(jnp.any(bad), jnp.argmax(bad) + 1, 0).astype(jnp.float32)
