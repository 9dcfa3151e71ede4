"""Knowledge distillation: a training objective that follows a teacher's answers (App. K).

    loss = share * T^2 KL(softmax(teacher / T) || softmax(student / T)) + (1 - share) * released

The teacher's logits are computed once for all training puzzles and looked up by number: in the
student's training set `puzzle_identifiers` counts the puzzles. A student trained so has no
puzzle embedding of its own (its table stays zero), which tasks without identifiers do not miss.
"""

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from trm_jax.models.act import rollout
from trm_jax.models.reasoner import Reasoner
from trm_jax.training.step import Objective, supervised
from trm_jax.types import IGNORE_LABEL, Batch, Carry, Latents, Logits, Outputs, Params, Weights

TaughtLogits = Float[Array, "ids seq vocab"]
"""The teacher's answer to every training puzzle."""


def distillation(taught: TaughtLogits, *, temperature: float, share: float) -> Objective:
    """Make the objective.

    Args:
      taught: teacher's logits, one row per number in `puzzle_identifiers`.
      temperature: T.
      share: weight of the teacher; the labels have the rest.

    Raises:
      ValueError: a share outside [0, 1], or a temperature that is not positive.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share must lie in [0, 1], got share={share}")
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, got temperature={temperature}")

    def objective(
        params: Params, rows: Float[Array, "batch id_emb"], reasoner: Reasoner, carry: Carry
    ) -> tuple[Float[Array, ""], tuple[Latents, Outputs]]:
        released, (latents, out) = supervised(params, rows, reasoner, carry)
        teacher = taught[carry.batch.puzzle_identifiers]
        soft = divergence(teacher, out.logits, temperature)
        scored = carry.batch.labels != IGNORE_LABEL
        cells = jnp.maximum(jnp.sum(scored), 1).astype(jnp.float32)
        mean = jnp.sum(jnp.where(scored, soft, 0.0)) / cells
        return share * mean + (1 - share) * released, (latents, out)

    return objective


def divergence(teacher: Logits, student: Logits, temperature: float) -> Float[Array, "batch seq"]:
    """Compute T^2 KL(teacher || student) of every cell at temperature T, float32."""
    p = jax.nn.log_softmax(teacher.astype(jnp.float32) / temperature, axis=-1)
    q = jax.nn.log_softmax(student.astype(jnp.float32) / temperature, axis=-1)
    return temperature**2 * jnp.sum(jnp.exp(p) * (p - q), axis=-1)


def teach(teacher: Reasoner, weights: Weights, batch: Batch, *, steps: int) -> Logits:
    """Compute a teacher's logits after some supervision steps."""
    latents, _ = rollout(teacher, weights, batch, steps=steps, observe=lambda _: None)
    return teacher.read_out(weights.params, latents.z_H).logits
