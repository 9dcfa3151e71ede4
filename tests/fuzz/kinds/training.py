"""The folder of a training run that is resumed: specification, rows, states, windows.

The run goes on from a mutated folder. What it leaves must be what the undamaged run leaves: the
same weights and the same rows, seconds left out. A number that was changed in an earlier row is
kept as it stands there.
"""

import functools
from pathlib import Path
from typing import Any

from tests.fuzz import oracles
from tests.fuzz.contract import InputKind, Unreadable, run_program
from tests.fuzz.damage import Draw
from tests.fuzz.documents import mutate_folder

RUN, ROWS = "run", "rows.jsonl"


def words(folder: Path, *more: object) -> list[str]:
    from tests.support.tiny.training import command

    return command(folder.parent / "data", folder / RUN, *more)


def make_run(folder: Path) -> None:
    """Train four of six steps; the data lie beside the cases, where every case finds them."""
    from experiments.train.__main__ import main
    from tests.support.tiny.training import save_mazes

    if not (folder.parent / "data").exists():
        save_mazes(folder.parent / "data")
    run_program(main, words(folder, "--max-steps", 4))


def mutate_run(folder: Path, rng: Draw) -> str:
    """Mutate documents and rows most of the time, files of the state sometimes."""
    if rng.random() < 0.7:
        return mutate_folder(folder / RUN, rng, ("spec.json", ROWS, "4.json"), documents=0.8)
    return mutate_folder(folder / RUN, rng)


def read_run(folder: Path) -> Any:
    """Resume the run to its end; returns rows and weights."""
    from experiments.train.__main__ import main
    from trm_jax.checkpoints.model_files import flatten, load_model

    run_program(main, words(folder, "--resume"))
    rows = rows_of(folder)
    _, weights = load_model(folder / RUN / "model")
    return rows, oracles.digests(flatten(weights))


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """Read rows by json, without what a clock says."""
    lines = (folder / RUN / ROWS).read_bytes().split(b"\n")[:-1]
    rows = [oracles.strict_json(line) for line in lines]
    return [{k: v for k, v in row.items() if "second" not in k} for row in rows]


def run_says(folder: Path) -> Any:
    """Take earlier rows from the file as it is left, the rest from the undamaged run."""
    rows, weights = valid_run(folder.parent / "valid")
    left = rows_of(folder)
    if [row.get("step") for row in left] != [row["step"] for row in rows]:
        raise Unreadable("rows are missing")
    oracles.check_types(left, rows)
    return [*left[:-1], rows[-1]], weights


@functools.cache
def valid_run(folder: Path) -> Any:
    import shutil

    copy = folder.parent / "again"
    shutil.copytree(folder, copy)
    found = read_run(copy)
    shutil.rmtree(copy)
    return found


TRAINING = (
    InputKind(
        name="training",
        right="rows and weights are those of the undamaged run",
        make=make_run,
        mutate=mutate_run,
        read=read_run,
        says=run_says,
        bad_input=(OSError, ValueError, FloatingPointError, MemoryError),
        names=("spec", "row", "state", "window", "step"),
        share=0.005,
        seconds=60,
        mebibytes=1024,
    ),
)
