"""Recursion and tokens on one scale: rows by hand, a whole run, resuming, and what is refused."""

import csv
import dataclasses
import json
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments.decode import __main__ as decode
from experiments.decode.outcomes import DecodeOutcome, compare, comparison, order_schemes
from experiments.decode.rows import DecodeRow, decode_folder
from experiments.decode.token_solver import ReferenceText, Written, free_cosine, mean_cosine
from experiments.measurement.shards import from_hex
from tests.support.decoders import random_params
from trm_jax.data.batches import gather
from trm_jax.data.format import from_examples, save_dataset
from trm_jax.decoder.config import DecoderConfig, TraceOrder
from trm_jax.decoder.generate import generate
from trm_jax.decoder.model_folder import PuzzleDecoder, save_puzzle_decoder
from trm_jax.loading import load_puzzles
from trm_jax.tasks.tokens.form import STOP, TokenRows

SCHEMES = "fp32,w4c-sym_carry8"


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random decoder of 6x6 Sudoku."""
    folder, facts = tmp_path_factory.mktemp("decoder") / "tiny-ar", load_puzzles("sudoku").facts
    config = DecoderConfig(
        vocab_size=368,
        hidden_size=16,
        num_layers=1,
        num_heads=2,
        num_kv_heads=1,
        head_dim=8,
        intermediate_size=24,
        max_positions=32,
    )
    model = PuzzleDecoder(
        config=config,
        params=random_params(config),
        order=TraceOrder.READING,
        puzzles=facts,
        metadata={},
    )
    save_puzzle_decoder(folder, model)
    return folder


def run(out: Path, decoder: Path, *options: str) -> int:
    given = ("--task", "sudoku", "--models", str(decoder), "--schemes", SCHEMES, "--out", str(out))
    return decode.main([*given, *options])


@pytest.fixture(scope="module")
def measured(decoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A comparison of one decoder, six puzzles in two shards."""
    out = tmp_path_factory.mktemp("decode") / "out"
    assert run(out, decoder, "--limit", "6", "--batch-size", "4") == 0
    return out


def rows_of(out: Path) -> list[DecodeRow]:
    folder = decode_folder(out)
    return folder.read_rows(folder.read_spec())


def test_a_row_is_what_the_decoder_writes(measured: Path, decoder: Path) -> None:
    from trm_jax.decoder.model_folder import load_puzzle_decoder

    model, puzzles = load_puzzle_decoder(decoder), load_puzzles("sudoku")
    host = gather(puzzles.dataset, puzzles.order[:4], 4)
    prompts = model.form.prompts(host.inputs)
    first = next(row for row in rows_of(measured) if row.start == 0 and row.scheme == "fp32")
    widest = int(model.form.prompts(puzzles.dataset.inputs).lengths.max())
    written = generate(
        model.decoder,
        model.params,
        jax.numpy.asarray(prompts.tokens),
        jax.numpy.asarray(prompts.lengths, jax.numpy.int32),
        stop=STOP,
        max_new_tokens=32 - widest,
    )
    cells = model.form.answers(host.inputs, np.asarray(written.tokens))
    assert first.depth == tuple(map(int, written.lengths))
    assert first.read == tuple(map(int, prompts.lengths))
    assert first.correct_cells == int((cells == host.labels).sum())
    np.testing.assert_array_equal(from_hex(first.exact, 4), (cells == host.labels).all(axis=1))
    np.testing.assert_array_equal(from_hex(first.ended, 4), written.stopped)
    assert first.infidelity.total == 0
    assert from_hex(first.same, 4).all()


def test_files_hold_every_contestant_under_every_scheme(measured: Path) -> None:
    with (measured / "comparison.csv").open() as stream:
        records = list(csv.DictReader(stream))
    assert [(r["contestant"], r["scheme"]) for r in records] == [
        ("tiny-ar", "fp32"),
        ("tiny-ar", "w4c-sym_carry8"),
    ]
    assert float(records[0]["seconds_alone"]) > 0
    assert float(records[0]["to_full_precision"]) == 0
    assert {"costs.png", "depth.svg", "fidelity.csv", "comparison.md"} <= {
        file.name for file in measured.iterdir()
    }


