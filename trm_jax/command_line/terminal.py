"""What a terminal is shown: any text on any encoding, progress, and lists of any width.

A console that has no block characters (LANG=C, Windows' code pages, PYTHONIOENCODING=ascii) gets
ASCII look-alikes, character by character, so that no answer is lost for the sake of a frame. Not
here: tables with many columns (experiments/render/tables.py).
"""

import codecs
import contextlib
import io
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Protocol

LOOK_ALIKES = "look-alikes"
"""Name of the error handler, as `codecs.lookup_error` finds it."""

ALIKE = {
    "·": ".",
    "±": "+-",
    "×": "x",
    "÷": "/",
    "—": "-",
    "–": "-",
    "−": "-",
    "…": "...",
    "→": "->",
    "←": "<-",
    "≤": "<=",
    "≥": ">=",
    "≈": "~",
    "‘": "'",
    "’": "'",
    "“": '"',
    "”": '"',
    "µ": "u",
    "°": " deg",
    "•": "*",
    "✓": "+",
    "✗": "x",
    "█": "#",
    "▓": "#",
    "▒": "+",
    "░": ".",
}
BLOCKS, FRAMES, BARS = range(0x2580, 0x25A0), range(0x2500, 0x2580), "│┃┆┇┊┋║╎╏╵╷╹╻"
RULES = "─━┄┅┈┉═╌╍╴╶╸╺"


class Advance(Protocol):
    """Moves a bar: steps done so far, and what is being done if that changed."""

    def __call__(self, done: int, title: str = "") -> None: ...


def look_alike(character: str) -> str:
    """Write a character in ASCII: the nearest shape or letter, else its number."""
    if character in ALIKE:
        return ALIKE[character]
    code = ord(character)
    if code in FRAMES:
        return "|" if character in BARS else "-" if character in RULES else "+"
    if code in BLOCKS:
        return "#"
    plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return plain or character.encode("ascii", "backslashreplace").decode()


def replace_unencodable(error: UnicodeError) -> tuple[str, int]:
    """Replace what an encoding lacks, as an error handler of codecs.

    Raises:
      UnicodeError: bytes that cannot be decoded; only writing is helped.
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    wrong = error.object[error.start : error.end]
    return "".join(map(look_alike, wrong)), error.end


def adapt_streams() -> None:
    """Have standard output and error write look-alikes of what their encoding lacks."""
    codecs.register_error(LOOK_ALIKES, replace_unencodable)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors != LOOK_ALIKES:
            stream.reconfigure(errors=LOOK_ALIKES)


@contextlib.contextmanager
def progress_bar(title: str, total: int | None = None) -> Iterator[Advance]:
    """Show a bar on standard error while the block runs; nothing where that is no terminal."""
    from rich.console import Console  # not before there is something to show
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    hidden = not console.is_terminal  # a log file would get a blank line
    said = TextColumn("{task.description}", markup=False)  # names of files may have brackets
    columns = (said, BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns, TimeRemainingColumn(), console=console, transient=True, disable=hidden
    ) as bar:
        task = bar.add_task(title, total=total)

        def advance(done: int, title: str = "") -> None:
            bar.update(task, completed=done, description=title or None)

        yield advance


def print_records(records: Sequence[Sequence[str]]) -> None:
    """Print short records for people, or for programs where the output is no terminal.

    On a terminal a record is its first field, then the others below, indented; a field is never
    broken, so that it can be copied whatever the width. In a pipe it is one line, fields separated
    by tabs.
    """
    for first, *others in records:
        if sys.stdout.isatty():
            lines = [first, *(f"    {other}" for other in others if other)]
        else:
            lines = ["\t".join((first, *others))]
        sys.stdout.write("\n".join(lines) + "\n")
