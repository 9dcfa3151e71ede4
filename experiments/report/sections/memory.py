"""Sections on memory, work and energy (Tables 1, 2, 15, App. H, Fig. 1) and on bytes (Pareto)."""

from collections.abc import Sequence

from experiments.footprint import paper_check
from experiments.footprint import tables as footprint_tables
from experiments.render.charts import Dot, draw_both, levels, scatter
from experiments.render.document import Block, Command, Figure, Paragraph, Section
from experiments.render.scheme_style import scheme_index
from experiments.render.tables import Record, size_text
from experiments.report.inputs import Results
from experiments.sweep.outcomes import Sweep
from export.footprint.estimate import BUDGETS
from quant.scheme import label, short_name
from trm_jax.intervals import pareto

MIB = 2**20
MOST_TICKS = 8
MOST_NAMED = 9  # points that still have room for a name beside each; a legend names more
FIGURE_CONFIGS = ("arc-trm-att", "maze-trm-att", "sudoku-trm-mlp")
FIGURE_SCHEMES = ("fp32", "tflm_int8_int8", "tflm_int4_int8")


def memory_section(results: Results) -> Section:
    """Lay out footprints and hold the paper's figures against ours."""
    checks = paper_check.checks()
    text = (
        f"Computed from shapes (export/footprint/estimate.py), no puzzle is run."
        f" {paper_check.count_text(checks)}; what it leaves out stands beside each. The peaks are"
        " lower bounds: an interpreter's arena lies above them."
    )
    blocks: list[Block] = [Paragraph(text)]
    if rows := _bar_rows(results.footprints):
        marks = [(size / MIB, name) for name, size in BUDGETS.items()]
        title = "Peak memory, one block of weights streamed"
        pictures = draw_both(lambda width: levels(title, rows, marks, "MiB", width=width))
        caption = (
            "Peak SRAM with one block streamed (fp32 with the whole table: everything loaded, as"
            " in Fig. 1)."
        )
        blocks.append(Figure("memory", (pictures,), caption, (_memory_finding(rows),)))
    tables = (footprint_tables.work_table, footprint_tables.memory_table)
    blocks += [make(results.footprints) for make in tables]
    blocks.append(footprint_tables.energy_table(results.footprints))
    blocks.append(Paragraph(footprint_tables.energy_note()))
    blocks.append(paper_check.table(checks))
    blocks.append(Command("Other models and schemes:", "python -m experiments.footprint --help"))
    return Section(
        "memory", "Memory, work, energy (Tables 1, 2, 15, App. H, Fig. 1)", tuple(blocks)
    )


def pareto_section(results: Results) -> Section:
    """Draw exact match against stored bytes, sweep by sweep."""
    blocks: list[Block] = [
        Paragraph(
            "No scheme lies left of and above the dashed line: it joins what nothing beats in both."
        )
    ]
    blocks += [_pareto(sweep) for sweep in results.sweeps]
    if not results.sweeps:
        line = "python -m experiments.sweep --task sudoku"
        blocks.append(Command("No sweep was given; measure one with:", line))
    return Section("pareto", "What a byte buys: exact match against size", tuple(blocks))


def _bar_rows(rows: Sequence[Record]) -> list[tuple[str, float, str, int]]:
    by_name = {(row["config"], row["scheme"]): row for row in rows}
    drawn = []
    for config in FIGURE_CONFIGS:
        if (row := by_name.get((config, "fp32"))) and row["table"] > MIB:
            size = row["backbone"] + row["table"]
            name = f"{config} fp32, whole table"
            drawn.append((name, size / MIB, f"{size / MIB:.1f}", scheme_index("fp32")))
        for scheme in FIGURE_SCHEMES:
            if row := by_name.get((config, scheme)):
                size = row["chunked_streaming"] / MIB
                name = short_name(scheme)
                drawn.append((f"{config} {name}", size, f"{size:.2f}", scheme_index(scheme)))
    return drawn


def _memory_finding(rows: Sequence[tuple[str, float, str, int]]) -> str:
    """Say what fits which budget, the tightest first."""
    left, parts = list(rows), []
    for name, size in BUDGETS.items():
        fits = [row for row in left if row[1] <= size / MIB]
        left = [row for row in left if row not in fits]
        parts.append(f"{name}: {_sizes_text(fits) or 'nothing more'}")
    return f"What the peak fits. {'; '.join(parts)}; neither: {_sizes_text(left) or 'nothing'}."


def _sizes_text(rows: Sequence[tuple[str, float, str, int]]) -> str:
    return ", ".join(f"{name} ({text} MiB)" for name, _, text, _ in rows)


def _pareto(sweep: Sweep) -> Figure:
    spec, deepest = sweep.spec, sweep.spec.grid.deepest
    sizes = dict(zip(spec.schemes, spec.bytes, strict=True))
    dots = [
        Dot(
            label(o.scheme, spec.dtype),
            scheme_index(o.scheme),
            sizes[o.scheme],
            o.exact(deepest),
        )
        for o in sweep.outcomes
    ]
    front = pareto([(dot.x, dot.value.value) for dot in dots])
    ticks = _size_ticks([dot.x for dot in dots])
    pictures = draw_both(
        lambda width: scatter(
            f"{spec.model}: exact match against stored size",
            dots,
            "stored size of the model",
            "exact match",
            x_ticks=(ticks, [_tick_text(t) for t in ticks]),
            labelled=len(dots) <= MOST_NAMED,
            front=front,
            width=width,
        )
    )
    caption = f"{spec.data}, {sweep.puzzles_text}, full depth; bars: 95 % Wilson intervals."
    return Figure(
        f"pareto-{spec.model}", (pictures,), caption, (_front_finding(dots, front),), spec.model
    )


def _front_finding(dots: Sequence[Dot], front: Sequence[tuple[float, float]]) -> str:
    """Name the schemes that nothing beats in both bytes and puzzles."""
    best = [d for d in dots if (d.x, d.value.value) in front]
    named = ", ".join(f"{d.name} ({d.value.value:.2f} in {size_text(int(d.x))})" for d in best)
    return f"Nothing beats in both bytes and exact match: {named}."


def _tick_text(size: float) -> str:
    return f"{size / 1e6:g} MB" if size >= 1e6 else f"{size / 1e3:g} kB"


def _size_ticks(sizes: Sequence[float]) -> list[float]:
    """Choose round sizes around all points: 1, 2, 5 of each decade, or decades if they are many."""
    for steps in ((1, 2, 5), (1,)):
        ticks = [m * 10.0**e for e in range(13) for m in steps]
        low = max(t for t in ticks if t <= min(sizes))
        high = min(t for t in ticks if t > max(sizes))
        shown = [t for t in ticks if low <= t <= high]
        if len(shown) <= MOST_TICKS:
            break
    return shown
