"""The report of a comparison: two tables, their records, and two figures.

    comparison.md, .csv     every contestant under every scheme: exact match, what it was paired
                            with, depth, costs
    fidelity.md, .csv       cosine to full precision along its text and along each one's own, and
                            how often text or answer stayed the same
    costs.png/.svg          exact match against GFLOPs, bytes read and state
    depth.png/.svg          exact match under hard caps, and how deep puzzles went

Not here: how a table or figure is drawn (experiments/render, figures.py), how a rate is estimated
(trm_jax/intervals.py).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from experiments.decode.figures import cost_figure, depth_figure
from experiments.decode.outcomes import (
    Comparison,
    DecodeOutcome,
    compare,
    comparison,
    order_schemes,
)
from experiments.decode.rows import (
    TIMED_PUZZLES,
    TIMINGS,
    TOKENS,
    DecodeRow,
    DecodeSpec,
    decode_folder,
)
from experiments.measurement.row_files import read_records
from experiments.render import figures, tables
from experiments.render.tables import (
    Record,
    Table,
    digits_text,
    p_text,
    points_text,
    size_text,
    with_error,
    with_interval,
)
from quant.scheme import label
from trm_jax.intervals import interval_fields, interval_of
from trm_jax.tasks.table import task_named

KINDS = {"model": str, "seconds": float}
"""Fields of a timing."""


def comparison_records(measured: Comparison, seconds: Mapping[str, float]) -> list[Record]:
    """Lay out all numbers, scheme by scheme.

    Args:
      seconds: of a puzzle answered alone in full precision, by contestant.
    """
    return [
        _record(measured, outcome, seconds)
        for scheme in measured.spec.schemes
        for outcome in measured.under(scheme)
    ]


def _record(measured: Comparison, outcome: DecodeOutcome, seconds: Mapping[str, float]) -> Record:
    spec, name = measured.spec, outcome.contestant.name
    full = compare(measured.find(name, spec.reference), outcome)[0]
    first = measured.under(outcome.scheme)[0]
    across, p = compare(first, outcome)
    timed = seconds.get(name) if outcome.scheme == spec.reference else None
    return {
        "contestant": name,
        "scheme": label(outcome.scheme, spec.dtype),
        "puzzles": outcome.num_puzzles,
        **interval_fields("exact", outcome.exact),
        **interval_fields("to_full_precision", full),
        **interval_fields("to_first", across),
        "mcnemar_p": p,
        **interval_fields("lenient", outcome.rate("lenient")),
        **interval_fields("cells", outcome.cells),
        "unit": outcome.contestant.unit,
        **interval_fields("depth", outcome.mean_depth),
        "depth_95": outcome.late_depth,
        "gflops": outcome.gflops,
        "bytes": outcome.size,
        "bytes_read": outcome.bytes_read,
        "state_bytes": outcome.state_bytes,
        "energy_mj": outcome.energy,
        "seconds_alone": timed,
    }


def comparison_table(measured: Comparison, records: Sequence[Record]) -> Table:
    """Lay contestants out side by side, a section for every scheme."""
    spec, count = measured.spec, len(measured.spec.contestants)
    first = spec.contestants[0].name
    second = ("lenient",) if task_named(spec.task).has_second_score else ()
    header = (
        "Scheme\ncontestant",
        "PExact",
        "- full\nprecision, pp",
        f"- {first}\npp (McNemar p)",
        *("Lenient" for _ in second),
        "Cell",
        "Depth: mean\n(95 % of puzzles)",
        "GFLOPs",
        "Stored",
        "Read",
        "State",
        "mJ",
        f"Alone, ms\n(median of {TIMED_PUZZLES})",
    )
    rows = [_cells(record, i % count == 0, i < count, second) for i, record in enumerate(records)]
    title = f"Recursion and tokens on {spec.data}, {measured.num_puzzles} puzzles"
    return Table(title, header, tuple(rows), frozenset(range(0, len(rows), count)))


def _cells(
    record: Record, is_first: bool, is_full: bool, second: tuple[str, ...]
) -> tuple[str, ...]:
    across = points_text(interval_of(record, "to_first")).split("\n")
    paired = f"{across[0]} (p {p_text(record['mcnemar_p'])})\n{across[1]}"
    alone = record["seconds_alone"]
    return (
        f"{record['scheme']}\n{record['contestant']}",
        with_interval(interval_of(record, "exact")),
        "" if is_full else points_text(interval_of(record, "to_full_precision")),
        "" if is_first else paired,
        *(with_interval(interval_of(record, name)) for name in second),
        with_error(interval_of(record, "cells")),
        f"{record['depth']:.1f} {record['unit']}\n({record['depth_95']})",
        digits_text(record["gflops"]),
        size_text(record["bytes"]),
        size_text(round(record["bytes_read"])),
        size_text(round(record["state_bytes"])),
        digits_text(record["energy_mj"]),
        "" if alone is None else f"{1e3 * alone:.1f}",
    )


def fidelity_records(measured: Comparison) -> list[Record]:
    """Lay out cosines and what stayed the same, without full precision, which is itself."""
    spec = measured.spec
    return [
        {
            "contestant": outcome.contestant.name,
            "scheme": label(outcome.scheme, spec.dtype),
            **interval_fields("fidelity", outcome.fidelity),
            **free_fields(outcome),
            **interval_fields("same", outcome.rate("same")),
            **interval_fields("ended", outcome.rate("ended")),
            **interval_fields(
                "to_full_precision",
                compare(measured.find(outcome.contestant.name, spec.reference), outcome)[0],
            ),
        }
        for outcome in measured.outcomes
        if outcome.scheme != spec.reference
    ]


def free_fields(outcome: DecodeOutcome) -> Record:
    """Lay out the free-running fidelity; empty where a contestant has none."""
    free = outcome.free_fidelity
    names = interval_fields("free_fidelity", outcome.fidelity)
    return dict.fromkeys(names) if free is None else interval_fields("free_fidelity", free)


def free_text(record: Record) -> str:
    """Write the free-running fidelity of a record."""
    if record["free_fidelity"] is None:
        return ""
    return with_error(interval_of(record, "free_fidelity"))


def fidelity_table(measured: Comparison, records: Sequence[Record]) -> Table:
    """Set fidelity beside what it is to predict, contestant by contestant."""
    header = (
        "Contestant\nscheme",
        "Fidelity",
        "Free-running",
        "Same text\nor answer",
        "Stopped, or\nrules obeyed",
        "PExact - full\nprecision, pp",
    )
    rows = tuple(
        (
            f"{record['contestant']}\n{record['scheme']}",
            with_error(interval_of(record, "fidelity")),
            free_text(record),
            with_interval(interval_of(record, "same")),
            with_interval(interval_of(record, "ended")),
            points_text(interval_of(record, "to_full_precision")),
        )
        for record in records
    )
    count = len(measured.spec.schemes) - 1
    title = (
        "Fidelity: of z_H after as many H-cycles; of last states along full precision's text, and"
        f" (free-running) along each one's own, {measured.num_puzzles} puzzles"
    )
    return Table(title, header, rows, frozenset(range(0, len(rows), max(count, 1))))


def ordering_table(measured: Comparison) -> Table:
    """Show how fidelity orders schemes by exact match, which it does not see."""
    rows = []
    for contestant in measured.spec.contestants:
        name = contestant.name
        outcomes = [measured.find(name, scheme) for scheme in measured.spec.schemes]
        forced = order_schemes(outcomes, lambda outcome: outcome.fidelity.value)
        own = order_schemes(outcomes, lambda outcome: outcome.own_fidelity.value)
        is_free = all(outcome.free_fidelity is not None for outcome in outcomes)
        ordered = f"{own.alike:g}" if is_free else ""
        rows.append((name, str(forced.pairs), f"{forced.alike:g}", ordered))
    header = (
        "Contestant",
        "Pairs of schemes\nof unlike PExact",
        "Fidelity\norders",
        "Free-running\norders",
    )
    title = (
        f"How many pairs fidelity puts in the order of exact match, {measured.num_puzzles} puzzles"
    )
    return Table(title, header, tuple(rows), frozenset())


def read_seconds(out: Path, spec: DecodeSpec) -> dict[str, float]:
    """Read how long a puzzle took alone, by contestant; nothing where nobody timed it.

    Raises:
      ValueError: the file is damaged.
    """
    file = out / TIMINGS
    if not file.exists():
        return {}
    timed = read_records(file, "delete it and --resume with one more puzzle", KINDS)
    seconds = {record["model"]: record["seconds"] for record in timed}
    return {c.name: seconds[c.name] for c in spec.contestants if c.name in seconds}


def read_tables(folder: Path) -> list[Table]:
    """Lay out the tables of a comparison from its rows.

    Raises:
      FileNotFoundError: the folder holds none.
      ValueError: it is damaged or not finished.
    """
    files = decode_folder(folder)
    spec = files.read_spec()
    measured = comparison(spec, files.read_rows(spec))
    table = comparison_table(measured, comparison_records(measured, read_seconds(folder, spec)))
    faithful = fidelity_records(measured)
    if not faithful:
        return [table]
    return [table, fidelity_table(measured, faithful), ordering_table(measured)]


def write_report(spec: DecodeSpec, rows: Sequence[DecodeRow], out: Path, console: Console) -> None:
    """Print the tables and write all files of a report.

    Raises:
      ValueError: no shard is finished for every contestant.
    """
    measured = comparison(spec, rows)
    records = comparison_records(measured, read_seconds(out, spec))
    table = comparison_table(measured, records)
    faithful = fidelity_records(measured)
    shown, files = [table], {}
    if faithful:
        fidelity = fidelity_table(measured, faithful)
        shown += [fidelity, ordering_table(measured)]
        files["fidelity.md"] = "\n".join(map(tables.to_markdown, shown[1:]))
        files["fidelity.csv"] = tables.to_csv(faithful)
    tables.print_tables(shown, console)
    files["comparison.md"] = tables.to_markdown(table)
    files["comparison.csv"] = tables.to_csv(records)
    for name, text in files.items():
        (out / name).write_text(text, encoding="utf-8")
    figures.save(cost_figure(measured), out / "costs")
    if any(each.unit == TOKENS for each in spec.contestants):
        figures.save(depth_figure(measured), out / "depth")
    console.print(f"rows, tables and figures: {out}", soft_wrap=True)
