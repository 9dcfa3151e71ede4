"""Configurations read off tensors, completed by presets, YAML and flags, and checked."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.releases import CONFIGS, YAML, released_tensors, write_release
from trm_jax.checkpoints.model_files import weight_shapes
from trm_jax.config import PRESETS, Config, HRMConfig, Mixer, Positions, to_dict
from trm_jax.convert.name_table import from_torch, table
from trm_jax.convert.released_yaml import read_yaml
from trm_jax.convert.torch_config import resolve_config, seen_fields
from trm_jax.convert.torch_files import read_tensors


def test_number_of_puzzle_identifiers_is_the_files(tmp_path: Path) -> None:
    write_release(tmp_path / "m.safetensors", CONFIGS["att"])
    told = {"puzzle_emb_len": 2, "expansion": 1.0}
    tensors = read_tensors(tmp_path / "m.safetensors")
    other = dataclasses.replace(CONFIGS["att"], num_puzzle_identifiers=77)
    assert resolve_config(tensors, other, told, {}).config == CONFIGS["att"]


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
        "rms_norm_eps": 1e-5,
        "no_ACT_continue": config.no_ACT_continue,
    }
    if config.positions is Positions.ROPE:
        told |= {"seq_len": 4, "positions": "rope", "rope_theta": 1e4}  # nothing shows them
    assert resolve_config(tensors, None, told, {}).config == config
    if isinstance(config, HRMConfig):
        del told["puzzle_emb_len"]  # which HRM has not
    for field in told.keys() - INFERRED[config.positions, config.mixer]:
        less = {name: value for name, value in told.items() if name != field}
        with pytest.raises(ValueError, match=f"tensors do not show {field}"):
            resolve_config(tensors, None, less, {})


INFERRED = {
    (Positions.ROPE, Mixer.ATTENTION): {"expansion"},
    (Positions.LEARNED, Mixer.ATTENTION): {"expansion", "puzzle_emb_len"},
    (Positions.NONE, Mixer.MLP): {"expansion", "puzzle_emb_len", "num_heads"},
}
"""What the shapes of a model show although it is told above, or what decides nothing in it."""


def test_every_field_has_a_source() -> None:
    tensors = released_tensors(CONFIGS["mlp"])
    told = {"architecture": "trm", "H_cycles": 2, "L_cycles": 2, "no_ACT_continue": True}
    flags = {"seq_len": 4, "forward_dtype": "float32", "halt_max_steps": 4, "L_cycles": 3}
    resolved = resolve_config(tensors, None, told, {**flags, "halt_exploration_prob": 0.5})
    assert resolved.sources.keys() == to_dict(resolved.config).keys()
    by = resolved.told_by()
    assert by["the released code of trm (all_config.yaml has none)"] == (
        "rms_norm_eps 1e-05, rope_theta 10000.0"
    )
    assert by["flags (over 2 of all_config.yaml)"] == "L_cycles 3"
    assert "puzzle_emb_len 2" in by["the tensors"]
    assert by["no effect on this model"] == "num_heads 1, positions none"


def test_layers_without_the_ones_before_them_are_refused() -> None:
    tensors = released_tensors(CONFIGS["att"])
    name = "L_level.layers.1.mlp.down_proj.weight"
    tensors[name.replace(".1.", ".999999999.")] = tensors[name]
    with pytest.raises(ValueError, match=r"has layers\.999999999 but only 3 layers"):
        seen_fields(tensors)


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
    assert "vocab_size: the tensors say 11, the preset 6" in str(caught.value)


def test_seq_len_of_another_preset_is_refused() -> None:
    config = CONFIGS["mlp"]
    tensors = released_tensors(config)
    longer = dataclasses.replace(config, seq_len=9)
    with pytest.raises(ValueError, match=r"mlp_t\.gate_up_proj\.weight: found .* expected"):
        from_torch(tensors, resolve_config(tensors, longer, {}, {}).config)


def test_yaml_of_another_architecture_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "all_config.yaml"
    file.write_text(YAML.format(name="recursive_reasoning.trm_singlez@X"))
    with pytest.raises(ValueError, match="trm_singlez"):
        read_yaml(file)
    for text in ("arch: [", "lr: 1", "arch: {H_cycles: many}", "- 1"):
        file.write_text(text)
        with pytest.raises(ValueError, match="no readable `arch:` table"):
            read_yaml(file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("arch: {H_cycles: '3'}", "field H_cycles must be an integer, got '3'"),
        ("arch: {H_cycles: 2.5}", "field H_cycles must be an integer, got 2.5"),
        ("arch: {H_cycles: true}", "field H_cycles must be an integer, got True"),
        ("arch: {H_cycles: null}", "field H_cycles must have a value"),
        ("arch: {H_cycles: [3]}", "field H_cycles must be an integer"),
        ("arch: {mlp_t: 'false'}", "field mlp_t must be true or false, got 'false'"),
        ("arch: {rms_norm_eps: .inf}", "field rms_norm_eps must be a number, got inf"),
        ("arch: {expansion: .nan}", "field expansion must be a number, got nan"),
        ("arch: {H_cycles: 2, H_cycles: 3}", "'H_cycles' is given twice"),
        ("arch: {puzzle_emb_ndim: '${.hidden_size}'}", "field puzzle_emb_ndim must be an integer"),
        ("a: &a {H_cycles: 2}\narch: {<<: *a}", "a merge"),
        ("arch: !!python/object/apply:os.system ['true']", "not YAML"),
        ("arch: " + "[" * 5000, "nested too deeply"),
        ("arch: {H_cycles: 1" + "0" * 5000 + "}", "no readable"),
        ("#" * 2**21, "a configuration about 1000"),
    ],
)
def test_a_wrong_yaml_is_told_in_a_line(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "all_config.yaml"
    file.write_text(text)
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        read_yaml(file)
    assert "\n" not in str(caught.value)


def test_aliases_cost_what_they_are_written_with(tmp_path: Path) -> None:
    """A billion laughs: ten lists of ten of the one before, in the file and out of the table."""
    lines = ["a0: &a0 [lol]"] + [
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 30)
    ]
    file = tmp_path / "all_config.yaml"
    file.write_text("\n".join(lines) + "\narch: {H_cycles: 2, loss: *a29}\n")
    assert read_yaml(file) == {"H_cycles": 2}
    file.write_text("\n".join(lines) + "\narch: {H_cycles: *a29}\n")
    with pytest.raises(ValueError, match="field H_cycles must be an integer"):
        read_yaml(file)


def test_numbers_are_those_of_yaml_1_2_and_foreign_keys_are_said(tmp_path: Path) -> None:
    file, said = tmp_path / "all_config.yaml", []
    file.write_text("arch: {rms_norm_eps: 1e-5, residual: true, expansion: 4}")
    assert read_yaml(file, said.append) == {"rms_norm_eps": 1e-5, "expansion": 4}
    assert said == ["all_config.yaml: keys of arch that are not read: residual"]
