"""Bytes to and from a board, line by line and never for longer than a timeout.

    start_emulator   QEMU with a firmware and a flash file; its console is a pair of pipes
    open_port        a serial port, by termios of the standard library (Linux, macOS): 8 bits, no
                     parity, no flow control, for this process alone

Not here: what lines mean (conversation.py).
"""

import contextlib
import os
import select
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from export.cortex_m.emulator import EMULATOR, emulator_command, has_emulator

LONGEST_LINE = 1 << 17  # the longest puzzle of a row file has 2^16 cells
PIECE = 4096
SHOWN = 40  # bytes of what is no line, in a message


class BoardError(RuntimeError):
    """The board or the line to it failed; the message is for the user."""


class BoardConnection:
    """A console as two file descriptors.

    Args:
      close: ends what is behind them.
      explain_end: says why there will be no more bytes.
    """

    def __init__(
        self,
        read_fd: int,
        write_fd: int,
        close: Callable[[], None],
        explain_end: Callable[[], str],
    ) -> None:
        self._read_fd, self._write_fd = read_fd, write_fd
        self._close, self._explain_end = close, explain_end
        self._buffer = b""

    def send(self, line: str, seconds: float) -> None:
        """Send a line.

        Raises:
          BoardError: the board is gone, or takes no bytes for so long.
        """
        data = line.encode("ascii") + b"\n"
        deadline = time.monotonic() + seconds
        while data:
            left = max(0.0, deadline - time.monotonic())
            if not select.select([], [self._write_fd], [], left)[1]:
                raise BoardError(f"the board takes no bytes for {seconds:g} s; is it connected?")
            try:
                data = data[os.write(self._write_fd, data[:PIECE]) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise BoardError(self._explain_end()) from error

    def receive(self, seconds: float) -> bytes | None:
        """Wait for a line, without its end; None where none was whole in time.

        Raises:
          BoardError: there will be no more, or what comes has no ends of lines.
        """
        deadline = time.monotonic() + seconds
        while b"\n" not in self._buffer:
            if len(self._buffer) > LONGEST_LINE:
                raise BoardError(
                    f"the board sends no lines: {self.rest!r}; is the baud rate right?"
                )
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._read_fd], [], [], left)[0]:
                return None
            self._buffer += self._read()
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.rstrip(b"\r")

    @property
    def rest(self) -> bytes:
        """What came after the last line: its beginning."""
        return self._buffer[:SHOWN]

    def close(self) -> None:
        """End it."""
        self._close()

    def _read(self) -> bytes:
        try:
            data = os.read(self._read_fd, PIECE)
        except OSError as error:  # a port that was pulled out
            raise BoardError(self._explain_end()) from error
        if not data:
            raise BoardError(self._explain_end())
        return data


def start_emulator(elf: Path, flash: Path) -> BoardConnection:
    """Start the emulated board.

    Raises:
      RuntimeError: QEMU is not installed.
      FileNotFoundError: no such firmware.
    """
    if not elf.is_file():
        raise FileNotFoundError(
            f"no firmware {elf}; build it (export/firmware, `make help`), name another with --elf,"
            " or a board with --port"
        )
    if not has_emulator():
        raise RuntimeError(f"{EMULATOR} is not installed; a board is named with --port")
    process = subprocess.Popen(
        emulator_command(elf, flash),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None

    def close() -> None:
        process.kill()
        process.communicate()

    def explain_end() -> str:
        process.kill()
        words = process.communicate()[1].decode(errors="replace").strip().splitlines()
        return f"the emulated board ended: {words[0] if words else 'without a word'}"

    return BoardConnection(process.stdout.fileno(), process.stdin.fileno(), close, explain_end)


def open_port(port: Path, baud: int) -> BoardConnection:
    """Open a serial port.

    Raises:
      OSError: it is not there, may not be opened, or another program has it.
      ValueError: it is no serial port, or does not know the baud rate.
      RuntimeError: this system has no termios.
    """
    try:
        import termios
    except ImportError as error:
        raise RuntimeError("serial ports need termios (Linux or macOS)") from error
    speed = getattr(termios, f"B{baud}", None)
    if speed is None:
        raise ValueError(f"--baud must be a rate of serial ports, e.g. 115200, got {baud}")
    file = os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        _configure(termios, file, speed)
    except termios.error as error:
        os.close(file)
        raise ValueError(f"{port} is no serial port: {error.args[-1]}") from error
    return BoardConnection(
        file,
        file,
        lambda: os.close(file),
        lambda: f"the port {port} is gone; was the cable pulled?",
    )


def _configure(termios: ModuleType, file: int, speed: int) -> None:
    """Make a terminal a plain line of bytes, and drop what waits in it."""
    import fcntl
    import tty

    tty.setraw(file)
    settings = termios.tcgetattr(file)
    settings[2] &= ~(termios.CSTOPB | getattr(termios, "CRTSCTS", 0))
    settings[2] |= termios.CLOCAL | termios.CREAD
    settings[4] = settings[5] = speed
    termios.tcsetattr(file, termios.TCSANOW, settings)
    with contextlib.suppress(OSError):  # pseudo terminals of some systems have no owner
        fcntl.ioctl(file, termios.TIOCEXCL)
    termios.tcflush(file, termios.TCIOFLUSH)
