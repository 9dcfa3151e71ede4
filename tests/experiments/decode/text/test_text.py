"""A study of text on a tiny random decoder, against plain loops; folders; what is refused."""

import dataclasses
import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

from experiments.decode.text.__main__ import main
from experiments.decode.text.rows import TextRow, text_folder
from experiments.decode.text.tables import common_tokens, text_record
from quant.affine import Grid, calibrate, dequantise, quantise, scale_zero_point
from tests.support.decoders import LLAMA, random_params
from tests.support.oracles import decoder as oracle
from trm_jax.decoder.files.name_table import from_release, to_release
from trm_jax.decoder.files.release import TOKENIZER_FILE, save_release

CONFIG = dataclasses.replace(LLAMA, max_positions=96)
STOP = 2
WORDS = ["[UNK]", "<|im_start|>", "<|im_end|>", "the", "a", "is", "of", "and", "to", "in", "cat"]
TEXT = "the cat is in the sea and a cat of the cat is to the cat"
SCHEMES = ("fp32", "w8c-sym", "w4c-sym_a16s_carry8")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release with a tokenizer of few words."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    save_release(folder, CONFIG, random_params(CONFIG), stops=(STOP,))
    vocabulary = {word: number for number, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens([AddedToken(word) for word in WORDS[1:3]])
    tokenizer.save(str(folder / TOKENIZER_FILE))
    return folder


def measure(model: Path, out: Path, *more: str, schemes: tuple[str, ...] = SCHEMES) -> int:
    text = out.parent / "text.txt"
    text.write_text(TEXT)
    options = ("--model", str(model), "--text", str(text), "--out", str(out))
    return main([*options, "--schemes", ",".join(schemes), "--max-new-tokens", "6", *more])


@pytest.fixture(scope="module")
def measured(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "study"
    assert measure(model, out) == 0
    return out


def rows_of(out: Path) -> dict[str, TextRow]:
    folder = text_folder(out)
    return {row.scheme: row for row in folder.read_rows(folder.read_spec())}


def tokens() -> list[int]:
    return [WORDS.index(word) if word in WORDS else 0 for word in TEXT.split()]


def nats_of_loops(params: dict) -> np.ndarray:
    """Compute nats by loops over tokens, without a cache."""
    logits = oracle.logits(params, CONFIG, np.asarray(tokens()))[:-1]
    shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares /= shares.sum(axis=-1, keepdims=True)
    return -np.log(shares[np.arange(len(shares)), tokens()[1:]])


@pytest.mark.slow
def test_nats_are_those_of_loops(measured: Path) -> None:
    rows, params = rows_of(measured), random_params(CONFIG)
    # logits agree to 1e-5 of the largest (tests/trm_jax/decoder), and a nat moves by two of them
    np.testing.assert_allclose(rows["fp32"].nats, nats_of_loops(params), atol=2e-4)
    grid = Grid(bits=8, channel_axes=(0,))  # a row of a released matrix is an output

    def rounded(values: np.ndarray) -> np.ndarray:
        x = jnp.asarray(values)
        return np.asarray(dequantise(quantise(x, scale_zero_point(calibrate(x, grid), grid), grid)))

    released = {k: rounded(v) if v.ndim == 2 else v for k, v in to_release(CONFIG, params).items()}
    nats = nats_of_loops(from_release(released, CONFIG, "rounded"))
    np.testing.assert_allclose(rows["w8c-sym"].nats, nats, atol=2e-4)


@pytest.mark.slow
def test_a_row_has_the_bytes_of_its_scheme(measured: Path) -> None:
    rows = rows_of(measured)
    weights = sum(value.size for value in to_release(CONFIG, random_params(CONFIG)).values())
    assert rows["fp32"].weight_bytes == 4 * weights
    assert rows["w8c-sym"].weight_bytes < 0.4 * rows["fp32"].weight_bytes
    # keys and values of 2 layers and 2 heads of 8; int8 with a scale for each head
    assert rows["fp32"].cache_bytes == 2 * 2 * 2 * 8 * 4
    assert rows["w4c-sym_a16s_carry8"].cache_bytes == 2 * 2 * 2 * (8 + 4)


@pytest.mark.slow
def test_what_the_cache_keeps_and_inputs_change_what_is_read(measured: Path) -> None:
    rows = rows_of(measured)
    assert rows["w4c-sym_a16s_carry8"].nats != rows["w8c-sym"].nats
    assert all(len(row.written) == 6 for row in rows.values())
    assert all(len(answer) <= 6 for row in rows.values() for answer in row.written)


@pytest.mark.slow
def test_the_table_compares_with_full_precision(measured: Path) -> None:
    rows = rows_of(measured)
    record = text_record(rows["fp32"], rows["fp32"])
    assert record["perplexity"] == pytest.approx(np.exp(np.mean(rows["fp32"].nats)))
    assert record["nats_difference"] == 0
    assert record["same_likeliest"] == 1
    assert record["same_answers"] == record["answers"] == 6
    other = text_record(rows["w4c-sym_a16s_carry8"], rows["fp32"])
    assert other["perplexity_low"] < other["perplexity"] < other["perplexity_high"]
    assert other["common_tokens"] <= other["reference_tokens"]
    assert "perplexity" in (measured / "text.md").read_text()
    assert (measured / "text.csv").read_text().count("\n") == 4


def test_tokens_before_the_first_that_differs() -> None:
    assert common_tokens((1, 2, 3), (1, 2, 4, 5)) == 2
    assert common_tokens((1, 2), (1, 2, 4)) == 2
    assert common_tokens((), (1,)) == 0


@pytest.mark.slow
def test_a_study_goes_on_with_more_schemes(model: Path, measured: Path, capsys) -> None:
    before = rows_of(measured)
    assert measure(model, measured) == 2  # not without --resume
    assert "resume" in capsys.readouterr().err
    assert measure(model, measured, "--resume", schemes=("w4c-sym",)) == 0
    after = rows_of(measured)
    assert after.keys() - before.keys() == {"w4c-sym"}
    assert {name: after[name] for name in before} == before
    assert measure(model, measured, "--resume", "--limit", "9") == 2
    assert "num_tokens is 16, asked for 9" in capsys.readouterr().err
    assert measure(model, measured, "--resume", "--ask", "the cat is") == 2
    assert "questions_sha256 is" in capsys.readouterr().err


@pytest.mark.slow
def test_an_own_question_is_answered(model: Path, tmp_path: Path) -> None:
    assert measure(model, tmp_path / "out", "--ask", "the cat is", schemes=("fp32",)) == 0
    (answer,) = rows_of(tmp_path / "out")["fp32"].written
    prompt = [1, *[0] * 1, WORDS.index("the"), WORDS.index("cat"), WORDS.index("is"), 2, 1, 0]
    params, text = random_params(CONFIG), list(prompt)
    for token in answer:
        assert token == int(np.argmax(oracle.logits(params, CONFIG, np.asarray(text))[-1]))
        text.append(token)
    assert "| the cat is | fp32 |" in (tmp_path / "out" / "text.md").read_text()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--schemes", "w8c-sym_a8s_tflm"), "leave _tflm out"),
        (("--schemes", "w4c-sym-learned"), "decoders take -gptq"),
        (("--limit", "1"), "must have 2 to 96 tokens"),
        (("--ask", "the cat?", "--max-new-tokens", "0"), "asks nothing; leave --ask out"),
        (("--model", "nowhere"), "unknown decoder 'nowhere'"),
        (("--text", "nowhere.txt"), "nowhere.txt"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    more: tuple[str, ...], said: str, model: Path, tmp_path: Path, capsys
) -> None:
    out = tmp_path / "out"
    assert main(["--model", str(model), "--out", str(out), *more]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not out.exists()


def test_a_single_token_has_no_interval(model: Path, tmp_path: Path) -> None:
    few = ("--limit", "2", "--max-new-tokens", "0")
    assert measure(model, tmp_path / "out", *few, schemes=("fp32", "w8c-sym")) == 0
    assert "nan" not in (tmp_path / "out" / "text.md").read_text()


@pytest.mark.slow
def test_a_model_without_stop_is_asked_nothing(model: Path, tmp_path: Path, capsys) -> None:
    copy = tmp_path / "model"
    copy.mkdir()
    for file in model.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    fields = json.loads((copy / "config.json").read_text()) | {"eos_token_id": None}
    (copy / "config.json").write_text(json.dumps(fields))
    assert measure(copy, tmp_path / "out") == 2
    assert "--max-new-tokens 0" in capsys.readouterr().err
    assert measure(copy, tmp_path / "out", "--max-new-tokens", "0", schemes=("fp32",)) == 0
    assert rows_of(tmp_path / "out")["fp32"].written == ()
