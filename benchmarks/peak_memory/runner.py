"""Programs, each in a process of its own, and the most memory each held."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.structure import ROOT
from trm_jax.command_line import split_names
from trm_jax.names import unknown_name

PROGRAMS = {
    "sweep-sudoku": "experiments.sweep --task sudoku --out out",
    "sweep-maze": "experiments.sweep --task maze --out out",
    "ablate": "experiments.ablate --task sudoku --out out",
    "ablate-short": "experiments.ablate --task sudoku --quick --limit 50 --out out",
    "arc": "experiments.arc --out out",
    "recipe": "experiments.recipe --task sudoku --budget 3.5bits --out out",
    "decode": "experiments.decode --task sudoku --out out",
    "decode-short": "experiments.decode --task sudoku --limit 50 --out out",
    "watch": "experiments.watch --task sudoku --out out",
    "footprint": "experiments.footprint",
    "export": "export.tflite --model sudoku-trm-mlp-mini --scheme int4_calibrated --target litert"
    " --out out",
    "solve": "export.solve out --random",
}
COMMANDS = {
    "jax": ["-c", "import jax; jax.numpy.ones(8).sum().block_until_ready()"],
    **{name: ["-m", *words.split()] for name, words in PROGRAMS.items()},
}
"""Words behind `python`, by the name that --programs takes."""
FIRST = {"solve": "export"}
"""Programs that need what another one writes."""
LAUNCH = """
import json, os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
print(json.dumps([status, usage.ru_maxrss, usage.ru_utime + usage.ru_stime]))
"""
"""Starts a program and tells what it took. Linux counts the memory of whoever starts a process as
that of the process, so that it is started by something small."""
KILO = 1 if sys.platform == "darwin" else 1024
"""Bytes that ru_maxrss counts in."""


class ProcessCost(NamedTuple):
    """What a process took.

    Attributes:
      peak_bytes: of resident memory, of the largest of it and of what it started.
      cpu: seconds of all of them; wall: by the clock.
    """

    peak_bytes: int
    cpu: float
    wall: float


def run_process(words: Sequence[str], folder: Path) -> ProcessCost:
    """Run `python WORDS` in a folder.

    Raises:
      RuntimeError: it failed; the message is what it wrote last.
    """
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    began = time.monotonic()
    result = subprocess.run(
        [sys.executable, "-I", "-S", "-c", LAUNCH, sys.executable, *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    wall = time.monotonic() - began
    status, peak, cpu = json.loads(result.stdout)
    if status:
        last = " ".join(result.stderr.strip().splitlines()[-1:]) or "failed"
        raise RuntimeError(f"python {' '.join(words)}: {last}")
    return ProcessCost(KILO * peak, cpu, wall)


def together_in(folder: Path) -> int | None:
    """Read how many puzzles a program computed together, where its folder says so."""
    for name in ("spec.json", "ablation.json", "decode.json"):
        if (file := folder / "out" / name).exists():
            return json.loads(file.read_text())["spec"].get("batch_size")
    return None


def measure(args: argparse.Namespace, console: Console) -> list[dict[str, Any]]:
    """Run the programs one after the other.

    Raises:
      ValueError: an unknown name.
      RuntimeError: a program failed.
    """
    names = split_names(args.programs)
    if unknown := [name for name in names if name not in COMMANDS]:
        raise ValueError(unknown_name("program", unknown[0], COMMANDS))
    rows = []
    for name in names:
        with tempfile.TemporaryDirectory(prefix="memory-") as folder:
            if name in FIRST:
                run_process(COMMANDS[FIRST[name]], Path(folder))
            cost = run_process(COMMANDS[name], Path(folder))
            together = together_in(Path(folder))
        words = " ".join(COMMANDS[name][1:])
        rows.append({"program": name, "words": words, "together": together, **cost._asdict()})
        console.print(f"{name}: {cost.peak_bytes / 1e6:,.0f} MB", highlight=False)
    return rows


def show(rows: Sequence[dict[str, Any]], console: Console) -> None:
    """Print rows as a table."""
    table = Table(title="The most resident memory of a process")
    for heading in ("program", "peak, MB", "together", "CPU s", "seconds"):
        table.add_column(heading, justify="left" if heading == "program" else "right")
    for row in rows:
        table.add_row(
            row["program"],
            f"{row['peak_bytes'] / 1e6:,.0f}",
            str(row["together"] or ""),
            f"{row['cpu']:.1f}",
            f"{row['wall']:.1f}",
        )
    console.print(table)
