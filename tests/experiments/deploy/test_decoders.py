"""Decoders are not deployed: every target says why, and what can be done."""

from pathlib import Path

import pytest

from experiments.deploy import __main__ as deploy
from tests.support.tiny.decoder_folder import make_decoder_folder


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("litert", ("export it for litert: python -m export.tflite", "export.verify")),
        ("tflm", ("--scheme fp32 --target tflm",)),
        ("onnx", ("python -m export.onnx --model",)),
        ("cortex-m55", ("not deployed on cortex-m55: the firmware calls one graph",)),
        ("ethos-u", ("not deployed on ethos-u", "export.tflite")),
        ("aihub", ("not deployed on aihub", "export.tflite")),
    ],
)
def test_a_decoder_is_refused_with_what_to_do(
    target: str, said: tuple[str, ...], tmp_path: Path, capsys
) -> None:
    model = str(make_decoder_folder(tmp_path / "tiny"))
    given = ("--task", "sudoku", "--target", target, "--out", str(tmp_path / "out"))
    for name in (model, "sudoku-ar-mini"):
        assert deploy.main([*given, "--model", name]) == 2
        error = capsys.readouterr().err
        assert f"{name} is a decoder" in error
        assert all(words in error for words in said)
        assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()
