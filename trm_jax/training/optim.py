"""Optimisers of the released recipe (REFERENCE 1.5): AdamATan2, sign-SGD, schedule, EMA.

AdamW is there beside AdamATan2, because public reproductions of the release use it, and Muon,
because it is what is compared with either today. Not here: the hyper-parameters of a run
(recipe.py).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jaxtyping import Float, Int

from trm_jax.training.recipe import Optimizer
from trm_jax.types import Params, PuzzleTable

Combine = Callable[[Array, Array, Array], Array]
"""(m, root of the corrected v, correction of m) -> direction."""


class MomentState(NamedTuple):
    """The number of updates done, and first and second moments."""

    count: Int[Array, ""]
    m: Params
    v: Params


def scale_by_moments(b1: float, b2: float, combine: Combine) -> optax.GradientTransformation:
    """Make a direction of gradient moments.

    m <- b1 m + (1-b1) g;  v <- b2 v + (1-b2) g^2;
    direction = combine(m, sqrt(v) / sqrt(1-b2^t), 1-b1^t).
    """

    def init(params: Params) -> MomentState:
        zeros = jax.tree.map(jnp.zeros_like, params)
        return MomentState(jnp.zeros((), jnp.int32), zeros, zeros)

    def update(
        grads: Params, state: MomentState, params: Params | None = None
    ) -> tuple[Params, MomentState]:
        del params
        count = state.count + 1
        t = count.astype(jnp.float32)
        m = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, state.m, grads)
        v = jax.tree.map(lambda v, g: b2 * v + (1 - b2) * g * g, state.v, grads)
        c1, c2 = 1 - b1**t, jnp.sqrt(1 - b2**t)
        direction = jax.tree.map(lambda m, v: combine(m, jnp.sqrt(v) / c2, c1), m, v)
        return direction, MomentState(count, m, v)

    return optax.GradientTransformation(init, update)  # type: ignore[arg-type]


def scale_by_adam_atan2(b1: float = 0.9, b2: float = 0.95) -> optax.GradientTransformation:
    """Make Adam's direction with atan2 instead of a division (no epsilon, bounded by pi/2)."""
    return scale_by_moments(b1, b2, lambda m, root, c1: jnp.arctan2(m, root) / c1)


NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_TURNS = 5
"""Muon's quintic and how often it is applied: singular values then lie in about [.7, 1.2]."""

ADAMS_RMS = 0.2
"""Root mean square of Adam's steps in practice: Muon's are scaled to it, so rates carry over."""

Path = tuple[Any, ...]


