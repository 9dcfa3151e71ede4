"""Configurations read off tensors, completed by presets, YAML and flags, and checked."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.releases import CONFIGS, YAML, released_tensors, write_release
from trm_jax.checkpoints.model_files import weight_shapes
from trm_jax.config import PRESETS, Config, Positions
from trm_jax.convert.name_table import from_torch, table
from trm_jax.convert.torch_config import read_yaml, resolve_config, seen_fields
from trm_jax.convert.torch_files import read_tensors


def test_number_of_puzzle_identifiers_is_the_files(tmp_path: Path) -> None:
    write_release(tmp_path / "m.safetensors", CONFIGS["att"])
    told = {"puzzle_emb_len": 2, "expansion": 1.0}
    tensors = read_tensors(tmp_path / "m.safetensors")
    other = dataclasses.replace(CONFIGS["att"], num_puzzle_identifiers=77)
    assert resolve_config(tensors, other, told, {}) == CONFIGS["att"]


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_configuration_is_inferred_from_the_tensors(config: Config) -> None:
    tensors = released_tensors(config)
    told: dict[str, Any] = {
        "H_cycles": 2,
        "L_cycles": 2,
        "num_heads": 2,
        "halt_max_steps": 4,
        "expansion": 1.0,
        "halt_exploration_prob": 0.0,
        "puzzle_emb_len": 2,
        "forward_dtype": "float32",
    }
    if config.positions is Positions.ROPE:
        told["seq_len"] = 4  # nothing shows it
    assert resolve_config(tensors, None, told, {}) == config


def test_missing_cycles_name_the_flag_and_the_presets_that_fit() -> None:
    shapes = weight_shapes(PRESETS["sudoku-trm-mlp"])
    tensors = {
        row.torch: np.zeros(shapes[row.leaf][::-1] if row.transposed else shapes[row.leaf])
        for row in table(PRESETS["sudoku-trm-mlp"])
    }
    assert seen_fields(tensors)["mixer"] == "mlp"
    with pytest.raises(ValueError, match=r"H_cycles \(--h-cycles\).* fit: sudoku-trm-mlp\)"):
        resolve_config(tensors, None, {}, {})
    with pytest.raises(ValueError, match="mixer: the tensors say mlp") as caught:
        resolve_config(tensors, PRESETS["maze-trm-att"], {}, {})
    assert "vocab_size: the tensors say 11, the preset" in str(caught.value)


def test_seq_len_of_another_preset_is_refused() -> None:
    config = CONFIGS["mlp"]
    tensors = released_tensors(config)
    longer = dataclasses.replace(config, seq_len=9)
    with pytest.raises(ValueError, match=r"mlp_t\.gate_up_proj\.weight: found .* expected"):
        from_torch(tensors, resolve_config(tensors, longer, {}, {}))


def test_yaml_of_another_architecture_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "all_config.yaml"
    file.write_text(YAML.format(name="recursive_reasoning.trm_singlez@X"))
    with pytest.raises(ValueError, match="trm_singlez"):
        read_yaml(file)
    for text in ("arch: [", "lr: 1", "arch: {H_cycles: many}", "- 1"):
        file.write_text(text)
        with pytest.raises(ValueError, match="no readable `arch:` table"):
            read_yaml(file)
