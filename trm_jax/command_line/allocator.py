"""Memory that a program frees stays with it, for its next buffer of that size.

XLA asks malloc for the buffers of every call of a compiled program and frees them after it. glibc
takes one of more than 32 MiB from the system and gives it back each time, and the system clears
every page of it anew: an update of the smallest bundled model makes 24,000 page faults of 4 KiB,
which docs/benchmarks.md has the price of. So malloc is told, before JAX and its threads are there:
nothing by mmap, one arena, give back only what is free above 2 GiB at its end. Numbers do not
change; the greatest memory that a program takes does not either, but less of it is given back in
between.

Who sets malloc's own variables (MALLOC_..., GLIBC_TUNABLES) keeps them. Systems without glibc are
left as they are.
"""

import ctypes
import os
import sys

TRIM_THRESHOLD, MMAP_MAX, ARENA_MAX = -1, -4, -8  # names of mallopt(3), from glibc's malloc.h
SETTINGS = {TRIM_THRESHOLD: 2**31 - 1, MMAP_MAX: 0, ARENA_MAX: 1}


def keep_freed_memory() -> bool:
    """Tell glibc's malloc to keep what is freed, unless JAX is imported already or it was told.

    Returns:
      Whether every setting was taken.
    """
    told = any(name.startswith("MALLOC_") for name in os.environ)
    told = told or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", "")
    if told or "jax" in sys.modules or not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # musl has none
        return False
    taken = [mallopt(name, value) == 1 for name, value in SETTINGS.items()]
    return all(taken)
