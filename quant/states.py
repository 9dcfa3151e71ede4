"""Static int8 for what flows between products: naive static quantisation of every operator.

The scheme's a8s rounds the inputs of products and leaves the rest of the recursion in float,
which is the paper's "selective operator exclusion" (section 4.2). Its naive counterpart rounds
each tensor that a runtime would hold: the injection, block inputs, what a half-block adds, the
residual sums and the normalised states, each on one asymmetric grid per tensor over its
calibrated range. Left out: the insides of RMSNorm, softmax and SwiGLU.
"""

from dataclasses import dataclass

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from quant.affine import Grid, Range, Symmetry, fake_quantise, scale_zero_point
from quant.dot_general import Ranges

GRID = Grid(bits=8, symmetry=Symmetry.ASYMMETRIC)


@dataclass(frozen=True)
class StaticStates:
    """Rounds the state of every site (an `OnState`); hashable, so it can be static.

    Attributes:
      ranges: (site, low, high), from `calibrate.input_and_state_ranges`.
    """

    ranges: tuple[tuple[str, float, float], ...]

    def __call__(self, site: str, state: Float[Array, "*axes"]) -> Float[Array, "*axes"]:
        """Round one state; the dtype stays the arithmetic's.

        Raises:
          ValueError: the site was not calibrated.
        """
        found = {name: (low, high) for name, low, high in self.ranges}
        if site not in found:
            raise ValueError(f"no calibrated range for {site!r}; calibrated: {', '.join(found)}")
        span = Range(*map(jnp.float32, found[site]))
        affine = scale_zero_point(span, GRID)
        return jnp.asarray(fake_quantise(state, affine, GRID), state.dtype)


def static_states(ranges: Ranges) -> StaticStates:
    """Freeze calibrated ranges."""
    return StaticStates(tuple((site, low, high) for site, (low, high) in sorted(ranges.items())))
