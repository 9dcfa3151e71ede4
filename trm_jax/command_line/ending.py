"""How a program's work ends: the words on standard error and the exit code.

    0, 1   what the work returns          130   stopped by Ctrl-C
    2      bad input, a missing package,  141   the reader of the output went away
           too little memory

Anything else is an error of ours and keeps its traceback.
"""

import contextlib
import os
import re
import select
import sys
from collections.abc import Callable

from trm_jax.command_line import interrupts
from trm_jax.command_line.allocator import keep_freed_memory
from trm_jax.command_line.compiled import keep_compiled
from trm_jax.command_line.extras import explain_import
from trm_jax.command_line.terminal import adapt_streams

RESUMED = "stopped; finished rows are kept, --resume goes on"
STOPPED = "stopped"
REPEATED = "stopped; what is finished is kept, the same command goes on"

LONGEST = 600  # characters of an error; what is longer repeats something of the input

PLATFORMS = "JAX_PLATFORMS"
NVIDIA = "/dev/nvidiactl"  # there with a driver
NO_BACKEND = ("Unable to initialize backend", "Unknown backend", "No devices found for platform")

BAD_INPUT, INTERRUPTED, PIPE_CLOSED = 2, 130, 141
XLA_ERRORS = {"XlaRuntimeError", "JaxRuntimeError"}
"""Names of XLA's one class of errors; it is not imported, for it imports jax."""


def exit_code(
    action: Callable[[], int | None],
    bad_input: tuple[type[Exception], ...],
    stopped: str = STOPPED,
) -> int:
    """Run a program's work and turn its end into an exit code.

    A missing package of an extra and too little memory are explained whatever `bad_input` says.

    Args:
      action: the work; what it returns is the exit code, nothing is 0.
      bad_input: errors that carry words for the user; others are ours and pass through.
      stopped: what to say when the user stops it.

    Returns:
      2 for bad input, 130 if stopped, 141 if the output's reader went away.
    """
    adapt_streams()
    interrupts.listen()
    keep_freed_memory()
    keep_compiled()
    try:
        code = action() or 0
        sys.stdout.flush()  # here, where a full disk still gets words
        return code
    except KeyboardInterrupt:
        _say(stopped)
        return INTERRUPTED
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _output_is_closed():
            discard_output()
            return PIPE_CLOSED
        text = explain(error, bad_input)
        if text is None:
            raise
        _say(f"error: {shorten(text)}")
        _flush_or_discard()
        return BAD_INPUT


def explain(error: Exception, bad_input: tuple[type[Exception], ...]) -> str | None:
    """Put an error into words for the user; None where it is ours.

    Args:
      bad_input: as of `exit_code`.
    """
    if type(error) is MemoryError and MemoryError in bad_input and str(error):
        return str(error)  # the program's own words
    if is_out_of_memory(error):
        reason = (str(error).strip() or "no more can be had").splitlines()[0].rstrip(".")
        return (
            f"not enough memory: {reason}; take less at a time (a smaller --batch-size or --limit)"
            " or a machine with more"
        )
    if text := platform_text(error):
        return text
    if isinstance(error, ImportError):
        return explain_import(error) if error.name else str(error)  # named by Python, or by us
    if isinstance(error, bad_input):
        return system_text(error) or str(error).strip() or type(error).__name__
    return None


def shorten(text: str) -> str:
    """Make one line of a text, at most `LONGEST` characters: its beginning and its end.

    The beginning says what was wrong, the end what to do; in between stand lists and values.
    """
    line = re.sub(r"\s*\n\s*", " ", text.strip())
    if len(line) <= LONGEST:
        return line
    first = LONGEST * 3 // 4
    return f"{line[:first]} ... {line[first + 5 - LONGEST :]}"


def platform_text(error: Exception) -> str:
    """Say that JAX does not find the platform that its environment variable names; else empty."""
    platforms = os.environ.get(PLATFORMS, "")
    if not platforms:
        return ""
    says_so = any(words in str(error) for words in NO_BACKEND)
    if not says_so and not _misses_cuda(error, platforms):
        return ""
    return f"{PLATFORMS}={platforms} names a platform that JAX does not find here; unset it"


def _misses_cuda(error: Exception, platforms: str) -> bool:
    """Return whether it is JAX's assertion without words on a machine that has no CUDA device."""
    is_bare = isinstance(error, AssertionError) and not str(error)
    return is_bare and "cuda" in platforms and not os.path.exists(NVIDIA)


def system_text(error: Exception) -> str:
    """Write an error of the operating system as "FILE: reason", without its number; else empty."""
    if not isinstance(error, OSError) or not isinstance(error.errno, int) or not error.strerror:
        return ""
    files = [str(file) for file in (error.filename, error.filename2) if file is not None]
    return f"{' -> '.join(files)}: {error.strerror}" if files else error.strerror


def is_out_of_memory(error: Exception) -> bool:
    """Return whether Python, NumPy or XLA could not get memory."""
    if isinstance(error, MemoryError):
        return True
    return type(error).__name__ in XLA_ERRORS and "RESOURCE_EXHAUSTED" in str(error)


def discard_output() -> None:
    """Send what is still to be written to standard output nowhere, so that Python ends quietly."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _flush_or_discard() -> None:
    """Write what is buffered, or give it up: at its own end Python would complain once more."""
    try:
        sys.stdout.flush()
    except OSError:
        discard_output()


def _output_is_closed() -> bool:
    """Return whether nobody reads standard output any more; a network's pipe is another's."""
    try:
        watch = select.poll()
        watch.register(sys.stdout.fileno(), 0)
        return any(event & select.POLLERR for _, event in watch.poll(0))
    except (AttributeError, OSError, ValueError):  # no poll, or no real stream
        return True


def _say(text: str) -> None:
    """Write a line to standard error; nobody may be reading."""
    with contextlib.suppress(OSError):
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
