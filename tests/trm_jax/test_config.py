"""Configurations: the published numbers, validation, and the JSON round trip.

The numbers are facts of REFERENCE 1.1 and 1.2 (released YAML files and state_dicts).
"""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest

from tests.support.samples import small
from trm_jax.checkpoints.model_files import weight_shapes
from trm_jax.config import (
    PRESETS,
    HRMConfig,
    Mixer,
    Positions,
    TRMConfig,
    attention_macs,
    blocks_per_step,
    flops_per_step,
    from_dict,
    linear_macs,
    preset,
    to_dict,
)

PUBLISHED = {  # name: positions, H_cycles, L_cycles, trainable weights, bytes of the state_dict
    "sudoku-trm-mlp": (97, 3, 6, 5_028_866, 20_119_560),
    "sudoku-trm-att": (97, 3, 6, 6_828_034, 27_316_232),
    "maze-trm-att": (916, 3, 4, 6_822_914, 27_295_752),
    "arc-trm-att": (916, 3, 4, 6_829_058, 131_584_008),
    "sudoku-hrm": (82, 2, 2, 27_275_266, 109_105_160),
    "maze-hrm": (901, 2, 2, 27_270_146, 109_084_680),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_presets_have_the_published_sizes(name: str) -> None:
    config = PRESETS[name]
    positions, H_cycles, L_cycles, trainable, size = PUBLISHED[name]
    assert config.num_positions == positions
    assert (config.H_cycles, config.L_cycles, config.halt_max_steps) == (H_cycles, L_cycles, 16)
    shapes = {k: math.prod(shape) for k, shape in weight_shapes(config).items()}
    assert sum(n for k, n in shapes.items() if k.startswith("params/")) == trainable
    narrow = sum(n for k, n in shapes.items() if k.startswith("buffers/"))  # bfloat16
    assert 4 * sum(shapes.values()) - 2 * narrow == size


def test_public_arc_checkpoint_size_is_explained() -> None:
    shapes = weight_shapes(PRESETS["arc-trm-att-public"])
    size = 4 * sum(math.prod(shape) for shape in shapes.values()) - 2 * 1024
    # the published file adds a container of a few kilobytes
    assert 0 < 1_822_205_258 - size < 10_000


@pytest.mark.parametrize(
    ("preset_name", "released_name"),
    [
        ("sudoku-trm-mlp", "trm_mlp_sudoku"),
        ("maze-trm-att", "trm_att_maze"),
        ("arc-trm-att", "trm_att_arc2024"),
        ("sudoku-hrm", "hrm_sudoku"),
    ],
)
def test_presets_equal_the_released_configurations(
    preset_name: str, released_name: str, golden: Path
) -> None:
    keys = json.loads((golden / "state_dict_keys.json").read_text())
    released, ours = keys[released_name]["config"], to_dict(PRESETS[preset_name])
    same = set(released) & set(ours)
    assert {"H_cycles", "L_cycles", "hidden_size", "num_heads", "expansion", "vocab_size"} <= same
    hrm = ours["architecture"] == "hrm"  # the released dump of an HRM names TRM's options too
    skipped = {"no_ACT_continue"} if hrm else set()
    assert {k: ours[k] for k in same - skipped} == {k: released[k] for k in same - skipped}
    assert ours["positions"] == released["pos_encodings"]
    assert (ours["mixer"] == "mlp") == released["mlp_t"]


def test_swiglu_sizes() -> None:
    config = PRESETS["sudoku-trm-mlp"]
    assert [config.swiglu_size(n) for n in (512, 97, 96, 97 * 2)] == [1536, 512, 256, 768]


def test_flops_are_the_published_ones() -> None:
    # the paper's "25 MFLOPs" are 25.66 GFLOPs of linear layers (REFERENCE 4, errata)
    sudoku, arc = PRESETS["sudoku-trm-att"], PRESETS["arc-trm-att"]
    assert blocks_per_step(sudoku) == 42
    assert blocks_per_step(arc) == 30
    linear = 2 * 42 * linear_macs(sudoku)
    assert flops_per_step(sudoku) == linear + 2 * 42 * attention_macs(sudoku)
    assert attention_macs(PRESETS["sudoku-trm-mlp"]) == 0


def test_prefix_is_as_long_as_the_puzzle_embedding_needs_unless_told() -> None:
    assert HRMConfig(**small(puzzle_emb_ndim=9)).prefix_len == 2
    assert TRMConfig(**small(puzzle_emb_ndim=9, puzzle_emb_len=0)).prefix_len == 2
    assert TRMConfig(**small(puzzle_emb_ndim=9, puzzle_emb_len=5)).num_positions == 9


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seq_len": 0}, "seq_len must be at least 1, got seq_len=0"),
        ({"num_heads": 3}, "multiple of num_heads, got hidden_size=8 num_heads=3"),
        ({"num_heads": 8}, "even head size, got 1"),
        ({"forward_dtype": "int8"}, "got forward_dtype='int8'"),
        ({"puzzle_emb_len": 1, "puzzle_emb_ndim": 9}, "does not fit into 1 prefix positions"),
    ],
)
def test_invalid_fields_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TRMConfig(**small(**changes))


