"""GGUF files of Llama and Qwen2, read by the `gguf` package.

    token_embd, output_norm, output         model.embed_tokens, model.norm, lm_head
    blk.N.attn_norm, ffn_norm               input_layernorm, post_attention_layernorm
    blk.N.attn_q, attn_k, attn_v, attn_output    self_attn.q_proj, ...
    blk.N.ffn_gate, ffn_up, ffn_down        mlp.gate_proj, ...

Tensors may be F32, F16, BF16, Q8_0, Q4_0 or Q4_1; the quantised ones are read as the real numbers
that they stand for.

Rotary positions turn pairs of channels. Hugging Face pairs channel i with i + head_dim / 2, and so
do we; llama.cpp pairs 2 i with 2 i + 1 for Llama, and its files have the rows of q and k in that
order:

    row 2 i + j of a head in the file  =  row i + j head_dim / 2 of the release      j = 0, 1

Qwen2's rows stay as they are. Every key of the architecture that the file states is one that this
decoder computes, or is refused. Not here: names of releases (name_table.py).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from trm_jax.config import MAX_WIDTH
from trm_jax.decoder.config import DecoderConfig
from trm_jax.decoder.files.name_table import from_release, table
from trm_jax.decoder.files.release_config import ReleaseFacts
from trm_jax.types import Params

ARCHITECTURES = ("llama", "qwen2")
TYPES = ("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1")
PARTS = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
TOP = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
SIZES = (
    "block_count",
    "context_length",
    "embedding_length",
    "feed_forward_length",
    "attention.head_count",
)
"""Keys that must be there, each a positive integer."""
OPTIONAL = (
    *("attention.head_count_kv", "attention.key_length", "attention.value_length", "vocab_size"),
    *("rope.dimension_count", "rope.freq_base", "attention.layer_norm_rms_epsilon"),
)
FIXED: dict[str, tuple[Any, ...]] = {
    "rope.scaling.type": ("none",),
    "expert_count": (0,),
    "attention.causal": (True,),
}
"""Keys that change the arithmetic, and the values under which it is ours."""


class GgufContent(NamedTuple):
    """A file that was read.

    Attributes:
      metadata: all its keys; the tokenizer is among them.
    """

    facts: ReleaseFacts
    params: Params
    metadata: Mapping[str, Any]


def read_gguf(file: Path) -> GgufContent:
    """Read a GGUF file; parameters come back as float32.

    Raises:
      ModuleNotFoundError: `gguf` is not installed.
      FileNotFoundError: no such file.
      ValueError: the file is damaged, or its model is none that this decoder computes.
    """
    import gguf  # late: only this format needs it

    if not file.is_file():
        raise FileNotFoundError(f"{file} is no file")
    try:
        reader = gguf.GGUFReader(file)
        metadata = {name: field.contents() for name, field in reader.fields.items()}
    except Exception as error:  # it raises whatever its indexing meets
        said = (str(error).strip() or type(error).__name__).splitlines()[0][:120]
        raise ValueError(f"{file} is truncated or no GGUF file: {said}") from error
    try:
        return _read_model(metadata, {tensor.name: tensor for tensor in reader.tensors})
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error


def _read_model(metadata: Mapping[str, Any], stored: Mapping[str, Any]) -> GgufContent:
    facts = read_metadata(metadata, has_head="output.weight" in stored)
    config = facts.config
    ours = {gguf_name(row.release): row.release for row in table(config)}
    turned = _turned_heads(config) if metadata["general.architecture"] == "llama" else {}

    def read(name: str, tensor: _ShapedTensor) -> np.ndarray:
        values = dequantised(tensor.stored)
        heads = turned.get(name.removesuffix(".weight").rpartition(".")[2])
        return values if heads is None else halves_from_pairs(values, heads)

    tensors = {ours.get(name, name): _ShapedTensor(tensor) for name, tensor in stored.items()}
    return GgufContent(facts, from_release(tensors, config, "its tensors", read), metadata)


class _ShapedTensor(NamedTuple):
    """A tensor of the package, with its shape in the order of PyTorch."""

    stored: Any

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(int(size) for size in reversed(self.stored.shape))


def _turned_heads(config: DecoderConfig) -> dict[str, int]:
    """Heads of the matrices whose rows llama.cpp reorders."""
    return {"q_proj": config.num_heads, "k_proj": config.num_kv_heads}


def gguf_name(release: str) -> str:
    """Name a tensor of a release as GGUF does; the table's names have no other form."""
    stem, _, kind = release.rpartition(".")
    if stem in TOP:
        return f"{TOP[stem]}.{kind}"
    _, _, layer, part = stem.split(".", 3)
    return f"blk.{layer}.{PARTS[part]}.{kind}"


