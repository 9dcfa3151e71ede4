"""Which values a static range covers: all positions, or the cells of a puzzle alone.

A recursive network with an MLP mixer keeps a few huge numbers in the positions of the puzzle
prefix: in the bundled Sudoku models a product of SwiGLU there is 13 to 20 times any of a cell's. A
grid over the whole range has few steps left for the cells. What the prefix holds hardly matters to
the answer, because a norm follows, so ranges of the cells alone let it saturate (`Ranges.CELLS`;
in names of schemes, activations end in `-cells`).

Sown inputs and tensors of integer networks have their positions on the last axis but one, or, where
positions are mixed, on the last; inner channels of that mixing, and the halting logits, have none.
States between the operators of a mixing half, `mlp_t_sum`, have them first.

Source: massive activations in gated linear units (arXiv 2405.14428), prefixes that hold them
(PrefixQuant, arXiv 2410.05265). Not here: how ranges become grids (quant/affine.py).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
from jax import Array
from jaxtyping import Float

from quant.scheme import Ranges

Select = Callable[[str, Array], Array]
"""(site, values) -> those of them that a range covers."""

WITHOUT_POSITIONS = ("q_head", "scores", "share")
"""Last words of sites whose values have no axis of positions, or several."""
MIXING = "mlp_t"  # a path through here has positions last
MIXED_INPUTS = ("gate_up_proj",)
MIXED_OUTPUTS = ("down_proj", "sum", "norm", "square")
"""Last words of the sites there whose inputs, or outputs, have positions at all."""


def all_values(site: str, x: Array) -> Array:
    """Cover everything."""
    del site
    return x


def select_inputs(ranges: Ranges, prefix_len: int) -> Select:
    """Choose what the range of a product's input covers."""
    return _select(ranges, prefix_len, MIXED_INPUTS)


def select_outputs(ranges: Ranges, prefix_len: int) -> Select:
    """Choose what the range of an operator's output covers."""
    return _select(ranges, prefix_len, MIXED_OUTPUTS)


def select_seen(ranges: Ranges, prefix_len: int) -> Select:
    """Choose what the range of a product's input, or of a state between operators, covers."""
    inputs = select_inputs(ranges, prefix_len)

    def select(site: str, x: Array) -> Array:
        if not _last_word(site).startswith(f"{MIXING}_"):
            return inputs(site, x)
        return x if ranges is Ranges.ALL else x[prefix_len:]

    return select


def _select(ranges: Ranges, prefix_len: int, mixed: tuple[str, ...]) -> Select:
    if ranges is Ranges.ALL:
        return all_values
    return partial(_without_prefix, prefix_len, mixed)


def _without_prefix(
    prefix_len: int, mixed: tuple[str, ...], site: str, x: Float[Array, "..."]
) -> Array:
    """Leave out the positions of the puzzle prefix."""
    last = _last_word(site)
    if MIXING in site.split("/"):
        return x[..., prefix_len:] if last in mixed else x
    return x if last in WITHOUT_POSITIONS else x[..., prefix_len:, :]


def _last_word(site: str) -> str:
    return site.rsplit("/", 1)[-1]


@jax.tree_util.register_static
@dataclass(frozen=True)
class RangedSite:
    """A product or state and what its ranges cover: static beside what is measured of it."""

    name: str
    ranges: Ranges
    prefix_len: int

    def input(self, x: Array) -> Array:
        return select_inputs(self.ranges, self.prefix_len)(self.name, x)

    def seen(self, x: Array) -> Array:
        return select_seen(self.ranges, self.prefix_len)(self.name, x)

    def output(self, y: Array) -> Array:
        return select_outputs(self.ranges, self.prefix_len)(self.name, y)
