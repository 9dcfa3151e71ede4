"""Tables of footprints: work, memory with budgets, energy."""

from collections.abc import Sequence

from experiments.footprint_rows import SHORT_DEPTH, Record
from experiments.tables import Table
from export.footprint import BUDGETS
from quant.scheme import paper_name, parse

MIB = 2**20


def all_tables(rows: Sequence[Record]) -> list[Table]:
    """Make the tables in the order in which they are printed."""
    return [work_table(rows), memory_table(rows), energy_table(rows)]


def work_table(rows: Sequence[Record]) -> Table:
    """Lay out GFLOPs, one row per configuration: they do not depend on the scheme."""
    first = {row["config"]: row for row in reversed(rows)}
    body = []
    for row in reversed(first.values()):
        linear, attention = row["linear_per_cycle"], row["attention_per_cycle"]
        cycle, steps = linear + attention, row["steps"]
        step, depth = cycle * row["H_cycles"], f"T={row['H_cycles']}, n={steps}"
        body.append((
            row["config"], f"{row['parameters']:,}", _gflops(linear), _gflops(attention),
            _gflops(cycle), _gflops(step), _gflops(row["gflops"]), depth,
        ))  # fmt: skip
    header = ("Configuration", "Weights", "Linear per\nH-cycle", "Attention\nper H-cycle",
              "H-cycle", "Step", "Puzzle", "Depth")  # fmt: skip
    title = "GFLOPs (two per multiply-accumulate; matrix products of the blocks)"
    return Table(title, header, tuple(body), frozenset())


def memory_table(rows: Sequence[Record]) -> Table:
    """Lay out stored bytes and peaks in MiB, and what fits."""
    body, sections, last = [], set(), None
    for row in rows:
        if row["config"] != last:
            sections.add(len(body))
        peaks = (_mib(row[f"chunked_{way}"]) for way in ("full", "streaming", "in_place"))
        budgets = (row[f"fits {name}"] or "no" for name in BUDGETS)
        body.append((
            row["config"] if row["config"] != last else "", _scheme(row["scheme"]),
            _mib(row["backbone"]), _mib(row["table"]), *peaks, _mib(row["whole_full"]), *budgets,
        ))  # fmt: skip
        last = row["config"]
    header = ("Configuration", "Scheme", "Stored", "Puzzle\ntable", "Peak,\nfull load",
              "Peak,\nstreaming", "Peak, from\nflash", "Full load,\nnot chunked",
              *(f"Fits\n{name}" for name in BUDGETS))  # fmt: skip
    title = "Memory in MiB: stored without the puzzle table, and the peak with one row of it"
    return Table(title, header, tuple(body), frozenset(sections))


def energy_table(rows: Sequence[Record]) -> Table:
    """Lay out mJ per puzzle."""
    body, sections, last = [], set(), None
    for row in rows:
        if row["config"] != last:
            sections.add(len(body))
        values = (row[name] for name in ("paper_mj", "mj_full", "mj_streaming", "paper_mj_short",
                                         "mj_full_short", "mj_streaming_short"))  # fmt: skip
        body.append((
            row["config"] if row["config"] != last else "", _scheme(row["scheme"]),
            *(f"{value:,.3g}" if value < 1000 else f"{value:,.0f}" for value in values),
        ))  # fmt: skip
        last = row["config"]
    header = ("Configuration", "Scheme", "Paper,\nfull depth", "SRAM,\nfull depth",
              "Flash,\nfull depth", *(f"{name},\n{SHORT_DEPTH} H-cycles"
                                      for name in ("Paper", "SRAM", "Flash")))  # fmt: skip
    title = "Energy in mJ per puzzle: 1 pJ per operation (App. H); ours, weights in SRAM or flash"
    return Table(title, header, tuple(body), frozenset(sections))


def _scheme(name: str) -> str:
    return paper_name(parse(name)) or name


def _gflops(value: float) -> str:
    return f"{value:,.1f}" if value >= 100 else f"{value:.4g}"


def _mib(size: int) -> str:
    return f"{size / MIB:.2f}"
