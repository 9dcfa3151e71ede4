"""config.json of a Llama, Qwen2 or Qwen2.5 release: every field is computed, or refused.

Fields fall into three kinds. `ReleaseFields` are sizes that a `DecoderConfig` has. `FIXED` change
the arithmetic, and one value of each is what this decoder computes: another is refused with its
name and value. `WITHOUT_EFFECT` change nothing of a forward pass. A field of none of these could
change anything, and is refused too.

A field that is missing means what the release's own library means by it; the two that it would
guess (`num_key_value_heads` of Qwen2, `max_position_embeddings`) must be there.

Not here: tensors (name_table.py), files (release.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trm_jax.decoder.config import DecoderConfig
from trm_jax.typed_json import read_fields

ARCHITECTURES = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM"}
"""model_type -> the class whose arithmetic this is."""

PLAIN_ROTARY = (None, {"rope_type": "default"}, {"type": "default"})
FIXED: dict[str, tuple[Any, ...]] = {
    "hidden_act": ("silu",),
    "attention_bias": (False,),  # of Llama: also on the output, which we do not have
    "mlp_bias": (False,),
    "rope_scaling": PLAIN_ROTARY,
    "rope_interleaved": (False,),
    "partial_rotary_factor": (1, 1.0),
    "use_sliding_window": (False,),
    "use_mrope": (False,),
    "quantization_config": (None,),
    "add_cross_attention": (False,),
    "is_encoder_decoder": (False,),
    "pruned_heads": ({}, None),
}
"""Fields that change the arithmetic, and the values under which it is ours."""

WITHOUT_EFFECT = frozenset(
    (
        *("_attn_implementation_autoset", "_name_or_path", "attention_dropout", "bos_token_id"),
        *("dtype", "initializer_range", "is_decoder", "is_llama_config", "max_window_layers"),
        *("output_attentions", "output_hidden_states", "pad_token_id", "pretraining_tp"),
        *("return_dict", "task_specific_params", "tie_encoder_decoder", "torch_dtype"),
        *("transformers.js_config", "transformers_version", "use_cache"),
    )
)
"""Fields that change no forward pass: of training, storage, and of other programs."""

READ_APART = frozenset(
    ("architectures", "model_type", "layer_types", "sliding_window", "rope_parameters")
)


@dataclass(frozen=True, kw_only=True)
class ReleaseFields:
    """Sizes as config.json names them; defaults are those of the release's own library."""

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int
    num_key_value_heads: int | None = None
    head_dim: int | None = None
    rope_theta: float = 10_000.0
    rms_norm_eps: float = 1e-6
    tie_word_embeddings: bool = False
    eos_token_id: int | tuple[int, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class ReleaseFacts:
    """What config.json tells.

    Attributes:
      stops: tokens that end an answer, the first one first; empty where it names none.
    """

    config: DecoderConfig
    stops: tuple[int, ...]


def read_release_config(document: Any) -> ReleaseFacts:
    """Read a config.json.

    Raises:
      ValueError: another architecture, a field that this decoder does not compute (named with its
        value), or sizes that cannot be.
    """
    if not isinstance(document, dict):
        raise ValueError(f"it must hold an object, got {type(document).__name__}")
    kind = _model_type(document)
    _refuse_other_arithmetic(document, kind)
    named = {
        name: document[name] for name in ReleaseFields.__dataclass_fields__ if name in document
    }
    named |= _rotary_parameters(document)
    fields = read_fields(ReleaseFields, named)
    if fields.num_key_value_heads is None and kind == "qwen2":
        raise ValueError("field num_key_value_heads is missing")
    heads = fields.num_attention_heads
    if heads < 1:
        raise ValueError(f"num_attention_heads must be at least 1, got {heads}")
    eos = fields.eos_token_id
    config = DecoderConfig(
        vocab_size=fields.vocab_size,
        hidden_size=fields.hidden_size,
        num_layers=fields.num_hidden_layers,
        num_heads=heads,
        num_kv_heads=heads if fields.num_key_value_heads is None else fields.num_key_value_heads,
        head_dim=fields.hidden_size // heads if fields.head_dim is None else fields.head_dim,
        intermediate_size=fields.intermediate_size,
        max_positions=fields.max_position_embeddings,
        rope_theta=float(fields.rope_theta),
        rms_norm_eps=float(fields.rms_norm_eps),
        tie_word_embeddings=fields.tie_word_embeddings,
        qkv_bias=kind == "qwen2",
    )
    return ReleaseFacts(
        config=config, stops=() if eos is None else (eos,) if isinstance(eos, int) else eos
    )


def _model_type(document: Mapping[str, Any]) -> str:
    kind = document.get("model_type")
    if kind not in ARCHITECTURES:
        raise ValueError(f"model_type must be one of {list(ARCHITECTURES)}, got {_shown(kind)}")
    named = document.get("architectures")
    if named not in (None, [ARCHITECTURES[kind]]):
        raise ValueError(f"architectures must be {[ARCHITECTURES[kind]]}, got {_shown(named)}")
    return kind


def _refuse_other_arithmetic(document: Mapping[str, Any], kind: str) -> None:
    for name, allowed in FIXED.items():
        if name in document and not any(_same(document[name], value) for value in allowed):
            raise ValueError(
                f"{name} must be {' or '.join(map(repr, allowed))}, got {_shown(document[name])}:"
                " this decoder computes no other"
            )
    layers = document.get("layer_types")
    if layers is not None and (
        not isinstance(layers, list) or any(layer != "full_attention" for layer in layers)
    ):
        raise ValueError(f"layer_types must all be 'full_attention', got {_shown(layers)}")
    window = document.get("sliding_window")
    if window is not None and kind != "qwen2":  # whose use_sliding_window says whether it counts
        raise ValueError(f"sliding_window must be None, got {_shown(window)}")
    known = {*ReleaseFields.__dataclass_fields__, *FIXED, *WITHOUT_EFFECT, *READ_APART}
    if unknown := sorted(document.keys() - known):
        raise ValueError(
            f"field {unknown[0]} (value {_shown(document[unknown[0]])}) is unknown and may change"
            " what is computed; take it out of config.json if it does not"
        )


def _rotary_parameters(document: Mapping[str, Any]) -> dict[str, Any]:
    """Read the form in which newer libraries write rotary positions."""
    given = document.get("rope_parameters")
    if given is None:
        return {}
    if not isinstance(given, dict) or given.keys() - {"rope_theta", "rope_type"}:
        raise ValueError(f"rope_parameters may name rope_theta and rope_type, got {_shown(given)}")
    if given.get("rope_type", "default") != "default":
        raise ValueError(f"rope_parameters.rope_type must be 'default', got {_shown(given)}")
    return {name: given[name] for name in ("rope_theta",) if name in given}


def _same(value: Any, allowed: Any) -> bool:
    """Compare as JSON does: 0 is not false."""
    return type(value) is type(allowed) and value == allowed


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def write_release_config(config: DecoderConfig, stops: tuple[int, ...] = ()) -> dict[str, Any]:
    """Write a config.json (the inverse of `read_release_config`).

    Qwen2's where queries, keys and values have biases, else Llama's.
    """
    kind = "qwen2" if config.qkv_bias else "llama"
    return {
        "architectures": [ARCHITECTURES[kind]],
        "model_type": kind,
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads,
        "head_dim": config.head_dim,
        "intermediate_size": config.intermediate_size,
        "max_position_embeddings": config.max_positions,
        "rope_theta": config.rope_theta,
        "rms_norm_eps": config.rms_norm_eps,
        "tie_word_embeddings": config.tie_word_embeddings,
        "eos_token_id": stops[0] if len(stops) == 1 else list(stops) or None,
        "hidden_act": "silu",
        "torch_dtype": "float32",
    }
