"""TRM: one network updates both states (wiring only)."""

from collections.abc import Callable

from trm_jax.config import TRMConfig
from trm_jax.models.attention import Attend, softmax_attention
from trm_jax.models.layers import as_computed, exact_dot_general
from trm_jax.models.reasoner import Reasoner, ReasonerModule
from trm_jax.models.recursion import identity
from trm_jax.types import Injection, Latents, OnState, SiteDotGeneral, State


class TRMModule(ReasonerModule):
    """The L-level serves as the H-level too."""

    def update_H(self, z_H: State, injection: Injection) -> State:
        return self.L_level(z_H, injection)


def trm(
    config: TRMConfig,
    dot_general: SiteDotGeneral = exact_dot_general,
    store: Callable[[Latents], Latents] = identity,
    on_state: OnState = as_computed,
    attend: Attend = softmax_attention,
) -> Reasoner:
    """Build a TRM; in training every L-cycle of the last H-cycle carries gradient."""
    module = TRMModule(config, dot_general, on_state, attend)
    return Reasoner(config, module, config.L_cycles, store)
