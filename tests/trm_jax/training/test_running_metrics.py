"""Metrics between two rows: watched for NaN, kept to the last bit."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.train.job import Pace
from trm_jax.training.running_metrics import Window


def test_window_names_the_first_bad_step_and_tensor() -> None:
    window = Window(["gradient/a", "weights/b"])
    good = {"loss": jnp.float32(1), "not_finite": jnp.float32(0), "count": jnp.float32(1)}
    window.add(7, good)
    window.add(8, good | {"not_finite": jnp.float32(2)})
    window.add(9, good | {"not_finite": jnp.float32(1), "loss": jnp.float32(np.nan)})
    with pytest.raises(FloatingPointError, match="step 8: weights/b is not finite, the loss is 1"):
        window.settle()
    window.add(1, good | {"loss": jnp.float32(np.inf)})
    with pytest.raises(FloatingPointError, match="step 1: only the loss is not finite"):
        window.settle()


def test_window_survives_json() -> None:
    values = np.random.default_rng(0).random((6, 2)).astype(np.float32) / 3
    whole, first, second = Window([]), Window([]), Window([])
    for step, (loss, count) in enumerate(values):
        metrics = {"loss": jnp.float32(loss), "count": jnp.float32(count)}
        metrics["not_finite"] = jnp.float32(0)
        whole.add(step, metrics)
        (first if step < 3 else second).add(step, metrics)
    first.settle()
    second.from_json(json.loads(json.dumps(first.to_json())))
    whole.settle()
    second.settle()
    assert second.row() == whole.row()


def test_pace_refuses_nonsense() -> None:
    with pytest.raises(ValueError, match="save_every must be at least 1, got save_every=-1"):
        Pace(save_every=-1)
