"""Damaged folders of every program: a line that says what is wrong, never a traceback."""

import random
import shutil
import zlib
from pathlib import Path

import pytest

from experiments.arc import outcomes as arc_outcomes
from experiments.report import page as report_page
from experiments.report.inputs import read_results
from tests.support.result_folders import WRITERS, damaged
from trm_jax.command_line.ending import explain

SEVERAL, MANY = 4, 120
"""Damages of every file: in the quick run, and in the whole one."""
FILES = ("*.json", "*.jsonl", "exports/*/manifest.json")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("results")
    for name, write in WRITERS.items():
        write(root / name)
    return root


def read(folder: Path, footprint: Path) -> None:
    """Do with a folder all that a report does with it.

    Args:
      footprint: a folder of footprints, which are counted anew where there is none.
    """
    together = [folder] if folder.name == footprint.name else [folder, footprint]
    report_page.document(read_results(together))


def test_whole_folders_are_read(folders: Path) -> None:
    results = read_results([folders / name for name in WRITERS])
    assert len(results.sweeps) == len(results.ablations) == 1
    assert len(results.footprints) == 2
    assert len(results.votes) == 2
    assert results.deployments
    report_page.document(results)


def refusals(folders: Path, name: str, work: Path, count: int) -> list[str]:
    """Damage every file of a folder `count` times; lists what was said."""
    rng = random.Random(zlib.crc32(name.encode()))
    said = []
    files = [file for form in FILES for file in sorted((folders / name).glob(form))]
    for file in files:
        for _ in range(count):
            shutil.rmtree(work, ignore_errors=True)
            shutil.copytree(folders / name, work)
            content = damaged(file.read_bytes(), file.suffix == ".jsonl", rng)
            (work / file.relative_to(folders / name)).write_bytes(content)
            try:
                read(work, folders / "footprint")
            except Exception as error:
                text = explain(error, (OSError, ValueError))
                assert text is not None, f"{file.name}: {content[:3000]!r}"
                said.append(text)
                assert "\n" not in text, text
    assert files
    return said


@pytest.mark.parametrize("name", WRITERS)
def test_damage_is_told_in_a_line(folders: Path, tmp_path: Path, name: str) -> None:
    assert refusals(folders, name, tmp_path / name, SEVERAL)


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITERS)
def test_much_damage_is_told_in_a_line(folders: Path, tmp_path: Path, name: str) -> None:
    said = refusals(folders, name, tmp_path / name, MANY)
    assert len(said) > MANY / 2  # names, notes and a changed number within its range do no harm


def test_scores_of_another_run_are_not_shown(folders: Path, tmp_path: Path) -> None:
    shutil.copytree(folders / "vote", tmp_path / "vote")
    file = tmp_path / "vote" / "scores.jsonl"
    lines = file.read_text().splitlines(keepends=True)
    for kept in (lines[:-1], lines + lines[:1], []):
        file.write_text("".join(kept))
        with pytest.raises(ValueError, match=r"not of the run in votes\.json .* with --resume\)"):
            arc_outcomes.read_tables(tmp_path / "vote")
