"""Model directories and training checkpoints: exact round trips, clear refusals."""

import json
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

from tests.support.samples import random_weights, small
from trm_jax.checkpoints.model_files import load_metadata, load_model, save_model, weight_shapes
from trm_jax.checkpoints.training_state import TrainCheckpointer
from trm_jax.config import HRMConfig, Mixer, Positions, TRMConfig
from trm_jax.types import Weights

SMALL = TRMConfig(**small(puzzle_emb_len=2))
CONFIGS = {
    "attention": SMALL,
    "mlp": TRMConfig(**small(mixer=Mixer.MLP, positions=Positions.NONE, puzzle_emb_len=1)),
    "hrm": HRMConfig(**small(positions=Positions.LEARNED, H_layers=1)),
}


@pytest.fixture(scope="module")
def weights() -> Weights:
    return random_weights(SMALL)


def assert_same(a: object, b: object) -> None:
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("name", CONFIGS)
def test_round_trip_is_exact(name: str, tmp_path: Path) -> None:
    weights = random_weights(CONFIGS[name])
    save_model(tmp_path / "m", CONFIGS[name], weights, {"steps": 7})
    config, loaded = load_model(tmp_path / "m")
    assert config == CONFIGS[name]
    assert_same(loaded, weights)
    assert load_metadata(tmp_path / "m") == {"steps": 7}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m"]
    assert len({p.stat().st_mode for p in (tmp_path / "m").iterdir()}) == 1


def test_bfloat16_storage_rounds_each_weight_once(weights: Weights, tmp_path: Path) -> None:
    save_model(tmp_path / "m", SMALL, weights, storage="bfloat16")
    _, loaded = load_model(tmp_path / "m")
    rounded = jax.tree.map(lambda x: x.astype(jnp.bfloat16).astype(jnp.float32), weights)
    assert_same(loaded, rounded)


def test_file_is_plain_safetensors_with_the_documented_names(
    weights: Weights, tmp_path: Path
) -> None:
    save_model(tmp_path / "m", SMALL, weights)
    raw = (tmp_path / "m" / "model.safetensors").read_bytes()
    size = int.from_bytes(raw[:8], "little")  # the format: header length, JSON header, data
    header = json.loads(raw[8 : 8 + size])
    entry = header["params/L_level/layers_1/mlp/down_proj/kernel"]
    begin, end = (8 + size + x for x in entry["data_offsets"])
    kernel = weights.params["L_level"]["layers_1"]["mlp"]["down_proj"]["kernel"]
    assert entry["dtype"] == "F32"
    assert raw[begin:end] == np.asarray(kernel, "<f4").tobytes()
    assert {"buffers/H_init", "buffers/L_init", "puzzle_emb"} <= header.keys()


def test_saving_again_keeps_other_files(weights: Weights, tmp_path: Path) -> None:
    save_model(tmp_path, SMALL, weights)
    (tmp_path / "README.md").write_text("card")
    doubled = jax.tree.map(lambda x: 2 * x, weights)
    save_model(tmp_path, SMALL, doubled)
    assert_same(load_model(tmp_path)[1], doubled)
    assert {p.name for p in tmp_path.iterdir()} == {"README.md", "config.json", "model.safetensors"}


def test_weights_of_another_configuration_are_not_saved(weights: Weights, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"lm_head/kernel: found \(8, 5\), expected \(8, 6\)"):
        save_model(tmp_path / "m", TRMConfig(**{**vars(SMALL), "vocab_size": 6}), weights)
    assert list(tmp_path.iterdir()) == []


def test_unserialisable_metadata_leaves_nothing(weights: Weights, tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        save_model(tmp_path / "m", SMALL, weights, {"bad": object()})
    assert list(tmp_path.iterdir()) == []


def test_truncated_model_file(weights: Weights, tmp_path: Path) -> None:
    save_model(tmp_path, SMALL, weights)
    file = tmp_path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"model\.safetensors is truncated"):
        load_model(tmp_path)


def test_truncated_config_file(weights: Weights, tmp_path: Path) -> None:
    save_model(tmp_path, SMALL, weights)
    file = tmp_path / "config.json"
    file.write_text(file.read_text()[:40])
    with pytest.raises(ValueError, match=r"config\.json is truncated"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("architecture", "hrm", r"params/H_level/.*: missing"),
        ("mixer", "mlp", r"self_attn/o_proj/kernel: unknown, shape \(8, 8\)"),
        ("hidden_size", 16, r"buffers/H_init: found \(8,\), expected \(16,\)"),
        ("num_puzzle_identifiers", 4, r"puzzle_emb: found \(3, 8\), expected \(4, 8\)"),
    ],
)
def test_wrong_architecture_or_shape_is_told(
    field: str, value: object, message: str, weights: Weights, tmp_path: Path
) -> None:
    save_model(tmp_path, SMALL, weights)
    file = tmp_path / "config.json"
    document = json.loads(file.read_text())
    document["config"][field] = value
    if field == "architecture":
        del document["config"]["puzzle_emb_len"]
        document["config"]["H_layers"] = 1
    file.write_text(json.dumps(document))
    with pytest.raises(ValueError, match=message):
        load_model(tmp_path)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_missing_file(name: str, weights: Weights, tmp_path: Path) -> None:
    save_model(tmp_path, SMALL, weights)
    (tmp_path / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        load_model(tmp_path)


def test_unknown_format_and_storage(weights: Weights, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="storage must be one of"):
        save_model(tmp_path / "m", SMALL, weights, storage="int4")
    save_model(tmp_path / "m", SMALL, weights)
    (tmp_path / "m" / "config.json").write_text('{"format": 99}')
    with pytest.raises(ValueError, match="not of format 1"):
        load_model(tmp_path / "m")


def test_weight_shapes_names_every_leaf(weights: Weights) -> None:
    assert len(weight_shapes(SMALL)) == len(jax.tree.leaves(weights))


class State(NamedTuple):
    weights: Weights
    step: Array
    key: Array


def make_state(weights: Weights, step: int) -> State:
    scaled = jax.tree.map(lambda x: x * step, weights)
    return State(scaled, jnp.int32(step), jax.random.key_data(jax.random.key(step)))


def test_training_state_round_trip_keeps_the_last_two(weights: Weights, tmp_path: Path) -> None:
    saver = TrainCheckpointer(tmp_path)
    assert saver.latest() is None
    for step in (1, 2, 3):
        saver.save(step, make_state(weights, step))
    saver.close()
    reader = TrainCheckpointer(tmp_path)
    like = jax.eval_shape(lambda w: make_state(w, 0), weights)
    assert reader.latest() == 3
    assert_same(reader.restore(like), make_state(weights, 3))
    assert_same(reader.restore(make_state(weights, 0), step=2), make_state(weights, 2))
    with pytest.raises(FileNotFoundError, match=r"step 1 .* \[2, 3\]"):
        reader.restore(like, step=1)
    reader.close()


def test_training_state_of_another_shape_is_refused(weights: Weights, tmp_path: Path) -> None:
    saver = TrainCheckpointer(tmp_path)
    saver.save(1, make_state(weights, 1))
    like = jax.eval_shape(lambda w: make_state(w, 0), weights)
    wrong = like._replace(key=jax.ShapeDtypeStruct((3,), jnp.uint32))
    with pytest.raises(ValueError, match="shape"):
        saver.restore(wrong)
    saver.close()