def test_hrm_limits() -> None:
    with pytest.raises(ValueError, match="H_layers"):
        HRMConfig(**small(H_layers=0))
    with pytest.raises(ValueError, match="no MLP mixer"):
        HRMConfig(**small(mixer=Mixer.MLP))


@pytest.mark.parametrize("name", PRESETS)
def test_dict_round_trip_through_json(name: str) -> None:
    assert from_dict(json.loads(json.dumps(to_dict(PRESETS[name])))) == PRESETS[name]


def test_configurations_are_frozen_and_hashable() -> None:
    config = TRMConfig(**small(positions=Positions.LEARNED))
    assert hash(config) == hash(dataclasses.replace(config))
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.seq_len = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "gpt"}, "'trm' or 'hrm', got 'gpt'"),
        ({"depth": 3}, "field depth is unknown"),
        ({"mixer": "conv"}, "conv"),
        ({"vocab_size": None}, "field vocab_size must be an integer, got None"),
        ({"H_cycles": "6"}, "field H_cycles must be an integer, got '6'"),
        ({"H_cycles": 2.5}, "field H_cycles must be an integer, got 2.5"),
        ({"L_layers": True}, "field L_layers must be an integer, got True"),
        ({"no_ACT_continue": "false"}, "field no_ACT_continue must be true or false, got 'false'"),
        ({"rms_norm_eps": -1e-5}, "rms_norm_eps must be positive"),
        ({"rms_norm_eps": math.inf}, "field rms_norm_eps must be a number, got inf"),
        ({"rope_theta": 0}, "rope_theta must be positive"),
        ({"expansion": "4"}, "field expansion must be a number, got '4'"),
        ({"halt_exploration_prob": 1.5}, r"must lie in \[0, 1\], got halt_exploration_prob=1.5"),
        ({"puzzle_emb_len": 10**12}, "puzzle_emb_len must be at most 1048576"),
        ({"hidden_size": 10**9}, "hidden_size must be at most"),
    ],
)
def test_bad_dicts_are_refused(changes: dict[str, Any], message: str) -> None:
    values = {**to_dict(PRESETS["sudoku-trm-att"]), **changes}
    with pytest.raises(ValueError, match=message):
        from_dict(values)


@pytest.mark.parametrize("name", ["sudoku-trm-mlp", "maze-hrm"])
def test_every_field_must_be_stated(name: str) -> None:
    values = to_dict(PRESETS[name])
    for field in values.keys() - {"architecture"}:
        rest = {k: v for k, v in values.items() if k != field}
        with pytest.raises(ValueError, match=f"^field {field} is missing$"):
            from_dict(rest)


@pytest.mark.parametrize("values", [None, [], "trm", 3])
def test_what_is_no_object_is_no_configuration(values: object) -> None:
    with pytest.raises(ValueError, match="must be an object"):
        from_dict(values)


def test_every_number_has_a_range() -> None:
    """A size below its least and above any machine is refused by name, field by field."""
    config = PRESETS["sudoku-hrm"]
    for field in dataclasses.fields(config):
        if field.type not in (int, float):
            continue
        for value in (-1, 10**15) if field.type is int else (-1.0, math.inf, math.nan):
            with pytest.raises(ValueError, match=field.name):
                dataclasses.replace(config, **{field.name: value})


def test_a_whole_number_stands_for_a_real_one() -> None:
    values = {**to_dict(PRESETS["sudoku-trm-att"]), "expansion": 4}
    assert json.dumps(to_dict(from_dict(values))) == json.dumps(to_dict(PRESETS["sudoku-trm-att"]))


def test_unknown_preset_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown preset 'x'; known: .*sudoku-trm-mlp"):
        preset("x")
