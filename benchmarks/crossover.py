"""Where int8 becomes faster than float32: verdicts over lengths, as text, table and figure."""

import enum
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from experiments.render import figures


class Verdict(enum.Enum):
    """What ratios say of int8."""

    FASTER = "faster"
    SLOWER = "slower"
    UNDECIDED = "undecided"


def verdict(ratios: Sequence[float] | np.ndarray) -> Verdict:
    """Judge int8 : float."""
    low, high = np.percentile(ratios, [10, 90])
    if high < 1:
        return Verdict.FASTER
    return Verdict.SLOWER if low > 1 else Verdict.UNDECIDED


def crossover(verdicts: Sequence[tuple[int, Verdict]]) -> str:
    """Say where int8 becomes faster, from (length, verdict) in order of length."""
    last = max((length for length, v in verdicts if v is Verdict.SLOWER), default=0)
    tail = itertools.takewhile(lambda pair: pair[1] is Verdict.FASTER, reversed(verdicts))
    after = [length for length, _ in tail]  # from the longest down, as long as int8 is faster
    span = f"{verdicts[0][0]} to {verdicts[-1][0]}"
    if last and after:
        return f"between {last} and {min(after)} positions"
    if after:
        return f"not found from {span}: int8 is faster from {min(after)} on and nowhere slower"
    if last:
        return f"not found from {span}: int8 is nowhere faster beyond {last}"
    return f"not found from {span}: the noise decides nothing"


def crossovers(rows: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Say for every contestant where the crossover lies."""
    found = {}
    for name in dict.fromkeys(row["contestant"] for row in rows):
        mine = [(r["length"], Verdict(r["verdict"])) for r in rows if r["contestant"] == name]
        found[name] = crossover(mine)
    return found


def show(rows: Sequence[dict[str, Any]], console: Console) -> None:
    """Print the table, and where the crossovers lie."""
    first = rows[0]
    table = Table(
        title=f"int8 against float32, one block, {first['mixer']}, batch 1, {first['threads']}"
        f" thread(s), {first['clock']} time, n = {first['repeats']} repeats"
    )
    for name in ("contestant", "length", "float, ms", "int8, ms", "int8 : float [p10, p90]", ""):
        table.add_column(name)
    for r in rows:
        table.add_row(
            r["contestant"],
            str(r["length"]),
            f"{r['float_ms']:.3g}",
            f"{r['int8_ms']:.3g}",
            f"{r['ratio']:.2f} [{r['ratio_p10']:.2f}, {r['ratio_p90']:.2f}]",
            r["verdict"],
        )
    console.print(table)
    for name, text in crossovers(rows).items():
        console.print(f"crossover, {name}: {text}", highlight=False)
    loads = [r["load"] for r in rows]
    console.print(
        f"load average {min(loads):.1f} to {max(loads):.1f} on {rows[0]['cores']} cores",
        highlight=False,
    )


def draw(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw the ratios over the length, with their spread."""
    figure = figures.figure_of(7.6, 4.6)
    ax = figure.subplots()
    for i, name in enumerate(dict.fromkeys(r["contestant"] for r in rows)):
        mine = [r for r in rows if r["contestant"] == name]
        x, y = [r["length"] for r in mine], np.asarray([r["ratio"] for r in mine])
        ends = np.abs([[r["ratio_p10"] for r in mine], [r["ratio_p90"] for r in mine]] - y)
        ax.errorbar(
            x,
            y,
            yerr=ends,
            label=name,
            color=figures.colour(i),
            marker=figures.marker(i),
            capsize=3,
        )
    ax.axhline(1.0, color="#888888", linewidth=0.8)
    ax.set_xscale("log", base=2)
    ax.set_yscale("log", base=2)
    ax.set_xticks([r["length"] for r in rows], [str(r["length"]) for r in rows])
    ax.set_xlabel("positions")
    ax.set_ylabel("time of int8 : time of float32")
    ax.legend(frameon=False)
    load = max(r["load"] for r in rows)
    first = rows[0]
    figure.suptitle(
        f"Does int8 pay? One block ({first['mixer']}), batch 1, this CPU, {first['threads']}"
        f" thread(s), {first['clock']} time\nbars: 10th to 90th percentile of"
        f" {first['repeats']} repeats; load {load:.1f} on {first['cores']} cores",
        x=0.01,
        ha="left",
        fontsize=10,
    )
    figures.save(figure, path)
