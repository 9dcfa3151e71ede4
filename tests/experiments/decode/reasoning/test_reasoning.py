"""Tasks of reasoning-gym on a tiny random decoder: a stand-in for the package, then itself."""

import csv
import dataclasses
import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

from experiments.decode.reasoning.__main__ import main
from experiments.decode.reasoning.items import TRAINING_SEEDS, make_task, make_training_task
from experiments.decode.reasoning.prompts import TextForm
from experiments.decode.studies.folder import AnswerRow
from experiments.measurement.row_files import read_lines
from tests.support.decoders import LLAMA, random_params
from tests.support.oracles import decoder as oracle
from trm_jax.decoder.files.loading import load_decoder
from trm_jax.decoder.files.release import TOKENIZER_FILE, save_release

CONFIG = dataclasses.replace(LLAMA, num_layers=1, max_positions=64)
LEARNING = (
    *("--lora-steps", "30", "--adapter-lr", "0.02", "--rank", "4"),
    *("--schemes", "fp32"),
)
SIGNS = ("[UNK]", "<|im_start|>", "<|im_end|>", *"0123456789+=", "user", "assistant")


class Sums:
    """Sums of digits, drawn as the package draws: item i of seed s is item 0 of seed s + i."""

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.seed = size, seed

    def __getitem__(self, number: int) -> dict[str, Any]:
        a, b = random.Random(self.seed + number).choices(range(4), k=2)
        return {"question": f"{a} + {b} =", "answer": str(a + b)}

    def score_answer(self, answer: str, entry: dict[str, Any]) -> float:
        if answer == "crash":
            raise KeyError(answer)
        return 1.0 if answer == entry["answer"] else 0.5 * (entry["answer"] in answer)


def create_dataset(name: str, size: int, seed: int) -> Sums:
    if name == "needs_settings":
        raise AssertionError("datasets must be given")
    return Sums(size, seed)


