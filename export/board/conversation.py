"""The firmware's requests over a connection: who is there, how deep, and a puzzle.

Every request has its checksum. A reply without its own, other words than expected, or silence for
too long is a `BoardError` with one line for the user. Before the board has said who it is, what
comes is skipped: half a line of an earlier client, noise of a port that was just opened.

Not here: bytes and timeouts (connection.py); the firmware's side (firmware/protocol.h).
"""

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from export.board.connection import SHOWN, BoardConnection, BoardError
from export.board.package_folder import PackageFolder
from export.cortex_m.console import DIGITS, MESSAGE, add_checksum, check_line, read_fields

STOP = "\x03"
"""Ends a solve between two updates."""
StepListener = Callable[[int], None]
"""Told how many supervision steps are done."""

HELLO_SECONDS = 10.0  # until the board has said who it is
REQUESTS = range(40, 90)
"""Errors that concern one request: an earlier client's while nobody has been asked yet."""


class BoardInfo(NamedTuple):
    """Who is there, as the firmware says it."""

    model: int
    rows: int
    seq: int
    vocab: int
    ticks_per_second: int


class BoardAnswer(NamedTuple):
    """A solved puzzle.

    Attributes:
      halted: whether the rule of halting ended it, not the last step.
      states: checksums of z_H and z_L.
      ticks: of the board's clock; seconds: on this computer.
      cycles: by the core's own counter; None where it has none.
    """

    tokens: np.ndarray
    steps: int
    halted: bool
    states: tuple[int, int]
    ticks: int
    seconds: float
    cycles: int | None = None


class BoardDepth(NamedTuple):
    """Cycles, most steps and the rule of halting; of a wish None is what the board has."""

    H: int
    L: int
    steps: int
    halt: str | None = None

    @property
    def request(self) -> str:
        rule = f" halt={self.halt}" if self.halt is not None else ""
        return f"set H={self.H} L={self.L} steps={self.steps}{rule} progress=1"


def greet(connection: BoardConnection, seconds: float) -> BoardInfo:
    """Ask who is there, and wait so long.

    Raises:
      BoardError: nobody, noise, or a firmware that could not start.
    """
    connection.send(STOP, seconds)  # ends a puzzle or half a line of an earlier client
    connection.send(add_checksum("info"), seconds)
    deadline, damaged = time.monotonic() + seconds, b""
    while (line := connection.receive(deadline - time.monotonic())) is not None:
        content = check_line(line)
        if content is None and not line.startswith(MESSAGE):
            damaged = damaged or line or b"(an empty line)"
        elif content is not None and content.startswith("info "):
            return _info(content)
        elif content is not None and content.startswith("error "):
            _refuse_start(content)
    if damaged or connection.rest:
        raise BoardError(
            f"the board sends no line that can be read: {(damaged or connection.rest)[:SHOWN]!r};"
            " is the baud rate right, and is this the firmware of a package?"
        )
    raise BoardError(
        f"the board is silent for {seconds:g} s; is it powered, the firmware loaded, the port"
        " right, and not in the middle of a puzzle?"
    )


def check_board(info: BoardInfo, package: PackageFolder) -> None:
    """Check that a board runs the firmware of a package and has its flash.

    Raises:
      BoardError: it has others.
    """
    model = int.from_bytes(package.rows.model_id[:4], "big")
    folder = package.folder
    if info.model != model:
        raise BoardError(
            f"the board runs the model {info.model:08x}, {folder} is for {model:08x}; load firmware"
            " and flash.bin of this package"
        )
    if info.rows != package.crc or (info.seq, info.vocab) != (
        package.rows.seq,
        len(package.rows.token_rows),
    ):
        raise BoardError(
            f"the board's flash has other rows (checksum {info.rows:08x}) than {package.flash}"
            f" ({package.crc:08x}); load flash.bin of this package"
        )


