"""What a decoder costs on a device: work, weight bytes read, state, from lengths and shapes.

The counterpart of estimate.py for tokens. A prompt is read in one pass over all weights; every
token that is written is one more pass. Products are counted as there, two operations for a
multiply-accumulate; the head is counted, since it runs for every token that is written.

    work         matrices x (prompt + written), head x written, attention over what was seen
    bytes read   blocks x (1 + passes), head x written; embeddings are rows and are not counted
    state        keys and values at the longest; nothing else outlives a token

Not here: recursion (estimate.py), and what a quantised matrix takes (quant/packing.py).
"""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from export.footprint.estimate import Work
from quant.carry import kv_store
from quant.precision_plan import PrecisionPlan
from quant.ptq import weights
from quant.scheme import Scheme
from trm_jax.decoder.config import DecoderConfig
from trm_jax.decoder.kv_cache import bytes_per_token
from trm_jax.decoder.transformer import Decoder
from trm_jax.types import Buffers, Params, Weights

HEAD = "lm_head/"
TABLE = "embed_tokens/"

Counts = Int[np.ndarray, " puzzles"]
Costs = Float[np.ndarray, " puzzles"]


@dataclass(frozen=True, kw_only=True)
class DecoderFootprint:
    """A decoder under a scheme.

    Attributes:
      num_parameters: all weights.
      total: stored bytes of everything.
      blocks, head: stored bytes of the layers with the last norm, and of the head.
      block_macs, head_macs: multiply-accumulates of a token in them.
    """

    config: DecoderConfig
    scheme: Scheme
    num_parameters: int
    total: int
    blocks: int
    head: int
    block_macs: int
    head_macs: int

    @property
    def token_bytes(self) -> int:
        """Bytes of the keys and values of one token, in the arithmetic's format or the scheme's."""
        return bytes_per_token(self.config, kv_store(self.scheme))

    def work(self, prompt: int, written: int) -> Work:
        """Count the GFLOPs of a puzzle."""
        linear = self.block_macs * (prompt + _passes(written)) + self.head_macs * written
        seen = prompt + _passes(written)
        width = self.config.num_layers * self.config.num_heads * self.config.head_dim
        attention = 2 * width * seen * (seen + 1) // 2  # a token sees itself and those before
        return Work(2e-9 * linear, 2e-9 * attention)

    def gflops(self, prompt: Counts, written: Counts) -> Costs:
        """Count the GFLOPs of every puzzle."""
        pairs = zip(prompt.tolist(), written.tolist(), strict=True)
        return np.array([self.work(*pair).total for pair in pairs])

    def bytes_read(self, written: Counts) -> Costs:
        """Count the bytes of weights read for every puzzle at batch 1."""
        passes = 1 + np.maximum(written - 1, 0)
        return (self.blocks * passes + self.head * written).astype(np.float64)

    def state_bytes(self, prompt: Counts, written: Counts) -> Costs:
        """Count the bytes of every puzzle's cache at its longest."""
        return (self.token_bytes * (prompt + np.maximum(written - 1, 0))).astype(np.float64)


def _passes(written: int) -> int:
    """The last token that is written is not read again."""
    return max(written - 1, 0)


def decoder_footprint(config: DecoderConfig, scheme: Scheme) -> DecoderFootprint:
    """Count everything about a decoder under a scheme; no weight is read.

    A scheme that names an arithmetic (fp16) keeps keys and values in it.
    """
    dtype = PrecisionPlan.uniform(scheme).forward_dtype(config.forward_dtype)
    config = replace(config, forward_dtype=dtype)
    shapes = jax.eval_shape(lambda: _without_recursion(Decoder(config).init(jax.random.key(0))))
    stored = weights.footprint(shapes, scheme)
    head = table = blocks = block_macs = head_macs = 0
    for tensor in stored.backbone:
        macs = int(np.prod(tensor.shape)) if tensor.name.endswith("/kernel") else 0
        if tensor.name.startswith(HEAD):
            head, head_macs = head + tensor.stored.total, head_macs + macs
        elif tensor.name.startswith(TABLE):
            table += tensor.stored.total
        else:
            blocks, block_macs = blocks + tensor.stored.total, block_macs + macs
    return DecoderFootprint(
        config=config,
        scheme=scheme,
        num_parameters=sum(leaf.size for leaf in jax.tree.leaves(shapes.params)),
        total=head + table + blocks,
        blocks=blocks,
        head=head,
        block_macs=block_macs,
        head_macs=head_macs,
    )


def _without_recursion(params: Params) -> Weights:
    """Say that there are no initial states and no puzzle table."""
    nothing = jnp.zeros((0,))
    return Weights(params, Buffers(nothing, nothing), jnp.zeros((0, 0)))
