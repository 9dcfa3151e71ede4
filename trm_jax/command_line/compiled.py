"""Programs that XLA has compiled are kept from run to run, in the user's cache folder.

Compiling is a sixth of a default sweep's work, and the next run asks for the same programs. JAX
keeps them (its persistent compilation cache); here it is told where, before it is imported:

    $XDG_CACHE_HOME/trm-jax-edge/compiled-HASH      XDG_CACHE_HOME: ~/.cache where it is not set

HASH is of what the processor can do, so that a home shared by unlike machines never hands one of
them the other's instructions. JAX finds a program by its HLO, compile options, XLA flags and
version, so what runs is what would have been compiled. Its own variables stay in force: who sets
JAX_COMPILATION_CACHE_DIR keeps it, and JAX_ENABLE_COMPILATION_CACHE=false keeps nothing. The folder
may be deleted at any time; of an entry that a full disk cut off JAX warns, and compiles.
"""

import contextlib
import hashlib
import os
import platform
import re
import sys
from pathlib import Path

FOLDER = "JAX_COMPILATION_CACHE_DIR"
ALL_PROGRAMS = {
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}
"""JAX keeps only what took a second to compile; most of ours is smaller, and a hundred of it."""
MOST_BYTES = 512 * 2**20
CPU_FACTS = Path("/proc/cpuinfo")


def keep_compiled() -> None:
    """Tell JAX where to keep compiled programs, unless it is imported already or was told.

    Where no folder can be made nothing is kept, and nothing is said: it is only slower.
    """
    if "jax" in sys.modules or FOLDER in os.environ:
        return
    with contextlib.suppress(OSError, RuntimeError):  # RuntimeError: no home
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        drop_oldest(folder, MOST_BYTES)
        if os.access(folder, os.W_OK):
            os.environ[FOLDER] = str(folder)
            for name, value in ALL_PROGRAMS.items():
                os.environ.setdefault(name, value)


def cache_folder() -> Path:
    """Name the folder for this processor.

    Raises:
      RuntimeError: the user has no home.
    """
    parent = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(parent) / "trm-jax-edge" / f"compiled-{processor_hash(_cpu_facts())}"


def processor_hash(facts: str) -> str:
    """Hash the machine's kind and what /proc/cpuinfo says that it can do.

    Args:
      facts: the text of /proc/cpuinfo, or nothing on systems without.
    """
    can = sorted(set(re.findall(r"^(?:model name|flags|Features)\s*:.*$", facts, re.MULTILINE)))
    kind = "\n".join([platform.system(), platform.machine(), platform.processor(), *can])
    return hashlib.sha256(kind.encode()).hexdigest()[:12]


def drop_oldest(folder: Path, most_bytes: int) -> None:
    """Delete the oldest files of a folder until no more than `most_bytes` are left.

    Files that another process deletes meanwhile are passed over.
    """
    files = []
    for file in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            facts = file.stat()
            files.append((facts.st_mtime, facts.st_size, file))
    left = sum(size for _, size, _ in files)
    for _, size, file in sorted(files):
        if left <= most_bytes:
            return
        file.unlink(missing_ok=True)
        left -= size


def _cpu_facts() -> str:
    try:
        return CPU_FACTS.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
