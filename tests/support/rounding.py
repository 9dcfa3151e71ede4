"""How far two correct float32 runs of one recursion may drift apart.

A recursion amplifies rounding: with random weights TRM-MLP grows a difference about fivefold
per supervision step, so no fixed tolerance fits. The yardstick is measured instead: move
every entry of the initial states by one float32 ulp (random direction) and see how far the
run moves. Another order of summation, fusion or library injects about as much at every
application of a network; these injections are independent, so after m applications they add
up to at most sqrt(m) times what the first one became. That is the bound.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from trm_jax.types import Buffers, Latents


def rms(x: object) -> float:
    """Root mean square over all entries, in float64."""
    return float(np.sqrt(np.mean(np.square(np.asarray(x, np.float64)))))


def one_ulp_away(x: jax.Array, seed: int) -> jax.Array:
    """Move every float32 entry to its upper or lower neighbour."""
    up = np.random.default_rng(seed).random(x.shape) < 0.5
    return jnp.asarray(np.nextafter(np.asarray(x), np.where(up, np.inf, -np.inf), dtype=np.float32))


def allowed_drift(
    run: Callable[[Buffers], Latents], buffers: Buffers, applications: int, seeds: int = 4
) -> Latents:
    """Bound the rms drift of both states along a trajectory.

    Args:
      run: from initial states to both states along a leading axis of observations.
      applications: network applications from one observation to the next.

    Returns:
      A bound per observation, in the slots of z_H and z_L.
    """
    straight = run(buffers)
    moved = [run(jax.tree.map(lambda x, s=s: one_ulp_away(x, s), buffers)) for s in range(seeds)]
    done = applications * np.arange(1, straight.z_H.shape[0] + 1)

    def bound(name: str) -> np.ndarray:
        plain = np.asarray(getattr(straight, name))
        drift = [
            [rms(a - b) for a, b in zip(plain, np.asarray(getattr(m, name)), strict=True)]
            for m in moved
        ]
        return np.sqrt(done) * np.mean(drift, axis=0)

    return Latents(bound("z_H"), bound("z_L"))
