"""From the rows of an ablation to numbers with errors: records, tables, files.

    read(folder)     what an ablation is and its rows
    records(...)     one flat record per variant: intervals, paired tests, facts (CSV, reports)
    tables(...)      one `tables.Table` per study (in the paper's shape: ablation_paper.py)
    report(folder)   all of it on screen and as files in the folder

Only here are sums divided. A study's variants are compared on the shards that all of them have
finished; `puzzles` in a record says how many puzzles that are.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console

from experiments import figures, statistics
from experiments.ablation_figure import split_figure
from experiments.ablation_paper import paper_tables
from experiments.ablation_rows import AblationRow, RowKey, finished_shards, read_rows, read_spec
from experiments.ablation_spec import AblationSpec, Planned
from experiments.analysis import clipped
from experiments.results import Moments, from_hex
from experiments.statistics import Interval
from experiments.tables import (
    Record,
    Table,
    fields,
    interval_of,
    p_text,
    points_text,
    print_tables,
    size_text,
    to_csv,
    to_markdown,
    with_error,
    with_interval,
)
from experiments.tasks import LENIENT, Task

NONE = "-"  # where a number has no meaning


class Ablation(NamedTuple):
    """What was measured."""

    spec: AblationSpec
    rows: list[AblationRow]


def read(folder: Path) -> Ablation:
    """Read a folder of results.

    Raises:
      FileNotFoundError: it holds no ablation.
      ValueError: it is damaged.
    """
    spec = read_spec(folder)
    return Ablation(spec, read_rows(folder, spec))


def records(ablation: Ablation) -> list[Record]:
    """List one record per variant, in the order of the tables, study by study.

    Fields: study, variant, reference, puzzles; exact, lenient, cell, fidelity_one_step, fidelity,
    exact_difference, each with _low and _high (95 %; fidelity is None where states have other
    shapes); lost, gained, mcnemar_p against the reference; then the facts of the variant
    (`bytes`, `parameters`, ...) and its settings (`setting_share`, ...). Studies without a
    finished shard are left out.
    """
    spec = ablation.spec
    found = {row.key: row for row in ablation.rows}
    result = []
    for study in dict.fromkeys(each.study for each in spec.planned):
        shards = finished_shards(spec, ablation.rows, study)
        mine = [each for each in spec.planned if each.study == study]
        outcome = {
            each.variant: [found[RowKey(*each.name, *shard)] for shard in shards] for each in mine
        }
        if shards:
            result += [_record(spec, each, outcome) for each in mine]
    return result


def tables(ablation: Ablation) -> list[Table]:
    """Lay out one table per study, with errors beside each number."""
    listed = records(ablation)
    studies = dict.fromkeys(record["study"] for record in listed)
    return [study_table(ablation.spec, [r for r in listed if r["study"] == s]) for s in studies]


def study_table(spec: AblationSpec, listed: Sequence[Record]) -> Table:
    """Lay out the variants of one study."""
    lenient = LENIENT[Task(spec.task)] is not None
    header = [
        "Variant",
        "Size",
        "Weights",
        "PExact",
        "Lenient",
        "Cell",
        "Fidelity\n1 step",
        "Fidelity\nfull depth",
        "PExact - reference,\npp",
        "McNemar p",
    ]
    rows, sections = [], set()
    for record in listed:
        if record["variant"] == record["reference"] and rows:
            sections.add(len(rows))
        rows.append(_cells(record))
    if not lenient:
        for row in (header, *rows):
            del row[4]
    title = f"{listed[0]['study']}: {spec.model} on {spec.data}, {listed[0]['puzzles']} puzzles"
    return Table(title, tuple(header), tuple(map(tuple, rows)), frozenset(sections))


def open_studies(ablation: Ablation) -> dict[str, int]:
    """Count the puzzles that studies have finished which are not done yet."""
    spec, rows = ablation
    studies = dict.fromkeys(each.study for each in spec.planned)
    found = {
        s: sum(stop - start for start, stop in finished_shards(spec, rows, s)) for s in studies
    }
    return {study: count for study, count in found.items() if count < spec.num_puzzles}


def report(folder: Path, console: Console) -> None:
    """Print all tables and write them into the folder.

    Raises:
      ValueError: nothing is finished yet, or the folder is damaged.
    """
    ablation = read(folder)
    listed = records(ablation)
    if not listed:
        raise ValueError(f"{folder}: no shard is finished for any study yet; go on with --resume")
    drawn = [*tables(ablation), *paper_tables(ablation.spec, listed)]
    print_tables(drawn, console)
    names = dict.fromkeys(name for record in listed for name in record)
    whole = [{name: record.get(name) for name in names} for record in listed]
    (folder / "ablation.csv").write_text(to_csv(whole), encoding="utf-8")
    (folder / "ablation.md").write_text("\n".join(map(to_markdown, drawn)), encoding="utf-8")
    figures.save(split_figure(ablation.spec, listed), folder / "split")
    for study, count in open_studies(ablation).items():
        console.print(
            f"{study}: {count} of {ablation.spec.num_puzzles} puzzles are finished for every"
            " variant: --resume goes on"
        )
    console.print(f"rows, tables and figure: {folder}", soft_wrap=True)


def _record(spec: AblationSpec, planned: Planned, outcome: dict[str, list[AblationRow]]) -> Record:
    rows, reference = outcome[planned.variant], outcome[planned.reference]
    num = sum(row.stop - row.start for row in rows)
    solved = _flags(rows, "exact")
    pairs = statistics.pairs(_flags(reference, "exact"), solved)
    return {
        "study": planned.study,
        "variant": planned.variant,
        "reference": planned.reference,
        "puzzles": num,
        **fields("exact", statistics.wilson(int(solved.sum()), num)),
        **fields("lenient", statistics.wilson(int(_flags(rows, "lenient").sum()), num)),
        **fields("cell", _complement((row.cell_error for row in rows), num, 0.0)),
        **_fidelity("fidelity_one_step", [row.infidelity_one_step for row in rows], num),
        **_fidelity("fidelity", [row.infidelity for row in rows], num),
        **fields("exact_difference", statistics.bootstrap_difference(pairs, spec.seed)),
        "lost": pairs.lost,
        "gained": pairs.gained,
        "mcnemar_p": statistics.mcnemar(pairs),
        **rows[0].facts,
        **{f"setting_{k}": v for k, v in planned.settings.items()},
    }


def _cells(record: Record) -> list[str]:
    is_reference = record["variant"] == record["reference"]
    fidelity = [
        NONE if record[name] is None else with_error(interval_of(record, name))
        for name in ("fidelity_one_step", "fidelity")
    ]
    return [
        record["variant"],
        size_text(record["bytes"]),
        f"{record['parameters']:,.0f}",
        with_interval(interval_of(record, "exact")),
        with_interval(interval_of(record, "lenient")),
        with_error(interval_of(record, "cell")),
        *fidelity,
        "" if is_reference else points_text(interval_of(record, "exact_difference")),
        "" if is_reference else p_text(record["mcnemar_p"]),
    ]


def _flags(rows: Iterable[AblationRow], name: str) -> np.ndarray:
    return np.concatenate([from_hex(getattr(row, name), row.stop - row.start) for row in rows])


def _fidelity(name: str, moments: Sequence[Moments | None], num: int) -> Record:
    known = [each for each in moments if each is not None]
    if len(known) < len(moments):
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"))
    return fields(name, _complement(known, num, -1.0))


def _complement(moments: Iterable[Moments], num: int, floor: float) -> Interval:
    totals, squares = zip(*moments, strict=True)
    return clipped(statistics.complement(statistics.mean(sum(totals), sum(squares), num)), floor)
