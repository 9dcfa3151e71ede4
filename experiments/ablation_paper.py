"""The tables of the paper that an ablation answers, in the paper's own shape.

    architectures   Table 10     context   Table 12     pruning   Table 13
    student         Table 14     linear    App. J       survivors   section 4.6

Each is laid out from `ablation_tables.records`, so a number here is one of those there. A table
whose study was not run is left out. The paper's own numbers are in paper.py.
"""

from collections.abc import Callable, Sequence

from experiments.ablation_spec import AblationSpec
from experiments.tables import Record, Table, interval_of, p_text, with_error, with_interval

Lookup = dict[str, Record]
"""Records of one study by variant."""


def paper_tables(spec: AblationSpec, listed: Sequence[Record]) -> list[Table]:
    """Lay out every table whose study was run."""
    studies: dict[str, Lookup] = {}
    for record in listed:
        studies.setdefault(record["study"], {})[record["variant"]] = record
    drawn = [make(spec, studies[study]) for study, make in TABLES.items() if study in studies]
    return [*drawn, survivors(spec, listed)]


def architectures(spec: AblationSpec, found: Lookup) -> Table:
    """Lay out Table 10: one line per architecture."""
    models = dict.fromkeys(record["model"] for record in found.values())
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
        schemes = [found[f"{model} {s}"] for s in ("fp32", "int8", "int4_naive", "int4_calibrated")]
        fidelity = [with_error(interval_of(r, "fidelity_one_step")) for r in schemes[2:]]
        rows.append((f"{schemes[0]['architecture']}\n{model}", *map(_exact, schemes), *fidelity))
    return _table("Table 10: architectures, exact match", spec, found, header, rows)


def context(spec: AblationSpec, found: Lookup) -> Table:
    """Lay out Table 12: shares of the context, at one supervision step and at full depth."""
    depths = sorted({record["setting_steps"] for record in found.values()})
    shares = sorted({record["setting_share"] for record in found.values()}, reverse=True)
    at = {(r["setting_share"], r["setting_steps"]): r for r in found.values()}
    rows = [(f"{share:.0%}", *(_exact(at[share, n]) for n in depths)) for share in shares]
    header = ("Context", *(f"PExact, n={n}" for n in depths))
    return _table("Table 12: context truncation", spec, found, header, rows)


def pruning(spec: AblationSpec, found: Lookup) -> Table:
    """Lay out Table 13: dense, 25 and 50 %; every linear, and the blocks alone."""
    header = ("Pruned", "0% PExact", "Cell", "25% PExact", "Cell", "50% PExact", "Cell")
    rows = []
    for where in dict.fromkeys(r["setting_where"] for r in found.values() if "setting_where" in r):
        cut = [r for r in found.values() if r.get("setting_where") == where]
        cut = [found["fp32"], *sorted(cut, key=lambda r: r["setting_share"])]
        rows.append((where, *(text for r in cut for text in (_exact(r), _cell(r)))))
    return _table("Table 13: structured pruning", spec, found, header, rows)


def student(spec: AblationSpec, found: Lookup) -> Table:
    """Lay out Table 14: the student beside its teacher."""
    header = ("Model", "Weights", "PExact", "Cell")
    rows = [
        ("teacher" if name == "fp32" else name, f"{r['parameters']:,.0f}", _exact(r), _cell(r))
        for name, r in found.items()
    ]
    return _table("Table 14: knowledge distillation", spec, found, header, rows)


def linear(spec: AblationSpec, found: Lookup) -> Table:
    """Lay out App. J: softmax, the swap, the swap retrained."""
    rows = [(name, _exact(r), _cell(r)) for name, r in found.items()]
    return _table("App. J: linear attention", spec, found, ("Attention", "PExact", "Cell"), rows)


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
    "mixer": architectures,
    "truncation": context,
    "pruning": pruning,
    "distillation": student,
    "linear_attention": linear,
}
"""Study -> its table in the paper's shape."""


def _table(
    title: str, spec: AblationSpec, found: Lookup, header: Sequence[str], rows: Sequence[tuple]
) -> Table:
    sizes = sorted({record["puzzles"] for record in found.values()})
    puzzles = " to ".join(str(n) for n in dict.fromkeys((sizes[0], sizes[-1]))) if sizes else "0"
    title = f"{title} ({spec.task}, {spec.model}, {puzzles} puzzles)"
    return Table(title, tuple(header), tuple(rows), frozenset())


def _exact(record: Record) -> str:
    return with_interval(interval_of(record, "exact"))


def _cell(record: Record) -> str:
    return with_error(interval_of(record, "cell"))
