"""The firmware on this computer and on an emulated Cortex-M55, against NumPy: same bits."""

import dataclasses
import re
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest

from export.artifact.host_state import state_checksum
from export.board.connection import start_emulator
from export.cortex_m import row_file
from export.cortex_m.console import check_line
from export.cortex_m.row_file import Depth, PuzzleKind, PuzzleShape
from quant.integer.carry import Combine
from tests.support.firmware.cases import (
    TYPES,
    expected_line,
    random_rows,
    solve_line,
    vectors_of,
    without_ticks,
    write_flash,
)
from tests.support.firmware.machines import FIRMWARE, SECONDS, Emulated, Host, Machine, make, need
from tests.support.firmware.oracle import DEPTH, DOUBLE_ID, rollout
from trm_jax.halting import BY_RULES, parse_halting


@pytest.mark.parametrize("kind", TYPES)
def test_rollouts_have_the_oracle_s_bits(kind: str, machine: Machine, tmp_path: Path) -> None:
    rows = random_rows(kind)
    rng = np.random.default_rng(1)
    lines, wanted = [], []
    for word in ("never", "q", "qc", "q:-12.5", "qc:1.0625", "unchanged", "unchanged:3"):
        for H_cycles, L_cycles, steps in ((2, 3, 5), (1, 1, 1), (1, 6, 8)):
            depth = Depth(
                H_cycles=H_cycles,
                L_cycles=L_cycles,
                halt_max_steps=steps,
                halting=parse_halting(word),
            )
            lines.append(f"set H={H_cycles} L={L_cycles} steps={steps} halt={word}")
            for puzzle in range(3):
                inputs = rng.integers(0, 7, 11)
                lines.append(solve_line(puzzle, inputs))
                wanted.append(rollout(rows, puzzle, inputs, depth))
    said = machine.talk(write_flash(tmp_path, rows), [*lines, "quit"]).lines
    assert said[-1] == "bye"
    solved = [without_ticks(line) for line in said if line.startswith("solved")]
    assert solved == [expected_line(w) for w in wanted]
    # the cases are worth comparing: some halt early, some do not, and integers saturate
    assert len({w.steps for w in wanted}) > 2
    assert {w.halted for w in wanted} == {True, False}
    assert any(w.saturated for w in wanted) == (kind != "float32")


def test_a_plain_sum_saturates_and_nothing_else(machine: Machine, tmp_path: Path) -> None:
    rows = dataclasses.replace(
        random_rows("int8"), combine_L=row_file.PLAIN, combine_H=row_file.Z_ONLY
    )
    inputs = np.arange(11) % 7
    said = machine.talk(write_flash(tmp_path, rows), [solve_line(2, inputs), "quit"])
    assert without_ticks(said.lines[0]) == expected_line(rollout(rows, 2, inputs, DEPTH))
    assert said.status == 0


def test_extreme_constants_do_not_overflow(machine: Machine, tmp_path: Path) -> None:
    low, high = -(2**31), 2**31 - 1
    far = Combine(z_factor=low, e_factor=high, offset=-(2**61), shift=40)
    rows = dataclasses.replace(random_rows("int16"), combine_L=far)
    inputs = np.arange(11) % 7
    said = machine.talk(write_flash(tmp_path, rows), [solve_line(0, inputs), "quit"]).lines
    assert without_ticks(said[0]) == expected_line(rollout(rows, 0, inputs, DEPTH))


