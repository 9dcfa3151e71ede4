"""The table and files of a deployment on a Cortex-M55 (experiments.deploy.cortex_m.command).

One row per scheme of a deployment on a Cortex-M55 (format of the lines: host/rows.py).
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from experiments.render import tables
from experiments.render.tables import Table, size_text
from export.cortex_m.build import Counted
from export.cortex_m.emulator import Counts
from export.cortex_m.memory import BoardSram, Flash
from export.footprint.estimate import BUDGETS
from quant.scheme import paper_name, parse
from trm_jax.loading import LoadedModel

EMULATED, MODELLED = "emulated", "operator model"


@dataclass(frozen=True, kw_only=True)
class BoardRow:
    """What one scheme needs on the board.

    Attributes:
      digest: of what decides the numbers.
      graphs: files on the board, the head's among them.
      counted: whose code is in `flash` and `sram`, a value of `Counted`.
      update_L, update_H, rest: instructions, as in `Counts`.
      counted_by: EMULATED or MODELLED.
    """

    digest: str
    scheme: str
    flash: Flash
    sram: BoardSram
    graphs: int
    counted: str
    update_L: int
    update_H: int
    rest: int
    counted_by: str

    @property
    def counts(self) -> Counts:
        """Instructions, ready to be multiplied out."""
        return Counts(self.update_L, self.update_H, self.rest)


def row_from_dict(values: dict[str, Any]) -> BoardRow:
    """Rebuild a row.

    Raises:
      ValueError, TypeError, KeyError: not the fields of a row.
    """
    made = {"flash": Flash(**values["flash"]), "sram": BoardSram(**values["sram"])}
    return BoardRow(**{**values, **made, "counted": Counted(values["counted"]).value})


@dataclass(frozen=True, kw_only=True)
class Speed:
    """What instructions mean in seconds, and how many are too many.

    Attributes:
      cpi: cycles per instruction; patience: seconds a puzzle may take.

    Raises:
      ValueError: not positive.
    """

    mhz: float
    cpi: float
    patience: float

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if not value > 0:
                raise ValueError(f"--{name} must be positive, got {value:g}")

    def seconds(self, instructions: int) -> float:
        """Estimate the time of so many instructions."""
        return instructions * self.cpi / (self.mhz * 1e6)


def fit(row: BoardRow, budget: int) -> str:
    """Say what of a row fits into a budget of bytes: all, SRAM (weights in flash), no."""
    if row.flash.total + row.sram.total <= budget:
        return "all"
    return "SRAM" if row.sram.total <= budget else "no"


def record(source: LoadedModel, row: BoardRow, speed: Speed) -> dict[str, Any]:
    """Lay one row out with its sums."""
    c, counts = source.config, row.counts
    puzzle = counts.puzzle(c.H_cycles, c.L_cycles, c.halt_max_steps)
    seconds = speed.seconds(puzzle)
    return {
        "scheme": paper_name(parse(row.scheme)) or row.scheme,
        **{f"flash_{k}": v for k, v in dataclasses.asdict(row.flash).items()},
        "flash_total": row.flash.total,
        **{f"sram_{k}": v for k, v in dataclasses.asdict(row.sram).items()},
        "sram_total": row.sram.total,
        "total": row.flash.total + row.sram.total,
        "graphs": row.graphs,
        "code_of": row.counted,
        **{f"fits_{budget // 2**20}_mib": fit(row, budget) for budget in BUDGETS.values()},
        "block_instructions": row.update_L,
        "puzzle_instructions": puzzle,
        "counted_by": row.counted_by,
        "mhz": speed.mhz,
        "cpi": speed.cpi,
        "puzzle_seconds_estimate": seconds,
        "in_time": seconds <= speed.patience,
    }


def flash_table(found: Sequence[Mapping[str, Any]]) -> Table:
    """Lay out what is only read."""
    header = (
        "Variant",
        "Graphs",
        "Weights",
        "Tables",
        "Records",
        "Rows",
        "Vectors",
        "Code",
        "Total",
    )
    names = ("weights", "tables", "records", "rows", "vectors")
    rows = tuple(
        (
            r["scheme"],
            str(r["graphs"]),
            *(size_text(r[f"flash_{name}"]) for name in names),
            _code_text(r),
            size_text(r["flash_total"]),
        )
        for r in found
    )
    return Table("Flash", header, rows, frozenset())


def sram_table(found: Sequence[Mapping[str, Any]]) -> Table:
    """Lay out what is written."""
    header = (
        "Variant",
        "Arena head",
        "Arena tail",
        "Margin",
        "Carry",
        "Buffers",
        "Variables",
        "Stack",
        "Total",
    )
    names = ("arena_head", "arena_tail", "arena_margin", "carry", "buffers", "statics", "stack")
    rows = tuple(
        (
            r["scheme"],
            *(size_text(r[f"sram_{name}"]) for name in names),
            size_text(r["sram_total"]),
        )
        for r in found
    )
    return Table("SRAM", header, rows, frozenset())


def fit_table(found: Sequence[Mapping[str, Any]], speed: Speed) -> Table:
    """Lay out whether it fits, and apart from that whether it ends in time."""
    header = (
        "Variant",
        "Flash + SRAM",
        "Fits 4 MiB",
        "Fits 8 MiB",
        "Instructions\nper block",
        "Instructions\nper puzzle",
        "Counted by",
        f"Estimated s at\n{speed.mhz:g} MHz",
        f"Within\n{speed.patience:g} s",
    )
    rows = tuple(
        (
            r["scheme"],
            size_text(r["total"]),
            r["fits_4_mib"],
            r["fits_8_mib"],
            _millions(r["block_instructions"]),
            _millions(r["puzzle_instructions"]),
            r["counted_by"],
            f"{r['puzzle_seconds_estimate']:.3g}",
            "yes" if r["in_time"] else "no",
        )
        for r in found
    )
    return Table("Does it fit, does it end", header, rows, frozenset())


def notes(found: Sequence[Mapping[str, Any]], speed: Speed) -> list[str]:
    """Say what the numbers contain and what they do not."""
    said = {
        Counted.NOTHING.value: "code, variables and stack are not counted: no arm-none-eabi-gcc",
        Counted.FIRMWARE.value: "code and variables are the firmware's; those of the TFLM library"
        " are not counted (--tflm-lib counts them)",
        Counted.ESTIMATED.value: "code and variables are the firmware's, and an estimate for TFLM's"
        " by operator, about a tenth too large (--tflm-lib counts them)",
        Counted.ALL.value: "code and variables are all that is linked, TFLM among them",
    }
    first = [said[name] for name in dict.fromkeys(r["code_of"] for r in found)]
    return [
        *first,
        "fits: all = flash and SRAM together; SRAM = SRAM alone, weights executed from flash",
        f"time is an estimate: {speed.cpi:g} cycles per instruction, memory waits left out",
    ]


def report(
    source: LoadedModel,
    random: bool,
    speed: Speed,
    rows: Sequence[BoardRow],
    out: Path,
    console: Console,
) -> None:
    """Print the table and write summary.md and summary.csv."""
    c = source.config
    kind = "random weights, sizes only" if random else "one puzzle at a time"
    title = (
        f"{source.name} on Cortex-M55 ({kind}), {c.halt_max_steps} steps of"
        f" {c.H_cycles} H-cycles of {c.L_cycles} L-cycles"
    )
    found = [record(source, row, speed) for row in rows]
    made = (flash_table(found), sram_table(found), fit_table(found, speed))
    said = [f"- {line}" for line in notes(found, speed)]
    console.print(f"[bold]{title}[/bold]")
    for part in made:
        console.print(f"\n{part.title}", tables.to_rich(part))
    console.print("\n".join(said), soft_wrap=True, markup=False, highlight=False)
    pages = [f"# {title}", *map(tables.to_markdown, made), "\n".join(said)]
    (out / "summary.md").write_text("\n\n".join(pages) + "\n", encoding="utf-8")
    (out / "summary.csv").write_text(tables.to_csv(found), encoding="utf-8")
    console.print(f"rows, packages and table: {out}", soft_wrap=True, markup=False)


def _code_text(found: Mapping[str, Any]) -> str:
    if found["code_of"] == Counted.NOTHING.value:
        return "not counted"
    about = "about " if found["code_of"] == Counted.ESTIMATED.value else ""
    return about + size_text(found["flash_code"])


def _millions(count: int) -> str:
    return f"{count / 1e6:,.1f} M"
