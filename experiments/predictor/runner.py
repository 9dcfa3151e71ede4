"""Judge the signals of finished sweeps and write down what was seen."""

from collections.abc import Sequence
from pathlib import Path

from experiments.measurement.folders import PREDICTOR
from experiments.predictor import signals
from experiments.predictor import tables as predictor_tables
from experiments.predictor.tables import study, study_tables
from experiments.render import tables
from experiments.render.console import make_console
from experiments.sweep.outcomes import read_sweeps
from trm_jax.output.folder import writing


def run_predictor(folders: Sequence[Path], seed: int, out: Path) -> None:
    """Judge the signals of finished sweeps, print the tables and write all files.

    Raises:
      ValueError, OSError: a folder holds no finished sweep, or nothing can be written.
    """
    results = study(read_sweeps(folders), seed)
    printed = study_tables(results)
    files = {
        "predictor.md": "\n".join(map(tables.to_markdown, printed)),
        "points.csv": tables.to_csv(signals.records(results.points)),
        "predictor.svg": predictor_tables.figure(results.points),
    }
    with writing(out, PREDICTOR):
        for name, text in files.items():
            (out / name).write_text(text, encoding="utf-8")
    console = make_console()
    tables.print_tables(printed, console)
    console.print(f"tables, points and figure: {out}", soft_wrap=True)
