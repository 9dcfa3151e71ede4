"""Facts written into files that lack them, and models and puzzles that do not belong together."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from tests.support.samples import random_weights
from tests.support.tiny import sweep as tiny
from trm_jax.checkpoints.model_files import load_facts, load_model, save_model
from trm_jax.convert.load import known_facts
from trm_jax.data.facts import ONE_BLANK, hash_identifiers, settle_facts
from trm_jax.data.format import from_examples, load_dataset, save_dataset
from trm_jax.data.sudoku import tokens
from trm_jax.data.sudoku.generator import generate_sudoku
from trm_jax.loading import load_model as load_named
from trm_jax.loading import load_puzzles
from trm_jax.tasks import describe

CONFIG = dataclasses.replace(tiny.CONFIG, seq_len=36, vocab_size=8)
NAMES = ["<blank>", "a", "a|||t1|||0123456789"]


@pytest.fixture
def silent(tmp_path: Path) -> Path:
    """A data set of 3x2 boxes, and a model, of which no file says the boxes."""
    puzzles, answers = (tokens.encode(g) for g in generate_sudoku(4, box=(3, 2), seed=2))
    for split in ("train", "test"):
        save_dataset(from_examples(puzzles, answers, vocab_size=8), tmp_path / "data" / split)
    save_model(tmp_path / "model", CONFIG, random_weights(CONFIG), task="sudoku")
    return tmp_path


def test_what_is_said_once_is_known_from_then_on(
    silent: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, model = silent / "data", silent / "model"
    before = load_model(model)[1]
    with pytest.raises(ValueError, match=r"shape of its boxes \(2x3, 3x2\)"):
        load_puzzles("sudoku", data)
    assert describe.main([str(data), "--task", "sudoku", "--box", "3x2"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{data}/train: sudoku 6x6 with boxes 3x2",
        f"{data}/test: sudoku 6x6 with boxes 3x2",
    ]
    with pytest.raises(ValueError, match=r"model model is Sudoku of side 6 and does not say"):
        load_puzzles(load_named(str(model)), data)
    assert describe.main([str(model), "--box", "3x2"]) == 0
    assert load_puzzles(load_named(str(model)), data).facts == load_facts(model)
    np.testing.assert_array_equal(before.puzzle_emb, load_model(model)[1].puzzle_emb)


def test_answers_prove_another_box_wrong(silent: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = (silent / "data" / "test" / "dataset.json").read_bytes()
    words = [str(silent / "data"), "--task", "sudoku", "--box", "2x3"]
    assert describe.main(words) == 2
    assert "answer 0 is not right as sudoku 6x6 with boxes 2x3" in capsys.readouterr().err
    assert (silent / "data" / "test" / "dataset.json").read_bytes() == content


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["data"], "nothing says which task data"),
        (["data", "--task", "maze"], "is no maze data: 6x6 maze has 6 tokens"),
        (["data", "--task", "sudoku", "--box", "2x4"], "puzzles.box must have 2 rows"),
        (["data", "--task", "sudoku", "--box", "six"], "--box reads ROWSxCOLUMNS"),
        (["data", "--task", "sudoku", "--identifiers", "names"], "--identifiers is for models"),
        (["model", "--task", "maze"], "is for sudoku, not for maze"),
        (["model", "--box", "3x2", "--identifiers", "names"], "lists 3 names, model"),
        ([".", "--task", "maze"], "is no data set (no dataset.json) and no model directory"),
    ],
)
def test_what_does_not_fit_is_one_line(
    silent: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    (silent / "names").write_text(json.dumps(NAMES))
    places = {"data", "model", "names", "."}
    assert describe.main([str(silent / w) if w in places else w for w in words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_what_a_file_says_is_changed_only_on_request(
    silent: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = str(silent / "model")
    assert describe.main([model, "--box", "3x2"]) == 0
    assert describe.main([model, "--box", "2x3"]) == 2
    assert "add --replace to change it" in capsys.readouterr().err
    assert describe.main([model, "--box", "2x3", "--replace"]) == 0
    assert describe.main([str(silent / "data"), "--task", "sudoku", "--box", "3x2"]) == 0
    described = load_named(model)
    with pytest.raises(ValueError, match=r"is for box 2x3, data .* has box 3x2"):
        load_puzzles(described, silent / "data")


def test_puzzle_names_are_compared_not_counted(tmp_path: Path) -> None:
    """Two data sets with as many identifiers: the rows of the table belong to one of them."""
    config = dataclasses.replace(CONFIG, vocab_size=12, num_puzzle_identifiers=3)
    facts = settle_facts("arc", 36, "here", identifiers=NAMES)
    save_model(tmp_path / "model", config, random_weights(config), puzzles=facts)
    save_model(tmp_path / "silent", config, random_weights(config), task="arc")
    ones = np.ones((2, 36), np.uint8)
    for name, names in (("own", NAMES), ("other", ["<blank>", "b", "c"])):
        said = settle_facts("arc", 36, "here", identifiers=names)
        alone = dataclasses.replace(said, identifiers_sha256=ONE_BLANK)
        data = from_examples(ones, ones, vocab_size=12, puzzles=alone)
        meta = dataclasses.replace(data.metadata, num_puzzle_identifiers=3, puzzles=said)
        save_dataset(
            dataclasses.replace(data, metadata=meta), tmp_path / name / "test", identifiers=names
        )
        assert load_dataset(tmp_path / name / "test").metadata.puzzles == said
    model = load_named(str(tmp_path / "model"))
    assert load_puzzles(model, tmp_path / "own").facts.identifiers_sha256 == hash_identifiers(NAMES)
    with pytest.raises(ValueError, match="their puzzle identifiers are other names"):
        load_puzzles(model, tmp_path / "other")
    with pytest.raises(ValueError, match="model silent does not say which puzzles the rows"):
        load_puzzles(load_named(str(tmp_path / "silent")), tmp_path / "own")


def test_names_that_a_converter_left_open_are_filled_in(tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, vocab_size=12, num_puzzle_identifiers=3)
    save_model(
        tmp_path / "model", config, random_weights(config), puzzles=known_facts(config, "arc")
    )
    (tmp_path / "names.json").write_text(json.dumps(NAMES))
    words = [str(tmp_path / "model"), "--identifiers", str(tmp_path / "names.json")]
    assert describe.main(words) == 0
    said = load_facts(tmp_path / "model")
    assert said is not None
    assert said.identifiers_sha256 == hash_identifiers(NAMES)
    assert known_facts(CONFIG, "sudoku") is None  # 2x3 or 3x2
    assert known_facts(CONFIG, None) is None
