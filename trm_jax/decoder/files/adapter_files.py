"""Low-rank adapters as files, in the layout of the PEFT library.

    adapter_config.json           rank, alpha, dropout, and the matrices that have an adapter
    adapter_model.safetensors     base_model.model.MODULE.lora_A.weight and lora_B.weight; MODULE is
                                  the release's name, model.layers.0.self_attn.q_proj

PEFT keeps A as (rank, inputs) and B as (outputs, rank); ours are their transposes.
Every field of the configuration that would change what adapters add is one that is computed here,
or is refused; so is every tensor without a matrix. A matrix may have none.

An adapter says of which base it is, by name alone; adapters learned on a quantised base belong to
that base. Not here: what adapters do (lora.py).
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from trm_jax.checkpoints.model_files import Shape, check_finite, check_shapes
from trm_jax.checkpoints.tensor_files import map_tensors, save_tensors
from trm_jax.decoder.config import DecoderConfig
from trm_jax.decoder.files.name_table import leaf_shapes, table
from trm_jax.decoder.lora import Adapters, LoraConfig, LowRank
from trm_jax.output.staging import staged
from trm_jax.typed_json import read_fields, read_json

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
PREFIX = "base_model.model."
HEAD = "lm_head"

FIXED: dict[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",),
    "bias": ("none",),
    "use_rslora": (False,),
    "use_dora": (False,),
    "fan_in_fan_out": (False,),
    "rank_pattern": ({}, None),
    "alpha_pattern": ({}, None),
    "modules_to_save": (None, []),
    "layers_to_transform": (None,),
    "layers_pattern": (None, []),
    "layer_replication": (None,),
    "trainable_token_indices": (None,),
    "lora_bias": (False,),
    "megatron_config": (None,),
}
"""Fields that change what adapters add, and the values under which it is ours."""

WITHOUT_EFFECT = frozenset(
    (
        *("auto_mapping", "base_model_name_or_path", "corda_config", "eva_config"),
        *("exclude_modules", "inference_mode", "init_lora_weights", "loftq_config"),
        *("megatron_core", "revision", "runtime_config", "target_modules", "task_type"),
    )
)
"""Fields of training, of how adapters began, and of what the tensors say themselves."""


@dataclass(frozen=True, kw_only=True)
class AdapterFields:
    """What is read of adapter_config.json."""

    r: int
    lora_alpha: float
    lora_dropout: float = 0.0


class AdapterContent(NamedTuple):
    """Adapters that were read, with their sizes."""

    adapters: Adapters
    config: LoraConfig


class AdapterRow(NamedTuple):
    """The adapter of one matrix: the site of our Dense, names and shapes of A and B in a file."""

    site: str
    names: tuple[str, str]
    shapes: tuple[Shape, Shape]

    @property
    def expected(self) -> dict[str, Shape]:
        """Name -> shape."""
        return dict(zip(self.names, self.shapes, strict=True))


def adapter_table(config: DecoderConfig, rank: int) -> tuple[AdapterRow, ...]:
    """List the matrices that may have an adapter."""
    shapes, rows = leaf_shapes(config), []
    for row in table(config):
        site, _, leaf = row.leaf.rpartition("/")
        if leaf != "kernel":
            continue
        # a tied head's adapter is of the head alone, whatever its matrix is called
        module = HEAD if site == HEAD else row.release.removesuffix(".weight")
        a, b = (f"{PREFIX}{module}.lora_{letter}.weight" for letter in "AB")
        inputs, outputs = shapes[row.leaf]
        rows.append(AdapterRow(site, (a, b), ((rank, inputs), (outputs, rank))))
    return tuple(rows)


def save_adapters(
    folder: Path, adapters: Adapters, lora: LoraConfig, config: DecoderConfig, base: str
) -> None:
    """Write adapters; files of other names in the folder stay.

    Args:
      base: what they act on: the name of a model, and of its scheme where it has one.

    Raises:
      ValueError: adapters of matrices that the decoder has not, or of another rank.
    """
    rows = adapter_table(config, lora.rank)
    if unknown := sorted(adapters.keys() - {row.site for row in rows}):
        raise ValueError(f"the decoder has no matrix {unknown[0]!r} to adapt")
    tensors: dict[str, np.ndarray] = {}
    expected: dict[str, Shape] = {}
    for row in rows:
        if row.site in adapters:
            values = (np.asarray(each, np.float32).T for each in adapters[row.site])
            tensors |= dict(zip(row.names, map(np.ascontiguousarray, values), strict=True))
            expected |= row.expected
    check_shapes({name: x.shape for name, x in tensors.items()}, expected, "the adapters to save")
    document = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": lora.rank,
        "lora_alpha": lora.alpha,
        "lora_dropout": lora.dropout,
        "bias": "none",
        "target_modules": sorted(
            {row.site.rpartition("/")[2] for row in rows if row.site in adapters}
        ),
        "inference_mode": True,
    }
    with staged(folder) as work:
        save_tensors(tensors, work / WEIGHTS_FILE)
        text = json.dumps(document, indent=2) + "\n"
        (work / CONFIG_FILE).write_text(text, encoding="utf-8")


def load_adapters(folder: Path, config: DecoderConfig) -> AdapterContent:
    """Read adapters of a decoder; they come back as float32.

    Raises:
      FileNotFoundError: a file is missing.
      ValueError: a file is damaged, adapters are of another kind or another decoder, or a weight is
        no number.
    """
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} holds no adapters: no {name} in it")
    lora = _read_config(folder / CONFIG_FILE)
    file = folder / WEIGHTS_FILE
    tensors = map_tensors(file)
    rows = [row for row in adapter_table(config, lora.rank) if tensors.keys() & set(row.names)]
    expected = {name: shape for row in rows for name, shape in row.expected.items()}
    check_shapes({name: x.shape for name, x in tensors.items()}, expected, str(file))

    def read(name: str) -> Any:
        values = np.asarray(tensors[name], np.float32)
        check_finite(name, values, str(file))
        return jnp.array(values.T, copy=True)

    return AdapterContent({row.site: LowRank(*map(read, row.names)) for row in rows}, lora)


def _read_config(file: Path) -> LoraConfig:
    document = read_json(file)
    try:
        if not isinstance(document, dict):
            raise ValueError(f"it must hold an object, got {type(document).__name__}")
        for name, allowed in FIXED.items():
            given = document.get(name, allowed[0])
            if not any(type(given) is type(value) and given == value for value in allowed):
                raise ValueError(
                    f"{name} must be {' or '.join(map(repr, allowed))}, got {str(given)[:60]!r}"
                )
        names = AdapterFields.__dataclass_fields__.keys()
        if unknown := sorted(document.keys() - names - FIXED.keys() - WITHOUT_EFFECT):
            raise ValueError(
                f"field {unknown[0]} (value {str(document[unknown[0]])[:60]}) is unknown and may"
                " change what adapters add; take it out if it does not"
            )
        fields = read_fields(AdapterFields, {n: document[n] for n in names if n in document})
        return LoraConfig(
            rank=fields.r, alpha=float(fields.lora_alpha), dropout=float(fields.lora_dropout)
        )
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
