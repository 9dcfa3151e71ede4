"""Serial ports in tests: a pseudo terminal with somebody at its other end."""

import contextlib
import os
import select
import subprocess
import threading
import tty
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from export.cortex_m.console import add_checksum

Answer = Callable[[str], Iterable[bytes]]
"""A line, its checksum cut off -> bytes that are sent back."""


@contextlib.contextmanager
def firmware_port(program: str, flash: Path) -> Iterator[Path]:
    """The firmware of this computer behind a port."""
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    process = subprocess.Popen([program, str(flash)], stdin=ours, stdout=ours)
    try:
        yield Path(os.ttyname(theirs))
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(theirs)


@contextlib.contextmanager
def scripted_port(answer: Answer) -> Iterator[Path]:
    """Somebody who answers lines as a test says."""
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    stop = threading.Event()
    thread = threading.Thread(target=_serve, args=(ours, answer, stop))
    thread.start()
    try:
        yield Path(os.ttyname(theirs))
    finally:
        stop.set()
        thread.join()
        os.close(ours)
        os.close(theirs)


def checked(*lines: str) -> list[bytes]:
    """Lines as the firmware sends them."""
    return [add_checksum(line).encode() + b"\n" for line in lines]


def _serve(file: int, answer: Answer, stop: threading.Event) -> None:
    data = b""
    while not stop.is_set():
        if not select.select([file], [], [], 0.02)[0]:
            continue
        data += os.read(file, 4096)
        while b"\n" in data:
            line, _, data = data.partition(b"\n")
            content, _, _ = line.partition(b" *")
            for piece in answer(content.decode()):
                os.write(file, piece)
