"""TRM and HRM again, as plain NumPy loops in float64: the oracle that ships with the tests.

Written from the formulas of REFERENCE 1.3, sharing no code with trm_jax but the record that
holds the weights. Slow on purpose: every loop of the formulas is a loop here.
"""

from typing import Any

import numpy as np

from trm_jax.config import Config, HRMConfig, Mixer, Positions
from trm_jax.types import Batch, Weights

Tree = dict[str, Any]


def rms(x: np.ndarray, eps: float) -> np.ndarray:
    """Divide every vector of the last axis by its root mean square."""
    return x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + eps)


def swiglu(x: np.ndarray, p: Tree) -> np.ndarray:
    """down(silu(gate) * up); the first half of the fused product is the gate."""
    gate_up = x @ p["gate_up_proj"]["kernel"]
    inner = gate_up.shape[-1] // 2
    gate, up = gate_up[..., :inner], gate_up[..., inner:]
    return (gate / (1 + np.exp(-gate)) * up) @ p["down_proj"]["kernel"]


def rotate(x: np.ndarray, position: int, theta: float) -> np.ndarray:
    """Turn the pairs (i, i + half) of one head by angle position * theta^(-2i/size)."""
    half = len(x) // 2
    out = np.empty_like(x)
    for i in range(half):
        angle = position * theta ** (-2 * i / len(x))
        a, b = x[i], x[i + half]
        out[i] = a * np.cos(angle) - b * np.sin(angle)
        out[i + half] = b * np.cos(angle) + a * np.sin(angle)
    return out


def mix_softmax(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Softmax attention of one head, query by query."""
    out = np.zeros_like(v)
    for i in range(len(q)):
        score = np.array([q[i] @ k[j] for j in range(len(k))]) / np.sqrt(q.shape[1])
        weight = np.exp(score - score.max())
        out[i] = (weight / weight.sum()) @ v
    return out


def mix_linear(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Linear attention of one head as explicit weights phi(q) . phi(k), phi = elu + 1."""

    def phi(x: np.ndarray) -> np.ndarray:
        return np.where(x > 0, x + 1, np.exp(np.minimum(x, 0)))

    out = np.zeros_like(v)
    for i in range(len(q)):
        weight = np.array([phi(q[i]) @ phi(k[j]) for j in range(len(k))])
        out[i] = (weight / weight.sum()) @ v
    return out


def attention(h: np.ndarray, p: Tree, config: Config) -> np.ndarray:
    """Attend within one puzzle, head by head; q, k, v are thirds of the fused product."""
    pos, emb = h.shape
    size = emb // config.num_heads
    qkv = (h @ p["qkv_proj"]["kernel"]).reshape(pos, 3, config.num_heads, size)
    mix = mix_linear if config.mixer is Mixer.LINEAR_ATTENTION else mix_softmax
    heads = []
    for head in range(config.num_heads):
        q, k, v = qkv[:, 0, head], qkv[:, 1, head], qkv[:, 2, head]
        if config.positions is Positions.ROPE:
            q = np.stack([rotate(x, i, config.rope_theta) for i, x in enumerate(q)])
            k = np.stack([rotate(x, i, config.rope_theta) for i, x in enumerate(k)])
        heads.append(mix(q, k, v))
    return np.concatenate(heads, axis=1) @ p["o_proj"]["kernel"]


def level(h: np.ndarray, p: Tree, config: Config) -> np.ndarray:
    """Apply the blocks of one level to one puzzle."""
    for i in range(len(p)):
        layer = p[f"layers_{i}"]
        if config.mixer is Mixer.MLP:
            h = rms(h.T + swiglu(h.T, layer["mlp_t"]), config.rms_norm_eps).T
        else:
            h = rms(h + attention(h, layer["self_attn"], config), config.rms_norm_eps)
        h = rms(h + swiglu(h, layer["mlp"]), config.rms_norm_eps)
    return h


def embed(params: Tree, tokens: np.ndarray, row: np.ndarray, config: Config) -> np.ndarray:
    """Embed one puzzle: its row over the prefix (zeros behind), then its tokens, scaled."""
    prefix = np.zeros(config.prefix_len * config.hidden_size)
    prefix[: len(row)] = row
    table = params["embed_tokens"]["embedding"]
    e = np.concatenate([prefix.reshape(config.prefix_len, -1), [table[t] for t in tokens]])
    if config.positions is Positions.LEARNED:
        e = np.sqrt(0.5) * (e + params["embed_pos"]["embedding"])
    return np.sqrt(config.hidden_size) * e


def to_float64(tree: Any) -> Any:
    """Copy nested dicts of arrays into float64 NumPy."""
    if isinstance(tree, dict):
        return {k: to_float64(v) for k, v in tree.items()}
    return np.asarray(tree, np.float64)


def trajectory(
    config: Config, weights: Weights, batch: Batch, cycles: int
) -> tuple[np.ndarray, np.ndarray]:
    """Run H-cycles from the initial states.

    Returns:
      z_H and z_L after every H-cycle, axes (cycle, puzzle, position, channel).
    """
    params = to_float64(weights.params)
    net_H = params["H_level" if isinstance(config, HRMConfig) else "L_level"]
    states = []
    puzzles = (np.asarray(array) for array in (batch.inputs, batch.puzzle_identifiers))
    for tokens, identifier in zip(*puzzles, strict=True):
        row = to_float64(weights.puzzle_emb[identifier])
        e = embed(params, tokens, row, config)
        z_H = np.tile(to_float64(weights.buffers.H_init), (config.num_positions, 1))
        z_L = np.tile(to_float64(weights.buffers.L_init), (config.num_positions, 1))
        seen = []
        for _ in range(cycles):
            for _ in range(config.L_cycles):
                z_L = level(z_L + z_H + e, params["L_level"], config)
            z_H = level(z_H + z_L, net_H, config)
            seen.append((z_H, z_L))
        states.append(seen)
    stacked = np.swapaxes(np.array(states), 0, 1)
    return stacked[:, :, 0], stacked[:, :, 1]


def read_out(config: Config, weights: Weights, z_H: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Decode states of shape (..., position, channel) into token logits and (halt, continue)."""
    params = to_float64(weights.params)
    logits = z_H[..., config.prefix_len :, :] @ params["lm_head"]["kernel"]
    return logits, z_H[..., 0, :] @ params["q_head"]["kernel"] + params["q_head"]["bias"]
