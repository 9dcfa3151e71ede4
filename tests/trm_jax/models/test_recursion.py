"""The one-step gradient: through the end of the last H-cycle and nowhere else.

Values of the recursion are compared in test_properties.py and test_golden.py.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.support.samples import random_batch, random_weights, small
from tests.support.slow import slow_except
from trm_jax.config import Config, HRMConfig, Mixer, Positions, TRMConfig
from trm_jax.models.act import supervise
from trm_jax.models.build import build
from trm_jax.models.recursion import Networks, run_cycles_one_step_gradient
from trm_jax.types import Carry, Latents, Outputs, Params

CONFIGS: dict[str, Config] = {
    "attention": TRMConfig(**small(puzzle_emb_len=2, L_layers=1)),
    "mlp": TRMConfig(
        **small(puzzle_emb_len=2, L_layers=1, mixer=Mixer.MLP, positions=Positions.NONE)
    ),
    "hrm": HRMConfig(**small(L_layers=1, H_layers=1)),
}


def test_one_step_gradient_of_toy_networks_by_hand() -> None:
    def update_L(params: Params, z: jax.Array, injection: jax.Array) -> jax.Array:
        return params["a"] * (z + injection)

    def update_H(params: Params, z: jax.Array, injection: jax.Array) -> jax.Array:
        return params["b"] * (z + injection)

    def z_H(a: float, b: float, h: float, e: float, live: int) -> jax.Array:
        def state(x: float) -> jax.Array:
            return jnp.reshape(x, (1, 1, 1))

        latents = run_cycles_one_step_gradient(
            Networks(update_L, update_H),
            {"a": state(a), "b": state(b)},
            Latents(state(h), state(h)),
            state(e),
            H_cycles=2,
            L_cycles=2,
            live_L_cycles=live,
        )
        return latents.z_H[0, 0, 0]

    # a = 2, b = 3, z_H = z_L = 1, e = 5; small integers, so every product is exact.
    # cycle 1: z_L = 2(1+1+5) = 14, 2(14+6) = 40; z_H = 3(1+40) = 123, no gradient so far.
    # cycle 2: z_L = 2(40+128) = 336, 2(336+128) = 928; z_H = 3(123+928) = 3153.
    gradient = jax.grad(z_H, argnums=(0, 1, 2, 3))
    # HRM, one live update: d/da = b (336+128), d/db = 123+928, d/dh = 0, d/de = b a
    assert gradient(2.0, 3.0, 1.0, 5.0, 1) == (1392.0, 1051.0, 0.0, 6.0)
    # TRM, both: d/da = b ((336+128) + a (40+128)), d/db = 1051, d/dh = 0, d/de = b (a + a a)
    assert gradient(2.0, 3.0, 1.0, 5.0, 2) == (2400.0, 1051.0, 0.0, 18.0)
    assert z_H(2.0, 3.0, 1.0, 5.0, 1) == z_H(2.0, 3.0, 1.0, 5.0, 2) == 3153.0


@pytest.mark.parametrize("config", slow_except(CONFIGS.values(), CONFIGS["mlp"]), ids=CONFIGS)
def test_gradient_equals_an_unrolled_loop_with_stopped_states(config: Config) -> None:
    reasoner, weights, batch = build(config), random_weights(config), random_batch(config, 4)
    networks = reasoner.networks
    rows = weights.puzzle_emb[batch.puzzle_identifiers]
    start = reasoner.start(weights.buffers, 4)
    live = 1 if isinstance(config, HRMConfig) else config.L_cycles
    cotangent = jnp.asarray(np.random.default_rng(0).normal(size=(4, 4, 5)), jnp.float32)

    def score(out: Outputs) -> jax.Array:
        return jnp.sum(out.logits * cotangent) + jnp.sum(out.q_halt - out.q_continue)

    def loss(params: Params, rows: jax.Array, latents: Latents) -> jax.Array:
        halted = jnp.zeros(4, jnp.bool_)
        carry = Carry(latents, jnp.zeros(4, jnp.int32), halted, batch)
        return score(supervise(reasoner, params, rows, carry)[1])

    def unrolled(params: Params, rows: jax.Array, latents: Latents) -> jax.Array:
        e = reasoner.embed(params, batch.inputs, rows)
        z_H, z_L = latents
        left = config.H_cycles * (config.L_cycles + 1)  # applications still to come
        for _ in range(config.H_cycles):
            for _ in range(config.L_cycles):
                z_L = z_L if left <= live else jax.lax.stop_gradient(z_L)
                z_L = networks.update_L(params, z_L, z_H + e)
                left -= 1
                z_L = z_L if left <= live else jax.lax.stop_gradient(z_L)
            z_H = networks.update_H(params, z_H, z_L)
            left -= 1
            z_H = z_H if left == 0 else jax.lax.stop_gradient(z_H)
        return score(reasoner.read_out(params, z_H))

    arguments = (weights.params, rows, start)
    ours = jax.jit(jax.grad(loss, argnums=(0, 1, 2)))(*arguments)
    theirs = jax.jit(jax.grad(unrolled, argnums=(0, 1)))(*arguments)
    for a, b in zip(jax.tree.leaves(ours[:2]), jax.tree.leaves(theirs), strict=True):
        # the same products summed in another order; parity with PyTorch needs no more either
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * np.abs(b).max())
        assert np.abs(b).max() > 0
    assert all((np.asarray(z) == 0).all() for z in ours[2])  # nothing flows into the past
