"""Models by name and puzzles by task: what is loaded, what is refused, and that nothing guesses."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from tests.support.samples import random_weights
from tests.support.tiny import sweep as tiny
from trm_jax import zoo
from trm_jax.checkpoints.model_files import save_model
from trm_jax.config import PRESET_TASKS, PRESETS, preset
from trm_jax.convert import __main__ as convert
from trm_jax.convert.hints import Hints
from trm_jax.convert.load import recorded_task
from trm_jax.convert.name_table import to_torch
from trm_jax.convert.published import PUBLISHED
from trm_jax.convert.torch_files import write_torch
from trm_jax.data.format import from_examples, save_dataset
from trm_jax.data.maze.generator import generate_mazes
from trm_jax.loading import hash_dataset, known_config, load_model, load_puzzles
from trm_jax.tasks import MAZE, SUDOKU

ONES = np.ones((3, 81), np.int32)
SUDOKUS = from_examples(ONES, ONES, vocab_size=11)


@pytest.fixture(scope="module")
def mazes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A 4x4 maze model and its mazes: as many cells and tokens as a 4x4 Sudoku."""
    root = tmp_path_factory.mktemp("mazes")
    weights = random_weights(tiny.CONFIG, seed=2)
    save_model(root / "model", tiny.CONFIG, weights, task="maze")
    save_model(root / "silent", tiny.CONFIG, weights)
    inputs, labels = generate_mazes(8, height=4, width=4, min_path=3)
    save_dataset(from_examples(inputs, labels, vocab_size=6), root / "data" / "test")
    return root


@pytest.mark.parametrize("name", zoo.MODELS)
def test_the_known_configuration_is_the_loaded_one(name: str):
    model = load_model(str(zoo.MODELS[name].directory))
    assert known_config(name) == preset(name)
    assert known_config(str(zoo.MODELS[name].directory)) == model.config


@pytest.mark.parametrize("name", zoo.MODELS)
def test_a_bundled_model_is_the_same_by_name_and_by_folder(name: str):
    by_name, by_folder = load_model(name), load_model(str(zoo.MODELS[name].directory))
    assert by_name.task is not None
    assert (by_name.name, by_name.task) == (by_folder.name, by_folder.task)
    assert (by_name.where, by_folder.where) == ("bundled", str(zoo.MODELS[name].directory))
    assert by_name.sha256 == by_folder.sha256


@pytest.mark.parametrize("name", zoo.DECODERS)
def test_a_decoder_is_no_recursive_model_and_its_program_is_named(name: str):
    for said in (name, str(zoo.DECODERS[name].directory)):
        with pytest.raises(ValueError, match=r"is .*a decoder of puzzles.*experiments\.decode"):
            load_model(said)


def test_a_folder_is_found_in_a_home(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(zoo.ROOT))
    config = known_config("sudoku-hrm-mini")
    assert config is not None
    for read in (lambda name: load_model(name).config, known_config):
        assert read("~/sudoku-hrm-mini") == config
    with pytest.raises(ValueError, match="unknown model '~no-such-user/a'"):
        load_model("~no-such-user/a")


def test_no_name_is_the_bundled_model_of_the_task():
    assert load_model(task="maze").name == "maze-trm-att-mini"
    with pytest.raises(ValueError, match="nothing says which task a model without a name is for"):
        load_model()


def test_published_checkpoints_have_their_table_and_foreign_ones_nothing():
    assert {name: known_config(name) for name in PUBLISHED} == {
        name: entry.config for name, entry in PUBLISHED.items()
    }
    assert known_config("hf:owner/name/file") is None


def test_a_damaged_folder_is_refused(tmp_path: Path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="not of format"):
        known_config(str(tmp_path))


def test_a_maze_as_small_as_a_sudoku_is_a_maze(mazes: Path):
    model = load_model(str(mazes / "model"))
    assert model.task is MAZE
    puzzles = load_puzzles(model, mazes / "data")
    assert (puzzles.task, puzzles.facts.grid) == (MAZE, (4, 4))
    assert puzzles.name.startswith("maze 4x4 (")


def test_nothing_is_guessed(mazes: Path):
    silent = load_model(str(mazes / "silent"))
    assert silent.task is None
    with pytest.raises(ValueError, match=r"nothing says which task model silent is for; .*--task"):
        load_puzzles(silent, mazes / "data")
    for task in (MAZE, SUDOKU):  # the alphabets are equal, so the caller's word decides
        named = load_model(str(mazes / "silent"), task=task)
        assert load_puzzles(named, mazes / "data").task is task


