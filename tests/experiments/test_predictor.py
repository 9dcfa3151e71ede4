"""Correlations against SciPy on explicit resamples; the rule on cases that are known."""

import dataclasses

import numpy as np
import pytest
from scipy import stats

from experiments.predictor import __main__ as predictor
from experiments.predictor import rule
from experiments.predictor.ranking import (
    counterexamples,
    draw_weights,
    judged_pairs,
    kendall,
    rank,
    spearman,
)
from experiments.predictor.rule import Case, by_model, by_puzzles, judge, learn
from experiments.predictor.signals import ONE_STEP, SIGNALS, points, told_apart
from experiments.predictor.tables import study, study_tables
from experiments.sweep.rows import sweep_folder
from tests.support.sweep_rows import LOST, ROWS, SOLVED_OF_TEN, SPEC, make_sweep, write_made


@pytest.mark.parametrize("ties", [False, True])
def test_weighted_correlations_are_those_of_the_resample(ties):
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(2, 12))
    y += x
    if ties:
        x, y = np.round(x), np.round(2 * y) / 2
    weights = rng.multinomial(12, [1 / 12] * 12, size=20).astype(float)
    for i, sample in enumerate(weights):
        drawn = np.repeat(np.arange(12), sample.astype(int))
        rho = stats.spearmanr(x[drawn], y[drawn]).statistic
        tau = stats.kendalltau(x[drawn], y[drawn]).statistic
        assert spearman(x, y, weights)[i] == pytest.approx(rho, abs=1e-12)
        assert kendall(x, y, weights)[i] == pytest.approx(tau, abs=1e-12)


def test_a_constant_side_has_no_correlation():
    ones, y, weights = np.ones(5), np.arange(5.0), np.ones((1, 5))
    assert np.isnan(spearman(ones, y, weights))
    assert np.isnan(kendall(ones, y, weights))


def test_what_is_not_a_number_has_no_rank():
    x, y, weights = np.arange(5.0), np.arange(5.0), np.ones((1, 5))
    for correlate in (spearman, kendall):
        with pytest.raises(ValueError, match=r"needs numbers, got nan at \[3\] of 5 points"):
            correlate(np.where(x == 3, np.nan, x), y, weights)
        with pytest.raises(ValueError, match="needs numbers, got nan"):
            correlate(x, np.where(y == 0, np.nan, y), weights)


def test_fidelity_ranks_a_sweep_that_it_orders():
    found = points(make_sweep())
    assert len(found) == 3 * len(SPEC.grid.cycles)
    assert {p.loss.value for p in found if p.scheme == "int8"} == {0.0}
    assert [p.loss.value for p in found if p.full_depth] == pytest.approx([0.0, 0.2, 0.6])
    three = [p for name in "abc" for p in points(make_sweep(name))]
    perfect = rank(three, ONE_STEP, seed=0)
    assert perfect.spearman.value == pytest.approx(1.0)
    assert (perfect.count, perfect.curves, perfect.models) == (27, 9, 3)
    assert set(found[0].signals) == set(SIGNALS)


def test_models_are_drawn_then_their_schemes():
    """Points of a curve go together, and all of a model come as often as it was drawn."""
    models = [[[0, 3], [1]], [[2], [4], [5]]]
    weights = draw_weights(models, 6, np.random.default_rng(5))
    assert (weights[0] == 1).all()
    assert (weights[:, 0] == weights[:, 3]).all()
    first, second = weights[1:, [0, 1]].sum(axis=1), weights[1:, [2, 4, 5]].sum(axis=1)
    assert (first / 2 + second / 3 == 2).all()  # two models drawn, each with all its schemes
    assert set(first / 2) == {0.0, 1.0, 2.0}
    means = weights[1:].mean(axis=0)
    # the weight of a point is 1 on average; its variance is below 3 (models: .5, schemes: 2 * 2/3)
    assert means == pytest.approx(1.0, abs=5 * np.sqrt(3 / len(weights)))


def test_intervals_are_wider_where_models_differ():
    """In one of four models the signal ranks schemes the wrong way round."""
    wrong = dict(zip(LOST, (0.0, 0.3, 0.05, 0.001), strict=True))
    mixed = [p for name in "abc" for p in points(make_sweep(name))]
    mixed += points(make_sweep("d", lost=wrong))
    ranked = rank([p for p in mixed if p.full_depth], ONE_STEP, seed=0).spearman
    # schemes drawn alone: as if all were of one model
    renamed = [dataclasses.replace(p, model="one", scheme=f"{p.model} {p.scheme}") for p in mixed]
    alone = rank([p for p in renamed if p.full_depth], ONE_STEP, seed=0).spearman
    assert ranked.value == alone.value
    assert ranked.high - ranked.low > alone.high - alone.low


def test_few_schemes_are_not_ranked():
    """Eight points of one curve are one scheme."""
    with pytest.raises(ValueError, match="at least 8 schemes, got 3"):
        rank(points(make_sweep()), ONE_STEP, seed=0)
    few = study([make_sweep()])
    assert few.rankings == {}
    assert few.unranked == {"all depths": 3, "full depth": 3}
    assert "No rank correlation: fewer than 8 schemes" in [t.title for t in study_tables(few)]
    many = study([make_sweep(name) for name in "abc"])
    assert set(many.rankings) == {"all depths", "full depth"}
    assert many.unranked == {"a": 3, "b": 3, "c": 3}


