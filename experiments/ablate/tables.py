"""From the rows of an ablation to numbers with errors: records, tables, a figure, files.

    read_ablation(folder)  what an ablation is and its rows
    records(...)           one flat record per variant: intervals, paired tests, facts (CSV)
    tables(...)            one `Table` per study
    paper_tables(...)      the paper's own tables, each number one of the records:
                           architectures  Table 10     context  Table 12     pruning   Table 13
                           student        Table 14     linear   App. J       survivors section 4.6
    split_figure(...)      cells right against puzzles right, for every intervention
    report(folder)         all of it on screen and as files in the folder

Only here are sums divided. A study's variants are compared on the shards that all of them have
finished; `puzzles` in a record says how many puzzles that are.

The figure has one line per variant, grouped by study: a ring for cell accuracy, a dot for exact
match, both with 95 % intervals, and the gap between them. Where local prediction survives and
global reasoning does not (section 4.6), the gap is wide.

Not here: tables of studies that were not run, the paper's own numbers (paper/tables.py).
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.console import Console

from experiments.ablate.rows import (
    AblationKey,
    AblationRow,
    AblationSpec,
    AblationStudy,
    PlannedVariant,
    ablation_folder,
)
from experiments.measurement.row_files import merge_folders
from experiments.measurement.shards import Moments, flags_of
from experiments.measurement.spec import finished_shards
from experiments.render import figures
from experiments.render.figures import STYLE, colour, figure_of
from experiments.render.tables import (
    Record,
    Table,
    p_text,
    points_text,
    print_tables,
    size_text,
    to_csv,
    to_markdown,
    with_error,
    with_interval,
)
from trm_jax import intervals
from trm_jax.intervals import Pairs, interval_fields, interval_of, one_minus_mean
from trm_jax.tasks.table import task_named

ROW = 0.19  # inches of a variant
GAP = 1.1  # rows between two studies
PUZZLES, CELLS = colour(4), colour(5)
NONE = "-"  # where a number has no meaning

Lookup = dict[str, Record]
"""Records of one study by variant."""


class Ablation(NamedTuple):
    """What was measured."""

    spec: AblationSpec
    rows: list[AblationRow]


def read_ablation(folder: Path) -> Ablation:
    """Read a folder of results.

    Raises:
      FileNotFoundError: it holds no ablation.
      ValueError: it is damaged.
    """
    return Ablation(*merge_folders([ablation_folder(folder)]))


def records(ablation: Ablation) -> list[Record]:
    """List one record per variant, in the order of the tables, study by study.

    Fields: study, variant, reference, puzzles; exact, lenient, cell, fidelity_one_step, fidelity,
    exact_difference, each with _low and _high (95 %; fidelity is None where states have other
    shapes); lost, gained, mcnemar_p against the reference; then the facts of the variant
    (`bytes`, `parameters`, ...) and its settings (`setting_share`, ...). Studies without a
    finished shard are left out.
    """
    spec = ablation.spec
    by_key = {row.key: row for row in ablation.rows}
    result = []
    for study in dict.fromkeys(each.study for each in spec.planned):
        mine = [each for each in spec.planned if each.study == study]
        for each in mine:
            if each.reference not in {other.variant for other in mine}:
                raise ValueError(
                    f"{study}: {each.variant} is compared with no variant of the study"
                )
        shards = finished_shards(spec.shards, [each.name for each in mine], by_key)
        outcome = {
            each.variant: [by_key[AblationKey(*each.name, *shard)] for shard in shards]
            for each in mine
        }
        if shards:
            result += [_record(spec, each, outcome) for each in mine]
    return result


def _record(
    spec: AblationSpec, planned: PlannedVariant, outcome: dict[str, list[AblationRow]]
) -> Record:
    rows, reference = outcome[planned.variant], outcome[planned.reference]
    num = sum(row.stop - row.start for row in rows)
    solved = flags_of(rows, "exact")
    pairs = intervals.pairs(flags_of(reference, "exact"), solved)
    is_reference = planned.variant == planned.reference
    change = intervals.UNCHANGED if is_reference else intervals.paired_difference(pairs)
    return {
        "study": planned.study,
        "variant": planned.variant,
        "reference": planned.reference,
        "puzzles": num,
        **interval_fields("exact", intervals.wilson(int(solved.sum()), num)),
        **interval_fields("lenient", intervals.wilson(int(flags_of(rows, "lenient").sum()), num)),
        **interval_fields("cell", one_minus_mean((row.cell_error for row in rows), num)),
        **_fidelity("fidelity_one_step", [row.infidelity_one_step for row in rows], num),
        **_fidelity("fidelity", [row.infidelity for row in rows], num),
        **interval_fields("exact_difference", change),
        "lost": pairs.lost,
        "gained": pairs.gained,
        "mcnemar_p": intervals.mcnemar(pairs),
        **rows[0].facts,
        **{f"setting_{k}": v for k, v in planned.settings.items()},
    }


def compare_variants(ablation: Ablation, study: str, reference: str, variant: str) -> Pairs | None:
    """Count the puzzles on which two variants of a study differ, of the shards that both finished.

    Returns:
      None if there are none.
    """
    rows = {row.key: row for row in ablation.rows}
    names = [(study, reference), (study, variant)]
    shards = finished_shards(ablation.spec.shards, names, rows)
    if not shards:
        return None
    flags = (
        flags_of([rows[AblationKey(*name, *shard)] for shard in shards], "exact") for name in names
    )
    return intervals.pairs(*flags)


def _fidelity(name: str, moments: Sequence[Moments | None], num: int) -> Record:
    measured = [each for each in moments if each is not None]
    if len(measured) < len(moments):
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"))
    return interval_fields(name, one_minus_mean(measured, num, floor=-1.0))


def tables(ablation: Ablation) -> list[Table]:
    """Lay out one table per study, with errors beside each number."""
    listed = records(ablation)
    studies = dict.fromkeys(record["study"] for record in listed)
    return [study_table(ablation.spec, [r for r in listed if r["study"] == s]) for s in studies]


def study_table(spec: AblationSpec, listed: Sequence[Record]) -> Table:
    """Lay out the variants of one study."""
    lenient = task_named(spec.task).has_second_score
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


def open_studies(ablation: Ablation) -> dict[str, int]:
    """Count the puzzles that studies have finished which are not done yet."""
    spec, rows = ablation
    done = {row.key for row in rows}
    variants: dict[str, list[tuple[str, str]]] = {}
    for each in spec.planned:
        variants.setdefault(each.study, []).append(each.name)
    counts = {
        study: sum(stop - start for start, stop in finished_shards(spec.shards, names, done))
        for study, names in variants.items()
    }
    return {study: count for study, count in counts.items() if count < spec.num_puzzles}


def paper_tables(spec: AblationSpec, listed: Sequence[Record]) -> list[Table]:
    """Lay out every table whose study was run."""
    studies: dict[str, Lookup] = {}
    for record in listed:
        studies.setdefault(record["study"], {})[record["variant"]] = record
    drawn = [make(spec, studies[study]) for study, make in TABLES.items() if study in studies]
    return [*drawn, survivors(spec, listed)]


def architectures(spec: AblationSpec, by_variant: Lookup) -> Table:
    """Lay out Table 10: one line per architecture."""
    models = dict.fromkeys(record["model"] for record in by_variant.values())
    header = (
        "Architecture",
        "FP32",
        "INT8",
        "INT4 naive",
        "INT4 calibrated",
        "Fidelity naive",
        "Fidelity calibrated",
    )
    rows = []
    for model in models:
        schemes = [
            by_variant[f"{model} {s}"] for s in ("fp32", "int8", "int4_naive", "int4_calibrated")
        ]
        fidelity = [with_error(interval_of(r, "fidelity_one_step")) for r in schemes[2:]]
        rows.append((f"{schemes[0]['architecture']}\n{model}", *map(_exact, schemes), *fidelity))
    return _table("Table 10: architectures, exact match", spec, by_variant, header, rows)


def context(spec: AblationSpec, by_variant: Lookup) -> Table:
    """Lay out Table 12: shares of the context, at one supervision step and at full depth."""
    depths = sorted({record["setting_steps"] for record in by_variant.values()})
    shares = sorted({record["setting_share"] for record in by_variant.values()}, reverse=True)
    at = {(r["setting_share"], r["setting_steps"]): r for r in by_variant.values()}
    rows = [(f"{share:.0%}", *(_exact(at[share, n]) for n in depths)) for share in shares]
    header = ("Context", *(f"PExact, n={n}" for n in depths))
    return _table("Table 12: context truncation", spec, by_variant, header, rows)


def pruning(spec: AblationSpec, by_variant: Lookup) -> Table:
    """Lay out Table 13: dense, 25 and 50 %; every linear, and the blocks alone."""
    header = ("Pruned", "0% PExact", "Cell", "25% PExact", "Cell", "50% PExact", "Cell")
    rows = []
    for where in dict.fromkeys(
        r["setting_where"] for r in by_variant.values() if "setting_where" in r
    ):
        cut = [r for r in by_variant.values() if r.get("setting_where") == where]
        cut = [by_variant["fp32"], *sorted(cut, key=lambda r: r["setting_share"])]
        rows.append((where, *(text for r in cut for text in (_exact(r), _cell(r)))))
    return _table("Table 13: structured pruning", spec, by_variant, header, rows)


def student(spec: AblationSpec, by_variant: Lookup) -> Table:
    """Lay out Table 14: the student beside its teacher."""
    header = ("Model", "Weights", "PExact", "Cell")
    rows = [
        ("teacher" if name == "fp32" else name, f"{r['parameters']:,.0f}", _exact(r), _cell(r))
        for name, r in by_variant.items()
    ]
    return _table("Table 14: knowledge distillation", spec, by_variant, header, rows)


def linear(spec: AblationSpec, by_variant: Lookup) -> Table:
    """Lay out App. J: softmax, the swap, the swap retrained."""
    rows = [(name, _exact(r), _cell(r)) for name, r in by_variant.items()]
    return _table(
        "App. J: linear attention", spec, by_variant, ("Attention", "PExact", "Cell"), rows
    )


def survivors(spec: AblationSpec, listed: Sequence[Record]) -> Table:
    """Lay out section 4.6: what each intervention leaves of cells and of puzzles.

    Sorted by the share of solved puzzles that is left; where the reference solves none there is
    no share.
    """
    references = {(r["study"], r["variant"]): r for r in listed}
    pairs = [(r, references[r["study"], r["reference"]]) for r in listed]
    changed = [(r, whole) for r, whole in pairs if r is not whole and whole["exact"] > 0]
    changed.sort(key=lambda pair: pair[0]["exact"] / pair[1]["exact"], reverse=True)
    rows = [
        (
            f"{r['study']}: {r['variant']}",
            f"{r['cell'] / whole['cell']:.1%}",
            f"{r['exact'] / whole['exact']:.1%}",
            _cell(r),
            _exact(r),
            p_text(r["mcnemar_p"]),
        )
        for r, whole in changed
    ]
    header = ("Intervention", "Cells kept", "Puzzles kept", "Cell", "PExact", "McNemar p")
    title = "Sec. 4.6: what survives, of the reference's cells and puzzles"
    return _table(title, spec, {r["variant"]: r for r, _ in changed}, header, rows)


TABLES: dict[str, Callable[[AblationSpec, Lookup], Table]] = {
    AblationStudy.MIXER.value: architectures,
    AblationStudy.TRUNCATION.value: context,
    AblationStudy.PRUNING.value: pruning,
    AblationStudy.DISTILLATION.value: student,
    AblationStudy.LINEAR_ATTENTION.value: linear,
}
"""Study -> its table in the paper's shape."""


