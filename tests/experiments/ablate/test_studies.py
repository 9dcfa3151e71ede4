"""Studies that train: on puzzles nobody is asked, by the objective they name, once."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from experiments.ablate import fresh_puzzles, retraining
from experiments.ablate.fresh_puzzles import SEED_OFFSET, training_puzzles
from experiments.ablate.interventions import Context, Effort, NotApplicable
from experiments.ablate.studies import activations, distillation, linear_attention, qat
from quant.ptq import weights as ptq_weights
from quant.scheme import parse
from tests.support.samples import random_weights
from tests.support.tiny import sweep as tiny
from trm_jax.checkpoints.model_files import save_model
from trm_jax.config import Mixer, Positions
from trm_jax.data.format import from_examples, save_dataset
from trm_jax.data.sudoku import tokens
from trm_jax.data.sudoku.generator import generate_sudoku
from trm_jax.data.sudoku.symmetry import class_ids
from trm_jax.loading import load_model, load_puzzles

BOX, CLUES = (2, 2), 6
ASKED = 40  # puzzles of the evaluated set, all of which training would draw first


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    """The tiny model, asked the very 4x4 puzzles that training is about to draw."""
    root = tmp_path_factory.mktemp("studies")
    drawn = generate_sudoku(ASKED, box=BOX, num_clues=CLUES, seed=SEED_OFFSET)
    data = from_examples(*map(tokens.encode, drawn), vocab_size=tokens.vocab_size(BOX))
    save_dataset(data, root / "data" / "test")
    said = {
        "generator": "sudoku",
        "box": BOX,
        "num_clues": CLUES,
        "min_rating": 0,
        "seed": 1,
        "num_train": 9,
        "num_test": ASKED,
    }
    (root / "data" / "generator.json").write_text(json.dumps(said))
    save_model(root / "model", tiny.CONFIG, random_weights(tiny.CONFIG, seed=2))
    return Context(
        model=load_model(str(root / "model"), task="sudoku"),
        puzzles=load_puzzles("sudoku", root / "data"),
        dtype="float32",
        num_puzzles=ASKED,
        effort=Effort.QUICK,
        seed=0,
        folder=root / "out",
    )


def named(interventions, name):
    return next(each for each in interventions if each.name == name)


def test_no_training_puzzle_is_an_image_of_an_evaluated_one(context):
    """The generator's first draws are exactly the evaluated puzzles here."""
    trained = training_puzzles(context, 30)
    both = np.concatenate([trained.inputs, context.puzzles.dataset.inputs])
    ids = class_ids(tokens.decode(both), BOX)
    assert not set(ids[:30]) & set(ids[30:])
    assert len(trained) == 30
    assert tokens.valid_grids(tokens.decode(trained.labels), BOX).all()


def test_training_puzzles_are_made_once(context, monkeypatch):
    first = training_puzzles(context, 30)
    monkeypatch.setattr(fresh_puzzles, "generated", None)
    np.testing.assert_array_equal(training_puzzles(context, 30).inputs, first.inputs)


def test_given_training_puzzles_are_checked_too(context, tmp_path):
    """Of a training split given by the user the evaluated ones are left out."""
    new = generate_sudoku(5, box=BOX, num_clues=CLUES, seed=77)
    old = context.puzzles.dataset
    inputs = np.concatenate([tokens.encode(new[0]), old.inputs[:5]])
    labels = np.concatenate([tokens.encode(new[1]), old.labels[:5]])
    save_dataset(from_examples(inputs, labels, vocab_size=6), tmp_path / "train")
    given = dataclasses.replace(context, train_data=tmp_path, folder=tmp_path / "out")
    ids = class_ids(tokens.decode(np.concatenate([inputs, old.inputs])), BOX)
    expected = [i for i in range(10) if ids[i] not in ids[10:]]
    np.testing.assert_array_equal(training_puzzles(given, 10).inputs, inputs[expected])


