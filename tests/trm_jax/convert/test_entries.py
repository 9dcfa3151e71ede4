"""The model among what people save beside it, chosen by names alone."""

from typing import Any

import numpy as np
import pytest

from tests.support.releases import CONFIGS, released_tensors
from trm_jax.convert.entries import choose, short_name

MODEL = released_tensors(CONFIGS["att"])
EMA = {name: value + 1 for name, value in MODEL.items()}
BUFFERS = ("H_init", "L_init", "puzzle_emb.weights")
SHADOW = {name: value for name, value in EMA.items() if name not in BUFFERS}


def prefixed(prefix: str, state: dict[str, Any]) -> dict[str, Any]:
    return {prefix + name: value for name, value in state.items()}


def taken(tree: Any, entry: str | None = None) -> tuple[dict[str, Any], str]:
    """Choose; returns the state_dict and what was said."""
    said: list[str] = []
    leaves = choose(tree, entry, lambda leaf: isinstance(leaf, np.ndarray), said.append)
    return leaves, "\n".join(said)


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a.keys() == b.keys() and all(a[name] is b[name] for name in b)


@pytest.mark.parametrize(
    "prefix",
    [
        *("", "module.", "_orig_mod.", "model.", "model.inner.", "inner."),
        *("module._orig_mod.model.inner.", "_orig_mod.module.model.inner.", "model.model.inner."),
        *("model._orig_mod.inner.", "net._orig_mod.model.inner.", "_forward_module.module.inner."),
    ],
)
@pytest.mark.parametrize("key", [None, "state_dict", "model_state_dict", "model", "module"])
def test_wrappers_in_any_order(prefix: str, key: str | None) -> None:
    state = prefixed(prefix, MODEL)
    tree = state if key is None else {key: state, "epoch": 7, "optimizer": {"state": {}}}
    leaves, said = taken(tree)
    assert same(leaves, MODEL)
    if key is not None:
        assert f"weights are those of {key!r}" in said
        assert "not read: epoch, optimizer" in said


def test_wrappers_inside_a_name() -> None:
    assert short_name("L_level._orig_mod.layers.0._fsdp_wrapped_module.mlp.down_proj.weight") == (
        (),
        "L_level.layers.0.mlp.down_proj.weight",
    )
    assert short_name("teacher.model.H_init") == (("teacher",), "H_init")
    assert short_name("conv.weight") == ((), "conv.weight")


def test_lightning() -> None:
    tree = {
        "state_dict": prefixed("model.inner.", MODEL),
        "hyper_parameters": {"lr": 1e-4},
        "optimizer_states": [{"state": {0: {"exp_avg": MODEL["H_init"]}}}],
        "pytorch-lightning_version": "2.4",
    }
    assert same(taken(tree)[0], MODEL)


@pytest.mark.parametrize(
    "tree",
    [
        {"model": MODEL, "ema": EMA},
        {"model": MODEL, "model_ema": EMA},
        {"state_dict": MODEL, "state_dict_ema": EMA},
        {"model": MODEL, "ema": {"shadow": EMA, "decay": 0.999}},
        {"model": prefixed("_orig_mod.", MODEL), "EMA": prefixed("module.", EMA)},
        {**prefixed("online_model.", MODEL), **prefixed("ema_model.model.inner.", EMA), "step": 1},
        {"model": MODEL, "callbacks": {"EMACallback": {"ema_weights": EMA}}},
    ],
)
def test_the_average_is_taken_and_said(tree: dict[str, Any]) -> None:
    leaves, said = taken(tree)
    assert same(leaves, EMA)
    assert "an average (EMA)" in said
    assert "takes another with --entry NAME" in said


def test_another_entry_is_taken_by_its_name() -> None:
    tree = {"model": MODEL, "ema": {"shadow": EMA}}
    assert same(taken(tree, "model")[0], MODEL)
    assert same(taken(tree, "ema.shadow")[0], EMA)
    assert same(taken(tree, "ema")[0], EMA)
    with pytest.raises(
        ValueError, match=r"--entry swa names 0 of its entries: 'model', 'ema.shadow'"
    ):
        taken(tree, "swa")


def test_an_average_takes_from_the_model_what_releases_do_not_average() -> None:
    leaves, said = taken({"model": MODEL, "ema": SHADOW})
    assert same(leaves, {name: SHADOW.get(name, MODEL[name]) for name in MODEL})
    assert "not averaged, so taken from the model: H_init, L_init, puzzle_emb.weights" in said
    torn = {name: value for name, value in SHADOW.items() if name != "lm_head.weight"}
    assert same(taken({"model": MODEL, "ema": torn})[0], torn)  # and is refused as incomplete


def test_a_counter_of_an_average_is_no_weight() -> None:
    assert same(taken({**prefixed("module.", EMA), "n_averaged": np.zeros((), np.int64)})[0], EMA)


def test_moments_of_an_optimiser_are_no_model() -> None:
    tree = {"model": MODEL, "optimizer": {"exp_avg": EMA, "exp_avg_sq": EMA}, "grads": EMA}
    assert same(taken(tree)[0], MODEL)


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"model": MODEL, "state_dict": EMA}, "several models: 'model', 'state_dict'; name one"),
        ({"ema_0.99": EMA, "ema_0.999": MODEL}, "several averages: 'ema_0.99', 'ema_0.999'"),
        ({**MODEL, **prefixed("module.", MODEL)}, "H_init occurs twice, with and without prefixes"),
        ([MODEL], "holds a list, not a state_dict"),
        ({"a": 1}, "no matrix embed_tokens.embedding_weight; found a"),
        ({}, "found nothing"),
        ({"params/x": MODEL["H_init"]}, "this project's own, converted format"),
    ],
)
def test_what_leaves_a_choice_or_none_is_refused(tree: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        taken(tree)


def test_unknown_tensors_stay_for_the_table_to_refuse() -> None:
    leaves, _ = taken({**MODEL, "conv.weight": MODEL["H_init"], "version": "1"})
    assert leaves.keys() == {*MODEL, "conv.weight"}
