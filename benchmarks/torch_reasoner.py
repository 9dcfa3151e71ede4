"""A plain PyTorch forward of TRM and HRM, written from the formulas of REFERENCE 1.3.

The rival of depth_grid and puzzle_step: eager, float32, fused attention, tensors under their
released names. That it computes the released model is tests/benchmarks/test_torch_reasoner.py's.
Training, halting and linear attention are left out. The only file of the benchmarks that imports
torch.
"""

import math
from collections.abc import Mapping

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch.nn import functional as F  # pyright: ignore[reportMissingImports]

from trm_jax.config import Config, HRMConfig, Mixer, Positions
from trm_jax.convert.name_table import strip_prefixes, to_torch
from trm_jax.types import Batch, Weights

Tensor = torch.Tensor


def kernels() -> dict[str, str]:
    """Name PyTorch's version, and the instructions of the CPU that its kernels use."""
    return {"torch": torch.__version__, "torch_kernels": torch.backends.cpu.get_cpu_capability()}


def puzzle_tensors(batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Turn puzzles into tensors of int64: inputs, labels, identifiers."""
    inputs, labels, identifiers = (torch.tensor(np.asarray(x)).long() for x in batch)
    return inputs, labels, identifiers


def rms_norm(x: Tensor, eps: float) -> Tensor:
    """Normalise the last axis to unit mean square."""
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)


def swiglu(x: Tensor, gate_up: Tensor, down: Tensor) -> Tensor:
    """Apply down(silu(gate) * up)."""
    gate, up = F.linear(x, gate_up).chunk(2, dim=-1)
    return F.linear(F.silu(gate) * up, down)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn the two halves of the last axis against each other."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


class TorchReasoner:
    """The model as a function of its puzzles.

    Args:
      tensors: the released state_dict without prefixes, Linear weights as (out, in).
      threads: intra-op threads, for the whole process.
    """

    def __init__(self, config: Config, tensors: Mapping[str, np.ndarray], threads: int) -> None:
        if config.mixer is Mixer.LINEAR_ATTENTION:
            raise ValueError("the PyTorch rival knows attention and MLP mixing, no other mixer")
        torch.set_num_threads(threads)
        self.config = config
        self.weights = {k: torch.tensor(np.asarray(v, np.float32)) for k, v in tensors.items()}
        self.h_level = "H_level" if isinstance(config, HRMConfig) else "L_level"
        self.h_layers = config.H_layers if isinstance(config, HRMConfig) else config.L_layers
        exponents = torch.arange(0, config.head_dim, 2) / config.head_dim
        angles = torch.outer(torch.arange(config.num_positions), config.rope_theta**-exponents)
        both = torch.cat((angles, angles), dim=-1)
        self.cos, self.sin = both.cos(), both.sin()

    @classmethod
    def of(cls, config: Config, weights: Weights, threads: int) -> "TorchReasoner":
        """Make the model of this project's weights, under their released names."""
        tensors = {strip_prefixes(k): v for k, v in to_torch(config, weights).items()}
        return cls(config, tensors, threads)

    def embed(self, inputs: Tensor, identifiers: Tensor) -> Tensor:
        """Make the injection: puzzle row in the prefix, then tokens, times sqrt(hidden_size)."""
        c, w = self.config, self.weights
        rows = w["puzzle_emb.weights"][identifiers]
        rows = F.pad(rows, (0, c.prefix_len * c.hidden_size - rows.shape[-1]))
        prefix = rows.view(-1, c.prefix_len, c.hidden_size)
        e = torch.cat((prefix, w["embed_tokens.embedding_weight"][inputs]), dim=1)
        if c.positions is Positions.LEARNED:
            e = math.sqrt(0.5) * (e + w["embed_pos.embedding_weight"])
        return math.sqrt(c.hidden_size) * e

    def attention(self, h: Tensor, layer: str) -> Tensor:
        """Attend over all positions."""
        c, w = self.config, self.weights
        batch, pos, emb = h.shape
        qkv = F.linear(h, w[f"{layer}.self_attn.qkv_proj.weight"])
        qkv = qkv.view(batch, pos, 3 * c.num_heads, c.head_dim).transpose(1, 2)
        q, k, v = qkv.chunk(3, dim=1)
        if c.positions is Positions.ROPE:
            q, k = rotate(q, self.cos, self.sin), rotate(k, self.cos, self.sin)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, pos, emb)
        return F.linear(mixed, w[f"{layer}.self_attn.o_proj.weight"])

    def block(self, h: Tensor, layer: str) -> Tensor:
        """Mix positions, then channels, each followed by its norm."""
        eps = self.config.rms_norm_eps
        if self.config.mixer is Mixer.MLP:
            u = h.transpose(1, 2)
            h = rms_norm(u + self.mlp(u, f"{layer}.mlp_t"), eps).transpose(1, 2)
        else:
            h = rms_norm(h + self.attention(h, layer), eps)
        return rms_norm(h + self.mlp(h, f"{layer}.mlp"), eps)

    def mlp(self, x: Tensor, name: str) -> Tensor:
        """Apply one SwiGLU by name."""
        w = self.weights
        return swiglu(x, w[f"{name}.gate_up_proj.weight"], w[f"{name}.down_proj.weight"])

    def level(self, h: Tensor, name: str, layers: int) -> Tensor:
        """Apply a stack of blocks."""
        for i in range(layers):
            h = self.block(h, f"{name}.layers.{i}")
        return h

    @torch.inference_mode()
    def logits(self, inputs: Tensor, identifiers: Tensor, cycles: int) -> Tensor:
        """Run a number of H-cycles from the initial states and decode z_H."""
        c, w = self.config, self.weights
        e = self.embed(inputs, identifiers)
        z_H, z_L = w["H_init"].expand_as(e), w["L_init"].expand_as(e)
        for _ in range(cycles):
            for _ in range(c.L_cycles):
                z_L = self.level(z_L + (z_H + e), "L_level", c.L_layers)
            z_H = self.level(z_H + z_L, self.h_level, self.h_layers)
        return F.linear(z_H, w["lm_head.weight"])[:, c.prefix_len :]
