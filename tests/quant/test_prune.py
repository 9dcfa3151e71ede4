"""Structured pruning against a loop over output neurons."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quant.prune import blocks_only, kept_weights, prune
from tests.support.samples import random_weights, small
from trm_jax.config import Mixer, Positions, TRMConfig

CONFIG = TRMConfig(**small(mixer=Mixer.MLP, positions=Positions.NONE))


@pytest.fixture(scope="module")
def params():
    return random_weights(CONFIG, seed=3).params


def without_weakest(kernel: np.ndarray, share: float) -> np.ndarray:
    """Zero the weakest output neurons one by one."""
    out = kernel.copy()
    for _ in range(int(share * kernel.shape[1])):
        alive = [j for j in range(kernel.shape[1]) if out[:, j].any()]
        weakest = min(alive, key=lambda j: float(np.sum(kernel[:, j].astype(np.float64) ** 2)))
        out[:, weakest] = 0
    return out


@pytest.mark.parametrize("share", [0.25, 0.5, 0.3])
def test_the_weakest_neurons_of_every_linear_go(params, share):
    pruned = prune(params, share)
    for kernel, left in (
        (params["lm_head"]["kernel"], pruned["lm_head"]["kernel"]),
        (
            params["L_level"]["layers_1"]["mlp_t"]["gate_up_proj"]["kernel"],
            pruned["L_level"]["layers_1"]["mlp_t"]["gate_up_proj"]["kernel"],
        ),
    ):
        np.testing.assert_array_equal(left, without_weakest(np.asarray(kernel), share))


def test_what_is_no_kernel_stays_and_heads_can_be_spared(params):
    pruned = prune(params, 0.5, blocks_only)
    for name in ("embed_tokens", "lm_head", "q_head"):
        for leaf in params[name]:
            np.testing.assert_array_equal(pruned[name][leaf], params[name][leaf])
    assert kept_weights(pruned) < kept_weights(params)


def test_kept_weights_counts_whole_neurons(params):
    total = sum(leaf.size for leaf in jax.tree.leaves(params))
    gone = kept_weights(params) - kept_weights(prune(params, 0.5))
    kernels = [
        np.asarray(linear["kernel"])
        for layer in params["L_level"].values()
        for half in layer.values()
        for linear in half.values()
    ] + [np.asarray(params[head]["kernel"]) for head in ("lm_head", "q_head")]
    assert gone == sum(k.shape[0] * (k.shape[1] // 2) for k in kernels)
    assert kept_weights(prune(params, 0.0)) == total


def test_of_equal_neurons_the_first_goes():
    kernel = jnp.ones((3, 4))
    pruned = prune({"mlp": {"kernel": kernel}}, 0.25)["mlp"]["kernel"]
    np.testing.assert_array_equal(np.asarray(pruned)[0], [0, 1, 1, 1])


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_shares_are_checked(params, share):
    with pytest.raises(ValueError, match=r"share must lie in \[0, 1\)"):
        prune(params, share)
