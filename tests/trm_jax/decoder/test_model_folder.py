"""Folders of puzzle decoders: written, read back, and refused where something does not fit."""

import dataclasses
import json
from pathlib import Path

import jax
import numpy as np
import pytest

from trm_jax import zoo
from trm_jax.data.facts import settle_facts
from trm_jax.decoder.config import DecoderConfig, TraceOrder
from trm_jax.decoder.model_folder import PuzzleDecoder, load_puzzle_decoder, save_puzzle_decoder
from trm_jax.decoder.transformer import Decoder

CONFIG = DecoderConfig(
    vocab_size=147,  # of 4x4 mazes
    hidden_size=8,
    num_layers=1,
    num_heads=2,
    num_kv_heads=1,
    head_dim=4,
    intermediate_size=8,
    max_positions=64,
)


@pytest.fixture
def model() -> PuzzleDecoder:
    return PuzzleDecoder(
        config=CONFIG,
        params=Decoder(CONFIG).init(jax.random.key(0)),
        order=TraceOrder.SOLVER,
        puzzles=settle_facts("maze", 16, "here"),
        metadata={"step": 3},
    )


def test_a_folder_gives_back_what_was_saved(model: PuzzleDecoder, tmp_path: Path) -> None:
    save_puzzle_decoder(tmp_path / "model", model)
    read = load_puzzle_decoder(tmp_path / "model")
    jax.tree.map(np.testing.assert_array_equal, read.params, model.params)
    for name in ("config", "order", "puzzles", "metadata"):
        assert getattr(read, name) == getattr(model, name)
    assert read.form.vocabulary[-1] == "path r4c4"
    assert read.num_parameters == sum(leaf.size for leaf in jax.tree.leaves(model.params))
    save_puzzle_decoder(tmp_path / "model", dataclasses.replace(model, order=TraceOrder.SCAN))
    assert load_puzzle_decoder(tmp_path / "model").order is TraceOrder.SCAN


def test_a_vocabulary_of_other_puzzles_is_refused(model: PuzzleDecoder, tmp_path: Path) -> None:
    other = dataclasses.replace(model, puzzles=settle_facts("maze", 25, "here"))
    with pytest.raises(ValueError, match=r"vocab_size=147, but maze 5x5 is written with 228"):
        save_puzzle_decoder(tmp_path / "model", other)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "is not of format 1"),
        ({"order": "backwards"}, "order must be one of"),
        ({"config": {"architecture": "trm"}}, "architecture must be 'decoder'"),
        ({"puzzles": {"task": "maze"}}, "is missing"),
        ({"sha256": "0" * 64}, "is damaged or of another decoder"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(
    model: PuzzleDecoder, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    save_puzzle_decoder(tmp_path, model)
    file = tmp_path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(ValueError, match=message):
        load_puzzle_decoder(tmp_path)


def test_missing_files_and_other_models_are_refused(model: PuzzleDecoder, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no config\.json in it"):
        load_puzzle_decoder(tmp_path / "nowhere")
    save_puzzle_decoder(tmp_path, model)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"no model\.safetensors in it"):
        load_puzzle_decoder(tmp_path)
    with pytest.raises(ValueError, match="it is of a recursive model, which"):
        load_puzzle_decoder(zoo.MODELS["sudoku-trm-mlp-mini"].directory)


def test_weights_that_are_no_numbers_are_refused(model: PuzzleDecoder, tmp_path: Path) -> None:
    broken = jax.tree.map(lambda x: x.at[:1].set(np.nan), model.params)
    save_puzzle_decoder(tmp_path, dataclasses.replace(model, params=broken))
    with pytest.raises(ValueError, match="NaN or infinite"):
        load_puzzle_decoder(tmp_path)