def dequantised(stored: Any) -> Float[np.ndarray, "..."]:
    """Read a tensor of the package as float32, in the order of PyTorch.

    Raises:
      ValueError: stored in a type that is not read.
    """
    from gguf import quants

    if stored.tensor_type.name not in TYPES:
        raise ValueError(
            f"{stored.name} is stored as {stored.tensor_type.name}; read are {', '.join(TYPES)}"
        )
    shape = tuple(int(size) for size in reversed(stored.shape))
    return np.asarray(quants.dequantize(stored.data, stored.tensor_type), np.float32).reshape(shape)


def halves_from_pairs(
    rows: Float[np.ndarray, "outputs inputs"], heads: int
) -> Float[np.ndarray, "outputs inputs"]:
    """Bring rows from llama.cpp's order (channel 2 i beside 2 i + 1) to that of a release."""
    outputs, inputs = rows.shape
    paired = rows.reshape(heads, outputs // heads // 2, 2, inputs)
    return paired.swapaxes(1, 2).reshape(outputs, inputs)


def read_metadata(metadata: Mapping[str, Any], *, has_head: bool) -> ReleaseFacts:
    """Read the sizes of a model off the keys of its file.

    Args:
      has_head: whether the file has a head of its own; else it is the table of embeddings.

    Raises:
      ValueError: another architecture, a key that this decoder does not compute, or one missing.
    """
    kind = metadata.get("general.architecture")
    if kind not in ARCHITECTURES:
        raise ValueError(f"general.architecture must be one of {ARCHITECTURES}, got {kind!r}")
    if metadata.get("split.count", 1) != 1:
        raise ValueError(f"it is one of {metadata['split.count']} parts; join them by gguf-split")
    prefix = f"{kind}."
    keys = {k.removeprefix(prefix): v for k, v in metadata.items() if k.startswith(prefix)}
    _refuse_other_keys(prefix, keys)
    width, heads = keys["embedding_length"], keys["attention.head_count"]
    if "attention.layer_norm_rms_epsilon" not in keys:
        raise ValueError(f"{prefix}attention.layer_norm_rms_epsilon is missing")
    head_dim = keys.get("attention.key_length", width // heads)
    for name in ("attention.value_length", "rope.dimension_count"):
        if keys.get(name, head_dim) != head_dim:
            raise ValueError(f"{prefix}{name} must be the head size {head_dim}, got {keys[name]}")
    config = DecoderConfig(
        vocab_size=_vocab_size(metadata, keys),
        hidden_size=width,
        num_layers=keys["block_count"],
        num_heads=heads,
        num_kv_heads=keys.get("attention.head_count_kv", heads),
        head_dim=head_dim,
        intermediate_size=keys["feed_forward_length"],
        max_positions=keys["context_length"],
        rope_theta=float(keys.get("rope.freq_base", 10_000.0)),
        rms_norm_eps=_shortest(keys["attention.layer_norm_rms_epsilon"]),
        tie_word_embeddings=not has_head,
        qkv_bias=kind == "qwen2",
    )
    stop = metadata.get("tokenizer.ggml.eos_token_id")
    return ReleaseFacts(config=config, stops=() if stop is None else (int(stop),))


def _refuse_other_keys(prefix: str, keys: Mapping[str, Any]) -> None:
    for name, allowed in FIXED.items():
        if name in keys and keys[name] not in allowed:
            raise ValueError(f"{prefix}{name} must be one of {allowed}, got {keys[name]!r}")
    if unknown := sorted(keys.keys() - {*SIZES, *OPTIONAL, *FIXED}):
        raise ValueError(
            f"{prefix}{unknown[0]} (value {str(keys[unknown[0]])[:40]}) may change what is"
            " computed, and this decoder does not know it"
        )
    for name in SIZES:
        value = keys.get(name)
        if not isinstance(value, int) or not 0 < value <= MAX_WIDTH:
            raise ValueError(f"{prefix}{name} must be a positive integer, got {value!r}")


def _vocab_size(metadata: Mapping[str, Any], keys: Mapping[str, Any]) -> int:
    tokens = metadata.get("tokenizer.ggml.tokens")
    if "vocab_size" in keys:
        return keys["vocab_size"]
    if not isinstance(tokens, list):
        raise ValueError("neither vocab_size nor tokenizer.ggml.tokens is there")
    return len(tokens)


def _shortest(value: float) -> float:
    """Read a float32 as the number that was written: 9.999999747378752e-06 is 1e-05."""
    return float(str(np.float32(value)))
