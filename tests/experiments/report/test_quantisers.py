"""Schemes that differ in the quantiser alone: grouped, named, and the claim that they decide."""

import dataclasses

import numpy as np
import pytest

from experiments.ablate.rows import AblationRow, AblationSpec, Facts
from experiments.ablate.tables import Ablation
from experiments.measurement.shards import Moments, to_hex
from experiments.render.document import Command, Items
from experiments.render.tables import Table, points_text
from experiments.report.evidence import collect_claims
from experiments.report.inputs import Results, read_results
from experiments.report.quantisers import find_rescue, group_quantisers, is_plain, method_text
from experiments.report.sections.quantisation import (
    quantisation_section,
    quantiser_table,
    recipe_blocks,
    toolkit_blocks,
)
from experiments.sweep.outcomes import Sweep
from quant.scheme import parse
from tests.support.result_folders import write_recipe
from tests.support.sweep_rows import make_sweep
from trm_jax import intervals

MODEL = "sudoku-trm-mlp-mini"
CLAIM = "Collapse under coarse grids is architectural"
SOLVED = {
    "fp32": 7,
    "w4t-sym": 1,
    "w4t-sym-mse": 2,
    "w4t-sym-gptq-first": 7,
    "w4t-sym-gptq": 6,
    "w4c-asym": 6,
    "w3t-sym": 1,
    "w3t-sym-gptq": 2,
    "w8c-sym_a8s": 0,
    "w8c-sym_a8s-cells": 3,
    "w8c-sym_a8s-cells-fold": 7,
}
"""How many of every 10 puzzles each scheme solves."""


def swept(solved: dict[str, int] = SOLVED, tens: int = 20, model: str = MODEL) -> Sweep:
    return make_sweep(model, dict.fromkeys(solved, 0.1), tens, solved)


def claims(sweep: Sweep) -> dict[str, tuple[str, str, str]]:
    """Map the plain scheme of each row of the claim to its number, verdict and reason."""
    results = Results([sweep], [], [], [], [])
    rows = [claim for claim in collect_claims(results) if claim.text == CLAIM]
    return {c.model.rpartition(", ")[2]: (c.ours, c.verdict.value, c.why) for c in rows}


def test_groups_differ_in_the_quantiser_alone():
    groups = [[o.scheme for o in g.outcomes] for g in group_quantisers(swept().outcomes)]
    assert groups == [
        ["w4t-sym", "w4t-sym-mse", "w4t-sym-gptq-first", "w4t-sym-gptq"],
        ["w3t-sym", "w3t-sym-gptq"],
        ["w8c-sym_a8s", "w8c-sym_a8s-cells", "w8c-sym_a8s-cells-fold"],
    ]  # a channel's scale, full precision and a scheme alone stand nowhere


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("w4t-sym", "min/max"),
        ("w4c-asym-mse", "least squares clipping"),
        ("w3t-auto-gptq-norm", "GPTQ, norm-weighted, auto grid"),
        ("w4t-auto", "min/max, auto grid"),
        ("w8c-sym_a8s", "min/max; ranges of all positions"),
        ("w4t-sym-gptq_a8s-cells-fold_tflm", "GPTQ, all cycles; ranges of cells, fold"),
        ("w4t-sym-gptq[head=w8c-sym]", "one for each matrix"),
        ("fp32", ""),
    ],
)
def test_methods_are_told_in_words(name, text):
    assert method_text(parse(name)) == text


def test_plain_schemes_are_the_papers():
    assert all(is_plain(parse(name)) for name in ("fp32", "int4_naive", "int4_calibrated", "int8"))
    assert is_plain(parse("w8c-sym_a8s_tflm"))
    for name in ("w4t-sym-mse", "w4t-auto", "tflm_int8_int8", "w4t-sym[head=w8c-sym-mse]"):
        assert not is_plain(parse(name))


def test_a_rescue_is_counted_puzzle_by_puzzle():
    """The scheme is chosen beforehand: the first call solves more here, and is not taken."""
    sweep = swept()
    weights, _, static = group_quantisers(sweep.outcomes)
    rescue = find_rescue(sweep, weights)
    assert rescue is not None
    assert (rescue.plain, rescue.scheme) == ("w4t-sym", "w4t-sym-gptq")
    assert (rescue.naive.value, rescue.better.value) == pytest.approx((-0.6, -0.1), rel=1e-12)
    each = [[0.0] + [0.5] * 5 + [-0.5] + [0.0] * 3] * 20  # solved by both, gptq, fp32, none
    assert rescue.beyond_half == intervals.paired_mean(np.ravel(each))
    assert rescue.beyond_half.value == pytest.approx(0.2, rel=1e-12)
    found = find_rescue(sweep, static)
    assert found is not None
    assert found.scheme == "w8c-sym_a8s-cells-fold"


def test_a_quantiser_that_brings_the_loss_back_contradicts_the_architecture():
    found = claims(swept())
    assert set(found) == {"int4_naive", "int3_naive", "w8c-sym_a8s"}
    ours, verdict, why = found["int4_naive"]
    assert verdict == "contradicted"
    assert ours.startswith("+20.0 pp beyond half of the loss\n[")
    assert why == "same grid: min/max loses 60.0 pp, w4t-sym-gptq 10.0 pp"
    assert found["int3_naive"][1] == "same direction and size"
    assert found["int3_naive"][0].startswith("-20.0 pp")
    assert found["w8c-sym_a8s"][1] == "contradicted"