def _table(
    title: str, spec: AblationSpec, by_variant: Lookup, header: Sequence[str], rows: Sequence[tuple]
) -> Table:
    sizes = sorted({record["puzzles"] for record in by_variant.values()})
    puzzles = " to ".join(str(n) for n in dict.fromkeys((sizes[0], sizes[-1]))) if sizes else "0"
    title = f"{title} ({spec.task}, {spec.model}, {puzzles} puzzles)"
    return Table(title, tuple(header), tuple(rows), frozenset())


def _exact(record: Record) -> str:
    return with_interval(interval_of(record, "exact"))


def _cell(record: Record) -> str:
    return with_error(interval_of(record, "cell"))


def split_figure(spec: AblationSpec, listed: Sequence[Record]) -> Figure:
    """Draw cells and puzzles right of every variant."""
    with mpl.rc_context(STYLE):
        places = row_places([record["study"] for record in listed])
        figure = figure_of(8.4, 1.5 + ROW * max(places))
        ax = figure.subplots()
        for place, record in zip(places, listed, strict=True):
            _draw(ax, place, record)
        _name_rows(ax, places, listed)
        figure.suptitle(
            f"Cells right and puzzles right, intervention by intervention\n"
            f"{spec.model} on {spec.data}, n = {listed[0]['puzzles']} puzzles\n"
            "bars: 95 % intervals; bold: what a study compares with",
            x=0.01,
            ha="left",
            fontsize=10,
        )
        return figure


