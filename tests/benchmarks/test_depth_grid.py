"""The depth-grid benchmark: right cells, right sums, rivals that compute the same model."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from benchmarks.depth_grid import __main__ as depth_grid
from benchmarks.depth_grid.contestants import ContestPlan, JaxCells, SharedRollouts, make_plan
from benchmarks.depth_grid.runner import Times, compare_logits, make_row
from benchmarks.subject import Subject
from experiments.measurement.depths import DepthGrid
from tests.support.oracles import recursion as oracle
from tests.support.programs import end_of
from tests.support.samples import random_batch, random_weights, small
from tests.support.tiny.preset import PRESET
from trm_jax.config import Mixer, Positions, TRMConfig
from trm_jax.models.build import build

CONFIG = TRMConfig(**small(puzzle_emb_len=1, mixer=Mixer.MLP, positions=Positions.NONE))


def tiny_subject() -> Subject:
    return Subject("tiny", build(CONFIG), random_weights(CONFIG), random_batch(CONFIG, 3))


def test_default_grids_are_every_n_the_papers_and_the_corner() -> None:
    plan = make_plan(CONFIG, None, "fp32,int8,fp32")
    assert plan.schemes == ("fp32", "w8c-sym")
    sizes = {name: (len(plan.cells(name)), plan.depths(name)) for name in plan.grids}
    # T in (1, 2), n in 1..4 or (1, 2, 4); two schemes
    assert sizes == {
        "every n": (16, (1, 2, 3, 4, 6, 8)),
        "paper's n": (12, (1, 2, 4, 8)),
        "deepest cell": (2, (8,)),
    }
    assert len(plan.all_cells) == 16


@pytest.mark.parametrize("scheme", ["bf16", "w8c-sym_a8d", "fp32_carry8"])
def test_schemes_that_change_more_than_weights_are_refused(scheme: str) -> None:
    with pytest.raises(ValueError, match=f"{scheme} changes more than weights"):
        make_plan(CONFIG, None, scheme)


@pytest.mark.slow
def test_everybody_computes_the_oracles_logits() -> None:
    subject = tiny_subject()
    states, _ = oracle.trajectory(CONFIG, subject.weights, subject.batch, 4)
    variants = {"fp32": subject.weights}
    ours, cells = (make(subject, variants, (1, 4)) for make in (SharedRollouts, JaxCells))
    for depth in (1, 4):
        logits = oracle.read_out(CONFIG, subject.weights, states[depth - 1])[0]
        # float32 against a loop in float64: as in the model tests, 4 cycles of 6 blocks round
        # some hundred times by 2^-24 each
        np.testing.assert_allclose(ours.logits("fp32", depth), logits, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(cells.logits("fp32", depth), logits, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_a_rival_with_other_weights_is_found_out() -> None:
    subject = tiny_subject()
    other = jax.tree.map(lambda x: x * 1.01, subject.weights)
    ours = SharedRollouts(subject, {"fp32": subject.weights}, (1, 2))
    assert compare_logits(ours, JaxCells(subject, {"fp32": subject.weights}, (1, 2)), "fp32", 2)
    with pytest.raises(ValueError, match="computes another model"):
        compare_logits(ours, JaxCells(subject, {"fp32": other}, (1, 2)), "fp32", 2)


def test_a_row_sums_its_own_cells_and_divides_within_repeats() -> None:
    plan = ContestPlan(
        {"all": DepthGrid((1, 2), (1, 3), 2), "corner": DepthGrid((2,), (3,), 2)}, ("fp32",)
    )
    shared = dataclasses.make_dataclass("Shared", ["compile_seconds"])(1.5)
    rival = dataclasses.make_dataclass("Rival", ["name", "compile_seconds"])("r", 2.5)

    def times(scale: float, ours: float) -> Times:
        cells = {cell: scale * cell.T * cell.n for cell in plan.all_cells}
        return Times({"all": ours, "corner": ours}, {"r": cells})

    repeats = [times(1.0, 2.0), times(2.0, 2.0), times(4.0, 1.0)]
    row = make_row(plan, "all", shared, rival, repeats)
    # 1 + 3 + 2 + 6 = 12 H-cycles
    assert row["rival_s"] == {"median": 24.0, "min": 12.0, "max": 48.0}
    assert row["ratio"] == {"median": 12.0, "min": 6.0, "max": 48.0}
    assert make_row(plan, "corner", shared, rival, repeats)["rival_s"]["median"] == 12.0


@pytest.mark.slow
def test_the_program_prints_rows(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--preset", PRESET, "--limit", "1", "--repeats", "1")
    assert depth_grid.main([*arguments, "--schemes", "fp32", "--depths", "1x1,2"]) == 0
    out, err = capsys.readouterr()
    rows = [json.loads(line) for line in out.splitlines()]
    assert {row["grid"] for row in rows} == {"1x1,2", "deepest cell"}
    assert all(row["ratio"]["min"] > 0 for row in rows)
    assert "random weights" in err


@pytest.mark.parametrize(
    "arguments",
    [
        *(("--task", "chess"), ("--limit", "0"), ("--repeats", "0"), ("--depths", "9x1")),
        ("--data", "puzzles"),  # of a preset puzzles are drawn
    ],
    ids=" ".join,
)
def test_bad_input_exits_with_2(
    arguments: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    drawn = () if "--task" in arguments else ("--preset", PRESET)
    assert end_of(depth_grid.main, [*drawn, *arguments]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: ")
