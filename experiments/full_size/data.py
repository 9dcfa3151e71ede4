"""The puzzles of a run: a data set that exists, CSV files made into one, or a rehearsal's own."""

import csv
import sys
from pathlib import Path

from experiments.full_size.job import HOLD_OUT, FullSizeJob
from trm_jax.data import hub
from trm_jax.data.sudoku import split
from trm_jax.data.sudoku.dataset import parse_box
from trm_jax.data.sudoku.generator import generate_sudoku

REHEARSED = 400
"""Puzzles of a rehearsal, of 6x6 cells."""


def prepare_data(job: FullSizeJob) -> Path:
    """Find or make the data set of a job.

    CSV files become OUT/data, split so that no held-out puzzle is an image of a training puzzle
    (trm_jax/data/sudoku/split.py). Files of puzzle collections have one solution each: that is not
    proved again, for it takes longer than the run.

    Raises:
      ValueError, OSError: there is no such data set or file, or it is damaged.
    """
    if job.rehearse:
        source = job.out / "rehearsal.csv"
        write_puzzles(job, source)
        return split_files(job, (str(source),))
    return find_data_set(job) or split_files(job, job.data)


def find_data_set(job: FullSizeJob) -> Path | None:
    """Find the data set that a job names, or the files; changes nothing.

    Returns:
      None: it names CSV files, or makes puzzles of its own.

    Raises:
      FileNotFoundError: a part of the data set or a file is missing.
      ValueError: puzzles are to be held out of a data set, which says itself which are.
    """
    if job.rehearse:
        return None
    folder = hub.local_path(job.data[0])
    if len(job.data) == 1 and folder.is_dir():
        for part in ("train", "test"):
            if not (folder / part / "dataset.json").is_file():
                raise FileNotFoundError(f"{folder} is no data set: it has no {part}/dataset.json")
        if job.hold_out is not None:
            raise ValueError(
                f"--hold-out is of CSV files: {folder} is a data set, whose test/ is held out;"
                " leave it out"
            )
        return folder
    for source in job.data:
        if not source.startswith(hub.PREFIX):
            hub.resolve(source)  # says what to do
    return None


def write_puzzles(job: FullSizeJob, file: Path) -> None:
    """Generate the puzzles of a rehearsal as a CSV file."""
    puzzles, answers = generate_sudoku(REHEARSED, box=parse_box(job.box), seed=job.seed)
    with file.open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["question", "answer"])
        for rows in zip(puzzles, answers, strict=True):
            writer.writerow(["".join(str(digit) for digit in row) for row in rows])


def split_files(job: FullSizeJob, files: tuple[str, ...]) -> Path:
    """Split CSV files into OUT/data."""
    out = job.out / "data"
    held = HOLD_OUT if job.hold_out is None else job.hold_out
    words = [*files, "--out", str(out), "--hold-out", str(held), "--box", job.box]
    split.split(split.parser().parse_args([*words, "--seed", str(job.seed), "--no-check"]))
    sys.stdout.flush()
    return out
