"""The configuration of a PyTorch release: read off its tensors, completed, and checked.

Tensors show most sizes. What they do not show, cycles, heads, lengths of puzzle and prefix under
rotary positions, is told by a preset, by the release's `all_config.yaml`, or by flags, later ones
winning. Nothing is assumed beyond that: a field that nobody told is asked for, and of every field
it is known who told it. What is both seen and told must agree; only the number of puzzle
identifiers is always taken from the tensors.

Two values stand in the released code and in none of its YAML files (`CODE_VALUES`); they count as
told where the YAML names that code.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from trm_jax.config import PRESETS, Config, HRMConfig, TRMConfig, from_dict, to_dict
from trm_jax.convert.hints import FLAGS
from trm_jax.convert.name_table import Tensors
from trm_jax.convert.released_yaml import YAML_FILE, Fields

ONLY_IN = {"H_layers": "hrm", "puzzle_emb_len": "trm"}
CODE_VALUES: dict[str, Fields] = {
    "trm": {"rms_norm_eps": 1e-5, "rope_theta": 10_000.0},
    "hrm": {
        "rms_norm_eps": 1e-5,
        "rope_theta": 10_000.0,
        "forward_dtype": "bfloat16",
        "mixer": "attention",
        "no_ACT_continue": False,
    },
}
"""What a released architecture computes with where its own YAML files state nothing (REFERENCE 1.1;
HRM has no options for the last two)."""

TENSORS, FLAG, PRESET, UNUSED = "the tensors", "flags", "the preset", "no effect on this model"
FIELD_FLAGS = {field: flag for flag, field in FLAGS.items()}


class ResolvedConfig(NamedTuple):
    """A configuration, and who told each of its fields."""

    config: Config
    sources: dict[str, str]

    def told_by(self) -> dict[str, str]:
        """List the fields and values by who told them, as a reader wants them."""
        values = to_dict(self.config)
        by: dict[str, list[str]] = {}
        for name, value in values.items():
            by.setdefault(self.sources[name], []).append(f"{name} {value}")
        return {source: ", ".join(fields) for source, fields in by.items()}


def seen_fields(tensors: Tensors) -> Fields:
    """Read off what tensors show (names without prefixes).

    Raises:
      ValueError: the tensors are not those of a TRM or HRM.
    """
    sizes = {}
    for name in ("embed_tokens.embedding_weight", "puzzle_emb.weights"):
        if name not in tensors or tensors[name].ndim != 2:
            listed = ", ".join(sorted(tensors)[:8])
            raise ValueError(
                f"not a state_dict of TRM or HRM: no matrix {name}; found {listed}, ..."
            )
        sizes[name] = tensors[name].shape
    vocab_size, hidden_size = sizes["embed_tokens.embedding_weight"]
    ids, id_emb = sizes["puzzle_emb.weights"]
    layers = {level: _count_layers(tensors, level) for level in ("L_level", "H_level")}
    mlp = any(".mlp_t." in name for name in tensors)
    seen: Fields = {
        "architecture": "hrm" if layers["H_level"] else "trm",
        "vocab_size": vocab_size,
        "hidden_size": hidden_size,
        "num_puzzle_identifiers": ids,
        "puzzle_emb_ndim": id_emb,
        "L_layers": layers["L_level"],
        "mixer": "mlp" if mlp else "attention",
    }
    if layers["H_level"]:
        seen["H_layers"] = layers["H_level"]
    if "embed_pos.embedding_weight" in tensors:
        seen["positions"] = "learned"
    return seen


def resolve_config(
    tensors: Tensors, preset: Config | None, told: Fields, flags: Fields
) -> ResolvedConfig:
    """Complete what the tensors show with a preset, all_config.yaml and flags, and check it.

    Args:
      tensors: names without prefixes.
      preset: the expected configuration, or None.
      told: fields of `read_yaml`.
      flags: fields given by the user; they win.

    Raises:
      ValueError: lists every field that clashes, or what is missing and which presets fit.
    """
    seen = seen_fields(tensors)
    kind = seen["architecture"]
    fields, sources = _merge(kind, to_dict(preset) if preset else {}, told, flags)
    clashes = [
        f"{name}: the tensors say {seen[name]}, {sources[name]} {fields[name]}"
        for name in sorted(seen.keys() & fields)
        if name != "num_puzzle_identifiers" and not _agree(seen[name], fields[name])
    ]
    if clashes:
        raise ValueError("the tensors are of another configuration: " + "; ".join(clashes))
    for name, value in seen.items():
        if name == "num_puzzle_identifiers" or fields.get(name, value) == value:
            fields[name], sources[name] = value, TENSORS  # whoever else told the same
    code = CODE_VALUES[kind] if told.get("architecture") == kind else {}
    _complete(fields, sources, code, f"the released code of {kind} ({YAML_FILE} has none)")
    _complete(fields, sources, _inferred(tensors, fields), TENSORS)
    _complete(fields, sources, _unused(fields), UNUSED)
    if missing := [name for name in _needed(kind) if name not in fields]:
        raise ValueError(_how_to_complete(missing, seen))
    return ResolvedConfig(from_dict(fields), sources)


def _merge(kind: str, *each: Mapping[str, Any]) -> tuple[Fields, dict[str, str]]:
    """Lay preset, YAML and flags over each other; what is overruled is told with the winner."""
    fields: Fields = {}
    sources: dict[str, str] = {}
    for source, given in zip((PRESET, YAML_FILE, FLAG), each, strict=True):
        for name, value in given.items():
            if ONLY_IN.get(name, kind) != kind:
                continue
            overruled = name in fields and fields[name] != value
            said = f"{source} (over {fields[name]} of {sources[name]})" if overruled else source
            fields[name], sources[name] = value, said
    return fields, sources


def _complete(fields: Fields, sources: dict[str, str], given: Fields, source: str) -> None:
    for name, value in given.items():
        if name not in fields:
            fields[name], sources[name] = value, source


def _inferred(tensors: Tensors, fields: Fields) -> Fields:
    """Find what follows from the shapes once other fields are known."""
    return {**_expansion(tensors, fields["hidden_size"]), **_split_positions(tensors, fields)}


def _expansion(tensors: Tensors, width: int) -> Fields:
    """Find an expansion with the inner size of the first SwiGLU; all that have it are one model."""
    product = tensors.get("L_level.layers.0.mlp.down_proj.weight")
    if product is None or product.ndim != 2:
        return {}
    whole = (float(n) for n in range(1, 17))
    exact = product.shape[1] * 3 / (2 * width)
    for expansion in (4.0, *whole, exact):
        if -(-round(expansion * width * 2 / 3) // 256) * 256 == product.shape[1]:
            return {"expansion": expansion}
    return {}


def _split_positions(tensors: Tensors, fields: Fields) -> Fields:
    """Find seq_len from the latent length and the prefix, or the prefix from seq_len."""
    positions = _count_positions(tensors)
    if positions is None:
        return {}
    is_trm = fields["architecture"] == "trm"
    needed = -(-fields["puzzle_emb_ndim"] // fields["hidden_size"])
    if "seq_len" not in fields and not is_trm:
        return {"seq_len": positions - needed}
    if "seq_len" not in fields and isinstance(fields.get("puzzle_emb_len"), int):
        return {"seq_len": positions - (fields["puzzle_emb_len"] or needed)}
    if isinstance(fields.get("seq_len"), int) and is_trm:
        return {"puzzle_emb_len": positions - fields["seq_len"]}
    return {}


def _unused(fields: Fields) -> Fields:
    """Name values for fields that decide nothing in a model of these others."""
    unused: Fields = {}
    if fields["mixer"] == "mlp":  # which has neither heads nor an encoding of positions
        unused |= {"positions": "none", "num_heads": 1}
    if fields["mixer"] == "mlp" or fields.get("positions") in ("learned", "none"):
        unused["rope_theta"] = 10_000.0
    return unused


def _needed(kind: str) -> list[str]:
    """List the fields of an architecture, all of which must be known."""
    config = HRMConfig if kind == "hrm" else TRMConfig
    return list(config.__dataclass_fields__)


def _agree(seen: object, told: object) -> bool:
    """Compare a field; linear attention has the tensors of attention."""
    return seen == told or (seen, told) == ("attention", "linear_attention")


def _how_to_complete(missing: list[str], seen: Fields) -> str:
    """Name the fields that are missing and what would supply them."""
    fitting = [
        name
        for name, config in PRESETS.items()
        if all(to_dict(config)[k] == v for k, v in seen.items() if k != "num_puzzle_identifiers")
    ]
    listed = (f"{n} ({FIELD_FLAGS[n]})" if n in FIELD_FLAGS else n for n in missing)
    presets = ", ".join(fitting) or "none"
    return (
        f"tensors do not show {', '.join(listed)}; give a --preset (those that fit: {presets}), the"
        f" release's {YAML_FILE} beside the file, or these flags to `python -m trm_jax.convert`"
    )


def _count_layers(tensors: Tensors, level: str) -> int:
    """Count the blocks of a level from their indices.

    Raises:
      ValueError: an index without the ones before it.
    """
    pattern = re.compile(rf"{level}\.layers\.(\d{{1,12}})\.")
    found = {int(match[1]) for name in tensors if (match := pattern.match(name))}
    if found and max(found) >= len(found):
        raise ValueError(
            f"{level} has layers.{max(found)} but only {len(found)} layers; the file is damaged or"
            " of another model"
        )
    return len(found)


def _count_positions(tensors: Tensors) -> int | None:
    """Read the latent length (prefix + cells) where a tensor has it as an axis."""
    for name, axis in (
        ("embed_pos.embedding_weight", 0),
        ("L_level.layers.0.mlp_t.gate_up_proj.weight", 1),
    ):
        if name in tensors and tensors[name].ndim == 2:
            return tensors[name].shape[axis]
    return None
