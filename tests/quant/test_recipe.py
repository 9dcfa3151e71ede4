"""Schemes whose matrices differ: their names, their files, and what they compute."""

import json
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments.deploy.aihub.variants import variant_named
from experiments.footprint.runner import run_footprint
from export.lowering.storage import plan_for
from export.targets import Target
from quant.affine import QTensor
from quant.precision_plan import PrecisionPlan, parse_plan
from quant.ptq.calibrate import input_widths
from quant.ptq.weights import footprint, quantise_params
from quant.recipe import given_name, parse_given, read_recipe, write_recipe
from quant.scheme import Scheme, label, parse, parse_weights, short_name
from quant.simulation import quantise_for, simulate
from tests.support.samples import random_batch, random_weights, small
from trm_jax.config import Mixer, Positions, TRMConfig

CONFIG = TRMConfig(**small(mixer=Mixer.MLP, positions=Positions.NONE), puzzle_emb_len=1)
DOWN = "L_level/layers_0/mlp/down_proj"
NAME = f"w4t-sym[{DOWN}=w3c-asym-mse;head=w8c-sym]"


class TinyModel:
    """A configuration with random weights."""

    config = CONFIG
    weights = random_weights(CONFIG)


def test_a_name_decodes_itself() -> None:
    scheme = parse(NAME)
    assert scheme.name == NAME
    assert parse(f"{NAME}_a8s-cells_tflm").name == f"{NAME}_a8s-cells_tflm"
    assert scheme.of(DOWN).name == "w3c-asym-mse"
    assert scheme.of("lm_head").name == scheme.of("q_head").name == "w8c-sym"
    assert scheme.of("L_level/layers_1/mlp/down_proj").name == "w4t-sym"


def test_a_site_goes_before_its_role() -> None:
    scheme = parse("w4t-sym[head=w8c-sym;lm_head=w2t-sym]")
    assert scheme.of("lm_head").name == "w2t-sym"
    assert scheme.of("q_head").name == "w8c-sym"


def test_order_and_what_says_nothing_new_are_no_difference() -> None:
    assert parse(f"w4t-sym[head=w8c-sym;{DOWN}=w3c-asym-mse]") == parse(NAME)
    assert parse("w4t-sym[head=int4_naive]") == parse("w4t-sym")
    kept = parse("w4t-sym[head=w8c-sym;lm_head=w4t-sym]")
    assert kept.of("lm_head").name == "w4t-sym", (
        "an exception from a role that agrees with the rest"
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("w4t-sym[head=w8c-sym", "brackets"),
        ("w4t-sym[head=w8c-sym]]", "brackets"),
        ("w4t-sym[]", "brackets"),
        ("w4t-sym[head]", "unknown weights ''"),
        ("w4t-sym[head=w8c-sym_a8d]", "unknown weights 'w8c-sym_a8d'"),
        ("w4t-sym[head=tflm_int8_int8]", "unknown weights"),
        ("w4t-sym[head=w8c-sym;head=w4t-sym]", "one entry"),
        ("w4t-sym[tail=w8c-sym]", "'tail' is no matrix"),
        ("fp32[head=w8c-sym]", "there are none"),
    ],
)
def test_a_wrong_name_is_refused(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("[", r"\[")):
        parse(name)


def test_every_matrix_is_quantised_by_its_own_weights() -> None:
    params = TinyModel.weights.params
    mixed = quantise_for(params, PrecisionPlan.uniform(parse(NAME)))
    assert jax.tree.structure(mixed) == jax.tree.structure(quantise_params(params, parse(NAME)))
    for site in input_widths(params):
        alone = quantise_params(params, parse(NAME).of(site))
        ours, theirs = (_at(tree, site) for tree in (mixed, alone))
        assert ours.grid == theirs.grid
        np.testing.assert_array_equal(ours.qvalue, theirs.qvalue)


def _at(tree: dict, site: str) -> QTensor:
    for key in site.split("/"):
        tree = tree[key]
    return tree["kernel"]


