"""Section on depth and precision together (Tables 4-6 and 16-18, Fig. 2)."""

from collections.abc import Sequence

from experiments.paper import tables
from experiments.paper.grids import GRIDS, STEPS, PaperGrid
from experiments.render.charts import Series, draw_both, lines, tell_ends
from experiments.render.document import Block, Command, Figure, Items, Paragraph, Section
from experiments.render.scheme_style import scheme_index
from experiments.render.tables import Table, p_text, percent_text, points_text, with_interval
from experiments.report.cells import NONE, point_number, rate
from experiments.report.inputs import Results, architecture_of
from experiments.sweep.outcomes import Sweep, SweepOutcome
from quant.scheme import PAPER_SCHEMES, label, parse, short_name
from trm_jax import intervals
from trm_jax.intervals import Interval

DRAWN = ("fp32", "int8", "int4_naive", "int4_calibrated", "int3_naive", "int3_calibrated")
SHALLOW = ((1, 4), (1, 8), (1, 16))  # (T, n) of Tables 4-6


def depth_section(results: Results) -> Section:
    """Compare depth grids, those of the paper's architecture on each task first."""
    blocks: list[Block] = [
        Paragraph(
            "The carry passes through, so a cell (T, n) is the state after T*n H-cycles. The"
            " largest T of a model stands beside T=3 of the paper: depths in H-cycles differ where"
            " a model has fewer. Rates with 95 % Wilson intervals."
        ),
        Items((tables.DEPTH_NOTE,)),
    ]
    for sweep in results.sweeps:
        blocks += [_figure(sweep), grid_table(sweep), shallow_table(sweep)]
    for task in GRIDS:
        if not any(sweep.spec.task == task for sweep in results.sweeps):
            line = f"python -m experiments.sweep --task {task}"
            blocks.append(Command(f"No sweep of {task} was given; measure it with:", line))
    return Section("depth", "Depth and precision (Tables 4-6, 16-18, Fig. 2)", tuple(blocks))


def grid_of(sweep: Sweep) -> PaperGrid | None:
    """Find the paper's grid of a sweep's task and architecture."""
    expected = "TRM-MLP" if sweep.spec.task == "sudoku" else "TRM-Att"
    return GRIDS.get(sweep.spec.task) if architecture_of(sweep) == expected else None


def grid_table(sweep: Sweep) -> Table:
    """Lay out ours over the paper's, scheme by scheme."""
    spec, theirs = sweep.spec, grid_of(sweep)
    rows, sections = [], set()
    for outcome in sweep.outcomes:
        sections.add(len(rows))
        name = short_name(outcome.scheme)
        for t in spec.grid.T[::-1]:
            first = label(outcome.scheme, spec.dtype) if t == max(spec.grid.T) else ""
            cells = (with_interval(outcome.exact(t * n)) for n in spec.grid.n)
            rows.append((first, f"T={t}", "ours", *cells))
            paper_t = 3 if t == max(spec.grid.T) else t
            printed = theirs.rows.get((name, paper_t, "exact")) if theirs else None
            if theirs and printed:
                cells = (
                    rate(printed[STEPS.index(n)], theirs.total) if n in STEPS else NONE
                    for n in spec.grid.n
                )
                rows.append(("", f"T={paper_t}", f"Table {theirs.number}", *cells))
    header = ("Scheme", "Depth", "Whose", *(f"n={n}" for n in spec.grid.n))
    title = f"Exact match by depth: {spec.model} on {spec.data}"
    return Table(title, header, tuple(rows), frozenset(sections), spec.model)


def shallow_table(sweep: Sweep) -> Table:
    """Compare shallow cells with full precision at full depth, as Tables 4-6 do."""
    spec, full, deepest = sweep.spec, sweep.reference, sweep.spec.grid.deepest
    theirs, rows = grid_of(sweep), []
    for outcome in sweep.outcomes:
        name = short_name(outcome.scheme)
        if name not in ("fp32", "int8", "int4_naive", "int4_calibrated"):
            continue
        for t, n in SHALLOW:
            if t * n in spec.grid.cycles:
                rows.append(_shallow_row(sweep, outcome, name, (t, n), full, theirs))
    header = (
        "Scheme",
        "Depth",
        "Share of\nfull work",
        "Exact",
        "Against fp32\nat full depth, pp",
        "McNemar\np",
        "Paper, pp",
    )
    title = f"Shallow against full depth ({deepest} H-cycles): {spec.model}"
    return Table(title, header, tuple(rows), frozenset(), spec.model)


def _shallow_row(
    sweep: Sweep,
    outcome: SweepOutcome,
    name: str,
    depth: tuple[int, int],
    full: SweepOutcome,
    theirs: PaperGrid | None,
) -> tuple[str, ...]:
    (t, n), deepest = depth, sweep.spec.grid.deepest
    pairs = intervals.pairs(full.solved(deepest), outcome.solved(t * n))
    change = intervals.paired_difference(pairs)
    at = theirs.at(name, t * n, "exact") if theirs else None
    base = theirs.at("fp32", 48, "exact") if theirs else None
    return (
        label(outcome.scheme, sweep.spec.dtype),
        f"T={t}, n={n}",
        percent_text(t * n / deepest),
        with_interval(outcome.exact(t * n)),
        points_text(change),
        p_text(intervals.mcnemar(pairs)),
        point_number(at, base),
    )


def _figure(sweep: Sweep) -> Figure:
    spec, theirs = sweep.spec, grid_of(sweep)
    drawn = [o for name in DRAWN if (o := sweep.scheme(parse(name).name))]
    series = [
        Series(
            label(o.scheme, spec.dtype),
            scheme_index(o.scheme),
            spec.grid.cycles,
            [o.exact(c) for c in spec.grid.cycles],
        )
        for o in drawn
    ]
    drawings = [(f"Ours: {spec.model}", series)]
    if theirs:
        drawings.append((f"The paper: Table {theirs.number}", _paper_series(theirs)))
    caption = (
        f"Exact match against depth, {sweep.puzzles_text}; bands are 95 %"
        f" intervals{', the paper’s from its n' if theirs else ''}."
    )
    pictures = tuple(_drawn(*drawing) for drawing in drawings)
    findings = tuple(f"{title}: {tell_ends(shown, 'H-cycles')}" for title, shown in drawings)
    return Figure(f"depth-{spec.model}", pictures, caption, findings, spec.model)


def _drawn(title: str, series: Sequence[Series]) -> tuple[str, str]:
    axis = "depth: T x n H-cycles"
    return draw_both(lambda width: lines(title, series, axis, "exact match", width=width))


def _paper_series(grid: PaperGrid) -> list[Series]:
    cycles = sorted({t * n for t in (1, 3) for n in STEPS})
    series = []
    for name in PAPER_SCHEMES:
        values = [(c, v) for c in cycles if (v := grid.at(name, c, "exact")) is not None]
        if values and name in DRAWN:
            xs, rates = zip(*values, strict=True)
            bands: list[Interval] = [
                intervals.wilson(round(v * grid.total), grid.total) for v in rates
            ]
            series.append(Series(name, scheme_index(name), xs, bands, hollow=True))
    return series
