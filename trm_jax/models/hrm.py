"""HRM: a high-level network of its own for z_H (wiring only)."""

from collections.abc import Callable

from trm_jax.config import HRMConfig
from trm_jax.models.attention import Attend, softmax_attention
from trm_jax.models.blocks import Level
from trm_jax.models.layers import as_computed, exact_dot_general
from trm_jax.models.reasoner import Reasoner, ReasonerModule
from trm_jax.models.recursion import identity
from trm_jax.types import Injection, Latents, OnState, SiteDotGeneral, State


class HRMModule(ReasonerModule):
    """Adds the H-level."""

    def setup(self) -> None:
        super().setup()
        assert isinstance(self.config, HRMConfig)
        c = self.config
        self.H_level = Level(c, c.H_layers, self.dot_general, self.on_state, self.attend)

    def update_H(self, z_H: State, injection: Injection) -> State:
        return self.H_level(z_H, injection)


def hrm(
    config: HRMConfig,
    dot_general: SiteDotGeneral = exact_dot_general,
    store: Callable[[Latents], Latents] = identity,
    on_state: OnState = as_computed,
    attend: Attend = softmax_attention,
) -> Reasoner:
    """Build an HRM; in training only the very last update of each state carries gradient."""
    module = HRMModule(config, dot_general, on_state, attend)
    return Reasoner(config, module, 1, store)
