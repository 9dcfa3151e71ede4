"""Model directories and training checkpoints: exact round trips, clear refusals."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

from tests.support.samples import random_weights, small
from trm_jax.checkpoints.model_files import load_metadata, load_model, save_model, weight_shapes
from trm_jax.checkpoints.training_state import TrainCheckpointer
from trm_jax.config import HRMConfig, Mixer, Positions, TRMConfig
from trm_jax.types import Buffers, Weights

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


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change config.json."""
    document = json.loads((folder / "config.json").read_text())
    change(document)
    (folder / "config.json").write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["config"].pop("H_cycles"), "config: field H_cycles is missing"),
        (lambda d: d["config"].update(L_cycles="6"), "field L_cycles must be an integer, got '6'"),
        (lambda d: d["config"].update(rms_norm_eps=-1.0), "rms_norm_eps must be positive"),
        (lambda d: d["config"].update(hidden_size=10**9), "hidden_size must be at most"),
        (lambda d: d["config"].update(puzzle_emb_len=10**12), "puzzle_emb_len must be at most"),
        (lambda d: d["config"].update(L_layers=1000), "too few for 1000 layers"),
        (lambda d: d["config"].update(hidden_size=2**20), r"expected \(5, 1048576\)"),
        (lambda d: d["config"].update(num_puzzle_identifiers=2**31 - 1), "puzzle_emb: found"),
        (lambda d: d.update(metadata=[]), "field metadata must be an object"),
        (lambda d: d.update(sha256=3), "field sha256 must be a text"),
        (lambda d: d.update(notes="x"), "field notes is unknown"),
    ],
)
def test_a_wrong_document_is_told(
    change: Callable[[dict[str, Any]], object], message: str, weights: Weights, tmp_path: Path
) -> None:
    save_model(tmp_path, SMALL, weights)
    edit(tmp_path, change)
    with pytest.raises(ValueError, match=message) as caught:
        load_model(tmp_path)
    assert "\n" not in str(caught.value)


def test_every_flipped_byte_of_the_weights_is_found(weights: Weights, tmp_path: Path) -> None:
    save_model(tmp_path, SMALL, weights)
    file = tmp_path / "model.safetensors"
    whole, rng = file.read_bytes(), np.random.default_rng(0)
    for place in rng.integers(0, len(whole), 300):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << rng.integers(8)
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"model\.safetensors"):
            load_model(tmp_path)


def test_a_model_without_a_hash_loads(weights: Weights, tmp_path: Path) -> None:
    save_model(tmp_path, SMALL, weights)
    edit(tmp_path, lambda document: document.pop("sha256"))
    assert_same(load_model(tmp_path)[1], weights)


def test_weights_of_another_model_are_told(weights: Weights, tmp_path: Path) -> None:
    save_model(tmp_path / "a", SMALL, weights)
    save_model(tmp_path / "b", SMALL, jax.tree.map(lambda x: -x, weights))
    os.replace(tmp_path / "b" / "model.safetensors", tmp_path / "a" / "model.safetensors")
    with pytest.raises(ValueError, match=r"its SHA-256 is not that of config\.json"):
        load_model(tmp_path / "a")


def test_a_kill_between_the_two_files_leaves_a_model(
    weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_model(tmp_path / "m", SMALL, weights)
    doubled = jax.tree.map(lambda x: 2 * x, weights)
    replace = os.replace

    def killed(source: Path, target: Path) -> None:
        if target.name == "config.json" and source.name == "config.json":
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        save_model(tmp_path / "m", SMALL, doubled)
    assert_same(load_model(tmp_path / "m")[1], doubled)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_no_numbers_are_named(
    value: float, weights: Weights, tmp_path: Path
) -> None:
    for name, damaged in (
        (
            "buffers/L_init",
            weights._replace(buffers=Buffers(*weights.buffers[:1], value * weights.buffers.L_init)),
        ),
        ("puzzle_emb", weights._replace(puzzle_emb=weights.puzzle_emb.at[1, 2].set(value))),
    ):
        save_model(tmp_path, SMALL, damaged)
        with pytest.raises(ValueError, match=f"{name} has . of .* NaN or infinite"):
            load_model(tmp_path)


def test_float16_takes_no_weight_that_it_cannot_hold(weights: Weights, tmp_path: Path) -> None:
    large = weights._replace(puzzle_emb=weights.puzzle_emb.at[0, 0].set(70_000.0))
    save_model(tmp_path / "b", SMALL, large, storage="bfloat16")
    with pytest.raises(ValueError, match="puzzle_emb has weights beyond float16"):
        save_model(tmp_path / "h", SMALL, large, storage="float16")


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_what_is_no_file_is_named(name: str, weights: Weights, tmp_path: Path) -> None:
    save_model(tmp_path, SMALL, weights)
    (tmp_path / name).unlink()
    (tmp_path / name).symlink_to(tmp_path / "gone")
    with pytest.raises(FileNotFoundError, match=f"{name} is a folder or a broken link"):
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
