"""The board program over a serial port: the firmware behind a pseudo terminal, and failures."""

import contextlib
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from export.board.__main__ import main
from export.board.package_folder import read_package
from tests.support.firmware.machines import Host, need
from tests.support.firmware.packages import copying_rows, write_package
from tests.support.firmware.ports import Answer, checked, firmware_port, scripted_port

GIVEN = "1234341221434321"
TOKENS = "2345452332545432"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_package(tmp_path_factory.mktemp("port"), copying_rows())


def ask(package: Path, port: Path, *options: str) -> int:
    return main([str(package), GIVEN, "--port", str(port), "--seconds", "0.5", *options])


def info_of(package: Path, **changes: object) -> str:
    """What the package's own board says of itself."""
    rows = read_package(package)
    fields = {"seq": 16, "vocab": 6, "model": rows.rows.model_id[:4].hex()}
    fields |= {"rows": f"{rows.crc:08x}", "ticks_per_second": 32_000_000, **changes}
    return "info " + " ".join(f"{name}={value}" for name, value in fields.items())


def board(package: Path, **lines: list[bytes]) -> Answer:
    """A board of the package, but for some requests."""
    (vector,) = read_package(package).vectors
    assert vector.states
    states = ",".join(f"{crc:08x}" for crc in vector.states)
    said = {
        "info": checked(info_of(package)),
        "set": checked("set H=2 L=3 steps=5 halt=never"),
        "solve": checked(
            f"solved steps=5 halted=0 q_bits=0 saturated=0 states={states} ticks=64000000"
            f" tokens={TOKENS}"
        ),
        **lines,
    }
    return lambda line: said.get(line.partition(" ")[0], [])


