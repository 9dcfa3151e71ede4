"""Validation inside training against the evaluators of the sweep."""

import jax
import numpy as np
import pytest

from experiments.train import loop
from experiments.train.loop import validate
from tests.support.samples import random_batch, random_weights, small
from trm_jax.config import TRMConfig
from trm_jax.evaluators import measure, trajectory
from trm_jax.models.act import predictions
from trm_jax.models.build import build
from trm_jax.sharding import device_mesh
from trm_jax.types import IGNORE_LABEL

CONFIG = TRMConfig(**small(puzzle_emb_len=1, vocab_size=3))


@pytest.mark.slow
def test_validation_is_the_evaluators_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    reasoner, weights, valid = build(CONFIG), random_weights(CONFIG), random_batch(CONFIG, 10)
    # one scored cell of three tokens: chance alone solves some puzzles and not all
    valid = valid._replace(labels=valid.labels.at[:, 1:].set(IGNORE_LABEL))
    states = trajectory(reasoner, weights, valid, steps=4)
    answers = predictions(reasoner.read_out(weights.params, states[1]).logits)
    valid = valid._replace(labels=valid.labels.at[:3].set(answers[:3]))  # chance solves few
    read = measure(reasoner, weights, valid, states, states, depths=(2, 8))
    exact, cells = np.asarray(read.exact).mean(axis=1), np.asarray(read.cell_correct[-1]).sum()
    assert 0 < exact[0] < 1
    scored = np.sum(np.asarray(valid.labels) != IGNORE_LABEL)
    expected = {
        "valid_exact_n1": exact[0],
        "valid_exact_n4": exact[1],
        "valid_cell": cells / scored,
    }
    monkeypatch.setattr(loop, "CHUNK", 4)  # the third chunk wraps around
    jax.tree.map(
        np.testing.assert_equal, validate(reasoner, weights, valid, device_mesh()), expected
    )