def orthogonalised(matrix: Float[Array, "rows columns"]) -> Float[Array, "rows columns"]:
    """Bring the singular values of a matrix near 1 and leave its singular vectors."""
    rows, columns = matrix.shape
    x = matrix.T if rows > columns else matrix
    x = x / (jnp.sqrt(jnp.sum(x * x)) + 1e-8)
    a, b, c = NEWTON_SCHULZ
    for _ in range(NEWTON_SCHULZ_TURNS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if rows > columns else x


def is_hidden_matrix(path: Path, leaf: Array) -> bool:
    """Whether Muon moves a parameter: kernels of the levels; not embeddings, heads and biases."""
    name = jax.tree_util.keystr(path, simple=True, separator="/")
    return leaf.ndim == 2 and name.endswith("kernel") and "head" not in name


def scale_by_muon(b1: float, b2: float, eps: float) -> optax.GradientTransformation:
    """Make Muon's direction: Nesterov's momentum of b1, orthogonalised, as long as Adam's.

    What is no hidden matrix moves as by AdamW. Both moments are kept of every parameter, so that
    states of all optimisers are read alike.
    """
    adam = scale_by(Optimizer.ADAMW, b1=b1, b2=b2, eps=eps)

    def update(
        grads: Params, state: MomentState, params: Params | None = None
    ) -> tuple[Params, MomentState]:
        moved, new = adam.update(grads, state, params)  # type: ignore[arg-type]
        t = new.count.astype(jnp.float32)  # type: ignore[attr-defined]

        def of(path: Path, step: Array, m: Array, g: Array) -> Array:
            if not is_hidden_matrix(path, g):
                return step
            ahead = b1 * m / (1 - b1 ** (t + 1)) + (1 - b1) * g / (1 - b1**t)
            return orthogonalised(ahead) * (ADAMS_RMS * max(g.shape) ** 0.5)

        direction = jax.tree_util.tree_map_with_path(of, moved, new.m, grads)  # type: ignore[attr-defined]
        return direction, new  # type: ignore[return-value]

    return optax.GradientTransformation(adam.init, update)  # type: ignore[arg-type]


def scale_by(
    optimizer: Optimizer, *, b1: float, b2: float, eps: float
) -> optax.GradientTransformation:
    """Make the direction of an optimiser.

    AdamW's is `optax.scale_by_adam`, Muon's `optax.contrib.scale_by_muon`; both are written
    again because those mix dtypes implicitly.

    Args:
      eps: AdamW's term beside the root of the corrected v (and Muon's, for what it leaves to
        AdamW); AdamATan2 has none. Where it is not small against a weight's gradients, it
        shrinks that weight's steps.
    """
    if optimizer is Optimizer.MUON:
        return scale_by_muon(b1, b2, eps)
    if optimizer is Optimizer.ADAMW:
        return scale_by_moments(b1, b2, lambda m, root, c1: m / c1 / (root + eps))
    return scale_by_adam_atan2(b1, b2)


def shortened(grads: Params, longest: float) -> Params:
    """Scale gradients down to a length (the norm over all parameters) where they are longer."""
    square = sum((jnp.sum(g * g) for g in jax.tree.leaves(grads)), jnp.zeros(()))
    scale = longest / jnp.maximum(jnp.sqrt(square), longest)
    return jax.tree.map(lambda g: g * scale, grads)


def apply_decoupled(
    params: Params, direction: Any, lr: Float[Array, ""], weight_decay: float
) -> Params:
    """Move: p <- p (1 - lr wd) - lr direction. Decay reaches every parameter, as released."""
    return jax.tree.map(lambda p, d: p * (1 - lr * weight_decay) - lr * d, params, direction)


def sign_sgd(
    table: PuzzleTable,
    ids: Int[Array, " batch"],
    grads: Float[Array, "batch id_emb"],
    lr: Float[Array, ""],
    weight_decay: float,
) -> PuzzleTable:
    """Update the rows of a batch: gradients of duplicates are summed, then only signs count.

    Rows that are not in the batch are untouched (no decay either).
    """
    summed = jax.ops.segment_sum(grads, ids, num_segments=table.shape[0])
    hit = jax.ops.segment_sum(jnp.ones_like(ids), ids, num_segments=table.shape[0]) > 0
    moved = table * (1 - lr * weight_decay) - lr * jnp.sign(summed)
    return jnp.where(hit[:, None], moved, table)


def learning_rate(
    step: Int[Array, ""],
    *,
    base: float,
    warmup_steps: int | Int[Array, ""],
    total_steps: int | Int[Array, ""],
    min_ratio: float,
) -> Float[Array, ""]:
    """Warm up linearly, then follow a cosine down to base * min_ratio (constant at 1.0).

    Args:
      step: counted from 1 at the first update.
    """
    t, warmup, total = (jnp.asarray(x, jnp.float32) for x in (step, warmup_steps, total_steps))
    progress = jnp.clip((t - warmup) / jnp.maximum(1.0, total - warmup), 0.0, 1.0)
    cosine = min_ratio + (1 - min_ratio) * 0.5 * (1 + jnp.cos(jnp.pi * progress))
    return base * jnp.minimum(t / jnp.maximum(1.0, warmup), 1.0) * cosine


def ema_update(average: Params, params: Params, decay: float | Float[Array, ""]) -> Params:
    """Follow the parameters: average <- decay average + (1 - decay) params."""
    return jax.tree.map(lambda a, p: decay * a + (1 - decay) * p, average, params)
