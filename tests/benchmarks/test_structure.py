"""The measures of the source, on a checkout of three files whose numbers are known."""

from pathlib import Path

import pytest

from benchmarks import structure

FILES = {
    "quant/__init__.py": '"""Numbers."""\n',
    "quant/rows.py": "class Row: ...\n\n\ndef late():\n    import quant.deep.job\n",
    "quant/deep/__init__.py": "",
    "quant/deep/job.py": "from quant import rows\n\n\nclass Row: ...\nclass Job: ...\n",
    "quant/program.py": 'import argparse, json\n\nif __name__ == "__main__":\n'
    "    argparse.ArgumentParser().parse_args()\n",
    "quant/worker.py": 'if __name__ == "__main__":\n    raise OSError("no help")\n',
    "tests/test_rows.py": 'matrix = [1,\n          2]  # fmt: skip\ntext = "# fmt: skip"\n',
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path


def test_modules_are_found_and_counted(root: Path) -> None:
    modules = structure.find_modules(root)
    assert set(modules) == {
        "quant",
        "quant.rows",
        "quant.deep",
        "quant.deep.job",
        "quant.program",
        "quant.worker",
    }
    assert structure.count_files(modules) == {root / "quant": 4, root / "quant/deep": 2}
    assert structure.count_lines(modules["quant.rows"]) == 5


def test_repeated_names_and_circles_are_found(root: Path) -> None:
    modules = structure.find_modules(root)
    assert structure.find_repeated_classes(modules) == {
        ("quant", "Row"): ["quant.deep.job", "quant.rows"]
    }
    assert structure.find_circles(modules) == [["quant.deep.job", "quant.rows"]]
    assert structure.find_imports("quant.deep.job", modules) == {"quant.rows"}


def test_a_relative_import_is_refused(root: Path) -> None:
    (root / "quant/rows.py").write_text("from . import deep\n")
    with pytest.raises(ValueError, match="relative import in line 1"):
        structure.find_imports("quant.rows", structure.find_modules(root))


def test_only_comments_are_exceptions_of_the_formatter(root: Path) -> None:
    assert structure.count_skips(root / "tests/test_rows.py") == 1


def test_programs_are_asked_for_their_help(root: Path) -> None:
    modules = structure.find_modules(root)
    assert structure.find_programs(modules) == ["quant.program", "quant.worker"]
    started = structure.start_program("quant.program", "--help", root=root)
    assert (started.code, started.heavy) == (0, set())
    assert started.seconds > 0
    assert {"argparse", "quant"} <= set(started.modules)
    assert structure.start_program("quant.program", "--wrong", root=root).code == 2
    with pytest.raises(RuntimeError, match="no help"):
        structure.start_program("quant.worker", root=root)


def test_the_program_prints_tables(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert structure.main(["--root", str(root)]) == 0
    text = capsys.readouterr().out
    assert "| quant | 6 | 2 | 4 | 5 | " in text
    assert "- class names that occur twice or more in a package: 1\n    - quant: Row (2)" in text
    assert "- circles of modules: 1\n    - quant.deep.job quant.rows" in text
    assert "in the packages and in tests: 1" in text
    assert "| `quant.program` | " in text
    assert "| `quant.worker` | " not in text


def test_a_folder_without_packages_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert structure.main(["--root", str(tmp_path)]) == 2
    assert "error: none of trm_jax" in capsys.readouterr().err
