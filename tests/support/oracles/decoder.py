"""Llama and Qwen2.5 by plain loops in float64 NumPy: one stream, no cache, no shared code."""

from collections.abc import Mapping
from typing import Any

import numpy as np


def rms_norm(x: np.ndarray, gain: np.ndarray, eps: float) -> np.ndarray:
    """Divide a vector by its root mean square."""
    return x / np.sqrt(np.mean(x * x) + eps) * gain


def turn(x: np.ndarray, position: int, theta: float) -> np.ndarray:
    """Rotate the pairs (i, i + half) of one head."""
    half, out = len(x) // 2, np.empty_like(x)
    for i in range(half):
        angle = position / theta ** (2 * i / len(x))
        c, s = np.cos(angle), np.sin(angle)
        out[i], out[i + half] = x[i] * c - x[i + half] * s, x[i + half] * c + x[i] * s
    return out


def linear(part: Mapping[str, Any], x: np.ndarray) -> np.ndarray:
    """Multiply by a kernel and add its bias, if it has one."""
    return x @ np.asarray(part["kernel"], np.float64) + np.asarray(part.get("bias", 0), np.float64)


def attend(layer: Mapping[str, Any], rows: list[np.ndarray], sizes: Any) -> list[np.ndarray]:
    """Let every token look at itself and those before it."""
    width, group = sizes.head_dim, sizes.num_heads // sizes.num_kv_heads
    part = layer["self_attn"]
    q, k, v = (
        [linear(part[name], row).reshape(-1, width) for row in rows]
        for name in ("q_proj", "k_proj", "v_proj")
    )
    q = [np.stack([turn(h, t, sizes.rope_theta) for h in row]) for t, row in enumerate(q)]
    k = [np.stack([turn(h, t, sizes.rope_theta) for h in row]) for t, row in enumerate(k)]
    mixed = []
    for t in range(len(rows)):
        heads = []
        for h in range(sizes.num_heads):
            scores = np.array([q[t][h] @ k[s][h // group] for s in range(t + 1)]) / np.sqrt(width)
            share = np.exp(scores - scores.max())
            share /= share.sum()
            heads.append(sum(w * v[s][h // group] for s, w in enumerate(share)))
        mixed.append(linear(part["o_proj"], np.concatenate(heads)))
    return mixed


def gated(layer: Mapping[str, Any], x: np.ndarray) -> np.ndarray:
    """Apply down(silu(gate) * up)."""
    gate, up = linear(layer["mlp"]["gate_proj"], x), linear(layer["mlp"]["up_proj"], x)
    return linear(layer["mlp"]["down_proj"], gate / (1 + np.exp(-gate)) * up)


def logits(params: Mapping[str, Any], sizes: Any, tokens: np.ndarray) -> np.ndarray:
    """Compute the logits behind every token of one stream."""
    head = np.asarray(params["lm_head"]["kernel"], np.float64)
    table = head.T if sizes.tie_word_embeddings else params["embed_tokens"]["embedding"]
    rows = [np.asarray(table[token], np.float64) for token in tokens]

    def norm(part: Mapping[str, Any], x: np.ndarray) -> np.ndarray:
        return rms_norm(x, np.asarray(part["gain"], np.float64), sizes.rms_norm_eps)

    for number in range(sizes.num_layers):
        layer = params[f"layers_{number}"]
        mixed = attend(layer, [norm(layer["input_layernorm"], x) for x in rows], sizes)
        rows = [x + m for x, m in zip(rows, mixed, strict=True)]
        rows = [x + gated(layer, norm(layer["post_attention_layernorm"], x)) for x in rows]
    return np.stack([norm(params["norm"], x) @ head for x in rows])
