"""From a configuration to its reasoner."""

from collections.abc import Callable

from trm_jax.config import Config, HRMConfig
from trm_jax.models.attention import Attend, softmax_attention
from trm_jax.models.hrm import hrm
from trm_jax.models.layers import as_computed, exact_dot_general
from trm_jax.models.reasoner import Reasoner
from trm_jax.models.recursion import identity
from trm_jax.models.trm import trm
from trm_jax.types import Latents, OnState, SiteDotGeneral


def build(
    config: Config,
    dot_general: SiteDotGeneral = exact_dot_general,
    store: Callable[[Latents], Latents] = identity,
    on_state: OnState = as_computed,
    attend: Attend = softmax_attention,
) -> Reasoner:
    """Build the reasoner that the configuration describes."""
    if isinstance(config, HRMConfig):
        return hrm(config, dot_general, store, on_state, attend)
    return trm(config, dot_general, store, on_state, attend)
