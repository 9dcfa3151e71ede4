"""The commands on a decoder: export, verify, solve; what is refused, and damage."""

import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from export import micro, solve, tflite, verify
from export.artifact.open import open_artifact
from export.decoder.confirmation import compare_tokens
from export.decoder.host import WrittenTokens
from export.decoder.job import find_decoder, load_named
from export.decoder.manifest import dump_decoder_manifest, parse_decoder_manifest
from export.decoder.open import DecoderExport, open_decoder
from export.decoder.pipeline import simulate_for
from quant.scheme import parse
from tests.support.tiny.decoder_folder import CONFIG, POSITIONS, make_decoder_folder

PUZZLE = ".2....5.6...2.1.3..5..1....5.....4.1"


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_decoder_folder(tmp_path_factory.mktemp("decoder") / "tiny")


@pytest.fixture(scope="module")
def made(decoder: Path) -> Path:
    folder = decoder.parent / "export"
    assert tflite.main([*arguments(decoder, folder), "--scheme", "fp32"]) == 0
    return folder


def arguments(decoder: Path, out: Path) -> list[str]:
    return ["--model", str(decoder), "--out", str(out)]


def test_an_export_says_what_it_is(made: Path) -> None:
    export = open_decoder(made)
    m = export.manifest
    assert (m.model, m.config, m.positions) == ("tiny", CONFIG, POSITIONS)
    assert len(m.expected.prompts) == 8
    assert m.expected.confirmed_by == "litert"
    assert m.cache_bytes == 2 * 4 * 8 * POSITIONS  # keys and values, float32, one head of 8
    assert parse_decoder_manifest(dump_decoder_manifest(m)) == m


def test_the_answer_of_a_puzzle_is_printed(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert solve.main([str(made), PUZZLE]) == 0
    out = capsys.readouterr().out
    assert "tokens written:" in out
    assert "(tiny as fp32 on litert)" in out


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["fp32", "w8c-sym_a8s"])
def test_verify_passes(
    scheme: str, decoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "e"
    assert tflite.main([*arguments(decoder, folder), "--scheme", scheme]) == 0
    assert verify.main([str(folder), "--limit", "4"]) == 0
    out = capsys.readouterr().out
    names = [line.split()[1] for line in out.splitlines() if line.startswith("pass")]
    assert names == ["files", "legality", "operators", "answers", "tokens"]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--scheme", "fp32", "--steps", "3"], "writes one stream of tokens; leave --steps out"),
        (
            ["--scheme", "fp32", "--halt", "q", "--batch-size", "4"],
            "leave --halt, --batch-size out",
        ),
        (["--scheme", "fp32", "--task", "maze"], ", not for maze"),
        (["--scheme", "fp32", "--positions", "41"], "the model's 40, got positions=41"),
        (["--scheme", "fp32", "--positions", "9"], "do not fit into 9 positions"),
        (["--scheme", "w8c-sym_a8da_carry16"], "leave _carry16 out"),
        (["--scheme", "fp32_carry8", "--target", "tflm"], "leave _carry8 out"),
        (["--scheme", "mixer=fp32,channel=fp32,head=fp32"], "one scheme for all its matrices"),
        (["--scheme", "w8c-sym_a8da", "--target", "tflm"], "takes decoders in fp32 alone"),
        (["--scheme", "w8c-sym_a8s_tflm", "--target", "tflm"], "leave _tflm out"),
        (["--scheme", "fp32", "--target", "aihub"], "does not run here"),
        (["--scheme", "fp32", "--target", "ethos-u", "--batch-size", "1"], "no graphs of integers"),
        (["--scheme", "fp32", "--calibration-puzzles", "16"], "calibrated on no puzzles"),
    ],
)
def test_what_is_not_for_decoders_is_refused(
    options: list[str], text: str, decoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "e"
    assert tflite.main([*arguments(decoder, out), *options]) == 2
    error = capsys.readouterr().err
    assert text in error
    assert "Traceback" not in error
    assert not out.exists()


def test_positions_are_for_decoders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--model", "sudoku-trm-mlp-mini", "--scheme", "fp32", "--positions", "40"]
    assert tflite.main([*options, "--out", str(tmp_path / "e")]) == 2
    assert "--positions is for decoders" in capsys.readouterr().err


@pytest.mark.parametrize("options", [["--steps", "1"], ["--halt", "q"], ["--question", "1"]])
def test_options_of_recursion_are_refused_by_solve(
    options: list[str], made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert solve.main([str(made), PUZZLE, *options]) == 2
    assert f"leave {options[0]} out" in capsys.readouterr().err


def test_readers_of_recursive_exports_say_what_takes_it(made: Path) -> None:
    with pytest.raises(ValueError, match=r"it is of a decoder; python -m export\.verify"):
        open_artifact(made)


def test_no_package_for_a_board_is_made(made: Path, tmp_path: Path, capsys) -> None:
    assert micro.main([str(made), "--out", str(tmp_path / "board")]) == 2
    error = capsys.readouterr().err
    assert "no package for a board is made: the firmware calls one graph" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "board").exists()


def copy_with(made: Path, target: Path, **changes: object) -> Path:
    """Copy an export with another manifest."""
    target.mkdir()
    for file in made.iterdir():
        if file.is_file():
            (target / file.name).write_bytes(file.read_bytes())
    values = json.loads((made / "manifest.json").read_text())
    (target / "manifest.json").write_text(json.dumps(values | changes))
    return target


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"prompt": 40}, "prompt=40 and positions=40 must rise"),
        ({"positions": 39}, "takes|an expected answer"),
        ({"format": 2}, "format must be 1"),
        ({"parameters_sha256": "0"}, "other parameters"),
        ({"order": "none"}, "order"),
    ],
)
def test_a_damaged_manifest_is_told(
    changes: dict[str, object], text: str, made: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=text):
        open_decoder(copy_with(made, tmp_path / "e", **changes))


