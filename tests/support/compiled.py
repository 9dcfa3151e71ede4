"""Programs that XLA has compiled are kept for one test run, and shared by all its processes.

JAX's persistent cache in a temporary folder: made by the first process of a run, inherited by
pytest's workers and by the programs that tests start, removed at the end. A program is found by
its HLO, compile options, XLA flags and jaxlib, so what runs is what would have been compiled;
tracing, and with it every check of shapes and dtypes, happens each time. Nothing outlives a run,
so no result depends on an earlier one.
"""

import atexit
import os
import shutil
import tempfile

SIZE_LIMIT = 4 * 2**30
"""Bytes; far more than a run writes. With a limit JAX locks the folder: no torn reads."""

MIN_SECONDS = 0.1
"""Programs that compile faster stay out: JAX looks through the whole folder at every write."""

READ_ONLY = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "inf"}
"""Environment of a process that will be killed: a write torn by the kill would stay."""


def share_compiled_programs() -> None:
    """Set the cache up, unless a parent process has; call before JAX is imported."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        return
    folder = tempfile.mkdtemp(prefix="compiled-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ |= {
        "JAX_COMPILATION_CACHE_DIR": folder,
        "JAX_COMPILATION_CACHE_MAX_SIZE": str(SIZE_LIMIT),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": str(MIN_SECONDS),
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "0",
    }
