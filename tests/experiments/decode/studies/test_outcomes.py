"""Caps, votes and routes by hand; what a study's folder keeps."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.decode.studies.folder import AnswerRow, StudyFolder
from experiments.decode.studies.outcomes import answer_table, cap_table, read_tables, under_cap
from experiments.decode.studies.parallel import COUNTS, vote_counts, voted
from experiments.decode.studies.subject import Asked, StudyPuzzles
from experiments.decode.studies.switch import (
    LOSSES,
    SHARES,
    BothAnswers,
    by_chance,
    choose_threshold,
    curve_table,
    easiest,
    keeps_rules,
    ranking,
    route,
    threshold_table,
    verdicts,
)
from experiments.report.inputs import read_results
from trm_jax.loading import load_puzzles

TRACE = AnswerRow(stage="trace", right=(1, 1, 1, 0), tokens=(40, 60, 80, 90), values={})
DIRECT = AnswerRow(
    stage="direct",
    right=(1, 0, 1, 0),
    tokens=(10, 12, 14, 16),
    scores=(0.9, 0.2, 0.6, 0.4),
    values={},
)


def test_answers_that_are_cut_are_wrong() -> None:
    assert [under_cap(TRACE, cap).value for cap in (39, 40, 79, 1000)] == [0, 0.25, 0.5, 0.75]
    table = cap_table([TRACE, DIRECT])
    # the longest right answer has 80 tokens; nothing changes behind it
    assert table.header[-1] == "80 tokens"
    assert "96 tokens" not in table.header


def test_policies_are_compared_with_the_first() -> None:
    table, records = answer_table("Title", [TRACE, DIRECT])
    assert table.rows[0][2] == ""
    assert records[1]["exact"] == 0.5
    assert records[1]["gained"] == -0.25
    assert records[1]["shorter"] == 270 / 52
    assert "4 puzzles" in table.title


def test_a_reader_lays_out_the_answers_of_a_study(tmp_path: Path) -> None:
    def keep(study: str, *stages: AnswerRow) -> Path:
        folder = StudyFolder(tmp_path / study, {"study": study})
        for row in stages:
            folder.answers(row.stage, lambda kept=row: kept)
        return folder.path

    apart = dataclasses.replace(TRACE, stage="trace, validation", right=(0,), tokens=(9,))
    (answers, caps) = read_tables(keep("budget", apart, TRACE, DIRECT))
    assert [row[0] for row in answers.rows] == [row[0] for row in caps.rows] == ["trace", "direct"]
    assert answers.title.startswith("Budget forcing (budget), 4 puzzles")
    # the first stage that finished is not the one that others are compared with
    (adapters,) = read_tables(keep("lora", DIRECT, dataclasses.replace(TRACE, stage="base")))
    assert [row[0] for row in adapters.rows] == ["base", "direct"]
    values = {"cells": 0.5, "gflops": 1.0, "bytes_read": 2e6, "taught": 1234.0}
    orders, _ = read_tables(keep("order", dataclasses.replace(TRACE, values=values)))
    assert orders.rows[0][4:] == ("1", "2.00 MB", "1,234")
    with pytest.raises(ValueError, match="has no finished stage"):
        read_tables(keep("switch"))
    assert read_results([tmp_path / "budget"]).studies[0] == answers


def test_the_easiest_puzzles_are_answered_directly() -> None:
    scores = np.asarray(DIRECT.scores)
    half = route(TRACE, DIRECT, easiest(scores, 0.5))
    assert half.right == (1, 1, 1, 0)
    assert half.tokens == (10, 60, 14, 90)
    assert route(TRACE, DIRECT, easiest(scores, 0.0)).tokens == TRACE.tokens
    assert route(TRACE, DIRECT, easiest(scores, 1.0)).tokens == DIRECT.tokens
    assert by_chance(TRACE, DIRECT, 0.5) == 0.625
    curve, records = curve_table(TRACE, DIRECT)
    assert len(curve.rows) == len(records) == len(SHARES)
    # half by the truth: .9 and .6, as the switcher says
    half_said = records[SHARES.index(0.5)]
    assert (half_said["exact"], half_said["by_truth"], half_said["by_chance"]) == (
        0.75,
        0.75,
        0.625,
    )
    assert half_said["tokens"] == (10 + 60 + 14 + 90) / 4
    assert "1.0000" in verdicts(DIRECT).rows[0][1]  # .9 and .6 are right, .2 and .4 are not
    assert verdicts(dataclasses.replace(DIRECT, right=(1, 1, 1, 1))).rows[0][3] == "-"  # no AUC


def test_thresholds_are_chosen_on_other_puzzles() -> None:
    apart = BothAnswers(TRACE, DIRECT)
    # the last puzzle (.4) is wrong both ways and free, the second (.2) costs a quarter
    assert choose_threshold(apart, 0.1) == 0.4
    assert choose_threshold(apart, 0.25) == 0.2
    hopeless = dataclasses.replace(DIRECT, right=(0, 0, 0, 0))
    assert choose_threshold(BothAnswers(TRACE, hopeless), 0.1) == float("inf")
    table, records = threshold_table(BothAnswers(TRACE, hopeless), apart)
    assert "4 other puzzles" in table.title
    # .9, .6 and .4 are at least .4: three of four are answered directly, and all are wrong there
    assert [(row["directly"], row["exact"]) for row in records] == [(0.75, 0.25)] * len(LOSSES)
    table, records = threshold_table(apart, BothAnswers(TRACE, hopeless))
    assert [(row["directly"], row["exact"]) for row in records] == [(0, 0.75)] * len(LOSSES)
    assert {row[1] for row in table.rows} == {"none"}  # no threshold, not an infinite one


def test_answers_are_checked_by_rules_without_labels() -> None:
    puzzles = load_puzzles("sudoku")
    inputs, labels = (np.asarray(x[:3]) for x in (puzzles.dataset.inputs, puzzles.dataset.labels))
    cells = labels.copy()
    cells[1, 0] = cells[1, 1]  # a digit twice in a row
    asked = Asked(
        right=np.zeros((3, 1), bool),  # a label says nothing here
        lengths=np.ones((3, 1)),
        cells=cells[:, None],
        ended=np.array([[True], [True], [False]]),
        last=np.zeros(0),
        prompt=np.zeros(0),
    )
    subject: Any = SimpleNamespace(puzzles=puzzles)
    kept = keeps_rules(subject, StudyPuzzles(inputs, labels), asked)
    assert kept.tolist() == [True, False, False]


def test_the_ranking_counts_pairs() -> None:
    assert ranking(DIRECT) == 1.0
    mixed = AnswerRow(
        stage="x", right=(1, 0, 1, 0), tokens=(1, 1, 1, 1), scores=(0.5, 0.5, 0.1, 0.3), values={}
    )
    # pairs (right, wrong): .5 against .5 a half, .5 against .3 one, .1 against both none
    assert ranking(mixed) == 1.5 / 4


def test_answers_that_did_not_end_have_no_vote() -> None:
    asked = Asked(
        right=np.array([[False, False, True]] * 2),
        lengths=np.array([[5, 6, 7]] * 2),
        cells=np.array([[[1], [1], [2]]] * 2),
        ended=np.array([[True, False, True], [True, True, True]]),
        last=np.zeros(0),
        prompt=np.zeros(0),
    )
    scores = np.array([[0.2, 0.9, 0.8], [0.6, 0.6, 0.8]])
    assert voted(asked, scores, 3, "majority", "x").right == (0, 0)
    assert voted(asked, scores, 3, "verifier", "x").right == (1, 0)
    two = voted(asked, scores, 2, "verifier", "x")
    assert two.right == (0, 0)
    assert two.tokens == (11, 11)


def test_a_row_of_unlike_lengths_is_refused() -> None:
    with pytest.raises(ValueError, match="2 answers, 1 lengths"):
        AnswerRow(stage="x", right=(1, 0), tokens=(3,), values={})


class Killed(Exception):
    """A kill in the middle of a training."""


def test_a_study_goes_on_where_it_was_killed(tmp_path) -> None:
    said: list[str] = []
    seen: list[int] = []

    def open_folder(seed: int = 0) -> StudyFolder:
        return StudyFolder(tmp_path / "study", {"seed": seed}, said.append)

    def update(state: dict, number: int, last: int = 100) -> tuple[dict, Callable[[], str]]:
        if number == last:
            raise Killed
        seen.append(number)
        return {"x": state["x"] * 2 + number, "n": state["n"] + 1}, lambda: "fine"

    start = {"x": jnp.float32(1), "n": jnp.int32(0)}
    with pytest.raises(Killed):
        open_folder().trained("net", start, 30, lambda s, n: update(s, n, last=25))
    first = open_folder().answers("trace", lambda: TRACE)
    resumed = open_folder().trained("net", start, 30, update)
    assert seen == [*range(25), *range(20, 30)]  # kept at 20
    expected = 1.0
    for number in range(30):
        expected = np.float32(expected * np.float32(2) + np.float32(number))
    assert float(resumed["x"]) == expected
    assert int(resumed["n"]) == 30
    assert open_folder().trained("net", start, 30, lambda s, n: update(s, n, last=0)) == resumed
    assert open_folder().answers("trace", lambda: pytest.fail("computed again")) == first == TRACE
    with pytest.raises(ValueError, match="seed: 0, not 1"):
        open_folder(seed=1)
    with pytest.raises(ValueError, match="seed: 0, not None"):  # settings of an earlier version
        StudyFolder(tmp_path / "study", {}, said.append)
    other = {"y": jnp.zeros(3)}
    with pytest.raises(ValueError, match="does not hold this training"):
        open_folder().trained("net", other, 30, lambda s, n: (s, ""))


def test_all_samples_that_were_drawn_vote_in_the_end() -> None:
    assert vote_counts(8) == [1, 2, 3, 4, 6, 8]
    assert vote_counts(5) == [1, 2, 3, 4, 5]
    assert vote_counts(1) == [1]
    assert vote_counts(100) == [*COUNTS, 100]
