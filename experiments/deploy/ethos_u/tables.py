"""The tables of a deployment on an Ethos-U: rows to seconds, memory and answers.

record(spec, row)   one row of the tables, with its seconds
read_tables(folder) for the report
report(folder)      all of it on screen and as files in the folder
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from experiments.deploy.cortex_m.tables import IN_TIME, in_time, read_records, write_summary
from experiments.deploy.ethos_u.rows import AcceleratorRow, AcceleratorSpec, accelerator_folder
from experiments.render.tables import Record, Table, digits_text, size_text, with_interval
from quant.scheme import short_name
from trm_jax.intervals import interval_fields, interval_of

NONE = "-"


def record(spec: AcceleratorSpec, row: AcceleratorRow) -> Record:
    """Lay one row out with its seconds."""
    cycles = spec.H_cycles, spec.L_cycles
    step = row.npu_seconds(row.npu.puzzle(*cycles, 1)) + spec.speed.seconds(
        row.cpu.puzzle(*cycles, 1)
    )
    full = step * spec.steps
    answers = row.answers
    mean = None if answers is None else step * answers.mean_steps
    values: Record = {
        "scheme": short_name(row.scheme),
        "accelerator": row.accelerator.value,
        "system_config": row.accelerator.system_config,
        "npu_mhz": row.clock_mhz,
        "npu_block_ms_vela": row.npu_seconds(row.npu.update_L) * 1e3,
        "cpu_block_instructions_model": row.cpu.update_L,
        "cpu_block_ms_model": spec.speed.seconds(row.cpu.update_L) * 1e3,
        "cpu_mhz": spec.speed.mhz,
        "cpi": spec.speed.cpi,
        "puzzle_seconds_estimate": full,
        "mean_seconds_estimate": mean,
        "in_time": in_time(spec.speed, full, mean, None if answers is None else answers.solved),
        "cpu_operators": row.cpu_operators,
        "npu_calls": row.npu_calls,
        "sram_bytes_vela": row.sram_bytes,
        "constant_bytes_vela": row.constant_bytes,
        "num_puzzles": spec.num_puzzles,
        "halting": spec.halting,
        "mean_steps": None if answers is None else answers.mean_steps,
        "late_steps": None if answers is None else answers.late_steps,
    }
    if answers is not None:
        values |= interval_fields("exact", answers.exact_rate)
        values |= interval_fields("halted_exact", answers.halted_rate)
        values |= interval_fields("fidelity", answers.fidelity)
    return values


def time_table(spec: AcceleratorSpec, listed: Sequence[Record]) -> Table:
    """Lay out the time of a puzzle."""
    header = (
        "Variant",
        "Accelerator",
        "NPU ms/block\n(Vela)",
        f"CPU ms/block\n(model, {spec.speed.mhz:g} MHz)",
        f"s/puzzle,\n{spec.steps} steps",
        "s/puzzle,\nhalting",
        f"Within\n{spec.speed.patience:g} s",
    )
    rows = tuple(
        (
            r["scheme"],
            r["accelerator"],
            digits_text(r["npu_block_ms_vela"]),
            digits_text(r["cpu_block_ms_model"]),
            digits_text(r["puzzle_seconds_estimate"]),
            NONE if r["mean_steps"] is None else digits_text(r["mean_seconds_estimate"]),
            r["in_time"],
        )
        for r in listed
    )
    return Table("Estimated time", header, rows, _sections(listed))


def memory_table(listed: Sequence[Record]) -> Table:
    """Lay out memory, and where operators run."""
    header = (
        "Variant",
        "Accelerator",
        "SRAM\n(Vela)",
        "Constants\n(Vela)",
        "NPU calls\nper block",
        "Operators\non the CPU",
    )
    rows = tuple(
        (
            r["scheme"],
            r["accelerator"],
            size_text(r["sram_bytes_vela"]),
            size_text(r["constant_bytes_vela"]),
            str(r["npu_calls"]),
            str(r["cpu_operators"]),
        )
        for r in listed
    )
    return Table("Memory and operators", header, rows, _sections(listed))


def answer_table(listed: Sequence[Record]) -> Table:
    """Lay out what is answered; the accelerator does not matter to the simulation."""
    first = {r["scheme"]: r for r in reversed(listed)}
    rows = tuple(
        (
            r["scheme"],
            with_interval(interval_of(r, "exact")),
            with_interval(interval_of(r, "fidelity")),
            with_interval(interval_of(r, "halted_exact")),
            r["halting"],
            f"{r['mean_steps']:.2f}",
            str(r["late_steps"]),
            str(r["num_puzzles"]),
        )
        for r in reversed(first.values())
    )
    header = (
        "Variant",
        "Exact,\nfull depth",
        "Fidelity",
        "Exact,\nhalting",
        "Halting",
        "Steps\nmean",
        "Steps\n95th percentile",
        "n",
    )
    return Table("Answers in the device's integers", header, rows, frozenset())


def notes(spec: AcceleratorSpec, listed: Sequence[Record]) -> list[str]:
    """Write where the numbers come from and what they do not contain."""
    answers = (
        "answers are the simulation's, whose bits TFLM's interpreter has for the file that Vela"
        " read; that an NPU has them too was not verified"
    )
    return [
        f"NPU: estimates of Vela {spec.vela}, memory mode Shared_Sram, clock and memory of "
        + ", ".join(dict.fromkeys(f"{r['system_config']}" for r in listed)),
        f"CPU: operators that Vela leaves there, by the operator model of a Cortex-M55,"
        f" {spec.speed.cpi:g} cycles per instruction; memory waits, starts of the NPU and the loop"
        " around the graphs left out; nothing runs at the same time",
        "energy is left out: no public figure for these accelerators is known here",
        IN_TIME,
        answers if spec.num_puzzles else "random weights: nothing is answered",
    ]


def deployment_tables(spec: AcceleratorSpec, listed: Sequence[Record]) -> list[Table]:
    """Lay out time, memory, and answers where there are any."""
    answered = [answer_table(listed)] if spec.num_puzzles else []
    return [time_table(spec, listed), memory_table(listed), *answered]


def read_tables(folder: Path) -> list[Table]:
    """Lay out the tables of a folder, under the title of the deployment.

    Raises:
      FileNotFoundError: it holds no deployment.
      ValueError: it is damaged, or nothing is finished.
    """
    spec, listed = read_records(accelerator_folder(folder), record)
    drawn = deployment_tables(spec, listed)
    return [dataclasses.replace(part, title=f"{part.title}: {spec.title}") for part in drawn]


def report(folder: Path, console: Console) -> None:
    """Print the tables of a folder and write summary.md and summary.csv into it.

    Raises:
      FileNotFoundError, ValueError: as `read_tables`.
    """
    spec, listed = read_records(accelerator_folder(folder), record)
    drawn, remarks = deployment_tables(spec, listed), notes(spec, listed)
    write_summary(folder, spec.title, drawn, remarks, listed, console)
    console.print(f"rows, exports and table: {folder}", soft_wrap=True)


def _sections(listed: Sequence[Record]) -> frozenset[int]:
    """Begin a group with every scheme."""
    names = [r["scheme"] for r in listed]
    return frozenset(i for i in range(1, len(names)) if names[i] != names[i - 1])