def test_another_task_than_the_model_says_is_refused(mazes: Path):
    with pytest.raises(ValueError, match="model model is for maze, not for sudoku"):
        load_model(str(mazes / "model"), task="sudoku")
    with pytest.raises(ValueError, match="sudoku-trm-mlp-mini is for sudoku, not for maze"):
        load_model("sudoku-trm-mlp-mini", task="maze")


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("chess", "unknown task 'chess'; known: sudoku, maze, arc"),
        (7, "field task must be a text, got 7"),
    ],
)
def test_a_folder_of_an_unknown_task_is_refused(mazes: Path, tmp_path: Path, task, message):
    for file in (mazes / "model").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    document = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(document | {"task": task}))
    with pytest.raises(ValueError, match=message):
        load_model(str(tmp_path))


@pytest.mark.parametrize(
    ("options", "task"),
    [((), None), (("--preset", "small-maze"), MAZE), (("--task", "sudoku"), SUDOKU)],
)
def test_conversion_keeps_the_task_that_was_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options, task
):
    """A maze's preset says it; a checkpoint without preset is of the task that is named."""
    config = dataclasses.replace(
        preset("maze-trm-att"), hidden_size=16, num_heads=2, puzzle_emb_ndim=16, seq_len=16
    )
    monkeypatch.setitem(PRESETS, "small-maze", config)
    monkeypatch.setitem(PRESET_TASKS, "small-maze", "maze")
    file, out = tmp_path / "step_1.safetensors", tmp_path / "out"
    write_torch(file, to_torch(config, random_weights(config)))
    fields = ("--h-cycles", "3", "--l-cycles", "4", "--num-heads", "2", "--seq-len", "16")
    fields += ("--halt-max-steps", "16", "--halt-exploration-prob", "0.1", "--positions", "rope")
    fields += ("--rope-theta", "1e4", "--rms-norm-eps", "1e-5", "--no-act-continue", "true")
    fields += ("--forward-dtype", "bfloat16", "--prefix-len", "16")
    assert convert.main([str(file), str(out), *fields, *options]) == 0
    assert load_model(str(out)).task is task


def test_hints_say_the_task_of_a_release():
    assert recorded_task("step_1", Hints()) is None
    assert recorded_task("step_1", Hints(preset="arc-trm-att")) == "arc"
    assert recorded_task("trm-att-maze-alphaxiv", Hints()) == "maze"


def test_puzzles_of_another_size_are_refused(mazes: Path):
    with pytest.raises(ValueError, match=r"model has seq_len=36, the data seq_len=16; name anot"):
        load_puzzles(load_model("sudoku-trm-mlp-mini"), mazes / "data")
    with pytest.raises(ValueError, match="no maze puzzles of 16 cells are bundled, only of 64"):
        load_puzzles(load_model(str(mazes / "model")))
    with pytest.raises(FileNotFoundError, match=r"no data folder .*nowhere; leave --data out"):
        load_puzzles("maze", mazes / "nowhere")


def test_bundled_puzzles_come_by_task_and_size():
    assert load_puzzles("sudoku").facts.grid == (6, 6)
    assert load_puzzles(SUDOKU, cells=81).facts.box == (3, 3)


def test_the_hash_is_of_content_not_of_storage():
    small = from_examples(ONES.astype(np.uint8), ONES.astype(np.uint8), vocab_size=11)
    assert hash_dataset(small) == hash_dataset(SUDOKUS)
    changed = ONES.copy()
    changed[2, 80] = 5
    labels = dataclasses.replace(SUDOKUS, labels=changed)
    assert hash_dataset(labels) != hash_dataset(SUDOKUS)


def test_a_checkpoint_is_told_what_it_was_trained_on(tmp_path: Path, mazes: Path) -> None:
    """The boxes of a 6x6 Sudoku are in no PyTorch checkpoint."""
    name = "sudoku-trm-mlp-mini"
    bundled = load_model(name)
    write_torch(tmp_path / "step_1.safetensors", to_torch(bundled.config, bundled.weights))
    model = load_model(str(tmp_path / "step_1.safetensors"), Hints(preset=name))
    assert model.facts is None
    with pytest.raises(ValueError, match=r"does not say the shape of its boxes \(2x3, 3x2\)"):
        load_puzzles(model)
    puzzles = load_puzzles("sudoku")
    assert model.trained_on(puzzles).facts == puzzles.facts == bundled.facts
    assert bundled.trained_on(puzzles).facts == bundled.facts
    with pytest.raises(ValueError, match=r"do not fit: .*sudoku"):
        bundled.trained_on(load_puzzles("maze", mazes / "data"))
