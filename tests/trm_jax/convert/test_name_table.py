"""The total table: complete, exact, and refusing what does not fit.

Oracles: the names, shapes, dtypes and byte counts of the released state_dicts
(`state_dict_keys.json`), and transposes written out by hand.
"""

import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from tests.support.releases import CONFIGS, FULL, assert_same, released_tensors, released_weights
from trm_jax.checkpoints.model_files import weight_shapes
from trm_jax.config import PRESETS, Config
from trm_jax.convert.name_table import from_torch, strip_prefixes, table, to_torch
from trm_jax.types import Buffers

RELEASED = {
    "sudoku-trm-mlp": "trm_mlp_sudoku",
    "sudoku-trm-att": "trm_att_sudoku",
    "maze-trm-att": "trm_att_maze",
    "arc-trm-att": "trm_att_arc2024",
    "sudoku-hrm": "hrm_sudoku",
    "maze-hrm": "hrm_maze",
}


@pytest.mark.parametrize("name", RELEASED)
def test_table_is_the_released_state_dict(name: str, golden: Path) -> None:
    released = json.loads((golden / "state_dict_keys.json").read_text())[RELEASED[name]]
    config = PRESETS[name]
    shapes = weight_shapes(config)
    ours = {
        FULL + row.torch: list(shapes[row.leaf][::-1] if row.transposed else shapes[row.leaf])
        for row in table(config)
    }
    assert ours == {k: shape for k, (shape, _) in released["keys"].items()}
    narrow = {k for k, (_, dtype) in released["keys"].items() if dtype == "torch.bfloat16"}
    assert narrow == {FULL + "H_init", FULL + "L_init"}
    size = sum((2 if k in narrow else 4) * int(np.prod(s)) for k, s in ours.items())
    assert size == released["state_dict_bytes"]
    trainable = {k: s for k, s in ours.items() if k not in narrow and "puzzle_emb" not in k}
    assert sum(int(np.prod(s)) for s in trainable.values()) == released["parameters"]


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_table_fills_every_leaf_once(config: Config) -> None:
    rows = table(config)
    assert sorted(row.leaf for row in rows) == sorted(weight_shapes(config))
    assert len({row.torch for row in rows}) == len(rows)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_round_trip_is_bit_exact_both_ways(config: Config) -> None:
    weights = released_weights(config)
    released = to_torch(config, weights)
    stripped = {strip_prefixes(k): v for k, v in released.items()}
    assert_same(from_torch(stripped, config), weights)
    again = to_torch(config, from_torch(stripped, config))
    assert list(again) == list(released)
    for name, value in released.items():
        assert value.dtype == again[name].dtype
        assert value.tobytes() == again[name].tobytes()


def test_layout_of_a_linear_layer_by_hand() -> None:
    config = CONFIGS["hrm"]
    weights = released_weights(config)
    released = to_torch(config, weights)
    gate_up = weights.params["H_level"]["layers_0"]["mlp"]["gate_up_proj"]["kernel"]
    theirs = released[FULL + "H_level.layers.0.mlp.gate_up_proj.weight"]
    assert theirs.shape == (2 * 256, 8)  # (out, in); SwiGLU rounds 5 up to 256
    assert theirs[300, 5] == gate_up[5, 300]
    o_proj = weights.params["H_level"]["layers_0"]["self_attn"]["o_proj"]["kernel"]
    square = released[FULL + "H_level.layers.0.self_attn.o_proj.weight"]
    assert square[1, 5] == o_proj[5, 1] != o_proj[1, 5]  # no shape tells a square one apart


def test_initial_states_are_bfloat16_only_where_exact() -> None:
    config = CONFIGS["att"]
    weights = released_weights(config)
    third = jnp.full_like(weights.buffers.L_init, 1 / 3)
    mixed = weights._replace(buffers=Buffers(weights.buffers.H_init, third))
    released = to_torch(config, mixed)
    assert released[FULL + "H_init"].dtype == jnp.bfloat16
    assert released[FULL + "L_init"].dtype == np.float32
    stripped = {strip_prefixes(k): v for k, v in released.items()}
    assert_same(from_torch(stripped, config), mixed)


def test_mismatches_list_all_names_and_both_shapes() -> None:
    config = CONFIGS["att"]
    tensors = released_tensors(config)
    del tensors["q_head.bias"]
    tensors["extra.weight"] = np.zeros((2, 3), np.float32)
    tensors["lm_head.weight"] = np.zeros((9, 8), np.float32)
    with pytest.raises(ValueError, match="does not fit") as caught:
        from_torch(tensors, config)
    message = str(caught.value)
    assert "q_head.bias: missing, expected (2,)" in message
    assert "extra.weight: unknown, shape (2, 3)" in message
    assert "lm_head.weight: found (9, 8), expected (5, 8)" in message
