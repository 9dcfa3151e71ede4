"""How queries look at keys: softmax attention and its kernels, linear attention (App. J).

Softmax attention has two kernels. XLA's is written out here and runs everywhere. cuDNN's fused
one (`jax.nn.dot_product_attention`) never holds the scores in memory and needs an NVIDIA GPU.
Which one runs is no part of a model: both compute the same function, a checkpoint says nothing
of it, and a run may go on with the other. Nothing chooses by itself and nothing falls back:
who asks for a kernel gets it or is told why not.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float

from trm_jax.config import AttentionKernel, Mixer, ReasonerConfig

Heads = Float[Array, "batch pos heads head_dim"]
Attend = Callable[[Heads, Heads, Heads], Heads]
"""(q, k, v) -> the values mixed: over all positions, no mask, scale 1/sqrt(head_dim)."""

LONG = 512
"""Positions from which CPUs attend head by head: scores of one head take 1 MB and more."""


def softmax_attention(q: Heads, k: Heads, v: Heads) -> Heads:
    """Attend over all positions, no mask, scale 1/sqrt(head_dim), softmax in float32.

    Heads lead in every product: on CPU this is 1.2 to 1.5 times as fast as
    `jax.nn.dot_product_attention`, which keeps them inside. Long sequences are attended to head by
    head there, so that the scores of one head stay in the caches; the bits are the same.
    """
    batch, pos, heads, head_dim = q.shape
    q, k, v = (x.swapaxes(1, 2) for x in (q * head_dim**-0.5, k, v))
    if pos < LONG or jax.default_backend() != "cpu":
        return _mixed(q, k, v).swapaxes(1, 2)
    each = [x.reshape(batch * heads, pos, head_dim) for x in (q, k, v)]
    mixed = lax.map(lambda head: _mixed(*head), each)
    return mixed.reshape(batch, heads, pos, head_dim).swapaxes(1, 2)


def _mixed(
    q: Float[Array, "*heads pos head_dim"],
    k: Float[Array, "*heads pos head_dim"],
    v: Float[Array, "*heads pos head_dim"],
) -> Float[Array, "*heads pos head_dim"]:
    """Mix values by the softmax of q k^T."""
    scores = jnp.einsum("...sk,...jk->...sj", q, k, preferred_element_type=jnp.float32)
    share = nn.softmax(scores, axis=-1).astype(v.dtype)
    return jnp.einsum("...sj,...jk->...sk", share, v)


def cudnn_attention(q: Heads, k: Heads, v: Heads) -> Heads:
    """Attend as `softmax_attention` does, in cuDNN's fused kernel; 16-bit floats only.

    jax refuses the gradient at an odd number of positions ("Unsupported sequence length", 0.10 to
    0.12, though it means to do so under a bias only), and 9x9 Sudoku has 97. One position is
    added there and masked as a key; as a query it is cut off again.

    Raises:
      RuntimeError: jax finds no cuDNN, or cuDNN does not take these sizes on this GPU.
    """
    batch, pos, _, head_dim = q.shape
    lengths = None
    if pos % 2:
        q, k, v = (jnp.pad(x, ((0, 0), (0, 1), (0, 0), (0, 0))) for x in (q, k, v))
        lengths = jnp.full((batch,), pos, jnp.int32)
    mixed = jax.nn.dot_product_attention(
        q, k, v, scale=head_dim**-0.5, key_value_seq_lengths=lengths, implementation="cudnn"
    )
    return mixed[:, :pos]


KERNELS: Mapping[AttentionKernel, Attend] = MappingProxyType(
    {AttentionKernel.XLA: softmax_attention, AttentionKernel.CUDNN: cudnn_attention}
)

CUDNN_DTYPES = ("bfloat16", "float16")
CUDNN_HEAD_STEP, CUDNN_HEAD_MOST = 8, 128
"""Head sizes that cuDNN takes on every GPU."""


def why_not(kernel: AttentionKernel, config: ReasonerConfig) -> str | None:
    """Say what keeps this process from attending with a kernel and what to do; None: nothing."""
    if kernel is AttentionKernel.XLA:
        return None
    platform, dtype, head_dim = jax.default_backend(), config.forward_dtype, config.head_dim
    if config.mixer is not Mixer.ATTENTION:
        return f"there is no softmax attention in a model with mixer={config.mixer.value}"
    if platform != "gpu":
        return f"cuDNN needs an NVIDIA GPU and jax for CUDA, this process computes on {platform}"
    if dtype not in CUDNN_DTYPES:
        return f"cuDNN attends in {' or '.join(CUDNN_DTYPES)}, the forward pass is in {dtype}"
    if head_dim % CUDNN_HEAD_STEP or head_dim > CUDNN_HEAD_MOST:
        return (
            f"cuDNN takes heads of a multiple of {CUDNN_HEAD_STEP} up to {CUDNN_HEAD_MOST},"
            f" this model's have {head_dim}"
        )
    return _jax_refuses(config)


def check_kernel(kernel: AttentionKernel, config: ReasonerConfig) -> None:
    """Check that this process can attend with a kernel, before anything is compiled.

    Raises:
      ValueError: it cannot.
    """
    if reason := why_not(kernel, config):
        raise ValueError(
            f"attention={kernel.value} cannot be had: {reason};"
            f" take attention={AttentionKernel.XLA.value}, which runs everywhere"
        )


def _jax_refuses(config: ReasonerConfig) -> str | None:
    """Trace attention and its gradient: jax looks for cuDNN, its version and the GPU's there."""
    shape = (1, config.num_positions, config.num_heads, config.head_dim)
    x = jax.ShapeDtypeStruct(shape, jnp.dtype(config.forward_dtype))

    def total(q: Heads, k: Heads, v: Heads) -> Float[Array, ""]:
        return jnp.sum(cudnn_attention(q, k, v), dtype=jnp.float32)

    try:
        jax.eval_shape(jax.grad(total, argnums=(0, 1, 2)), x, x, x)
    except RuntimeError as error:
        return f"jax says: {error}"
    return None


def elu_plus_one(x: Heads) -> Heads:
    """Map features to positive ones: x + 1 above 0, exp(x) below.

    Written out: elu(x) + 1 cancels to 0 for x < -17, and 0 / 0 would follow. exp is held
    at exp(-40), so that a product of two features stays above the smallest float32.
    """
    return jnp.where(x > 0, x + 1.0, jnp.exp(jnp.clip(x, -40.0, 0.0)))


def linear_attention(q: Heads, k: Heads, v: Heads) -> Heads:
    """Attend in O(pos) with the elu+1 feature map (App. J), sums in float32."""
    q32, k32, v32 = (x.astype(jnp.float32) for x in (q, k, v))
    q32, k32 = elu_plus_one(q32), elu_plus_one(k32)
    memory = jnp.einsum("bshk,bshj->bhkj", k32, v32)
    norm = jnp.einsum("bshk,bhk->bsh", q32, jnp.sum(k32, axis=1))
    mixed = jnp.einsum("bshk,bhkj->bshj", q32, memory) / norm[..., None]
    return mixed.astype(v.dtype)