def row_places(studies: Sequence[str]) -> list[float]:
    """Place rows from the top, with a gap before each new study."""
    places, place = [], 0.0
    for i, study in enumerate(studies):
        place += 1 + (GAP if i == 0 or study != studies[i - 1] else 0)
        places.append(place)
    return places


def _draw(ax: Axes, place: float, record: Record) -> None:
    cell, exact = interval_of(record, "cell"), interval_of(record, "exact")
    ax.plot([exact.value, cell.value], [place] * 2, color="#CCCCCC", linewidth=1.2, zorder=1)
    for interval, ink, face, name in (
        (cell, CELLS, "white", "cells right"),
        (exact, PUZZLES, PUZZLES, "puzzles right"),
    ):
        reach = [[interval.value - interval.low], [interval.high - interval.value]]
        ax.errorbar(
            interval.value,
            place,
            xerr=reach,
            color=ink,
            marker="o",
            markersize=5,
            markerfacecolor=face,
            linewidth=1.0,
            zorder=2,
            label=name if place == 1 + GAP else None,
        )


def _name_rows(ax: Axes, places: Sequence[float], listed: Sequence[Record]) -> None:
    ax.set_ylim(max(places) + 0.8, 0.2)
    ax.set_xlim(-0.02, 1.02)
    ax.set_yticks(places, [record["variant"] for record in listed], fontsize=7)
    for tick, record in zip(ax.get_yticklabels(), listed, strict=True):
        tick.set_fontweight("bold" if record["variant"] == record["reference"] else "normal")
    for place, record, before in zip(places, listed, [None, *listed], strict=False):
        if before is None or record["study"] != before["study"]:
            ax.text(-0.01, place - 0.75, record["study"], fontsize=8, style="italic")
    ax.set_xlabel("share right")
    ax.grid(axis="x", color="#EEEEEE", linewidth=0.8)
    ax.set_axisbelow(True)
    legend = ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=8)
    for text, ink in zip(legend.get_texts(), (CELLS, PUZZLES), strict=True):
        text.set_color(ink)


def report(folder: Path, console: Console) -> None:
    """Print all tables and write them into the folder.

    Raises:
      ValueError: nothing is finished yet, or the folder is damaged.
    """
    ablation = read_ablation(folder)
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