@pytest.mark.parametrize("kind", TYPES)
def test_self_test_passes_and_sees_one_wrong_bit(
    kind: str, machine: Machine, tmp_path: Path
) -> None:
    rows = random_rows(kind)
    good = vectors_of(rows)
    states = good.vectors[1].states
    assert states is not None
    bad = [
        good.vectors[0],
        dataclasses.replace(good.vectors[1], states=(states[0] ^ 1, states[1])),
        dataclasses.replace(good.vectors[2], tokens=(good.vectors[2].tokens + 1) % 7),
        dataclasses.replace(good.vectors[3], steps=good.vectors[3].steps + 1),
    ]
    said = machine.talk(write_flash(tmp_path, rows, good), ["test", "quit"]).lines
    assert without_ticks(said[-2]) == "tested 4 failed 0"
    flash = write_flash(tmp_path, rows, dataclasses.replace(good, vectors=bad))
    said = machine.talk(flash, ["test", "quit"]).lines
    assert [line.split()[2] for line in said[:4]] == ["passed", "failed", "failed", "failed"]
    assert said[1].endswith("states=differ")
    assert "wrong_cells=11" in said[2]
    assert f"wanted_steps={bad[3].steps}" in said[3]
    assert without_ticks(said[4]) == "tested 4 failed 3"


def test_states_are_compared_only_where_the_file_says_so(host: Host, tmp_path: Path) -> None:
    rows = random_rows("int8")
    flash = write_flash(tmp_path, rows, vectors_of(rows, 1, has_states=False))
    assert "tested 1 failed 0" in host.talk(flash, ["test"]).lines[-1]


def test_info_and_settings(machine: Machine, tmp_path: Path) -> None:
    rows = random_rows("int16")
    lines = ["info", "set", "set steps=9 halt=never", "", "set H=2 L=0", "set", "quit"]
    said = machine.talk(write_flash(tmp_path, rows, vectors_of(rows)), lines).lines
    crc = int.from_bytes(row_file.write_rows(rows)[12:16], "little")
    state_bytes = 2 * 13 * 6 * 2
    arena_bytes = 2 * 160 + 160  # the double's: two states of 156 bytes, 11 x 7 logits of 2
    stack = re.search(r" stack_used=(\d+)", said[0])
    assert stack
    if isinstance(machine, Emulated):
        # of 8 KiB, with the double in place of the networks
        assert 256 <= int(stack[1]) <= 4096
    assert said[0].replace(stack[0], "").rpartition(" ")[0] == (
        f"info seq=11 vocab=7 ids=3 emb=6 positions=13 type=int16 model={DOUBLE_ID[:4].hex()}"
        f" rows={crc:08x} state_bytes={state_bytes} arena_bytes={arena_bytes} vectors=4"
    )
    assert said[1:] == [
        "set H=2 L=3 steps=5 halt=q",
        "set H=2 L=3 steps=9 halt=never",
        "error 44 H, L and steps must be 1 to 1024, got 0",
        "set H=2 L=3 steps=9 halt=never",  # a refused line changes nothing
        "bye",
    ]


def test_settings_of_halting_are_said_as_python_names_them(host: Host, tmp_path: Path) -> None:
    names = ("never", "q", "q:0.5", "q:-12.0625", "qc:1000", "unchanged", "unchanged:7", "q:0.0001")
    flash = write_flash(tmp_path, random_rows("int8"))
    said = host.talk(flash, [f"set halt={name}" for name in names]).lines
    assert [line.partition("halt=")[2] for line in said] == list(names)
    assert [parse_halting(name).name for name in names] == list(names)


def test_a_right_answer_ends_a_solve(machine: Machine, tmp_path: Path) -> None:
    """A maze of three cells, which the double solves by chance."""
    shape = PuzzleShape(PuzzleKind.MAZE, 1, 3)
    inputs, depth = np.array([3, 2, 4]), dataclasses.replace(DEPTH, halting=BY_RULES)
    rows_of = (
        dataclasses.replace(
            random_rows("int8", seed),
            seq=3,
            puzzles=shape,
            depth=depth,
            token_rows=random_rows("int8", seed).token_rows[:6],
        )
        for seed in range(2000)
    )
    rows, wanted = next(
        (rows, end) for rows in rows_of if 1 < (end := rollout(rows, 0, inputs, depth)).steps < 5
    )
    assert wanted.halted
    assert wanted.tokens.tolist() == [3, 5, 4]
    flash = write_flash(tmp_path, rows)
    lines = [solve_line(0, inputs), "set", solve_line(0, np.array([3, 1, 4])), "quit"]
    solved, said, unsolved, _ = machine.talk(flash, lines).lines
    assert without_ticks(solved) == expected_line(wanted)
    assert said.endswith(" halt=rules")
    assert " steps=5 halted=0 " in unsolved


