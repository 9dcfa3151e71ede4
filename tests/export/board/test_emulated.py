"""The board program with the emulated board, end to end: the test double answers in QEMU."""

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from export.board.__main__ import main
from tests.support.firmware.cases import SUDOKU, random_rows
from tests.support.firmware.machines import FIRMWARE, Emulated, need
from tests.support.firmware.oracle import rollout
from tests.support.firmware.packages import COMPLETE, FACTS, copying_rows, write_package
from trm_jax.halting import BY_Q
from trm_jax.tasks.sudoku import show_text

GIVEN = "1234341221434321"


@pytest.fixture(scope="module")
def elf(tmp_path_factory: pytest.TempPathFactory) -> str:
    need("make", "arm-none-eabi-gcc", "qemu-system-arm")
    return str(Emulated(tmp_path_factory.mktemp("board")).elf)


def test_a_right_answer_is_drawn_and_compared(
    elf: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_package(tmp_path, copying_rows())
    assert main([str(folder), GIVEN, "--elf", elf]) == 0
    said = capsys.readouterr()
    drawn = show_text(COMPLETE, FACTS)
    assert said.out.startswith(
        f"{drawn}\n\n{drawn}\n\nright; equal to the simulation (test vector 0)\n"
    )
    assert re.search(r"\nsupervision steps: 5 of 5, all of them \(halt=never\);", said.out)
    assert re.search(r"about [\d.,]+ M instructions, [\d.]+ s on this computer\n", said.out)
    assert said.out.endswith("\ncopy as double on the emulated board\n")
    assert not said.err


def test_a_wrong_answer_has_exit_code_1(
    elf: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_package(tmp_path, copying_rows())
    assert main([str(folder), ".234 3412 2143 4321", "--elf", elf, "--steps", "2"]) == 1
    said = capsys.readouterr().out
    assert "WRONG by the rules; not compared with the simulation" in said
    assert "supervision steps: 2 of 2" in said


def test_another_answer_than_the_vector_s_is_said(
    elf: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The package's vector is of another rollout: as if the board computed something else."""
    rows = copying_rows()
    wrong = rollout(rows, 0, COMPLETE, rows.depth)
    wrong = wrong._replace(z_L=wrong.z_L + 1)
    monkeypatch.setattr("tests.support.firmware.packages.rollout", lambda *_: wrong)
    folder = write_package(tmp_path, rows)
    assert main([str(folder), GIVEN, "--elf", elf]) == 1
    said = capsys.readouterr().out
    assert "right; OTHER THAN THE SIMULATION in no cell, but bits of the states, (test" in said


def test_a_rule_of_halting_is_the_board_s_to_judge(
    elf: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = copying_rows()
    folder = write_package(tmp_path, rows)
    asked = dataclasses.replace(rows.depth, halting=BY_Q)
    wanted = rollout(rows, 0, COMPLETE, asked)
    assert wanted.halted
    assert main([str(folder), GIVEN, "--elf", elf, "--halt", "q"]) == 0
    steps = f"supervision steps: {wanted.steps} of 5, ended by the rule (halt=q)"
    assert steps in capsys.readouterr().out
    assert main([str(folder), GIVEN, "--elf", elf, "--halt", "residual:0.1"]) == 2
    assert capsys.readouterr().err.startswith("error: the board refuses: unknown setting;")
    assert main([str(folder), GIVEN, "--elf", elf, "--halt", "soon"]) == 2
    assert "soon" in capsys.readouterr().err


def test_a_package_of_another_board_is_refused(
    elf: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The firmware refuses flash of another model; the program flash of another package."""
    rows = dataclasses.replace(copying_rows(), model_id=bytes(32))
    folder = write_package(tmp_path / "model", rows)
    assert main([str(folder), GIVEN, "--elf", elf]) == 2
    assert capsys.readouterr().err.startswith(
        "error: the board could not start: flash is for another model: its id begins 00000000"
    )


def test_the_makefile_builds_and_solves(tmp_path: Path) -> None:
    need("make", "arm-none-eabi-gcc", "qemu-system-arm")
    folder = write_package(tmp_path / "package", copying_rows())
    command = ["make", "-s", "-C", str(FIRMWARE), "solve", f"BUILD={tmp_path / 'build'}"]
    command += [f"PACKAGE={folder}", f"PUZZLE={GIVEN}", f"PYTHON={sys.executable}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "right; equal to the simulation (test vector 0)" in done.stdout
    without = subprocess.run(command[:-2], capture_output=True, text=True, check=False)
    assert without.returncode == 2
    assert "say PACKAGE=DIR PUZZLE=53..7...." in without.stderr


def test_a_bundled_puzzle_may_be_drawn(
    elf: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """None of 4x4 is bundled: said so. A data set of the shape is drawn from."""
    folder = write_package(tmp_path, random_rows("int8", puzzles=SUDOKU), np.ones(16, np.int32))
    assert main([str(folder), "--random", "--elf", elf]) == 2
    assert "bundled" in capsys.readouterr().err
