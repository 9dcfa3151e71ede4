"""Any text on any encoding; lists that survive a narrow terminal and a pipe."""

import io
import subprocess
import sys

import pytest

from tests.support.programs import environment
from trm_jax.command_line.terminal import (
    LOOK_ALIKES,
    adapt_streams,
    look_alike,
    print_records,
)

ENCODINGS = ["ascii", "latin-1", "cp1252", "cp437", "utf-8"]
TEXT = "┌─┐ │█▒░▀│ ± × — … → ≥ “µ” σ é \udcff 猫"


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding_takes_every_text(encoding, monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding, errors="strict"))
    adapt_streams()
    sys.stdout.write(TEXT)
    sys.stdout.flush()
    assert sys.stdout.errors == LOOK_ALIKES
    shown = raw.getvalue().decode(encoding)
    assert "?" not in shown
    for character in "┌█±×µé":  # what an encoding has, it keeps
        try:
            character.encode(encoding)
        except UnicodeEncodeError:
            assert character not in shown
        else:
            assert character in shown


@pytest.mark.parametrize(
    ("character", "shape"),
    [("█", "#"), ("▄", "#"), ("│", "|"), ("─", "-"), ("┼", "+"), ("╔", "+"), ("±", "+-")],
)
def test_shapes_look_alike(character, shape):
    assert look_alike(character) == shape


def test_look_alikes_are_ascii_and_never_empty():
    for code in (*range(0x80, 0x3000), 0xD800, 0x1F600):
        text = look_alike(chr(code))
        assert text
        assert text.isascii()


def test_undecodable_input_is_not_helped():
    adapt_streams()
    with pytest.raises(UnicodeDecodeError):
        b"\xff".decode("ascii", LOOK_ALIKES)


def test_help_is_printed_on_an_ascii_console():
    settings = {**environment(), "PYTHONIOENCODING": "ascii"}
    code = (
        "from trm_jax.command_line import make_parser;"
        "make_parser('x', '\\u00b1 \\u2588').parse_args(['--help'])"
    )
    done = subprocess.run([sys.executable, "-c", code], env=settings, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"+- #" in done.stdout


def test_records_in_a_pipe_are_lines_of_fields(capsys):
    print_records([("name", "a/b" * 40, ""), ("other", "c", "d")])
    assert capsys.readouterr().out == "name\t" + "a/b" * 40 + "\t\nother\tc\td\n"


def test_records_on_a_terminal_keep_their_fields_whole(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    print_records([("name", "a/b" * 40, ""), ("other", "c", "d")])
    assert capsys.readouterr().out == "name\n    " + "a/b" * 40 + "\nother\n    c\n    d\n"
