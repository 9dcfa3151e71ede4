"""The command line of an export for an Ethos-U."""

import sys
from pathlib import Path

import pytest

from export import solve, tflite
from tests.support.export.runtimes import skip_without
from tests.support.programs import end_of
from tests.support.tiny import sweep as tiny
from trm_jax.data.batches import CALIBRATION_PUZZLES


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model and its puzzles."""
    path = tmp_path_factory.mktemp("commands")
    tiny.write(path, num=CALIBRATION_PUZZLES + 20)  # 16 are tried
    return path


def words(root: Path, out: Path, *more: str) -> list[str]:
    model = ["--model", str(root / "model"), "--data", str(root / "data"), "--out", str(out)]
    return [*model, "--target", "ethos-u", *more]


REFUSED = {
    "accelerator": (("--accelerator", "ethos-u55-512", "--batch-size", "1"), "ethos-u55-512"),
    "batch": (("--batch-size", "4"), "leave --batch-size at 1"),
    "cut": (("--batch-size", "1", "--cut", "heads=1"), "--cut is of --target tflm"),
    "target": (
        ("--target", "tflm", "--accelerator", "ethos-u55-256"),
        "--accelerator is of --target ethos-u",
    ),
    "floats": (("--batch-size", "1", "--scheme", "fp32"), "multiplies integers only"),
    "hosts": (("--batch-size", "1", "--scheme", "w8c-sym_a8s"), "use tflm_int8_int8"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_words_exit_with_2(
    name: str, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if name in ("floats", "hosts"):
        pytest.importorskip("ethosu.vela", reason="Vela (the extra ethos-u) is not installed")
    more, message = REFUSED[name]
    line = words(root, tmp_path / "out", "--scheme", "tflm_int8_int8", *more)
    assert end_of(tflite.main, line) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_without_vela_its_extra_is_named(
    root: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "ethosu", None)  # what an import then says it lacks
    monkeypatch.delitem(sys.modules, "ethosu.vela", raising=False)
    line = words(root, tmp_path / "out", "--scheme", "tflm_int8_int8", "--batch-size", "1")
    assert tflite.main(line) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: an Ethos-U needs its compiler, Vela")
    assert "[ethos-u]" in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_an_export_is_compiled_said_and_solves(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    skip_without_vela()
    line = words(root, tmp_path / "out", "--scheme", "w8c-sym_a8s-cells_tflm", "--batch-size", "1")
    line += ["--steps", "1"]
    assert tflite.main(line) == 0
    said = capsys.readouterr().out
    assert "confirmed by tflm" in said
    assert "ethos-u55-256: Vela 5.2.0, Ethos_U55_High_End_Embedded, Shared_Sram" in said
    assert "estimated by Vela for the NPU's part" in said
    assert "FULLY_CONNECTED: Operation has tensor with unsupported DataType Float32" in said
    names = {file.name for file in (tmp_path / "out").iterdir()}
    assert {"ethos-u55-256.json", "head.ethos-u55-256.tflite", "manifest.json"} < names
    puzzle = ["--random", "--data", str(root / "data")]
    assert solve.main([str(tmp_path / "out"), *puzzle]) == 0


def skip_without_vela() -> None:
    pytest.importorskip("ethosu.vela", reason="Vela (the extra ethos-u) is not installed")
    from export.targets import Target

    skip_without(Target.TFLM)