REFUSED = {
    "solve 0 01234": "puzzle of 5 cells, this model takes 11",
    "solve 3 00000000000": "no puzzle row 3, flash has 3 rows",
    "solve 0 00000007000": "cell 7 holds no token of this model; tokens are the first 7",
    "solve 0 0000000000!": "cell 10 holds no token",
    "solve x 00000000000": "not a number",
    "solve 99999999999 00000000000": "not a number",
    "solve": "not a number",
    "set depth=3": "unknown setting",
    "set H=1 L=": "unknown setting",
    "set H=4294967297": "unknown setting",
    "set halt=rules": "flash does not say what the puzzles are, so no rules are known",
    "set halt=residual:0.1": "unknown setting",
    "set halt=q:": "unknown setting",
    "set halt=q:1.00001": "unknown setting",
    "set halt=q:1001": "unknown setting",
    "set halt=never:1": "unknown setting",
    "set halt=unchanged:0": "unknown setting",
    "set halt=unchanged:4294967297": "unknown setting",
    "set halt=queen": "unknown setting",
    "set steps=2000": "must be 1 to 1024, got 2000",
    "restart": "unknown command; known: info, set, solve, once, test, profile, quit",
    "information": "unknown command",
    "test": "no test vectors behind the row file",
    "info *00000000": "not what it says: send it again",
    "x" * 400: "longer than 266 characters",
    "test\0 *deadbeef": "the line has the byte 0, lines are ASCII characters 32 to 126",
    "info\0": "the line has the byte 0",
    "\0": "the line has the byte 0",
    "in\rfo": "the line has the byte 13",
    "info\x1b": "the line has the byte 27",
    "info\xc3": "the line has the byte 195",
    "test +deadbeef": "stand alone on their line",  # a flipped bit hides the checksum
    "info ": "stand alone",
    "profile 1": "stand alone",
    "quit now": "stand alone",
}


def test_bad_requests_are_refused_in_words(machine: Machine, tmp_path: Path) -> None:
    flash = write_flash(tmp_path, random_rows("int8"))
    said = machine.talk(flash, [*REFUSED, "info *5f8d2d76", "quit"]).lines
    for request, line, words in zip(REFUSED, said, REFUSED.values(), strict=False):
        assert line.startswith("error "), request
        assert words in line, request
    assert said[-1] == "bye"


def test_a_line_with_its_checksum_is_taken(host: Host, tmp_path: Path) -> None:
    line = solve_line(1, np.zeros(11, np.int32))
    flash = write_flash(tmp_path, random_rows("int8"))
    plain, checked = host.talk(flash, [line, f"{line} *{zlib.crc32(line.encode()):08x}"]).lines
    assert without_ticks(plain) == without_ticks(checked)
    assert plain.startswith("solved")


def test_the_profile_counts_every_update(machine: Machine, tmp_path: Path) -> None:
    rows = random_rows("int8")
    lines = [
        "profile",
        "set H=2 L=3 steps=4 halt=never",
        solve_line(0, np.zeros(11, np.int32)),
        "profile",
        "quit",
    ]
    said = machine.talk(write_flash(tmp_path, rows), lines).lines
    assert said[:2] == ["part AFFINE calls=0 ticks=0", "parts 1"]
    assert without_ticks(said[4]) == f"part AFFINE calls={4 * 2 * (3 + 1)}"
    assert said[5:] == ["parts 1", "bye"]


