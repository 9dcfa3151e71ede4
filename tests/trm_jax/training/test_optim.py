"""Optimisers against the released outputs and float64 loops."""

import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from trm_jax.training.optim import (
    apply_decoupled,
    ema_update,
    learning_rate,
    scale_by,
    scale_by_adam_atan2,
    sign_sgd,
)
from trm_jax.training.recipe import Optimizer


def adam_atan2_loop(
    p: float, grads: list[float], lr: float, wd: float, b1: float, b2: float
) -> list[float]:
    """Follow one number through p(1 - lr wd) - lr / (1-b1^t) atan2(m, sqrt(v) / sqrt(1-b2^t))."""
    m = v = 0.0
    path = []
    for t, g in enumerate(grads, 1):
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        step = math.atan2(m, math.sqrt(v) / math.sqrt(1 - b2**t)) / (1 - b1**t)
        p = p * (1 - lr * wd) - lr * step
        path.append(p)
    return path


def run(p: np.ndarray, grads: np.ndarray, lr: float, wd: float, b1: float, b2: float) -> np.ndarray:
    """Follow our optimiser; returns the parameters after every update."""
    optimiser = scale_by_adam_atan2(b1, b2)
    params = {"w": jnp.asarray(p, jnp.float32)}
    state = optimiser.init(params)
    path = []
    for g in grads:
        direction, state = optimiser.update({"w": jnp.asarray(g, jnp.float32)}, state)
        params = apply_decoupled(params, direction, jnp.float32(lr), wd)
        path.append(params["w"])
    return np.stack(path)


def test_adam_atan2_equals_released_formula(golden: Path) -> None:
    d = np.load(golden / "adam_atan2.npz")
    ours = run(d["params"][0], d["grads"], *(float(d[k]) for k in ("lr", "wd", "b1", "b2")))
    # five updates of at most 0.01 * pi/2 to numbers of a few units: their float32 ulps
    np.testing.assert_allclose(ours, d["params"][1:], rtol=1e-6, atol=1e-6)


def test_adam_atan2_has_no_epsilon() -> None:
    grads = np.array([[1e-12, 0.0, 5.0], [-1e-12, 0.0, -1e6], [2e-12, 0.0, 3.0]])
    starts = (0.5, -0.5, 2.0)
    ours = run(np.array(starts), grads, 0.1, 0.5, 0.9, 0.95)
    for i, start in enumerate(starts):  # tiny gradients count in full, zero ones only decay
        exact = adam_atan2_loop(start, grads[:, i].tolist(), 0.1, 0.5, 0.9, 0.95)
        np.testing.assert_allclose(ours[:, i], exact, rtol=1e-5)


def test_adamw_direction_is_optax_s() -> None:
    ours = scale_by(Optimizer.ADAMW, b1=0.9, b2=0.95, eps=1e-4)
    theirs = optax.scale_by_adam(b1=0.9, b2=0.95, eps=1e-4)
    params = {"w": jnp.zeros(50)}
    states = [ours.init(params), theirs.init(params)]
    for g in np.random.default_rng(1).normal(size=(5, 50)).astype(np.float32) * 1e-3:
        with jax.numpy_dtype_promotion("standard"):
            expected, states[1] = theirs.update({"w": jnp.asarray(g)}, states[1])
        direction, states[0] = ours.update({"w": jnp.asarray(g)}, states[0])
        # directions near 1 after some ten float32 operations
        np.testing.assert_allclose(direction["w"], expected["w"], rtol=1e-5, atol=1e-6)


def test_adamw_is_adam_with_decoupled_decay() -> None:
    grads = np.random.default_rng(0).normal(size=6).astype(np.float32) * 1e-3
    lr, decay, b1, b2, eps = 0.01, 0.5, 0.9, 0.95, 1e-4  # an eps that counts at this size
    optimiser = scale_by(Optimizer.ADAMW, b1=b1, b2=b2, eps=eps)
    params = {"w": jnp.float32(2.0)}
    state = optimiser.init(params)
    p, m, v = 2.0, 0.0, 0.0
    for t, g in enumerate(grads.astype(float), 1):
        direction, state = optimiser.update({"w": jnp.float32(g)}, state)
        params = apply_decoupled(params, direction, jnp.float32(lr), decay)
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        adam = m / (1 - b1**t) / (math.sqrt(v / (1 - b2**t)) + eps)
        p = p * (1 - lr * decay) - lr * adam
        # two roundings a step of numbers near 2 (half an ulp is 1.2e-7), six steps
        assert float(params["w"]) == pytest.approx(p, abs=2 * 6 * 1.2e-7)


HIDDEN = {"wide": (4, 6), "tall": (6, 4)}
ROUNDING = 3.45**5 * 6 * 6e-8  # five turns of slope 3.45 on sums of up to 6 terms, half an ulp each


def some_grads(rng: np.random.Generator) -> dict[str, dict[str, jax.Array]]:
    kernels = {name: rng.normal(size=shape) for name, shape in HIDDEN.items()}
    rest = {
        "embed_tokens": {"embedding": rng.normal(size=(3, 4))},
        "q_head": {"bias": rng.normal(size=2)},
    }
    levels = {name: {"kernel": kernel} for name, kernel in kernels.items()}
    heads = {"lm_head": {"kernel": rng.normal(size=(4, 3))}}
    return jax.tree.map(lambda g: jnp.asarray(g, jnp.float32) * 1e-3, levels | rest | heads)


