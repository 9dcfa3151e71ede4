"""What a kind of input is, and how a case of it ends.

A case copies the kind's valid input, mutates it by a seed, and lets the true reader read it in the
frame that programs use. It ends in one of these ways:

    clear       refused: exit code 2 and one line of at most 400 characters that names the file,
                the field or the value
    right       accepted, and what was read is what the input says (an oracle of the kind decides)
    unclear     refused, but in several lines, at length, or without naming what was wrong
    silent      accepted, and what was read is not what the input says
    traceback   an exception that no frame catches, or a crash of the process
    hang        more seconds or memory than the kind allows

Not here: processes, time and memory (worker.py).
"""

import contextlib
import enum
import io
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from trm_jax.command_line import exit_code

MOST_CHARACTERS = 400
BAD_INPUT = (OSError, ValueError)


class Ending(enum.Enum):
    """How a case ends."""

    CLEAR = "clear"
    RIGHT = "right"
    UNCLEAR = "unclear"
    SILENT = "silent"
    TRACEBACK = "traceback"
    HANG = "hang"


class Unreadable(Exception):
    """What an oracle says to an input that it cannot read either."""


class Refused(Exception):
    """A program has ended with a code other than 0 and has written why."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exit code {code}")
        self.code = code


@dataclass(frozen=True, kw_only=True)
class InputKind:
    """A kind of input.

    Attributes:
      right: what decides that an accepted input was read right, for people.
      make: writes a valid input into an empty folder.
      mutate: changes it in place and says what it did.
      read: reads it as a program does; what it returns is compared.
      says: what the input says, by an independent reader; `Unreadable` where that cannot read it,
        and the result must then be that of the valid input. None: it must always be.
      bad_input: errors that the program's frame turns into a line.
      names: words that say what was wrong as well as a file's name does.
      share: of the cases asked for; kinds that run whole programs take fewer.
      seconds: a case may take; mebibytes: it may add to the process.
      missing: why the kind cannot run here; empty if it can.
    """

    name: str
    right: str
    make: Callable[[Path], None]
    mutate: Callable[[Path, np.random.Generator], str]
    read: Callable[[Path], Any]
    says: Callable[[Path], Any] | None = None
    bad_input: tuple[type[Exception], ...] = BAD_INPUT
    names: tuple[str, ...] = ()
    share: float = 1.0
    seconds: float = 20.0
    mebibytes: int = 512
    missing: Callable[[], str] = lambda: ""


class CaseResult(NamedTuple):
    """How a case ended, what was done to the input and what was said."""

    ending: Ending
    change: str
    said: str


class Reply(NamedTuple):
    """What a reader did: its exit code, its value or error, and all that it wrote."""

    code: int | None
    value: Any
    said: str


def run_program(main: Callable[[Sequence[str]], int], argv: Sequence[object]) -> str:
    """Run a program in this process; returns what it prints.

    Raises:
      Refused: it ended with another code than 0.
    """
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        try:
            code = main([str(word) for word in argv])
        except SystemExit as error:  # argparse
            code = error.code if isinstance(error.code, int) else 1
    if code:
        raise Refused(code)
    return out.getvalue()


def read_input(kind: InputKind, folder: Path) -> Reply:
    """Read an input in the frame of programs, with everything written to stderr kept."""
    value: list[Any] = []
    error = io.StringIO()

    def action() -> int:
        try:
            value.append(kind.read(folder))
        except Refused as refused:
            return refused.code
        return 0

    with contextlib.redirect_stderr(error), contextlib.redirect_stdout(io.StringIO()):
        try:
            code: int | None = exit_code(action, kind.bad_input)
        except MemoryError:
            raise
        except (Exception, SystemExit):
            code = None
            error.write(short_traceback())
    return Reply(code, value[0] if value else None, error.getvalue())


def short_traceback() -> str:
    """Write the exception at hand and the last places of this project that it passed."""
    kind, error, trace = sys.exc_info()
    frames = [f for f in traceback.extract_tb(trace) if "/tests/fuzz/" not in f.filename]
    places = [f"{'/'.join(Path(f.filename).parts[-3:])}:{f.lineno}" for f in frames[-4:]]
    return f"{kind.__name__ if kind else ''}: {str(error)[:300]} at {' < '.join(places[::-1])}"


def judge(kind: InputKind, reply: Reply, folder: Path, files: Sequence[str], valid: Any) -> Ending:
    """Say how a case ended.

    Args:
      files: names in the folder, before and after.
      valid: what was read from the valid input.
    """
    if reply.code is None or "Traceback (most recent call last)" in reply.said:
        return Ending.TRACEBACK
    if reply.code == 0:
        return Ending.RIGHT if is_right(kind, reply.value, folder, valid) else Ending.SILENT
    if "MemoryError" in reply.said:
        return Ending.HANG
    words = (*files, *kind.names, str(folder))
    return Ending.CLEAR if is_clear(reply, words) else Ending.UNCLEAR


def is_clear(reply: Reply, words: Sequence[str]) -> bool:
    """Return whether a refusal is one short line that names something of the input."""
    lines = reply.said.rstrip("\n").split("\n")
    errors = [i for i, line in enumerate(lines) if "error: " in line]
    if reply.code != 2 or errors != [len(lines) - 1]:
        return False
    line = lines[-1]
    return len(line) <= MOST_CHARACTERS and any(word and word in line for word in words)


def is_right(kind: InputKind, value: Any, folder: Path, valid: Any) -> bool:
    """Return whether what was read is what the input says."""
    try:
        said = valid if kind.says is None else kind.says(folder)
    except Unreadable:
        said = valid
    return bool(value == said) or repr(value) == repr(said)  # 1 and 1.0, NaN and NaN