def test_few_puzzles_and_small_losses_leave_the_claim_open():
    assert claims(swept(tens=1))["int4_naive"][1] == "not resolved"
    half = swept({"fp32": 8, "w4t-sym": 2, "w4t-sym-gptq": 5})
    assert claims(half)["int4_naive"][1] == "not resolved"  # exactly half came back
    same = swept({"fp32": 7, "w4t-sym": 7, "w4t-sym-gptq": 7})
    assert claims(same) == {}  # nothing collapsed, so nothing is the architecture's
    assert claims(swept(model="sudoku-trm-att-mini")) == {}


def test_the_table_has_every_scheme_of_a_group_and_the_papers_numbers():
    sweep = swept()
    table = quantiser_table(sweep, group_quantisers(sweep.outcomes))
    rows = {row[0]: row for row in table.rows}
    assert [row[0] for row in table.rows][:3] == ["fp32", "int4_naive", "w4t-sym-mse"]
    assert table.sections == {1, 5, 7}
    assert rows["int4_naive"][-2:] == ("0.102", "0.353")  # Table 9
    assert rows["w8c-sym_a8s"][-2] == "0.053"  # section 4.2
    assert rows["w8c-sym_a8s-cells"][-2:] == ("-", "-")
    assert rows["w4t-sym-gptq"][4].startswith("-10.0\n[")
    assert rows["w4t-sym-gptq"][5].startswith("+50.0\n[")
    assert rows["int4_naive"][5] == "-"
    assert rows["fp32"][4] == "-"


def test_the_section_draws_methods_over_widths():
    results = Results([swept()], [], [], [], [])
    blocks = quantisation_section(results).blocks
    figures = [block for block in blocks if hasattr(block, "pictures")]
    assert len(figures) == 1
    ((picture, _),) = figures[0].pictures  # of the channels' grid there is one width
    assert "GPTQ, all cycles" in picture
    assert "least squares" not in picture  # one width is no line
    assert sum(isinstance(block, Table) for block in blocks) == 1


def test_without_two_quantisers_the_section_says_how_to_measure_them():
    results = Results([swept({"fp32": 7, "w4t-sym": 1, "w3t-sym": 1})], [], [], [], [])
    blocks = quantisation_section(results).blocks
    sweep, toolkits, recipe = [block.line for block in blocks if hasattr(block, "line")]
    assert "w4t-sym-gptq" in sweep
    assert "--only toolkits" in toolkits
    assert "experiments.recipe" in recipe


def toolkit_study() -> Ablation:
    """A study of 8 puzzles: full precision, ours, a toolkit's, one that is held against nothing."""
    base = AblationSpec(
        task="sudoku",
        model="m",
        model_sha256="1",
        num_parameters=9,
        data="d",
        data_sha256="2",
        num_puzzles=8,
        batch_size=8,
        dtype="float32",
        seed=0,
    )
    variants: dict[str, tuple[int, Facts, Facts]] = {
        "fp32": (6, {}, {}),
        "w4c-sym-gptq": (5, {}, {"make_seconds": 12.4}),
        "theirs": (
            3,
            {"beside": "w4c-sym-gptq"},
            {"refused_loop": "ValueError: no", "refused_": ""},
        ),
        "other": (4, {"beside": ""}, {}),
    }
    planned = tuple(base.plan("toolkits", n, "fp32", said) for n, (_, said, _) in variants.items())
    rows = [
        AblationRow(
            digest=each.digest,
            study="toolkits",
            variant=each.variant,
            start=0,
            stop=8,
            scored_cells=8,
            correct_cells=8,
            exact=(bits := to_hex(np.arange(8)[None] < variants[each.variant][0])[0]),
            lenient=bits,
            cell_error=Moments(0.0, 0.0),
            infidelity_one_step=Moments(0.0, 0.0),
            infidelity=Moments(0.0, 0.0),
            facts={"bytes": 9.0, "parameters": 9.0} | variants[each.variant][2],
        )
        for each in planned
    ]
    return Ablation(dataclasses.replace(base, planned=planned), rows)


def test_toolkits_are_held_against_ours_in_pairs_and_quoted():
    table, _, said = toolkit_blocks(Results([], [toolkit_study()], [], [], []))
    assert isinstance(table, Table)
    rows = {row[0]: row for row in table.rows}
    pairs = intervals.Pairs(lost=2, gained=0, total=8)
    against = intervals.paired_difference(pairs)
    assert rows["theirs"][3] == f"-25.0\n[{100 * against.low:+.1f}, {100 * against.high:+.1f}]"
    assert rows["theirs"][4] == "w4c-sym-gptq"
    assert rows["other"][3:5] == ("-", "-")
    assert rows["fp32"][2] == "-"
    assert rows["w4c-sym-gptq"][6] == "12"
    assert isinstance(said, Items)
    assert said.texts == ("loop: ValueError: no",)


def test_searches_are_shown_from_their_files(tmp_path):
    """Of 16 puzzles full precision solves ten, the recipe nine of these, the single scheme nine."""
    write_recipe(tmp_path / "run")
    (table,) = recipe_blocks(read_results([tmp_path / "run"]).searches)
    assert isinstance(table, Table)
    full, recipe, single = table.rows
    assert full[0] == "sudoku-trm-mlp-mini on d, 16 puzzles; densely packed"
    assert recipe[1] == "recipe of 20.0 kB"
    one = intervals.paired_difference(intervals.Pairs(lost=1, gained=0, total=16))
    both = intervals.paired_difference(intervals.Pairs(lost=1, gained=1, total=16))
    assert recipe[4] == full[5] == points_text(one)
    assert single[5] == points_text(both)
    assert [row[6] for row in table.rows] == ["-", "155", "-"]
    assert isinstance(recipe_blocks([])[0], Command)


def test_a_search_of_an_earlier_version_says_what_to_do(tmp_path):
    (tmp_path / "recipe.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match=r"no solved\.json: run its .* again"):
        read_results([tmp_path])
