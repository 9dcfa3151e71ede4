"""Small random decoders for tests."""

import jax
import jax.numpy as jnp
import numpy as np

from trm_jax.decoder.config import DecoderConfig
from trm_jax.decoder.transformer import Decoder
from trm_jax.types import Params

LLAMA = DecoderConfig(
    vocab_size=23,
    hidden_size=24,
    num_layers=2,
    num_heads=4,
    num_kv_heads=2,
    head_dim=8,
    intermediate_size=40,
    max_positions=32,
)
QWEN = DecoderConfig(
    vocab_size=23,
    hidden_size=24,
    num_layers=2,
    num_heads=6,
    num_kv_heads=3,
    head_dim=6,  # times the heads it is not the hidden size
    intermediate_size=40,
    max_positions=32,
    rope_theta=1e6,
    qkv_bias=True,
    tie_word_embeddings=False,
)


def random_params(config: DecoderConfig, seed: int = 0) -> Params:
    """Fill every parameter with noise: gains and biases too, so that none is without effect."""
    rng = np.random.default_rng(seed)
    tree = jax.eval_shape(Decoder(config).init, jax.random.key(0))

    def draw(path: tuple, leaf: jax.ShapeDtypeStruct) -> jax.Array:
        noise = rng.normal(size=leaf.shape)
        name = path[-1].key
        if name == "gain":
            return jnp.asarray(1 + 0.2 * noise, jnp.float32)
        fan_in = leaf.shape[0] if name == "kernel" else 1
        return jnp.asarray(noise / np.sqrt(fan_in), jnp.float32)

    return jax.tree_util.tree_map_with_path(draw, tree)


def random_tokens(config: DecoderConfig, shape: tuple[int, int], seed: int = 0) -> jax.Array:
    """Draw tokens; 0, the padding, is not among them."""
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.integers(1, config.vocab_size, shape), jnp.int32)
