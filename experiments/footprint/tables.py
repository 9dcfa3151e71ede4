"""Tables of footprints: work, memory with budgets, energy."""

from collections.abc import Sequence

from experiments.footprint.rows import SHORT_DEPTH, Record
from experiments.render.tables import Table, digits_text
from export.footprint.energy import FLASH_PJ_PER_BYTE, SRAM_PJ_PER_BYTE, Arithmetic
from export.footprint.estimate import BUDGETS
from quant.scheme import short_name

MIB = 2**20
ENERGY_NAMES = {
    Arithmetic.FLOAT32: "float32",
    Arithmetic.FLOAT16: "16-bit floats",
    Arithmetic.INT16: "int16 x int8",
    Arithmetic.INT8: "int8",
}


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
        body.append(
            (
                row["config"],
                f"{row['parameters']:,}",
                _gflops(linear),
                _gflops(attention),
                _gflops(cycle),
                _gflops(step),
                _gflops(row["gflops"]),
                depth,
            )
        )
    header = (
        "Configuration",
        "Weights",
        "Linear per\nH-cycle",
        "Attention\nper H-cycle",
        "H-cycle",
        "Step",
        "Puzzle",
        "Depth",
    )
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
        body.append(
            (
                row["config"] if row["config"] != last else "",
                short_name(row["scheme"]),
                _mib(row["backbone"]),
                _mib(row["table"]),
                *peaks,
                _mib(row["whole_full"]),
                *budgets,
            )
        )
        last = row["config"]
    header = (
        "Configuration",
        "Scheme",
        "Stored",
        "Puzzle\ntable",
        "Peak,\nfull load",
        "Peak,\nstreaming",
        "Peak, from\nflash",
        "Full load,\nnot chunked",
        *(f"Fits\n{name}" for name in BUDGETS),
    )
    title = "Memory in MiB: stored without the puzzle table, and the peak with one row of it"
    return Table(title, header, tuple(body), frozenset(sections))


def energy_table(rows: Sequence[Record]) -> Table:
    """Lay out mJ per puzzle."""
    body, sections, last = [], set(), None
    for row in rows:
        if row["config"] != last:
            sections.add(len(body))
        values = (
            row[name]
            for name in (
                "paper_mj",
                "mj_full",
                "mj_streaming",
                "paper_mj_short",
                "mj_full_short",
                "mj_streaming_short",
            )
        )
        body.append(
            (
                row["config"] if row["config"] != last else "",
                short_name(row["scheme"]),
                *map(digits_text, values),
            )
        )
        last = row["config"]
    header = (
        "Configuration",
        "Scheme",
        "Paper,\nfull depth",
        "SRAM,\nfull depth",
        "Flash,\nfull depth",
        *(f"{name},\n{SHORT_DEPTH} H-cycles" for name in ("Paper", "SRAM", "Flash")),
    )
    title = (
        "Energy in mJ per puzzle: 1 pJ per operation (App. H); ours, a lower bound, weights in"
        " SRAM or flash"
    )
    return Table(title, header, tuple(body), frozenset(sections))


def energy_note() -> str:
    """Say what our energy counts, assumes and leaves out."""
    parts = ", ".join(f"{kind.value:g} pJ in {name}" for kind, name in ENERGY_NAMES.items())
    return (
        f"Our energy is a lower bound. It counts multiply-accumulates ({parts}) and reading the"
        f" weights once per block application ({SRAM_PJ_PER_BYTE:g} pJ a byte from SRAM,"
        f" {FLASH_PJ_PER_BYTE:g} from flash), with switching energies of 45 nm at 0.9 V taken"
        " from the literature (export/footprint/energy.py), not measured on a device. It leaves out"
        " fetching and decoding instructions, moving activations and states, and leakage; on a"
        " CPU the instructions alone cost more than all that is counted. It compares schemes and"
        " depths and says nothing about the life of a battery."
    )


def _gflops(value: float) -> str:
    return f"{value:,.1f}" if value >= 100 else f"{value:.4g}"


def _mib(size: int) -> str:
    return f"{size / MIB:.2f}"
