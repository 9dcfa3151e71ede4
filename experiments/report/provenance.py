"""Where a report's numbers come from: commit, days, machine, puzzles, seeds, as its first line.

Folders note every start of their program (experiments/measurement/choices.py); earlier versions
noted no commit. Not here: the folders' results (inputs.py).
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.ablate.tables import Ablation
from experiments.measurement.row_files import read_document
from experiments.sweep.outcomes import Sweep

Run = Mapping[str, Any]
"""The environment of one start of a program."""
UNKNOWN = "not recorded"


def read_runs(folder: Path, marks: Iterable[str]) -> list[Run]:
    """Read the starts that a folder notes.

    Args:
      marks: patterns of the files that say what the folder is; those that are no JSON note none.

    Raises:
      ValueError: a file is damaged.
    """
    files = [file for mark in marks for file in sorted(folder.glob(mark)) if file.suffix == ".json"]
    return [run for file in files for run in read_document(file, "a folder of results").runs]


def run_facts(
    runs: Sequence[Run], sweeps: Sequence[Sweep], ablations: Sequence[Ablation]
) -> tuple[tuple[str, str], ...]:
    """Name commit, days, machine, versions, puzzles and seeds; nothing where nothing was run."""
    if not runs:
        return ()
    days = sorted({str(run.get("started", ""))[:10] for run in runs} - {""})
    specs = [*(s.spec for s in sweeps), *(a.spec for a in ablations)]
    seeds = sorted({spec.seed for spec in specs})
    facts = {
        "Commit": _distinct(runs, ("commit",)),
        "Measured": " to ".join(dict.fromkeys((days[0], days[-1]))) if days else UNKNOWN,
        "Machine": _distinct(runs, ("devices", "machine")),
        "Versions": _distinct(runs, ("jax", "python"), named=True),
        "Puzzles": puzzles_text(sweeps),
        "Seeds": ", ".join(map(str, seeds)),
    }
    return tuple((name, text) for name, text in facts.items() if text)


def puzzles_text(sweeps: Sequence[Sweep]) -> str:
    """Say how many puzzles each model solved in its sweep."""
    models: dict[str, list[str]] = {}
    for sweep in sweeps:
        count = sweep.puzzles_text.removesuffix(" puzzles")
        models.setdefault(count, []).append(sweep.spec.model)
    if len(models) == 1:
        return f"{next(iter(models))} for every model"
    return "; ".join(f"{count} for {', '.join(names)}" for count, names in models.items())


def _distinct(runs: Sequence[Run], names: Sequence[str], *, named: bool = False) -> str:
    """Join what runs say under some names, each combination once."""
    texts = []
    for run in runs:
        parts = [
            f"{name} {run[name]}" if named else str(run[name]).removesuffix(" (cpu)")
            for name in names
            if name in run
        ]
        texts.append(", ".join(filter(None, parts)) or UNKNOWN)
    return "; ".join(dict.fromkeys(texts))
