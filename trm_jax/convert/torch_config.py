"""The configuration of a PyTorch release: read off its tensors, completed, and checked.

Tensors show most sizes. They do not show cycle counts, the number of heads, or (with rotary
positions) the lengths of puzzle and prefix: those come from a preset, from the release's
`all_config.yaml`, or from flags, later ones winning. What is both seen and told must agree;
only the number of puzzle identifiers is always taken from the tensors.
"""

import dataclasses
import re
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any

import yaml

from trm_jax.config import PRESETS, Config, HRMConfig, TRMConfig, from_dict, to_dict
from trm_jax.convert.name_table import Tensors

Fields = dict[str, Any]

YAML_FILE = "all_config.yaml"
YAML_FIELDS: dict[str, tuple[str, Callable[[Any], object]]] = {
    "H_cycles": ("H_cycles", int),
    "L_cycles": ("L_cycles", int),
    "H_layers": ("H_layers", int),
    "L_layers": ("L_layers", int),
    "hidden_size": ("hidden_size", int),
    "num_heads": ("num_heads", int),
    "expansion": ("expansion", float),
    "pos_encodings": ("positions", str),
    "mlp_t": ("mixer", lambda on: "mlp" if on else "attention"),
    "puzzle_emb_ndim": ("puzzle_emb_ndim", int),
    "puzzle_emb_len": ("puzzle_emb_len", int),
    "halt_max_steps": ("halt_max_steps", int),
    "halt_exploration_prob": ("halt_exploration_prob", float),
    "rms_norm_eps": ("rms_norm_eps", float),
    "rope_theta": ("rope_theta", float),
    "no_ACT_continue": ("no_ACT_continue", bool),
    "forward_dtype": ("forward_dtype", str),
}
"""Keys of `arch:` in all_config.yaml, our field, and its type; others do not touch the model."""

ARCHITECTURES = {"trm": "trm", "hrm": "hrm", "hrm_act_v1": "hrm"}
"""Module in `arch.name` (`recursive_reasoning.trm@Class`) -> architecture."""

ONLY_IN = {"H_layers": "hrm", "puzzle_emb_len": "trm"}
UNSEEN = {
    "H_cycles": "--h-cycles",
    "L_cycles": "--l-cycles",
    "seq_len": "--seq-len",
    "puzzle_emb_len": "--prefix-len",
}
"""Fields that must be told (the number of heads has the default of the releases)."""


def read_yaml(file: Path) -> Fields:
    """Read the architecture fields of a released all_config.yaml.

    Raises:
      ValueError: not YAML, no `arch:` table, a value of the wrong type, or an architecture
        this project does not have.
    """
    try:
        arch = yaml.safe_load(file.read_text(encoding="utf-8"))["arch"]
        fields: Fields = {
            ours: cast(arch[key]) for key, (ours, cast) in YAML_FIELDS.items() if key in arch
        }
    except (yaml.YAMLError, TypeError, KeyError, ValueError) as error:
        raise ValueError(f"{file} has no readable `arch:` table: {error!r}") from error
    if "name" in arch:
        module = str(arch["name"]).split("@")[0].split(".")[-1]
        if module not in ARCHITECTURES:
            names = ", ".join(sorted(ARCHITECTURES))
            raise ValueError(f"{file}: architecture {arch['name']!r} unknown; known: {names}")
        fields["architecture"] = ARCHITECTURES[module]
    return fields


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
                " (names like params/L_level/... are this project's own, converted format)"
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


def resolve_config(tensors: Tensors, preset: Config | None, told: Fields, flags: Fields) -> Config:
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
    base = {**(to_dict(preset) if preset else {}), **told, **flags}
    base = {k: v for k, v in base.items() if ONLY_IN.get(k, kind) == kind}
    clashes = [
        f"{name}: the tensors say {seen[name]}, the preset, YAML file or flag says {base[name]}"
        for name in sorted(seen.keys() & base)
        if name != "num_puzzle_identifiers" and not _agree(seen[name], base[name])
    ]
    if clashes:
        raise ValueError("the tensors are of another configuration:\n  " + "\n  ".join(clashes))
    fields = {"positions": "none" if seen["mixer"] == "mlp" else "rope", **seen, **base}
    fields["num_puzzle_identifiers"] = seen["num_puzzle_identifiers"]
    fields |= _split_positions(_count_positions(tensors), fields)
    if missing := [n for n in UNSEEN if n not in fields and ONLY_IN.get(n, kind) == kind]:
        raise ValueError(_how_to_complete(missing, seen))
    return from_dict(_with_defaults(fields))


def _with_defaults(fields: Fields) -> Fields:
    """Add what nobody said: the released code's values."""
    kind = HRMConfig if fields["architecture"] == "hrm" else TRMConfig
    stated = (f for f in dataclasses.fields(kind) if f.default is not dataclasses.MISSING)
    defaults = {f.name: v.value if isinstance(v := f.default, Enum) else v for f in stated}
    return {**defaults, **fields}


def _split_positions(positions: int | None, fields: Fields) -> Fields:
    """Find seq_len from the latent length and the prefix, or the prefix from seq_len."""
    if positions is None:
        return {}
    if "seq_len" not in fields and (fields["architecture"] == "hrm" or "puzzle_emb_len" in fields):
        cells_1 = {"H_cycles": 1, "L_cycles": 1, **fields, "seq_len": 1}
        return {"seq_len": positions - from_dict(_with_defaults(cells_1)).prefix_len}
    if "seq_len" in fields and fields["architecture"] == "trm" and "puzzle_emb_len" not in fields:
        return {"puzzle_emb_len": positions - fields["seq_len"]}
    return {}


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
    flags = ", ".join(f"{name} ({UNSEEN[name]})" for name in missing)
    presets = ", ".join(fitting) or "none"
    return f"tensors do not show {flags}; give them, or a --preset (those that fit: {presets})"


def _count_layers(tensors: Tensors, level: str) -> int:
    """Count the blocks of a level from their indices."""
    pattern = re.compile(rf"{level}\.layers\.(\d+)\.")
    return 1 + max((int(m[1]) for name in tensors if (m := pattern.match(name))), default=-1)


def _count_positions(tensors: Tensors) -> int | None:
    """Read the latent length (prefix + cells) where a tensor has it as an axis."""
    for name, axis in (
        ("embed_pos.embedding_weight", 0),
        ("L_level.layers.0.mlp_t.gate_up_proj.weight", 1),
    ):
        if name in tensors:
            return tensors[name].shape[axis]
    return None
