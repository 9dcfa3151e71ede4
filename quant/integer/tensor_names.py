"""Names of the tensors of an integer network, and the widths of their integers by role.

A name is a record; what encodings, manifests and graphs hold is its printed form:

    site                   L_level/layers_0/mlp/silu
    site/HEAD              L_level/layers_0/self_attn/scores/1
    site/HEAD/step         L_level/layers_0/self_attn/qkv_proj/q/1/rotated/cos
    ...@BITS               the same numbers in integers of another width than the tensor's own

The tensors of all heads, stacked, print a * for the head. Attention chooses the width of a tensor
by its role, so that sums of large range can have 16 bits where products have 8. The MLP mixer has
one width, but for states that a scheme names (`wide_state`).

Not here: scales and zero points (encoding.py), how ranges become encodings (calibration.py).
"""

import enum
from dataclasses import asdict, dataclass, replace
from typing import Literal

from quant.integer.encoding import BITS
from quant.scheme import WideState
from trm_jax.config import ReasonerConfig


class AllHeads(enum.Enum):
    """In place of a head's number: the tensors of all heads, stacked along a new first axis."""

    ALL = "*"


ALL_HEADS = AllHeads.ALL
Head = int | Literal[AllHeads.ALL]


class ActivationRole(enum.Enum):
    """What a tensor is for; the fields of `BitWidths` say what belongs to each."""

    STATE = "state"
    PRODUCT = "product"
    GATE = "gate"
    SCORES = "scores"
    SHARE = "share"


WORDS = {
    ActivationRole.STATE: ("z", "injection", "h", "norm", "lm_head", "q_head"),
    ActivationRole.PRODUCT: ("q", "k", "v", "o_proj", "gate_up_proj", "down_proj"),
    ActivationRole.GATE: ("silu", "sigmoid", "product"),
    ActivationRole.SCORES: ("rotary", "rotated", "cos", "sin", "scores"),
    ActivationRole.SHARE: ("share", "mixed"),
}
"""Last words of the names of an attention network's tensors, by role."""
ROLES = {word: role for role, words in WORDS.items() for word in words}


@dataclass(frozen=True)
class TensorName:
    """Name of a tensor; `str` gives the printed form.

    Attributes:
      site: words joined by slashes, none of them a number.
      head: number of a head, or all of them; None: a tensor that heads do not have apart.
      step: words behind the head, of what is computed from the site's tensor.
      bits: of integers of another width than the tensor's own; None: its own.
    """

    site: str
    head: Head | None = None
    step: str = ""
    bits: int | None = None

    def __str__(self) -> str:
        head = self.head.value if isinstance(self.head, AllHeads) else self.head
        words = (self.site, *(() if head is None else (str(head),)), *filter(None, (self.step,)))
        return "/".join(words) + ("" if self.bits is None else f"@{self.bits}")

    def __lt__(self, other: "TensorName") -> bool:
        """Order by printed form: names are keys of pytrees, which JAX sorts."""
        return str(self) < str(other)

    @property
    def role(self) -> ActivationRole:
        """Look up the role.

        Raises:
          KeyError: a name that no operator of attention gives.
        """
        return ROLES[(self.step or self.site).rsplit("/", 1)[-1]]

    def then(self, word: str) -> "TensorName":
        """Name what is computed from this tensor."""
        if self.head is None:
            return replace(self, site=f"{self.site}/{word}")
        return replace(self, step=f"{self.step}/{word}" if self.step else word)

    def beside(self, word: str) -> "TensorName":
        """Name another tensor of the same module: the last word of the site is replaced."""
        return replace(self, site=f"{self.site.rsplit('/', 1)[0]}/{word}")

    def of_head(self, head: int) -> "TensorName":
        """Name one head's tensor among those of all heads; what heads share stays."""
        return replace(self, head=head) if self.head is ALL_HEADS else self

    def with_bits(self, bits: int) -> "TensorName":
        """Name the same numbers in integers of a width that is not the tensor's own."""
        return replace(self, bits=bits)


STATE = TensorName("z")
INJECTION = TensorName("injection")
SQUARE, INVERSE = "square", "inverse"
"""Words behind a norm's name: the squares of its input, 1 / root mean square of a row."""
ROTARY = TensorName("rotary")
"""The tables of rotary positions."""


@dataclass(frozen=True, kw_only=True)
class BitWidths:
    """Bits of an attention network's activations by role, 8 or 16.

    Attributes:
      state: z, injection, their sum, what norms give, and what the heads decode.
      product: into and out of the products with weights.
      gate: SwiGLU between its two products.
      scores: rotary positions, and queries times keys.
      share: the softmax, and shares times values.

    Raises:
      ValueError: another width.
    """

    state: int
    product: int
    gate: int
    scores: int
    share: int

    def __post_init__(self) -> None:
        for name, bits in asdict(self).items():
            if bits not in BITS:
                raise ValueError(f"{name} must be one of {list(BITS)} bits, got {name}={bits}")

    def of(self, role: ActivationRole) -> int:
        """Look up the width of a role."""
        widths = {
            ActivationRole.STATE: self.state,
            ActivationRole.PRODUCT: self.product,
            ActivationRole.GATE: self.gate,
            ActivationRole.SCORES: self.scores,
            ActivationRole.SHARE: self.share,
        }
        return widths[role]


INT8 = BitWidths(state=8, product=8, gate=8, scores=8, share=8)
INT16 = BitWidths(state=16, product=16, gate=16, scores=16, share=16)
MIXED = BitWidths(state=16, product=8, gate=16, scores=16, share=16)
"""int8 only where weights are multiplied, which is nearly all of the work."""


WIDE_SITES = {
    "L_level/h": WideState.INPUT,
    "mlp_t/gate_up_proj": WideState.MIXER_GATE,
    "mlp_t/silu": WideState.MIXER_SILU,
    "mlp_t/product": WideState.MIXER_PRODUCT,
    "mlp_t/down_proj": WideState.MIXER_OUT,
    "mlp_t/sum": WideState.MIXER_SUM,
    "mlp_t/norm": WideState.MIXER_NORM,
    "mlp/gate_up_proj": WideState.CHANNEL_GATE,
    "mlp/silu": WideState.CHANNEL_SILU,
    "mlp/product": WideState.CHANNEL_PRODUCT,
    "mlp/down_proj": WideState.CHANNEL_OUT,
    "mlp/sum": WideState.CHANNEL_SUM,
    f"norm/{SQUARE}": WideState.NORMS,
    f"norm/{INVERSE}": WideState.NORMS,
}
"""What a scheme calls the states of the MLP mixer, by the last two words of their sites."""


def wide_state(name: TensorName) -> WideState | None:
    """Find what a scheme calls a state of the MLP mixer; None: it has the network's own width."""
    return WIDE_SITES.get("/".join(name.site.split("/")[-2:]))


MOST_FLAT = 511
"""Positions that int8 SOFTMAX takes whatever they hold (kernels/softmax.py)."""


def int8_widths(config: ReasonerConfig) -> BitWidths:
    """Choose int8 everywhere, but for the softmax of long rows: its int8 kernel may abort.

    Where more than 511 scores are alike, the sum of exponentials does not fit that kernel; and
    its results, in steps of 1/256, would all be 0.
    """
    return INT8 if config.num_positions <= MOST_FLAT else replace(INT8, share=16)
