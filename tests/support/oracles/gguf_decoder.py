"""A Llama in a GGUF file, run by NumPy alone: nothing is shared with the code under test.

Blocks are decoded here, rows of q and k stay in the file's order and neighbouring channels are
turned, as llama.cpp does. One stream, no cache, float32.
"""

from pathlib import Path
from typing import Any

import gguf
import numpy as np


def decode_q8_0(raw: np.ndarray) -> np.ndarray:
    """Decode blocks of 34 bytes: a float16 scale and 32 integers."""
    blocks = raw.reshape(-1, 34)
    scale = blocks[:, :2].copy().view(np.float16).astype(np.float32)
    return scale * blocks[:, 2:].copy().view(np.int8).astype(np.float32)


def decode_q4_1(raw: np.ndarray) -> np.ndarray:
    """Decode blocks of 20 bytes: float16 scale and minimum, low nibbles, then high ones."""
    blocks = raw.reshape(-1, 20)
    scale, least = (blocks[:, a : a + 2].copy().view(np.float16).astype(np.float32) for a in (0, 2))
    nibbles = np.concatenate([blocks[:, 4:] & 15, blocks[:, 4:] >> 4], axis=1)
    return scale * nibbles.astype(np.float32) + least


DECODERS = {"Q8_0": decode_q8_0, "Q4_1": decode_q4_1}


class GgufOracle:
    """A model, as a function from tokens to logits."""

    def __init__(self, file: Path) -> None:
        reader = gguf.GGUFReader(file)
        self.keys = {name: field.contents() for name, field in reader.fields.items()}
        self.weights: dict[str, Any] = {}
        for tensor in reader.tensors:
            shape = tuple(int(size) for size in reversed(tensor.shape))
            kind = tensor.tensor_type.name
            raw = np.asarray(tensor.data)
            values = raw if kind == "F32" else DECODERS[kind](raw.view(np.uint8))
            self.weights[tensor.name] = np.asarray(values, np.float32).reshape(shape)

    def logits(self, tokens: list[int]) -> np.ndarray:
        """Compute the logits behind every token."""
        table = self.weights["token_embd.weight"]
        x = table[np.asarray(tokens)]
        for number in range(self.keys["llama.block_count"]):
            x = x + self.attend(number, self.norm(x, f"blk.{number}.attn_norm.weight"))
            rows = self.norm(x, f"blk.{number}.ffn_norm.weight")
            gate = self.product(rows, number, "ffn_gate")
            up = self.product(rows, number, "ffn_up")
            x = x + self.product(gate / (1 + np.exp(-gate)) * up, number, "ffn_down")
        return self.norm(x, "output_norm.weight") @ table.T

    def norm(self, x: np.ndarray, name: str) -> np.ndarray:
        """Divide rows by their root mean square."""
        eps = np.float32(self.keys["llama.attention.layer_norm_rms_epsilon"])
        return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps) * self.weights[name]

    def product(self, x: np.ndarray, number: int, name: str) -> np.ndarray:
        """Multiply by a matrix, (outputs, inputs) in the file."""
        return x @ self.weights[f"blk.{number}.{name}.weight"].T

    def turn(self, rows: np.ndarray) -> np.ndarray:
        """Rotate channels 2 i and 2 i + 1 of every head: (tokens, heads, channels)."""
        size = rows.shape[-1]
        theta = self.keys["llama.rope.freq_base"]
        angle = np.arange(len(rows))[:, None] * theta ** (-np.arange(0, size, 2) / size)
        turned = (rows[..., 0::2] + 1j * rows[..., 1::2]) * np.exp(1j * angle)[:, None]
        return np.stack([turned.real, turned.imag], axis=-1).reshape(rows.shape).astype(np.float32)

    def attend(self, number: int, x: np.ndarray) -> np.ndarray:
        """Let every token look at itself and those before it, head by head."""
        heads = self.keys["llama.attention.head_count"]
        groups = self.keys["llama.attention.head_count_kv"]
        q = self.turn(self.product(x, number, "attn_q").reshape(len(x), heads, -1))
        k = self.turn(self.product(x, number, "attn_k").reshape(len(x), groups, -1))
        v = self.product(x, number, "attn_v").reshape(len(x), groups, -1)
        mixed = np.empty_like(q)
        for head in range(heads):
            group = head * groups // heads
            scores = q[:, head] @ k[:, group].T / np.sqrt(q.shape[-1])
            scores[np.triu_indices(len(x), 1)] = -np.inf
            share = np.exp(scores - scores.max(axis=-1, keepdims=True))
            mixed[:, head] = share / share.sum(axis=-1, keepdims=True) @ v[:, group]
        return self.product(mixed.reshape(len(x), -1), number, "attn_output")