def test_a_run_is_widened_and_nothing_is_measured_twice(
    measured: Path, decoder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (measured / "rows.jsonl").read_text()
    assert run(measured, decoder, "--limit", "8", "--batch-size", "4", "--resume") == 0
    after = (measured / "rows.jsonl").read_text()
    assert after.startswith(before)
    keys = [row.key for row in rows_of(measured)]
    assert len(keys) == len(set(keys))
    assert "8 puzzles" in capsys.readouterr().out


def test_tokens_are_compared_with_recursion_in_pairs(measured: Path) -> None:
    spec = decode_folder(measured).read_spec()
    found = comparison(spec, rows_of(measured))
    difference, p = compare(found.outcomes[0], found.outcomes[0])
    assert difference.value == 0
    assert p == 1
    assert difference.low < 0 < difference.high


def test_fidelity_is_of_the_states_that_chose_the_tokens() -> None:
    prompts = TokenRows(np.ones((2, 3), int), np.array([3, 2]))
    written = Written(prompts, np.ones((2, 2), int), np.array([2, 1]), np.ones(2, bool))
    reference = jax.numpy.ones((2, 5, 4))
    other = reference.at[0, 3].set(jax.numpy.array([1.0, -1.0, 1.0, -1.0]))
    other = other.at[1, 2:].multiply(-1.0)  # behind the end of the second text
    # of the first text the states at 2 and 3 chose tokens, and one is at right angles
    np.testing.assert_allclose(mean_cosine(reference, other, written), [0.5, 1.0], rtol=1e-6)


def test_free_running_states_are_compared_place_by_place() -> None:
    prompts = TokenRows(np.ones((2, 3), int), np.array([3, 2]))
    full = Written(prompts, np.ones((2, 2), int), np.array([2, 1]), np.ones(2, bool))
    own = full._replace(lengths=np.array([1, 2]))
    states = jax.numpy.ones((2, 5, 4))
    other = states.at[0, 2].set(jax.numpy.array([1.0, 1.0, 1.0, -1.0]))
    other = other.at[1, 2].multiply(-1.0)  # the second text's second token: full precision has none
    # of two tokens the longer text has, one is compared: at .5, and at 1
    np.testing.assert_allclose(
        free_cosine(ReferenceText(full, states), other, own), [0.25, 0.5], rtol=1e-6
    )


def test_a_sign_orders_schemes_pair_by_pair(measured: Path) -> None:
    spec = decode_folder(measured).read_spec()
    row = comparison(spec, rows_of(measured)).outcomes[0].rows[0]  # four puzzles
    marks = {"fp32": "f0", "w8c-sym": "e0", "w4c-sym": "c0", "w3c-sym": "c0"}
    outcomes = [
        DecodeOutcome(spec.contestants[0], name, 1, (dataclasses.replace(row, exact=bits),))
        for name, bits in marks.items()
    ]
    signs = {"fp32": 1.0, "w8c-sym": 0.5, "w4c-sym": 0.7, "w3c-sym": 0.5}
    # of five pairs .5 against .7 is the wrong way round, and .5 against .5 a tie
    found = order_schemes(outcomes, lambda outcome: signs[outcome.scheme])
    assert found == (3.5, 5)


def test_a_study_of_schemes_reads_the_rows_of_a_comparison(
    measured: Path, decoder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--study", "quant", "--task", "sudoku", "--schemes", SCHEMES, "--out", str(measured)]
    few = ["--limit", "4", "--batch-size", "4", "--resume"]
    before = (measured / "rows.jsonl").read_text()
    assert decode.main([*given, *few, "--model", str(decoder)]) == 0
    assert (measured / "rows.jsonl").read_text() == before  # nothing was computed again
    with (measured / "quant.csv").open() as stream:
        records = list(csv.DictReader(stream))
    rows = {row.scheme: row for row in rows_of(measured) if row.start == 0}
    for record, scheme in zip(records, SCHEMES.split(","), strict=True):
        found = rows[scheme].free_infidelity
        assert found is not None
        assert float(record["free_fidelity"]) == pytest.approx(1 - found.total / 4, abs=1e-12)
        assert float(record["tokens"]) == np.mean(rows[scheme].depth)
    # keys and values of one head of 8: float32; int8 with a float32 scale
    assert [int(record["kv_bytes_per_token"]) for record in records] == [2 * 8 * 4, 2 * (8 + 4)]
    assert (measured / "quant.svg").is_file()
    assert decode.main([*given, *few, "--model", "sudoku-trm-mlp-mini"]) == 2
    assert "--study quant takes a decoder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--task", "arc"), "task 'arc' are not written as tokens; decoders solve sudoku and maze"),
        (("--task", "sudoku", "--models", "no-such-folder"), "unknown model 'no-such-folder'"),
        (("--task", "sudoku", "--schemes", "w8c-sym_a8s_tflm"), "leave _tflm out"),
        (("--task", "sudoku", "--limit", "-1"), "--limit"),
        (("--task", "sudoku", "--models", "a,,b"), "names joined by commas, got 'a,,b'"),
        (("--task", "sudoku", "--models", ""), "names joined by commas, got ''"),
        (("--task", "sudoku", "--schemes", "w8c-sym_a8s", "--calibration", "no"), "folder no"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    options: tuple[str, ...],
    said: str,
    decoder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    own = "--models" in options or "arc" in options
    models = () if own else ("--models", str(decoder))
    out = tmp_path / "out"
    try:
        code = decode.main([*options, *models, "--out", str(out)])
    except SystemExit as end:
        code = end.code
    assert code == 2
    assert said in capsys.readouterr().err
    assert not out.exists()


def test_rows_of_another_decoder_do_not_mix(
    measured: Path, decoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "tiny-ar"
    other.mkdir()
    for file in decoder.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    document = json.loads((other / "config.json").read_text())
    document["order"] = TraceOrder.SOLVER.value
    (other / "config.json").write_text(json.dumps(document))
    assert run(measured, other, "--limit", "6", "--batch-size", "4", "--resume") == 2
    assert "tiny-ar is another model" in capsys.readouterr().err


def test_a_single_puzzle_is_timed_and_laid_out(decoder: Path, tmp_path: Path) -> None:
    puzzles = load_puzzles("sudoku")
    inputs, labels = (np.asarray(x[:1]) for x in (puzzles.dataset.inputs, puzzles.dataset.labels))
    size = puzzles.dataset.metadata.vocab_size
    one = from_examples(inputs, labels, vocab_size=size, puzzles=puzzles.facts)
    save_dataset(one, tmp_path / "one" / "test")
    words = ("--data", str(tmp_path / "one"), "--schemes", "fp32,w8c-sym")
    assert run(tmp_path / "out", decoder, *words) == 0
    (timed,) = (tmp_path / "out" / "timings.jsonl").read_text().splitlines()
    assert json.loads(timed)["seconds"] > 0
    assert "nan" not in (tmp_path / "out" / "comparison.md").read_text()


@pytest.mark.slow
def test_recursion_is_what_a_sweep_measures(decoder: Path, tmp_path: Path) -> None:
    from experiments.sweep import __main__ as sweep
    from experiments.sweep.outcomes import read_sweeps

    both = f"sudoku-trm-mlp-mini,{decoder}"
    assert run(tmp_path / "both", decoder, "--models", both, "--limit", "8") == 0
    options = ("--task", "sudoku", "--limit", "8", "--schemes", SCHEMES, "--depths", "2x16")
    rules = ("--halt", "rules", "--out", str(tmp_path / "sweep"))
    assert sweep.main([*options, *rules]) == 0
    folder = decode_folder(tmp_path / "both")
    found = comparison(folder.read_spec(), folder.read_rows(folder.read_spec()))
    for scheme in folder.read_spec().schemes:
        swept = read_sweeps([tmp_path / "sweep"])[0].scheme(scheme)
        assert swept is not None
        full = found.find("sudoku-trm-mlp-mini", scheme)
        np.testing.assert_array_equal(full.solved, swept.solved(32))
        assert full.fidelity.value == pytest.approx(swept.fidelity(32).value, abs=1e-6)  # float32
        halted, ruled = swept.halted("rules"), found.find("sudoku-trm-mlp-mini, by rules", scheme)
        np.testing.assert_array_equal(ruled.solved, halted.solved)
        np.testing.assert_array_equal(ruled.depth, 2 * halted.steps)