@pytest.mark.slow
def test_qat_without_a_gradient_moves_no_kernel(context):
    """As the paper did it: what is left to learn is no kernel."""
    subject = named(qat.interventions(context), "int4_naive, QAT no gradient").make()
    start = ptq_weights.round_weights(context.model.weights, parse("int4_naive"))
    moved = {
        ptq_weights.leaf_name(path): not np.allclose(value, old, atol=1e-6)
        for (path, value), old in zip(
            jax.tree_util.tree_leaves_with_path(subject.weights.params),
            jax.tree.leaves(start.params),
            strict=True,
        )
    }
    assert {name for name, changed in moved.items() if changed} == {
        "embed_tokens/embedding",
        "q_head/bias",
    }


@pytest.mark.slow
def test_qat_straight_through_moves_kernels_and_ships_them_on_the_grid(context):
    subject = named(qat.interventions(context), "int4_naive, QAT straight-through").make()
    kernel = np.asarray(subject.weights.params["L_level"]["layers_0"]["mlp"]["down_proj"]["kernel"])
    steps = kernel / (np.abs(kernel).max() / 7)
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-4)
    start = ptq_weights.round_weights(context.model.weights, parse("int4_naive")).params["L_level"]
    assert not np.array_equal(kernel, start["layers_0"]["mlp"]["down_proj"]["kernel"])
    assert subject.facts["train_steps"] == Effort.QUICK.of(qat.STEPS)
    assert 3 * subject.facts["bytes"] < 4 * subject.facts["parameters"]


@pytest.mark.slow
def test_a_trained_model_is_kept(context, monkeypatch):
    """A second run finds it and trains nothing; other settings are another model."""

    def never(*_):
        raise AssertionError

    name = "int4_naive, QAT straight-through"
    first = named(qat.interventions(context), name).make()
    monkeypatch.setattr(retraining, "train", never)
    again = named(qat.interventions(context), name).make()
    assert again.facts == first.facts
    jax.tree.map(np.testing.assert_array_equal, first.weights, again.weights)
    other = dataclasses.replace(context, seed=1)
    with pytest.raises(AssertionError):
        named(qat.interventions(other), name).make()


@pytest.mark.slow
def test_a_student_is_half_as_wide_and_is_read_at_two_depths(context):
    one, deep = distillation.interventions(context)[1:]
    student = one.make()
    c = student.reasoner.config
    assert (c.hidden_size, c.L_layers, c.H_cycles) == (tiny.CONFIG.hidden_size // 2, 1, 1)
    assert student.weights.puzzle_emb.shape == (1, 8)
    assert not np.any(student.weights.puzzle_emb)
    assert (student.steps, deep.make().steps) == (1, tiny.CONFIG.halt_max_steps)
    assert student.facts["train_loss"] > 0


def test_only_attention_can_become_linear(context):
    with pytest.raises(NotApplicable, match="no attention to replace"):
        linear_attention.interventions(context)


def test_static_schemes_need_puzzles_to_calibrate_on(context):
    with pytest.raises(NotApplicable, match="last 128 of the 40 puzzles"):
        activations.interventions(context)


def test_a_mixer_is_swapped_and_nothing_else(context):
    config = dataclasses.replace(tiny.CONFIG, mixer=Mixer.ATTENTION, positions=Positions.ROPE)
    weights = random_weights(config, seed=3)
    attention = dataclasses.replace(
        context, model=dataclasses.replace(context.model, config=config, weights=weights)
    )
    listed = linear_attention.interventions(attention)
    assert [each.name for each in listed[:2]] == ["fp32, n=1", "linear, zero-shot, n=1"]
    swap = named(listed, "linear, zero-shot").make()
    assert swap.reasoner.config == dataclasses.replace(config, mixer=Mixer.LINEAR_ATTENTION)
    jax.tree.map(np.testing.assert_array_equal, swap.weights, weights)
