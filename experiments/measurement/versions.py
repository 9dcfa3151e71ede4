"""Versions of this project and of packages, which the notes of a run name; nothing heavy."""

import functools
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


@functools.cache
def read_commit() -> str:
    """Name the commit of this checkout, `-dirty` where files differ; empty outside of one."""
    root = Path(__file__).resolve().parents[2]
    words = (
        "git",
        "-C",
        str(root),
        "describe",
        "--always",
        "--dirty",
        "--abbrev=10",
        "--exclude=*",
    )
    if not (root / ".git").exists():  # installed; a checkout around it would be another project's
        return ""
    try:
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):  # no git here, or not our repository
        return ""


def read_version(package: str) -> str:
    """Tell a package's version; a training machine may lack one."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
