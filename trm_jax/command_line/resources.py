"""What this machine lets a process have: cores, and memory that is free.

A container's or a job's share counts, as the operating system tells of it: processor affinity, and
control groups of Linux (v1 and v2). Nothing heavy is imported. Not here: memory of accelerators
(experiments/measurement/choices.py).
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path("/")


def usable_processors() -> int:
    """Count the cores this process may use, which is what XLA's CPU pool takes.

    `taskset` lowers it; not every system knows affinity.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


class GroupFiles(NamedTuple):
    """Where a version of control groups keeps its numbers.

    Attributes:
      base: folder of all groups.
      limit, usage: files of bytes; usage includes what the system has cached of files.
      cached: name, in memory.stat, of the bytes of files that are given back when asked for.
    """

    base: str
    limit: str
    usage: str
    cached: str


V1 = GroupFiles(
    "sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
)
V2 = GroupFiles("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file")


def free_memory(root: Path = ROOT) -> int | None:
    """Count the bytes of memory that this process can still take; None: the system does not tell.

    Args:
      root: of the file system.
    """
    rooms = [*_of_machine(root), *_of_groups(root)]
    return max(min(rooms), 0) if rooms else None


def _of_machine(root: Path) -> Iterator[int]:
    available = _numbers(root / "proc/meminfo").get("MemAvailable:")
    if available is not None:
        yield 1024 * available


def _of_groups(root: Path) -> Iterator[int]:
    """Give the room in the group of this process, and in each one around it, that has a limit."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, name = rest.partition(":")
        if number == "0" or "memory" in controllers.split(","):
            files = V2 if number == "0" else V1
            base = root / files.base
            own = base / name.strip("/")
            for group in (own, *own.parents):
                if group.is_relative_to(base):
                    yield from _of_group(group, files)


def _of_group(group: Path, files: GroupFiles) -> Iterator[int]:
    limit, usage = (_text(group / name).strip() for name in (files.limit, files.usage))
    if limit.isdecimal() and usage.isdecimal():  # "max": there is no limit
        cached = _numbers(group / "memory.stat").get(files.cached, 0)
        yield int(limit) - int(usage) + cached


def _numbers(file: Path) -> dict[str, int]:
    """Read lines of a name and a number."""
    words = (line.split() for line in _text(file).splitlines())
    return {each[0]: int(each[1]) for each in words if len(each) > 1 and each[1].isdecimal()}


def _text(file: Path) -> str:
    """Read a file of the system; one that is not there, or not for us, says nothing."""
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