def test_the_firmware_answers_over_a_port(
    package: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    need("make", "gcc")
    host = Host(tmp_path)
    with firmware_port(host.program, package / "flash.bin") as port:
        assert main([str(package), GIVEN, "--port", str(port)]) == 0
        assert main([str(package), GIVEN, "--port", str(port), "--steps", "3"]) == 0
    said = capsys.readouterr().out
    assert "right; equal to the simulation (test vector 0)\nsupervision steps: 5 of 5" in said
    assert "right; not compared with the simulation" in said
    assert re.search(r"; [\d,]+ cycles by the board.s clock at 1 MHz, \d\.\d{3} s\n", said)
    assert f"copy as double on {port}" in said


def test_cycles_and_their_time_are_the_board_s(
    package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with scripted_port(board(package)) as port:
        assert ask(package, port) == 0
    assert "64,000,000 cycles by the board's clock at 32 MHz, 2.000 s" in capsys.readouterr().out
    answer = board(package)

    def counting(line: str) -> Iterator[bytes]:
        for reply in answer(line):
            said = reply.rpartition(b" *")[0].decode()
            yield from checked(said.replace("ticks=64000000", "ticks=64000000 cycles=65"))

    with scripted_port(counting) as port:
        assert ask(package, port) == 0
    assert "; 65 cycles by the core's counter at 32 MHz, 2.000 s" in capsys.readouterr().out


def test_ctrl_c_stops_the_board_too(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's Ctrl-C in the middle of a puzzle: the board is not left with it."""
    heard: list[str] = []
    answer = board(package)

    def listening(line: str) -> Iterable[bytes]:
        heard.append(line)
        return checked("step 1 of 5") if line.startswith("solve") else answer(line)

    def stop(done: int) -> None:
        raise KeyboardInterrupt

    bar = contextlib.nullcontext(stop)
    monkeypatch.setattr("export.board.job.progress_bar", lambda *_: bar)
    with scripted_port(listening) as port:
        assert ask(package, port) == 130
        for _ in range(100):
            if heard[-1] == "\x03":
                break
            time.sleep(0.05)
    assert [line.split(" ")[0] for line in heard] == ["\x03", "info", "set", "solve", "\x03"]


def test_every_step_is_waited_for(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Steps, each within the silence that is allowed, and more of it in all."""
    answer = board(package)

    def slowly(line: str) -> Iterator[bytes]:
        for step in range(1, 5) if line.startswith("solve") else ():
            time.sleep(0.2)
            yield from checked(f"step {step} of 5")
        yield from answer(line)

    with scripted_port(slowly) as port:
        assert ask(package, port) == 0
    assert "right; equal" in capsys.readouterr().out


def test_what_stood_on_the_line_before_is_skipped(
    package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noise = [b"\xff\x00half a li", b"ne\n", b"# a message\n", *checked("error 42 unknown command")]
    with scripted_port(board(package, info=noise + checked(info_of(package)))) as port:
        assert ask(package, port) == 0
    assert "right; equal" in capsys.readouterr().out


DAMAGED = checked("solved steps=5")[0].replace(b"5", b"4")
FAILURES: dict[str, tuple[dict[str, list[bytes]], str]] = {
    "silent": ({"info": []}, "the board is silent for 0.5 s; is it powered"),
    "noise": ({"info": [b"\x80\x13" * 9]}, r"sends no line that can be read: b'\\x80\\x13"),
    "other lines": ({"info": [b"login:\n", b"password"]}, r"b'login:'; is the baud rate right"),
    "no start": (
        {"info": checked("error 11 graph 0 damaged in flash")},
        "the board could not start: graph 0 damaged in flash",
    ),
    "older": ({"info": checked("info seq=16 vocab=6")}, "no checksum; is the board's firmware"),
    "depth": (
        {"set": checked("set H=9 L=3 steps=5 halt=never")},
        "answers `set H=2 L=3 steps=5 progress=1`",
    ),
    "damaged": ({"solve": [DAMAGED]}, r"a damaged line from the board: b'solved steps=4"),
    "refused": ({"solve": checked("error 5 row of puzzle 0 damaged")}, "refuses: row of puzzle 0"),
    "fault": ({"solve": checked("error 90 processor fault pc=0")}, "refuses: processor fault pc=0"),
    "slow": ({"solve": []}, "has not answered `solve` in 0.5 s; --seconds waits longer"),
    "short": (
        {"solve": checked("solved steps=5 tokens=234")},
        "the board's answer has not 16 tokens: '234'",
    ),
    "padding": (
        {"solve": checked(f"solved steps=5 tokens={TOKENS[:-1]}9")},
        "the board's answer has not 16 tokens",
    ),
    "lost": ({"solve": checked("lost puzzle=0 steps=3")}, "in the middle of the puzzle: .*steps=3"),
    "other verb": ({"solve": checked("bye")}, "the board answers `solve` with `bye`"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_a_board_that_fails_is_one_line(
    case: str, package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines, words = FAILURES[case]
    with scripted_port(board(package, **lines)) as port:
        assert ask(package, port) == 2
    said = capsys.readouterr()
    assert not said.out
    assert re.fullmatch(rf"error: [^\n]*{words}[^\n]*\n", said.err), said.err


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "0badcafe"}, "the board runs the model 0badcafe, .* is for 61666669; load firm"),
        ({"rows": "0badcafe"}, r"flash has other rows \(checksum 0badcafe\) than"),
        ({"seq": 81}, "flash has other rows"),
    ],
)
def test_another_board_is_refused(
    changes: dict, words: str, package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with scripted_port(board(package, info=checked(info_of(package, **changes)))) as port:
        assert ask(package, port) == 2
    assert re.search(words, capsys.readouterr().err)


def ordinary_file(folder: Path) -> list[str]:
    (folder / "file").write_text("no port")
    return ["--port", str(folder / "file")]


BAD_INPUT: dict[str, tuple[Callable[[Path], list[str]], str]] = {
    "no port": (lambda f: ["--port", str(f / "ttyACM9")], "ttyACM9: No such file or directory"),
    "a file": (ordinary_file, "file is no serial port: "),
    "a rate": (lambda f: ["--port", str(f), "--baud", "115201"], "--baud must be a rate of serial"),
    "no firmware": (lambda f: ["--elf", str(f / "none.elf")], "no firmware .*none.elf; build it"),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_a_board_that_is_not_there_is_one_line(
    case: str, package: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options, words = BAD_INPUT[case]
    assert main([str(package), GIVEN, *options(tmp_path)]) == 2
    assert re.fullmatch(rf"error: [^\n]*{words}[^\n]*\n", capsys.readouterr().err)


def test_a_port_that_is_pulled_out_is_one_line(
    package: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A firmware that ends takes its end of the terminal with it."""
    ours, theirs = os.openpty()
    port = os.ttyname(theirs)
    os.close(theirs)
    threading.Timer(0.2, os.close, (ours,)).start()
    assert ask(package, Path(port)) == 2
    assert re.fullmatch(
        r"error: the port \S+ is gone; was the cable pulled\?\n", capsys.readouterr().err
    )
