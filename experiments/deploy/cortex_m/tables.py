"""From the rows of a deployment on a Cortex-M55 to its tables and files.

record(spec, row)   bytes with their sums, budgets, instructions, estimated seconds (CSV)
board_tables(...)   flash, SRAM, whether it fits and ends, what it answers; `read_tables` for the
                    report
report(folder)      all of it on screen and as files in the folder
"""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from experiments.deploy.cortex_m.rows import BoardRow, BoardSpec, Speed, board_folder
from experiments.measurement.row_files import ResultFolder, merge_folders
from experiments.render import tables
from experiments.render.tables import (
    Record,
    Table,
    digits_text,
    size_text,
    with_error,
    with_interval,
)
from export.cortex_m.build import Counted
from export.cortex_m.memory import BOARDS, BoardMemory
from quant.scheme import short_name
from trm_jax.intervals import interval_fields, interval_of

ANSWERS = "answers are the board's arithmetic, simulated bit for bit (fp32: as JAX computes it)"


def fit(row: BoardRow, board: BoardMemory) -> str:
    """Say whether a row fits a device: yes, or which memories are too small, and by how much."""
    missing = board.missing(row.flash, row.sram)
    if not missing:
        return "yes"
    return "no: " + ", ".join(f"{name} +{size:,} B" for name, size in missing.items())


def record(spec: BoardSpec, row: BoardRow) -> Record:
    """Lay one row out with its sums."""
    puzzle = row.counts.puzzle(spec.H_cycles, spec.L_cycles, spec.steps)
    seconds = spec.speed.seconds(puzzle)
    return {
        "scheme": short_name(row.scheme),
        **{f"flash_{k}": v for k, v in dataclasses.asdict(row.flash).items()},
        "flash_total": row.flash.total,
        **{f"sram_{k}": v for k, v in dataclasses.asdict(row.sram).items()},
        "sram_total": row.sram.total,
        "total": row.flash.total + row.sram.total,
        "graphs": row.graphs,
        "code_of": row.counted.value,
        **{_fits(board): fit(row, board) for board in BOARDS},
        "block_instructions": row.update_L,
        "puzzle_instructions": puzzle,
        "counted_by": row.counted_by,
        "mhz": spec.speed.mhz,
        "cpi": spec.speed.cpi,
        "puzzle_seconds_estimate": seconds,
        **(answered := _answer_fields(spec, row) if row.answers is not None else {}),
        "in_time": in_time(
            spec.speed, seconds, answered.get("mean_seconds_estimate"), answered.get("solved")
        ),
    }


def in_time(speed: Speed, full: float, mean: float | None, solved: int | None) -> str:
    """Say whether a puzzle ends within the patience, on every kind of board.

    Args:
      full, mean: seconds of a puzzle at full depth, and at the mean depth where halting ends
        puzzles; solved: puzzles that are exact at full depth; None: nothing is answered.

    Returns:
      `yes`: at full depth; `halting`: at the mean depth alone; `no`. What answers nothing right
      ends in no useful time: `, wrong` is added.
    """
    if full > speed.patience and (mean is None or mean > speed.patience):
        return "no"
    ends = "yes" if full <= speed.patience else "halting"
    return f"{ends}, wrong" if solved == 0 else ends


def _answer_fields(spec: BoardSpec, row: BoardRow) -> Record:
    """Lay out what a board answers, and what a puzzle takes with its rule of halting."""
    answers = row.answers
    assert answers is not None
    late = answers.late_steps

    def seconds(count: float) -> float:
        one = row.counts.puzzle(spec.H_cycles, spec.L_cycles, 1)
        more = row.counts.puzzle(spec.H_cycles, spec.L_cycles, 2) - one
        return spec.speed.seconds(round(one + (count - 1) * more))

    return {
        "puzzles": answers.puzzles,
        "solved": answers.solved,
        **interval_fields("exact", answers.exact_rate),
        **interval_fields("fidelity", answers.fidelity),
        "halting": spec.halting,
        **interval_fields("halted_exact", answers.halted_rate),
        "mean_steps": answers.mean_steps,
        "late_steps": late,
        "mean_seconds_estimate": seconds(answers.mean_steps),
        "late_seconds_estimate": seconds(late),
    }


def flash_table(listed: Sequence[Record]) -> Table:
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
        for r in listed
    )
    return Table("Flash", header, rows, frozenset())


def sram_table(listed: Sequence[Record]) -> Table:
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
        for r in listed
    )
    return Table("SRAM", header, rows, frozenset())


def fit_table(listed: Sequence[Record], speed: Speed) -> Table:
    """Lay out whether it fits, and apart from that whether it ends in time."""
    header = (
        "Variant",
        "Flash",
        "SRAM",
        *(f"Fits\n{board.name}" for board in BOARDS),
        "Instructions\nper block",
        "Instructions\nper puzzle",
        "Counted by",
        f"Estimated s at\n{speed.mhz:g} MHz",
        f"Within\n{speed.patience:g} s",
    )
    rows = tuple(
        (
            r["scheme"],
            size_text(r["flash_total"]),
            size_text(r["sram_total"]),
            *(r[_fits(board)] for board in BOARDS),
            _millions(r["block_instructions"]),
            _millions(r["puzzle_instructions"]),
            r["counted_by"],
            digits_text(r["puzzle_seconds_estimate"]),
            r["in_time"],
        )
        for r in listed
    )
    return Table("Does it fit, does it end", header, rows, frozenset())


