"""Bundled models: they load, fit their puzzles and solve what their cards say."""

import hashlib
import json

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from quant.decoder.simulation import simulate_decoder
from quant.scheme import parse
from tests.support.slow import slow_except
from trm_jax import zoo
from trm_jax.config import preset, to_dict
from trm_jax.data.batches import evaluation_order, gather
from trm_jax.data.format import load_dataset
from trm_jax.decoder.config import DECODER_TASKS, TraceOrder, decoder_preset
from trm_jax.decoder.generate import generate
from trm_jax.decoder.loading import load_named_adapter, load_named_decoder
from trm_jax.decoder.lora import AdaptedRows
from trm_jax.decoder.model_folder import PuzzleDecoder
from trm_jax.decoder.transformer import Decoder
from trm_jax.evaluators import measure, trajectory
from trm_jax.models.build import build
from trm_jax.tasks.tokens.form import STOP
from trm_jax.types import Batch, Params

CARDS = {
    "sudoku-trm-mlp-mini": 0.936,
    "sudoku-trm-att-mini": 0.708,
    "sudoku-hrm-mini": 0.757,
    "sudoku-trm-mlp-midi": 0.861,
    "sudoku-trm-att-midi": 0.824,
    "maze-trm-att-mini": 0.653,
    "arc-trm-att-mini": 0.744,
}
"""Exact match at full depth, from each model's card."""


@pytest.mark.parametrize("name", zoo.MODELS)
def test_bundled_model_states_every_field_and_its_hash(name: str) -> None:
    folder = zoo.MODELS[name].directory
    document = json.loads((folder / "config.json").read_text())
    assert document["config"].keys() == to_dict(preset(name)).keys()
    weights = (folder / "model.safetensors").read_bytes()
    assert document["sha256"] == hashlib.sha256(weights).hexdigest()


@pytest.mark.parametrize("name", slow_except(zoo.MODELS, "sudoku-trm-mlp-mini"))
def test_bundled_model_solves_held_out_puzzles(name: str) -> None:
    config, weights = zoo.load(name)
    assert config == preset(name)
    data = load_dataset(zoo.puzzles(zoo.MODELS[name].task, config.seq_len) / "test")
    assert len(data) >= 1000
    host = gather(data, evaluation_order(data)[:32], 32)
    batch = Batch(*(jnp.asarray(a) for a in host[:3]))
    reasoner = build(config)
    states = trajectory(reasoner, weights, batch, steps=config.halt_max_steps)
    depths = (config.H_cycles, config.H_cycles * config.halt_max_steps)
    read = measure(reasoner, weights, batch, states, states, depths=depths)
    first, last = np.asarray(read.exact).mean(axis=1)
    # An untrained model solves none of these puzzles. One as good as its card says solves fewer
    # than `least` of 32 with probability 0.0005; weights and puzzles are fixed.
    least = stats.binom.ppf(0.0005, 32, CARDS[name])
    assert last >= least / 32
    assert last >= first


DECODER_CARDS = {"sudoku-ar-mini": 0.941, "maze-ar-mini": 0.997}
"""Exact match of greedy answers, from each decoder's card."""


@pytest.mark.parametrize("name", zoo.DECODERS)
def test_a_bundled_decoder_is_its_preset_and_states_its_hash(name: str) -> None:
    folder = zoo.DECODERS[name].directory
    document = json.loads((folder / "config.json").read_text())
    weights = (folder / "model.safetensors").read_bytes()
    assert document["sha256"] == hashlib.sha256(weights).hexdigest()
    assert len(weights) < 4e6
    model = zoo.load_decoder(name)
    assert model.config == decoder_preset(name)
    assert model.puzzles.task == zoo.DECODERS[name].task == DECODER_TASKS[name]
    assert model.order is TraceOrder.SCAN


def count_solved(
    model: PuzzleDecoder, decoder: Decoder, params: Params, adapted: AdaptedRows | None = None
) -> int:
    """Count which of 32 held-out puzzles a bundled decoder solves, under its weights or others."""
    data = load_dataset(zoo.puzzles(model.puzzles.task, model.puzzles.cells) / "test")
    chosen = evaluation_order(data)[:32]
    inputs, labels = data.inputs[chosen], data.labels[chosen]
    prompts = model.form.prompts(inputs)
    written = generate(
        decoder,
        params,
        jnp.asarray(prompts.tokens),
        jnp.asarray(prompts.lengths),
        stop=STOP,
        max_new_tokens=model.config.max_positions - prompts.tokens.shape[1],
        adapted=adapted,
    )
    answers = model.form.answers(inputs, np.asarray(written.tokens))
    return int((answers == labels).all(axis=1).sum())


@pytest.mark.slow
@pytest.mark.parametrize("name", zoo.DECODERS)
def test_a_bundled_decoder_solves_held_out_puzzles(name: str) -> None:
    model = zoo.load_decoder(name)
    least = stats.binom.ppf(0.0005, 32, DECODER_CARDS[name])  # as above
    assert count_solved(model, model.decoder, model.params) >= least


ADAPTER_CARDS = {"maze-ar-mini-w3c": 0.979}
"""Exact match of greedy answers on the scheme's weights, from each adapter's card."""


@pytest.mark.slow
@pytest.mark.parametrize("name", zoo.ADAPTERS)
def test_a_bundled_adapter_mends_its_scheme(name: str) -> None:
    entry = zoo.ADAPTERS[name]
    named = load_named_decoder(entry.decoder)
    adapter, model = load_named_adapter(name, named), named.model
    assert (adapter.name, adapter.scheme) == (name, entry.scheme)
    assert model.puzzles.task == entry.task
    rounded = simulate_decoder(model.config, model.params, parse(entry.scheme))
    mended = count_solved(model, rounded.decoder, rounded.params, adapter.rows)
    assert mended >= stats.binom.ppf(0.0005, 32, ADAPTER_CARDS[name])  # as above
    assert mended > count_solved(model, rounded.decoder, rounded.params)


def test_unknown_names_list_the_known_ones() -> None:
    with pytest.raises(ValueError, match="unknown bundled model 'x'; known: sudoku-trm-mlp-mini"):
        zoo.load("x")
    with pytest.raises(ValueError, match="unknown bundled decoder 'x'; known: sudoku-ar-mini"):
        zoo.load_decoder("x")
    with pytest.raises(ValueError, match="no decoder of arc puzzles is bundled"):
        zoo.default_decoder("arc")
    assert zoo.default_decoder("maze") == "maze-ar-mini"
    with pytest.raises(ValueError, match="unknown task 'x'; known: sudoku, maze, arc"):
        zoo.puzzles("x")
    with pytest.raises(ValueError, match="no maze puzzles of 900 cells are bundled, only of 64"):
        zoo.puzzles("maze", 900)
    with pytest.raises(ValueError, match="unknown task 'x'"):
        zoo.default("x")