def test_a_changed_file_is_told(made: Path, tmp_path: Path) -> None:
    folder = copy_with(made, tmp_path / "e")
    content = bytearray((folder / "model.tflite").read_bytes())
    content[-1] ^= 1
    (folder / "model.tflite").write_bytes(content)
    with pytest.raises(ValueError, match="was changed"):
        open_decoder(folder)


def written_again(export: DecoderExport, logits: np.ndarray) -> list[WrittenTokens]:
    """Pretend that a runtime wrote the first expected answer, with these logits."""
    tokens = np.asarray(export.manifest.expected.tokens[0], np.int32)
    return [WrittenTokens(tokens, logits, False, 0.0, 0.0)]


def test_logits_of_another_network_are_found(decoder: Path, made: Path) -> None:
    """Logits that are off by a hundredth are more than float32 rounding explains."""
    export, folder = open_decoder(made), find_decoder(str(decoder))
    assert folder is not None
    simulation = simulate_for(load_named(str(decoder), folder).model, parse("fp32"), None)
    prompt = np.asarray(export.manifest.expected.prompts[0], np.int32)
    tokens = np.asarray(export.manifest.expected.tokens[0], np.int32)
    whole = np.concatenate([prompt, tokens])[None]
    exact = np.asarray(simulation.decoder.logits(simulation.params, jnp.asarray(whole)))[0]
    exact = exact[len(prompt) - 1 : -1]
    right = compare_tokens(simulation, [prompt], written_again(export, exact))
    wrong = compare_tokens(simulation, [prompt], written_again(export, exact + 0.01))
    assert right.passed
    assert right.equal == right.total == len(tokens)
    assert not wrong.passed
    other = written_again(export, exact)[0]._replace(tokens=(tokens + 1) % CONFIG.vocab_size)
    assert not compare_tokens(simulation, [prompt], [other]).passed
