"""Every program that writes a folder refuses what it must not write into, before any work.

Nothing here gets as far as a model: a place is refused before jax is imported.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.structure import start_program
from tests.support.programs import environment, load_program
from trm_jax.output.lock import locked

PROGRAMS: dict[str, tuple[str, ...]] = {
    "experiments.sweep": ("--task", "sudoku", "--out", "OUT"),
    "experiments.ablate": ("--task", "sudoku", "--out", "OUT"),
    "experiments.arc": ("--out", "OUT"),
    "experiments.predictor": ("somewhere", "--out", "OUT"),
    "experiments.footprint": ("--models", "maze-trm-att", "--out", "OUT"),
    "experiments.recipe": ("--task", "sudoku", "--budget", "4bits", "--out", "OUT"),
    "experiments.deploy": ("--task", "sudoku", "--out", "OUT"),
    "experiments.deploy --target cortex-m55": ("--task", "sudoku", "--out", "OUT"),
    "experiments.deploy --target aihub": ("--task", "sudoku", "--out", "OUT"),
    "experiments.deploy.cortex_m.arena": ("--out", "OUT"),
    "experiments.train": (
        *("--preset", "maze-trm-att-mini", "--data", "d", "--total-steps", "1", "--batch-size"),
        *("4", "--lr", "1", "--weight-decay", "1", "--out", "OUT"),
    ),
    "experiments.report --all": ("--out", "OUT"),
    "experiments.report": ("somewhere", "--out", "OUT"),
    "export.tflite": ("--model", "sudoku-trm-mlp-mini", "--scheme", "fp32", "--out", "OUT"),
    "export.onnx": ("--model", "sudoku-trm-mlp-mini", "--scheme", "fp32", "--out", "OUT"),
    "export.micro": ("somewhere", "--out", "OUT"),
    "trm_jax.convert": ("somewhere", "--out", "OUT"),
    "trm_jax.data.sudoku": ("generate", "--out", "OUT"),
    "trm_jax.data.maze": ("generate", "--out", "OUT"),
    "trm_jax.data.arc": ("generate", "--out", "OUT"),
    "trm_jax.data.sudoku.split": ("a.csv", "--hold-out", "3", "--out", "OUT"),
}
RESUMES = {f"experiments.{name}" for name in ("sweep", "ablate", "arc", "train")}


def command(program: str, out: Path) -> list[str]:
    _, *options = program.split()
    return [*options, *(str(out) if word == "OUT" else word for word in PROGRAMS[program])]


def refusal(program: str, out: Path, capsys: pytest.CaptureFixture[str], *more: str) -> str:
    """Run a program that must refuse its --out; gives its one line."""
    main = load_program(program.split()[0]).main
    assert main([*command(program, out), *more]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    return printed.err


def tree(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


@pytest.fixture
def source_tree(tmp_path: Path) -> Path:
    """Somebody's folder, with files of names that programs use."""
    folder = tmp_path / "home"
    for name, text in {
        "README.md": "mine",
        "config.json": '{"model_type": "llama"}',
        "package.json": '{"name": "site"}',
        "manifest.json": "{}",
        "src/model.safetensors": "x",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_foreign_folder_is_left_as_it_is(
    program: str, source_tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree(source_tree)
    more = ["--resume"] if program in RESUMES else []
    for options in ([], more):
        error = refusal(program, source_tree, capsys, *options)
        assert f"{source_tree} holds something (" in error
        assert "choose another folder" in error
    assert tree(source_tree) == before


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_file_is_no_folder(
    program: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file"
    file.write_text("kept")
    assert f"{file} is a file" in refusal(program, file, capsys)
    under = refusal(program, file / "a" / "b", capsys)
    assert f"cannot be made: {file} is a file" in under
    assert tree(tmp_path) == {"file": b"kept"}


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder nobody may write into")
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_place_that_cannot_be_written_is_said_first(
    program: str, capsys: pytest.CaptureFixture[str]
) -> None:
    error = refusal(program, Path("/proc/self/out"), capsys)
    assert "cannot be written" in error or "No such file" in error or "denied" in error


@pytest.mark.parametrize("program", ["experiments.sweep", "export.tflite", "trm_jax.convert"])
def test_a_place_is_refused_before_jax_is_imported(program: str, tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    started = start_program(program, *command(program, tmp_path))
    assert (started.code, started.heavy) == (2, set())


def test_a_home_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    (tmp_path / ".profile").touch()
    monkeypatch.setenv("HOME", str(tmp_path))
    assert f"{tmp_path} holds something (.profile" in refusal(
        "experiments.sweep", Path("~"), capsys
    )


@pytest.mark.slow
def test_the_second_sweep_in_a_folder_is_refused(
    tiny_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = ["--task", "sudoku", "--model", str(tiny_root / "model")]
    arguments += ["--data", str(tiny_root / "data"), "--out", str(out)]
    main = load_program("experiments.sweep").main
    with locked(out, "experiments.sweep"):
        for more in ([], ["--resume"]):
            assert main([*arguments, *more]) == 2
            error = capsys.readouterr().err
            assert f"{out} is being written by process " in error
            assert "(experiments.sweep, since" in error
            assert error.count("\n") == 1


def test_folders_of_one_program_are_foreign_to_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        load_program("experiments.footprint").main(
            ["--models", "sudoku-trm-mlp-mini", "--schemes", "fp32", "--out", str(tmp_path)]
        )
        == 0
    )
    capsys.readouterr()
    before = tree(tmp_path)
    for program in PROGRAMS:
        if program != "experiments.footprint":
            assert "holds something" in refusal(program, tmp_path, capsys)
    assert tree(tmp_path) == before


def test_a_page_of_somebody_s_is_left_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, notes = tmp_path / "index.html", tmp_path / "notes.md"
    page.write_text("<title>mine</title>")
    notes.write_text("mine")
    assert "is no page of experiments.report" in refusal("experiments.report", page, capsys)
    assert f"{notes} is there" in refusal("experiments.report", notes.with_suffix(".html"), capsys)
    assert tree(tmp_path) == {"index.html": b"<title>mine</title>", "notes.md": b"mine"}


def test_seeds_are_checked_before_work() -> None:
    for program in ("experiments.sweep", "experiments.predictor", "trm_jax.data.maze"):
        words = [word if word != "OUT" else "o" for word in PROGRAMS[program]]
        run = subprocess.run(
            [sys.executable, "-m", program, *words, "--seed", "-1"],
            capture_output=True,
            text=True,
            env=environment(),
        )
        assert run.returncode == 2
        assert run.stderr.startswith("error: ")
        assert "--seed" in run.stderr
        assert run.stderr.count("\n") == 1