def test_bytes_are_counted_matrix_by_matrix() -> None:
    weights, scheme = TinyModel.weights, parse(NAME)
    counted = {tensor.name: tensor.stored.total for tensor in footprint(weights, scheme).backbone}
    for site in input_widths(weights.params):
        alone = footprint(weights, scheme.of(site)).backbone
        assert (
            counted[f"{site}/kernel"] == {t.name: t.stored.total for t in alone}[f"{site}/kernel"]
        )


def test_a_matrix_that_the_model_lacks_is_refused() -> None:
    plan = parse("w4t-sym[L_level/layers_9/mlp/down_proj=w8c-sym]")
    with pytest.raises(ValueError, match="no matrix 'L_level/layers_9/mlp/down_proj'"):
        simulate(TinyModel(), plan)
    with pytest.raises(ValueError, match="no matrix 'L_level/layers_9/mlp/down_proj'"):
        footprint(TinyModel.weights, plan)


def test_every_command_line_takes_a_file(tmp_path: Path) -> None:
    file = tmp_path / "recipe.json"
    write_recipe(file, parse("w4t-sym[head=w8c-sym]"), {})
    assert given_name(f"@{file}") == "w4t-sym[head=w8c-sym]"
    assert given_name("int8") == "int8"
    run_footprint("sudoku-trm-mlp", f"fp32,@{file}", tmp_path / "counted")
    assert "w4t-sym but 1 (" in "".join(
        written.read_text() for written in (tmp_path / "counted").glob("*.md")
    )
    with pytest.raises(ValueError, match="takes all matrices alike"):
        variant_named(f"@{file}")


def test_puzzles_are_needed_where_one_matrix_needs_them() -> None:
    scheme = parse("w4t-sym[head=w3t-sym-gptq]")
    assert scheme.needs_puzzles
    assert not scheme.to_nearest.needs_puzzles
    with pytest.raises(ValueError, match="calibrated on puzzles"):
        simulate(TinyModel(), scheme)
    simulate(TinyModel(), scheme, [random_batch(CONFIG, 3)], steps=1)


def test_a_target_is_asked_matrix_by_matrix() -> None:
    plan = plan_for(parse("w4t-sym[head=w8c-sym]"), Target.LITERT)
    assert plan.of("lm_head").scheme.name == "w8c-sym"
    assert plan.of("lm_head").carrier is not plan.of(DOWN).carrier
    with pytest.raises(ValueError, match=r"head: .* needs 9 bits"):
        plan_for(parse("w8c-sym[head=w8c-asym]_a8s_tflm"), Target.TFLM)


def test_a_file_is_read_back(tmp_path: Path) -> None:
    file, scheme = tmp_path / "recipe.json", parse(f"{NAME}_a8d")
    write_recipe(file, scheme, {"found": 1})
    assert read_recipe(file) == parse_given(f"@{file}") == scheme
    assert parse_plan(f"@{file}") == PrecisionPlan.uniform(scheme)
    write_recipe(file, scheme.without_exceptions, {})
    assert read_recipe(file) == scheme.without_exceptions


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"matrices": {}}, "scheme"),
        ({"scheme": "w4t-sym", "matrices": {"head": 8}}, "matrices"),
        ({"scheme": "w4t-sym", "matrices": {"head": "w9"}}, "unknown weights 'w9'"),
        ({"scheme": "w4t-sym", "matrices": {"a]b": "w8c-sym"}}, "brackets"),
        ({"scheme": "w4t-sym", "matrixes": {}}, "matrixes"),
        ([], "object"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused(tmp_path: Path, content: object, message: str) -> None:
    file = tmp_path / "recipe.json"
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message) as refused:
        read_recipe(file)
    assert str(refused.value).count(str(file)) == 1


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no recipe"):
        parse_given(f"@{tmp_path / 'none.json'}")


def test_recipes_have_short_names_that_tell_them_apart() -> None:
    other = replace(parse(NAME), weights=parse_weights("w3t-sym"))
    names = {short_name(NAME), label(other.name, "float32"), label(f"{NAME}_a8d", "float32")}
    assert len(names) == 3
    assert all("but 2 (" in name for name in names)
    assert Scheme().of("lm_head") == Scheme()