def answers_table(listed: Sequence[Record]) -> Table:
    """Lay out what the board's arithmetic answers, at full depth and with its rule of halting."""
    header = (
        "Variant",
        "PExact",
        "Fidelity",
        "Halting",
        "PExact,\nhalting",
        "Steps\nmean",
        "Steps\n95th percentile",
        "Estimated s,\nmean",
        "Estimated s,\n95th percentile",
    )
    rows = tuple(
        (
            r["scheme"],
            with_interval(interval_of(r, "exact")),
            with_error(interval_of(r, "fidelity")),
            r["halting"],
            with_interval(interval_of(r, "halted_exact")),
            f"{r['mean_steps']:.2f}",
            str(r["late_steps"]),
            digits_text(r["mean_seconds_estimate"]),
            digits_text(r["late_seconds_estimate"]),
        )
        for r in listed
        if "puzzles" in r
    )
    num = max((r["puzzles"] for r in listed if "puzzles" in r), default=0)
    return Table(f"What it answers, {num} puzzles", header, rows, frozenset())


IN_TIME = (
    "in time: `yes` at full depth, `halting` at the mean depth where halting ends puzzles;"
    " `wrong`: no puzzle is right at full depth"
)


def notes(listed: Sequence[Record], speed: Speed) -> list[str]:
    """Write what the numbers contain and what they do not."""
    texts = {
        Counted.NOTHING.value: "code, variables and stack are not counted: no arm-none-eabi-gcc",
        Counted.FIRMWARE.value: "code and variables are the firmware's; those of the TFLM library"
        " are not counted (--tflm-lib counts them)",
        Counted.ESTIMATED.value: "code and variables are the firmware's, and an estimate for TFLM's"
        " by operator, about a tenth too large (--tflm-lib counts them)",
        Counted.ALL.value: "code and variables are all that is linked, TFLM among them",
    }
    first = [texts[name] for name in dict.fromkeys(r["code_of"] for r in listed)]
    return [
        *first,
        "fits: every memory of the device holds its part, weights executed from flash; STM32N6 has"
        " no flash of its own, its board's is not counted",
        f"time is an estimate: {speed.cpi:g} cycles per instruction, memory waits left out",
        IN_TIME,
        *([ANSWERS] if any("puzzles" in r for r in listed) else []),
    ]


def board_tables(listed: Sequence[Record], speed: Speed) -> list[Table]:
    """Lay out flash, SRAM, whether it fits and ends, and what it answers if that was asked."""
    drawn = [flash_table(listed), sram_table(listed), fit_table(listed, speed)]
    answers = answers_table(listed)
    return [*drawn, answers] if answers.rows else drawn


def read_tables(folder: Path) -> list[Table]:
    """Lay out the tables of a folder, under the title of the deployment.

    Raises:
      FileNotFoundError: it holds no deployment.
      ValueError: it is damaged, or nothing is finished.
    """
    spec, listed = read_records(board_folder(folder), record)
    drawn = board_tables(listed, spec.speed)
    return [dataclasses.replace(part, title=f"{part.title}: {spec.title}") for part in drawn]


def report(folder: Path, console: Console) -> None:
    """Print the tables of a folder and write summary.md and summary.csv into it.

    Raises:
      FileNotFoundError, ValueError: as `read_tables`.
    """
    spec, listed = read_records(board_folder(folder), record)
    drawn, remarks = board_tables(listed, spec.speed), notes(listed, spec.speed)
    write_summary(folder, spec.title, drawn, remarks, listed, console)
    console.print(f"rows, packages and table: {folder}", soft_wrap=True)


def write_summary(
    folder: Path,
    title: str,
    drawn: Sequence[Table],
    remarks: Sequence[str],
    listed: Sequence[Record],
    console: Console,
) -> None:
    """Print tables and remarks; write them as summary.md, and the records as summary.csv."""
    text = "\n".join(f"- {line}" for line in remarks)
    console.print(Text(title, style="bold"))
    for part in drawn:
        console.print(f"\n{part.title}")
        tables.print_table(part, console)
    console.print(text, soft_wrap=True)
    pages = [f"# {title}", *map(tables.to_markdown, drawn), text]
    (folder / "summary.md").write_text("\n\n".join(pages) + "\n", encoding="utf-8")
    (folder / "summary.csv").write_text(tables.to_csv(listed), encoding="utf-8")


def read_records(
    folder: ResultFolder, record: Callable[[Any, Any], Record]
) -> tuple[Any, list[Record]]:
    """Read a deployment's folder: its spec, and a record of every finished row in their order.

    Raises:
      FileNotFoundError: it holds no deployment.
      ValueError: it is damaged, or nothing is finished.
    """
    spec, rows = merge_folders([folder])
    finished = {row.key: row for row in rows}
    listed = [record(spec, finished[key]) for key in spec.work_keys() if key in finished]
    if not listed:
        raise ValueError(f"{folder.path} is not finished: it has no rows; run its command again")
    return spec, listed


def _fits(board: BoardMemory) -> str:
    """Name the column of a device."""
    return "fits_" + board.name.lower().replace(" ", "_")


def _code_text(record: Record) -> str:
    if record["code_of"] == Counted.NOTHING.value:
        return "not counted"
    about = "about " if record["code_of"] == Counted.ESTIMATED.value else ""
    return about + size_text(record["flash_code"])


def _millions(count: int) -> str:
    return f"{count / 1e6:,.1f} M"
