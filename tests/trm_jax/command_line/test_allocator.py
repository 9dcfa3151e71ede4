"""Large buffers that are freed are handed out again without new pages from the system."""

import os
import subprocess
import sys

import pytest

from trm_jax.command_line.allocator import keep_freed_memory

PROGRAM = """
import resource, sys
import numpy as np
from trm_jax.command_line import exit_code
def work():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        np.ones(64 * 2**20, np.uint8)  # over glibc's largest threshold for mmap
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
sys.exit(exit_code(work, ()))
"""
PAGES = 64 * 2**20 // 4096


def page_faults(**changes: str) -> int:
    plain = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("MALLOC_") and name != "GLIBC_TUNABLES"
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=plain | changes, check=True, capture_output=True
    )
    return int(done.stdout)


@pytest.mark.skipif(
    not sys.platform.startswith("linux") or "glibc" not in os.confstr("CS_GNU_LIBC_VERSION"),
    reason="needs glibc",
)
def test_a_freed_buffer_is_used_again():
    assert page_faults() < 2 * PAGES  # the first of ten buffers, not each


def test_who_tells_malloc_himself_is_obeyed(monkeypatch):
    monkeypatch.delitem(sys.modules, "jax")
    monkeypatch.setenv("MALLOC_ARENA_MAX", "2")
    assert not keep_freed_memory()


def test_nothing_is_changed_once_jax_is_there():
    assert "jax" in sys.modules
    assert not keep_freed_memory()