def test_a_pair_in_the_wrong_order_is_found():
    """The scheme that solves 1 of 10 gets the fidelity of the one that solves 7."""
    wrong = {**LOST, "w8c-sym": 0.3, "w3t-sym": 0.001}
    assert counterexamples(make_sweep(), 4) == []
    found = counterexamples(make_sweep(lost=wrong), 4)
    assert [(c.better, c.worse) for c in found] == [("int3_naive", "int8")]
    assert found[0].p == pytest.approx(2 / 2**6)  # six puzzles, all one way
    assert not found[0].holds  # 0.03 against 0.05 / 3 pairs
    assert [pair.wrong for pair in judged_pairs(make_sweep(), 4)] == [False] * 3


def case(fidelity: float, harmful: bool) -> Case:
    """Make a case."""
    return Case("m", "s", fidelity, 0.3 if harmful else 0.0, harmful, unsure=False)


def test_the_threshold_has_the_fewest_errors_and_the_widest_gap():
    clean = [case(0.99, False), case(0.98, False), case(0.7, True), case(0.6, True)]
    assert learn(clean) == pytest.approx(0.84)
    assert learn([*clean, case(0.95, True)]) == pytest.approx(0.965)
    with pytest.raises(ValueError, match="at least one case"):
        learn([])


def test_held_out_cases_are_judged():
    learned = [case(0.99, False), case(0.6, True), case(0.5, True)]
    held_out = [case(0.9, True), case(0.7, False), case(0.2, True), case(0.95, False)]
    verdict = judge("x", [(learned, held_out)])
    assert verdict.thresholds == (pytest.approx(0.795),)
    assert (verdict.wrongly_deployed, verdict.wrongly_refused, verdict.total) == (1, 1, 4)
    assert verdict.constant == 2  # "harmful" is commoner where it was learned
    assert verdict.error.value == 0.5


def test_splits_by_model_and_by_puzzles():
    one, two = make_sweep("a"), make_sweep("b")
    assert by_model([one]) is None
    verdict = by_model([one, two])
    assert verdict is not None
    assert (verdict.total, len(verdict.thresholds), len(verdict.mistakes)) == (6, 2, 0)
    halves = [rule.half(one, i) for i in (0, 1)]
    assert [h.reference.num_puzzles for h in halves if h] == [4 + 2, 4]
    puzzles = by_puzzles([one, two])
    assert puzzles is not None
    assert puzzles.total == 6


def test_models_of_one_name_are_told_apart():
    """Folders called `model` are usual; sweeps of one model stay together."""
    one, again = make_sweep("model"), make_sweep("model")
    other = again._replace(spec=dataclasses.replace(again.spec, model_sha256="abcdef0123"))
    names = [sweep.spec.model for sweep in told_apart([one, other, make_sweep("b")])]
    assert names == ["model (1)", "model (abcdef01)", "b"]
    assert by_model([one, again]) is None  # nobody is left to learn from
    verdict = by_model(told_apart([one, other, other]))
    assert verdict is not None
    assert (len(verdict.thresholds), verdict.total) == (2, 9)
    assert {p.model for p in study([one, other]).points} == {"model (1)", "model (abcdef01)"}


def test_a_sweep_of_full_precision_alone_is_no_case():
    alone = make_sweep("b", solved={"fp32": 7})
    verdict = by_model([make_sweep("a"), make_sweep("c"), alone])
    assert verdict is not None
    assert verdict.total == 6
    assert len(study([make_sweep("a"), alone]).verdicts) == 1


def test_a_correlation_that_does_not_exist_is_not_shown():
    same = dict.fromkeys(SOLVED_OF_TEN, 7)
    found = study([make_sweep(name, solved=same) for name in "abc"])
    text = "".join(cell for t in study_tables(found) for row in t.rows for cell in row)
    assert "nan" not in text


def test_the_program_writes_its_files(tmp_path, capsys):
    write_made(tmp_path / "sweep")
    out = tmp_path / "out"
    assert predictor.main([str(tmp_path / "sweep"), "--out", str(out)]) == 0
    assert "No rank correlation: fewer than 8 schemes" in capsys.readouterr().out
    assert {f.name for f in out.iterdir()} == {"predictor.md", "points.csv", "predictor.svg"}
    assert len((out / "points.csv").read_text().splitlines()) == 1 + 9
    assert predictor.main([str(tmp_path), "--out", str(out)]) == 2
    assert "holds no sweep" in capsys.readouterr().err


def test_too_few_schemes_are_refused(tmp_path, capsys):
    folder = sweep_folder(tmp_path)
    folder.open(SPEC, {})
    for row in ROWS:
        folder.append(row)
    assert predictor.main([str(tmp_path)]) == 2
    assert "at least 3 schemes" in capsys.readouterr().err