def test_once_is_an_update_of_each_state_and_a_read_out(machine: Machine, tmp_path: Path) -> None:
    rows, inputs = random_rows("int16"), np.arange(11) % 7
    wanted = rollout(rows, 1, inputs, Depth(H_cycles=1, L_cycles=1, halt_max_steps=1))
    lines = [solve_line(1, inputs).replace("solve", "once"), "once 0 123", "profile", "quit"]
    said = machine.talk(write_flash(tmp_path, rows), lines).lines
    assert re.sub(r"=\d+", "", said[0].partition(" states")[0]) == "once update_L update_H read_out"
    states = f"states={state_checksum(wanted.z_H):08x},{state_checksum(wanted.z_L):08x}"
    assert said[0].endswith(states)
    assert "puzzle of 3 cells" in said[1]
    assert without_ticks(said[2]) == "part AFFINE calls=2"


def ask_alone(elf: Path, flash: Path, line: str) -> str:
    """Ask without a byte to follow: what comes during a solve interrupts it."""
    board = start_emulator(elf, flash)
    try:
        board.send(line, SECONDS)
        reply = board.receive(SECONDS)
    finally:
        board.close()
    assert reply is not None
    content = check_line(reply)  # a checksum of the ticks too
    assert content is not None
    return content


def test_instructions_do_not_depend_on_the_run(tmp_path: Path) -> None:
    need("make", "arm-none-eabi-gcc", "qemu-system-arm")
    device = Emulated(tmp_path)
    flash = write_flash(tmp_path, random_rows("int16"))
    line = solve_line(0, np.zeros(11, np.int32))
    said = [ask_alone(device.elf, flash, line).split("ticks=")[1] for _ in range(2)]
    (first, answer), (second, same) = (text.split(" ", 1) for text in said)
    assert answer == same
    # the emulated clock ticks once in tens of instructions, and a run may begin anywhere between
    # two ticks: equal runs differ by one at the most
    assert abs(int(first) - int(second)) <= 1


def test_the_console_may_be_the_debugger_s(tmp_path: Path) -> None:
    need("make", "arm-none-eabi-gcc", "qemu-system-arm")
    device = Emulated(tmp_path, "CONSOLE=semihosting")
    said = device.talk(write_flash(tmp_path, random_rows("int8")), ["set", "quit"])
    assert said.lines == ["set H=2 L=3 steps=5 halt=q", "bye"]
    assert said.status == 0


def test_nothing_asks_for_a_heap(tmp_path: Path) -> None:
    need("make", "arm-none-eabi-gcc")
    make("an547", f"BUILD={tmp_path}")
    elf = str(tmp_path / "an547" / "double.elf")
    listed = subprocess.run(
        ["arm-none-eabi-nm", elf], capture_output=True, text=True, check=True
    ).stdout
    names = {line.split()[-1] for line in listed.splitlines()}
    assert "trm_solve" in names
    assert not names & {"malloc", "_malloc_r", "calloc", "free", "sbrk", "_sbrk", "printf"}


def test_make_alone_says_what_to_do() -> None:
    need("make")
    done = subprocess.run(["make", "-C", str(FIRMWARE)], capture_output=True, text=True, check=True)
    assert "TFLM_LIB" in done.stdout
    assert "make host" in done.stdout


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ("DEVICE=m55", "DEVICE is an547 or ensemble_e7, got 'm55'"),
        ("KERNELS=own", "KERNELS is stock or left out, got 'own'"),
        ("TFLM_LIB=/nowhere/lib.a", "no library at TFLM_LIB=/nowhere/lib.a"),
        ("PACKAGE=/somewhere", "a firmware with networks needs TFLM_LIB TFLM_INC"),
        ("firmware", "a firmware with networks needs PACKAGE TFLM_LIB TFLM_INC"),
    ],
)
def test_make_refuses_a_wrong_variable(variable: str, said: str) -> None:
    need("make")
    command = ["make", "-n", "-C", str(FIRMWARE), variable]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert said in done.stderr