def set_depth(connection: BoardConnection, depth: BoardDepth, seconds: float) -> BoardDepth:
    """Set the depth; returns what the board then has.

    Raises:
      BoardError: refused, or a reply that says otherwise.
    """
    line = _ask(connection, depth.request, seconds)
    fields = read_fields(line)
    H, L, steps = (_number(line, name) for name in ("H", "L", "steps"))
    known = BoardDepth(H, L, steps, fields.get("halt", ""))
    if known[:3] != depth[:3] or depth.halt not in (None, known.halt):
        raise BoardError(f"the board answers `{depth.request}` with `{line[:80]}`")
    return known


def solve(
    connection: BoardConnection,
    puzzle: np.ndarray,
    vocab: int,
    seconds: float,
    advance: StepListener,
) -> BoardAnswer:
    """Let the board solve a puzzle.

    Args:
      vocab: tokens that an answer can have.
      seconds: to wait for every step of it.
      advance: told how many steps are done.

    Raises:
      BoardError: refused, damaged on the way, too slow, or the board started again.
    """
    start = time.monotonic()
    request = "solve 0 " + "".join(DIGITS[token] for token in puzzle)
    try:
        line = _ask(connection, request, seconds, advance)
    except KeyboardInterrupt:
        connection.send(STOP, HELLO_SECONDS)
        raise
    taken = time.monotonic() - start
    text = read_fields(line).get("tokens", "")
    tokens = np.array([DIGITS.find(symbol) for symbol in text], np.int32)
    if tokens.shape != puzzle.shape or tokens.min() < 0 or tokens.max() >= vocab:
        raise BoardError(f"the board's answer has not {len(puzzle)} tokens: {text[:SHOWN]!r}")
    states = read_fields(line).get("states", "").split(",")
    return BoardAnswer(
        tokens=tokens,
        steps=_number(line, "steps"),
        halted=bool(_number(line, "halted")),
        states=(_hexadecimal(states[0]), _hexadecimal(states[-1])),
        ticks=_number(line, "ticks"),
        seconds=taken,
        cycles=_number(line, "cycles") if "cycles" in read_fields(line) else None,
    )


def _ask(
    connection: BoardConnection, request: str, seconds: float, advance: StepListener | None = None
) -> str:
    """Send a request and wait for the line that answers it: one of its first word."""
    verb = request.split()[0]
    wanted = {"set": "set", "solve": "solved"}[verb]
    connection.send(add_checksum(request), seconds)
    deadline = time.monotonic() + seconds
    while (line := connection.receive(deadline - time.monotonic())) is not None:
        if line.startswith(MESSAGE):
            continue
        content = check_line(line)
        if content is None:
            raise BoardError(f"a damaged line from the board: {line[:SHOWN]!r}; ask again")
        word, _, rest = content.partition(" ")
        if word == wanted:
            return content
        done = rest.partition(" ")[0]
        if word == "step" and advance is not None and done.isdecimal():
            advance(int(done))
            deadline = time.monotonic() + seconds
            continue
        if word == "lost":
            raise BoardError(f"the board started again in the middle of the puzzle: {rest}")
        if content.startswith("error "):
            raise BoardError(f"the board refuses: {content.split(' ', 2)[-1]}")
        raise BoardError(f"the board answers `{verb}` with `{content[:80]}`")
    raise BoardError(
        f"the board has not answered `{verb}` in {seconds:g} s; --seconds waits longer"
    )


def _refuse_start(content: str) -> None:
    code, _, words = content.removeprefix("error ").partition(" ")
    if not code.isdecimal() or int(code) not in REQUESTS:
        raise BoardError(f"the board could not start: {words or content}")


def _info(line: str) -> BoardInfo:
    fields = read_fields(line)
    return BoardInfo(
        model=_hexadecimal(fields.get("model", "")),
        rows=_hexadecimal(fields.get("rows", "")),
        seq=_number(line, "seq"),
        vocab=_number(line, "vocab"),
        ticks_per_second=max(1, _number(line, "ticks_per_second")),
    )


def _number(line: str, name: str) -> int:
    value = read_fields(line).get(name, "")
    if not value.isdecimal():
        raise BoardError(f"the board does not say {name}: `{line[:80]}`; is its firmware older?")
    return int(value)


def _hexadecimal(text: str) -> int:
    try:
        return int(text, 16)
    except ValueError:
        raise BoardError(f"{text!r} is no checksum; is the board's firmware older?") from None
