"""Ctrl-C at any moment: one line, never a traceback, and never lost.

Python raises KeyboardInterrupt wherever the main thread is. Inside an import a C extension turns it
into an ImportError of its own, and inside a callback of the garbage collector (JAX has one) it is
printed and dropped: the program goes on as if nothing had been said. The handler here waits until
neither is on the stack, which takes until the end of the import at most.

It is installed as a program starts, before its imports, and only in a process that `python -m` of
one of these packages started: a library leaves signals alone. Not here: what is said (ending.py);
SIGTERM (programs that have something to save).
"""

import _thread
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

PACKAGES = {"trm_jax", "quant", "export", "experiments", "benchmarks"}
DEAF = {"_xla_gc_callback", "__del__"}
"""Functions from which an exception goes nowhere."""
_starting = threading.Lock()  # held while processes are started
AGAIN_S = 0.05  # between two attempts; below what a person notices


def is_deaf(frame: FrameType | None) -> bool:
    """Return whether an exception raised in a frame would be lost or turned into another."""
    if _starting.locked():
        return True
    while frame is not None:
        code = frame.f_code
        if code.co_name in DEAF or code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def interrupt(signum: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt, as soon as it will be heard.

    Raises:
      KeyboardInterrupt: now; otherwise the signal comes again.
    """
    if not is_deaf(frame):
        raise KeyboardInterrupt
    again = threading.Timer(AGAIN_S, _send, (signum,))
    again.daemon = True
    again.start()


def _send(signum: int) -> None:
    """Send the signal to the main thread, which it wakes; `interrupt_main` lets it sleep on."""
    main = threading.main_thread().ident
    if main is not None and hasattr(signal, "pthread_kill"):
        signal.pthread_kill(main, signum)
    else:
        _thread.interrupt_main(signal.Signals(signum))


def started_as_program() -> bool:
    """Return whether `python -m` of one of these packages started this process."""
    words = sys.orig_argv
    module = words[words.index("-m") + 1 :][:1] if "-m" in words else []
    return bool(module) and module[0].split(".")[0] in PACKAGES


def listen() -> None:
    """Install the handler where this process is a program that has none of its own."""
    if threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupt)


@contextlib.contextmanager
def ended_at_once(pool: Any) -> Iterator[None]:
    """End the processes of a pool where the block fails; they would finish their work first.

    Args:
      pool: a concurrent.futures.ProcessPoolExecutor, whose import takes long.
    """
    try:
        yield
    except BaseException:
        # the pool's own thread finds its processes gone, and results that were cancelled before
        threading.excepthook = lambda _: None
        for process in list((getattr(pool, "_processes", None) or {}).values()):
            process.terminate()
        pool.shutdown(wait=True, cancel_futures=True)
        threading.excepthook = threading.__excepthook__
        raise


@contextlib.contextmanager
def children_deaf() -> Iterator[None]:
    """Have processes that are started meanwhile never hear Ctrl-C: this process ends them.

    It hears nothing itself meanwhile: a process that is half started complains as it ends.
    """
    with _starting:
        blocks = hasattr(signal, "pthread_sigmask")
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if blocks else set()
        try:
            yield
        finally:
            if blocks:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_quietly(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    """Report what nobody caught, as `sys.excepthook`: of Ctrl-C a line and 130, else a traceback.

    Between the imports of a program and its work, where `exit_code` does not listen yet.
    """
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    with contextlib.suppress(OSError):
        os.write(2, b"stopped\n")
    os._exit(130)  # Python would end itself by the signal


if started_as_program():  # as this is imported, before the imports that take long
    listen()
    sys.excepthook = end_quietly
