"""Recipes say by name which of their numbers is out of range."""

import dataclasses
import math
from typing import Any

import pytest

from trm_jax.training.recipe import Recipe
from trm_jax.typed_json import read_complete

RECIPE = Recipe(total_steps=9)


@pytest.mark.parametrize(
    ("field", "values"),
    [
        *((name, (0, -1)) for name in ("total_steps", "batch_size", "accumulate")),
        *((name, (-1,)) for name in ("warmup_steps", "seed")),
        *((name, (-1e-9, math.nan, math.inf)) for name in ("lr", "puzzle_emb_lr", "adam_eps")),
        ("q_weight", (-1.0, math.nan, math.inf)),
        *((name, (-1.0, math.nan)) for name in ("weight_decay", "puzzle_emb_weight_decay")),
        *((name, (-0.1, 1.0, math.nan)) for name in ("b1", "b2", "ema")),
        ("lr_min_ratio", (-0.1, 1.1, math.nan)),
    ],
)
def test_a_number_out_of_range_is_named(field: str, values: tuple[Any, ...]) -> None:
    for value in values:
        with pytest.raises(ValueError, match=f"^{field} must"):
            dataclasses.replace(RECIPE, **{field: value})


def test_the_ends_of_the_ranges_are_allowed() -> None:
    least = {"lr": 0.0, "weight_decay": 0.0, "warmup_steps": 0, "b1": 0.0, "b2": 0.0, "ema": 0.0}
    assert dataclasses.replace(RECIPE, **least, lr_min_ratio=0.0).lr == 0


def test_a_stored_recipe_states_every_field_in_its_type() -> None:
    values = dataclasses.asdict(RECIPE)
    assert read_complete(Recipe, values) == RECIPE
    for change, message in (
        ({"stagger": "false"}, "field stagger must be true or false"),
        ({"total_steps": 9.0}, "field total_steps must be an integer, got 9.0"),
        ({"optimizer": "sgd"}, "field optimizer must be one of"),
    ):
        with pytest.raises(ValueError, match=message):
            read_complete(Recipe, values | change)
    with pytest.raises(ValueError, match="field lr is missing"):
        read_complete(Recipe, {name: v for name, v in values.items() if name != "lr"})