@pytest.fixture(scope="module")
def gym() -> Iterator[None]:
    known = SimpleNamespace(DATASETS={"sums": Sums, "needs_settings": Sums})
    fake: Any = SimpleNamespace(create_dataset=create_dataset, factory=known)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "reasoning_gym", fake)
        yield


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    save_release(folder, CONFIG, random_params(CONFIG), stops=(2,))
    tokenizer = Tokenizer(models.WordLevel(dict(zip(SIGNS, range(17), strict=True)), "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens([AddedToken(word) for word in SIGNS[1:3]])
    tokenizer.save(str(folder / TOKENIZER_FILE))
    return folder


def measure(model: Path, out: Path, *more: str) -> int:
    options = ("--model", str(model), "--reasoning-gym", "sums", "--out", str(out))
    few = ("--limit", "5", "--batch-size", "2", "--max-new-tokens", "4", "--instruction", "")
    return main([*options, *few, *more])


def rows_of(out: Path) -> dict[str, AnswerRow]:
    return {row.stage: row for _, row in read_lines(out / "answers.jsonl", AnswerRow, "")}


def texts_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as text:
        return list(csv.DictReader(text))


def oracle_nats(params: dict, form: TextForm, seed: int) -> np.ndarray:
    """Compute nats a token of right answers by loops, item by item and without a batch."""
    nats = []
    for item in make_task("sums", 5, seed).items:
        prompt, answer = form.prompt(item), form.answer(item)
        logits = oracle.logits(params, CONFIG, np.asarray(prompt + answer))[len(prompt) - 1 : -1]
        shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
        shares /= shares.sum(axis=-1, keepdims=True)
        nats.append(-np.log(shares[np.arange(len(answer)), answer]).mean())
    return np.asarray(nats)


@pytest.fixture(scope="module")
def learned(gym, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that trained adapters, and answered without and with them."""
    out = tmp_path_factory.mktemp("runs") / "out"
    assert measure(model, out, *LEARNING) == 0
    return out


@pytest.mark.slow
def test_items_are_answered_and_scored(model: Path, learned: Path, capsys) -> None:
    row, texts = rows_of(learned)["sums, fp32"], texts_of(learned / "sums-fp32.csv")
    sums = Sums(5, 0)
    for i, text in enumerate(texts):
        assert text["question"] == sums[i]["question"]
        assert row.scores[i] == sums.score_answer(text["written"], sums[i])
    assert row.right == tuple(int(score == 1) for score in row.scores)
    params, form = random_params(CONFIG), TextForm(loaded=load_decoder(str(model)), instruction="")
    # logits agree to 1e-5 of the largest (tests/trm_jax/decoder), and a nat moves by two of them
    nats = oracle_nats(params, form, 0)
    np.testing.assert_allclose([float(t["nats_of_expected"]) for t in texts], nats, atol=2e-4)
    for i, item in enumerate(make_task("sums", 5, 0).items):
        tokens = form.prompt(item)
        for _ in range(row.tokens[i]):
            tokens.append(int(np.argmax(oracle.logits(params, CONFIG, np.asarray(tokens))[-1])))
        written = form.loaded.tokenizer.decode(tokens[len(form.prompt(item)) :])
        assert texts[i]["written"] == written.strip()
    assert measure(model, learned, "--seed", "1", "--resume") == 2  # other items
    assert "items_sha256" in capsys.readouterr().err


@pytest.mark.slow
def test_adapters_learn_are_saved_and_read_again(
    model: Path, learned: Path, tmp_path: Path
) -> None:
    losses = [float(row["nats_a_token"]) for row in texts_of(learned / "losses.csv")]
    assert len(losses) == 30
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 1
    rows = rows_of(learned)
    base, tuned = rows["sums, fp32"], rows["sums, fp32 with adapter"]
    assert tuned.values["nats"] < base.values["nats"] - 1
    # the same study again computes nothing
    kept = (learned / "adapter" / "adapter_model.safetensors").read_bytes()
    assert measure(model, learned, *LEARNING, "--resume") == 0
    assert rows_of(learned) == rows
    assert (learned / "adapter" / "adapter_model.safetensors").read_bytes() == kept
    # the same adapter from its files, in another study: the same answers
    given = ("--schemes", "fp32", "--adapter", str(learned / "adapter"))
    assert measure(model, tmp_path / "again", *given) == 0
    assert rows_of(tmp_path / "again") == rows


def test_one_item_under_a_scheme_of_sites(gym, model: Path, tmp_path: Path) -> None:
    """No interval is known of one item; a site has slashes, which no file's name has."""
    recipe = {"scheme": "w4c-sym", "matrices": {"layers_0/self_attn/o_proj": "w8c-sym"}}
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    words = ("--limit", "1", "--schemes", f"@{tmp_path / 'recipe.json'}")
    assert measure(model, tmp_path / "out", *words) == 0
    (row,) = rows_of(tmp_path / "out").values()
    assert set(row.values) == {"nats"}
    assert "nan" not in (tmp_path / "out" / "reasoning.md").read_text()
    assert len(list((tmp_path / "out").glob("sums-w4c-sym*o_proj*.csv"))) == 1


def test_nothing_that_is_answered_is_learned(gym) -> None:
    asked = make_task("sums", 5, 0)
    taught = make_training_task("sums", 12, 0, asked.questions)
    assert len(taught.items) == 12
    assert not taught.questions & asked.questions
    first = make_task("sums", 1, TRAINING_SEEDS).items[0].question
    assert (first in taught.questions) != (first in asked.questions)
    with pytest.raises(ValueError, match="has too few questions"):
        make_training_task("sums", 12, 0, {f"{a} + {b} =" for a in range(4) for b in range(4)})


def test_scores_are_the_package_s(gym) -> None:
    (item,) = make_task("sums", 1, 3).items
    scores = [item.score(text) for text in (item.answer, f"It is {item.answer}.", "x", "crash")]
    assert scores == [1, 0.5, 0, 0]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--reasoning-gym", "sum"), "did you mean 'sums'?"),
        (("--reasoning-gym", "needs_settings"), "own settings: datasets must be given"),
        (("--schemes", "w4c-sym-learned"), "decoders take -gptq"),
        (("--lora-steps", "2"), "of one scheme; name one with --schemes"),
        (("--max-new-tokens", "60"), "has 64 positions; lower --max-new-tokens"),
        (("--adapter", "nowhere"), "nowhere holds no adapters"),
        (("--model", "nowhere"), "unknown decoder 'nowhere'"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    more: tuple[str, ...], said: str, gym, model: Path, tmp_path: Path, capsys
) -> None:
    assert measure(model, tmp_path / "out", *more) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_missing_package_is_named(model: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)  # as if it were not installed
    assert measure(model, tmp_path / "out") == 2
    assert "pip install 'trm-jax-edge[reasoning]'" in capsys.readouterr().err


def test_items_of_the_package_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "reasoning_gym", raising=False)  # not the stand-in
    pytest.importorskip("reasoning_gym", reason="needs the extra [reasoning]")
    task = make_task("chain_sum", 4, 7)
    assert [item.score(item.answer) for item in task.items] == [1] * 4
    assert [item.score("no number") for item in task.items] == [0] * 4
    assert make_task("chain_sum", 4, 7).questions == task.questions
    assert not make_training_task("chain_sum", 8, 7, task.questions).questions & task.questions
