"""What an inference job gave, on disk, so that nothing is downloaded twice.

FOLDER/JOB.npz    outputs: N/NAME is output N, by its name, one row per sample
FOLDER/JOB.json   the profile, as the client gives it; written last: a job with it is complete
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from trm_jax.typed_json import read_fields, read_json

CURE = "delete both files of the job: its results are then downloaded again"


class JobResults(NamedTuple):
    """Outputs of a job by name, a list of samples each, and its profile."""

    outputs: dict[str, list[np.ndarray]]
    profile: dict[str, Any]


def has_results(folder: Path, job: str) -> bool:
    """Return whether the results of a job are complete on the disk."""
    return (folder / f"{job}.json").exists()


def save_results(
    folder: Path, job: str, outputs: Mapping[str, Sequence[np.ndarray]], profile: Any
) -> None:
    """Write the results of a job."""
    folder.mkdir(parents=True, exist_ok=True)
    stacked: dict[str, Any] = {
        f"{i}/{name}": np.stack(values) for i, (name, values) in enumerate(outputs.items())
    }
    np.savez(folder / f"{job}.npz", **stacked)
    file = folder / f"{job}.json"
    part = file.with_suffix(".part")
    part.write_text(json.dumps(profile), encoding="utf-8")
    part.replace(file)


def load_results(folder: Path, job: str) -> JobResults:
    """Read the results of a job.

    Raises:
      FileNotFoundError: they are not complete.
      ValueError: one of the files is damaged; the message names it and says what to do.
    """
    arrays, profile = folder / f"{job}.npz", folder / f"{job}.json"
    outputs = _read_outputs(arrays)
    try:
        return JobResults(outputs, read_fields(dict[str, Any], read_json(profile)))
    except ValueError as error:
        reason = str(error).removeprefix(f"{profile} ")
        raise ValueError(f"{profile} is damaged ({reason}); {CURE}") from error


def _read_outputs(file: Path) -> dict[str, list[np.ndarray]]:
    """Read an archive of arrays; its checksums are checked as they are read."""
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            names = {name: name.partition("/")[2] for name in archive.files}
            if not all(names.values()):
                raise ValueError(f"it has the arrays {sorted(names)[:4]}, whose names need N/NAME")
            return {short: list(archive[name]) for name, short in names.items()}
    except Exception as error:  # zlib, zip and the array's header all have errors of their own
        if isinstance(error, OSError) and error.filename:
            raise  # missing, not readable: the system's words name the file
        reason = type(error).__name__  # numpy's words would advise to trust the file
        raise ValueError(f"{file} is damaged or no archive of arrays ({reason}); {CURE}") from error