def test_muon_is_optax_s_on_hidden_matrices_and_adamw_elsewhere() -> None:
    rng = np.random.default_rng(2)
    grads = [some_grads(rng) for _ in range(3)]
    ours = scale_by(Optimizer.MUON, b1=0.95, b2=0.99, eps=1e-8)
    adam = scale_by(Optimizer.ADAMW, b1=0.95, b2=0.99, eps=1e-8)
    sides = dict.fromkeys(HIDDEN, optax.contrib.MuonDimensionNumbers())
    muon = optax.contrib.scale_by_muon(beta=0.95, weight_dimension_numbers=sides)
    hidden = [{name: g[name]["kernel"] for name in HIDDEN} for g in grads]
    states = [ours.init(grads[0]), adam.init(grads[0]), muon.init(hidden[0])]
    for g, h in zip(grads, hidden, strict=True):
        direction, states[0] = ours.update(g, states[0])
        rest, states[1] = adam.update(g, states[1])
        with jax.numpy_dtype_promotion("standard"):
            expected, states[2] = muon.update(h, states[2])
        for name, shape in HIDDEN.items():
            rms = 0.2 * max(shape) ** 0.5
            np.testing.assert_allclose(
                direction[name]["kernel"], expected[name] * rms, rtol=0, atol=ROUNDING * rms
            )
            del rest[name], direction[name]
        jax.tree.map(np.testing.assert_array_equal, direction, rest)


def test_muon_s_steps_are_as_long_as_adam_s_and_orthogonal() -> None:
    grads = {"layer": {"kernel": jnp.diag(jnp.array([1.0, 0.5, -2.0]))}}
    muon = scale_by(Optimizer.MUON, b1=0.0, b2=0.9, eps=1e-8)
    direction, _ = muon.update(grads, muon.init(grads))
    step = np.asarray(direction["layer"]["kernel"])
    np.testing.assert_allclose(step, np.diag(np.diag(step)), atol=1e-7)
    # the quintic leaves singular values in [.68, 1.14], times .2 sqrt(3)
    values = np.diag(step) / (0.2 * math.sqrt(3)) * np.array([1, 1, -1])
    assert np.all((values > 0.67) & (values < 1.15))


def test_all_optimisers_keep_count_and_two_moments() -> None:
    params = {"w": jnp.zeros((2, 3))}
    for optimizer in Optimizer:
        state = scale_by(optimizer, b1=0.9, b2=0.95, eps=1e-8).init(params)
        count, first, second = state
        assert int(count) == 0
        assert first.keys() == second.keys() == params.keys()


def test_sign_sgd_equals_released_output(golden: Path) -> None:
    d = np.load(golden / "signsgd.npz")
    moved = sign_sgd(
        jnp.asarray(d["w0"]),
        jnp.asarray(d["ids"]),
        jnp.asarray(d["grad"]),
        jnp.float32(d["lr"]),
        float(d["wd"]),
    )
    np.testing.assert_allclose(moved, d["w1"], rtol=1e-6, atol=1e-7)
    untouched = sorted(set(range(6)) - set(d["ids"].tolist()))
    np.testing.assert_array_equal(moved[np.array(untouched)], d["w0"][untouched])


def test_sign_sgd_sums_duplicates_before_the_sign() -> None:
    table = jnp.full((3, 2), 10.0)
    ids = jnp.array([1, 1, 2])
    grads = jnp.array([[3.0, 1.0], [-1.0, -1.0], [-0.1, 0.0]])
    moved = sign_sgd(table, ids, grads, jnp.float32(1.0), 0.0)
    # row 1: 3 - 1 > 0 and 1 - 1 = 0; row 2: -0.1 and 0; row 0 is not in the batch
    np.testing.assert_array_equal(moved, [[10.0, 10.0], [9.0, 10.0], [11.0, 10.0]])


@pytest.mark.parametrize(
    ("step", "expected"),
    [(1, 0.25), (2, 0.5), (4, 1.0), (9, 0.55), (14, 0.1), (20, 0.1)],
)
def test_schedule_warms_up_then_follows_the_cosine(step: int, expected: float) -> None:
    rate = learning_rate(jnp.int32(step), base=2.0, warmup_steps=4, total_steps=14, min_ratio=0.1)
    assert float(rate) == pytest.approx(2.0 * expected, rel=1e-6)


def test_released_schedule_is_constant_after_warm_up() -> None:
    rates = [
        float(
            learning_rate(
                jnp.int32(s), base=1e-4, warmup_steps=2000, total_steps=65_104, min_ratio=1.0
            )
        )
        for s in (1000, 2000, 30_000, 65_104)
    ]
    assert rates == pytest.approx([5e-5, 1e-4, 1e-4, 1e-4], rel=1e-6)


def test_ema_follows_slowly() -> None:
    average = ema_update({"w": jnp.array([0.0, 8.0])}, {"w": jnp.array([4.0, 8.0])}, 0.75)
    np.testing.assert_array_equal(average["w"], [1.0, 8.0])
