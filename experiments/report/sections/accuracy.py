"""Sections on accuracy under precision, at full depth, beside the paper.

    precision      every scheme (Tables 3, 8, 9, 10, 16-18 at full depth)
    architecture   naive and calibrated INT4 by architecture (Table 10, Fig. 4)
    similarity     consecutive similarity and fidelity (Tables 7, 8)
    predictor      fidelity as a predictor of damage (section 4.3, Fig. 3)

Not here: depths (depth.py), verdicts (claims.py).
"""

from collections.abc import Sequence

from experiments.paper import tables
from experiments.predictor import tables as predictor_tables
from experiments.predictor.signals import ONE_STEP
from experiments.predictor.tables import DEEPEST, PredictorStudy, study, study_tables
from experiments.render.charts import Dot, draw_both, rows
from experiments.render.document import Block, Command, Figure, Paragraph, Section
from experiments.render.scheme_style import scheme_index
from experiments.render.tables import (
    Table,
    p_text,
    points_text,
    size_text,
    with_error,
    with_interval,
)
from experiments.report.cells import NONE, number, point_number, printed, rate
from experiments.report.inputs import Results, architecture_of
from experiments.report.sections.mixers import mixer_blocks
from experiments.sweep.outcomes import Sweep, compare
from quant.scheme import label, parse, short_name
from trm_jax import intervals

NOT_MEASURED, SWEEP_LINE = "Not measured here; with:", "python -m experiments.sweep --task "
SHOWN = ("fp32", "int8", "int4_naive", "int4_calibrated")
TITLE = "Fidelity as a predictor of damage (Sec. 4.3, Fig. 3)"
COMMAND = "python -m experiments.sweep --task sudoku"
SCHEME_HEADER = (
    "Scheme",
    "Size",
    "Exact",
    "Exact,\npaper",
    "Change,\npp",
    "McNemar\np",
    "Change,\npaper",
    "Cell",
    "Cell,\npaper",
    "Fidelity,\n1 step",
    "Fidelity,\npaper",
)


def precision_section(results: Results) -> Section:
    """Compare precisions, model by model."""
    blocks: list[Block] = [
        Paragraph(
            "Exact match: puzzles without a wrong cell, with 95 % Wilson intervals. Changes against"
            " full precision are paired on the same puzzles (adjusted Wald interval of Bonett and"
            " Price, McNemar's exact test). The paper prints no intervals: those beside its rates"
            " follow from its n."
        )
    ]
    blocks += [scheme_table(sweep) for sweep in results.sweeps]
    missing = {"sudoku", "maze", "arc"} - {sweep.spec.task for sweep in results.sweeps}
    blocks += [
        Command(f"No sweep of {task} was given; measure it with:", f"{SWEEP_LINE}{task}")
        for task in sorted(missing)
    ]
    return Section(
        "precision", "Precision (Tables 3, 8, 9, 10, 16-18 at full depth)", tuple(blocks)
    )


def architecture_section(results: Results) -> Section:
    """Draw Fig. 4: naive and calibrated INT4 by architecture, ours and the paper's."""
    groups = [(sweep.spec.model, dots) for sweep in results.sweeps if (dots := _dots(sweep))]
    text = (
        "The paper's claim: at equal full-precision accuracy per-tensor INT4 breaks MLP mixing and"
        " spares attention, so fragility is architectural (Table 10, Fig. 4)."
    )
    blocks: list[Block] = [Paragraph(text)]
    if groups:
        title = "Exact match by architecture and precision"
        pictures = draw_both(lambda width: rows(title, groups, "exact match", width=width))
        blocks.append(
            Figure(
                "architectures",
                (pictures,),
                "Filled: ours. Hollow: the paper's."
                " Whiskers: 95 % intervals, the paper's from its n.",
                (_architecture_finding(groups),),
            )
        )
    else:
        blocks.append(Command(NOT_MEASURED, f"{SWEEP_LINE}sudoku"))
    blocks += mixer_blocks(results.sweeps)
    return Section("architecture", "Architecture (Table 10, Fig. 4)", tuple(blocks))


def _architecture_finding(groups: Sequence[tuple[str, Sequence[Dot]]]) -> str:
    """Say what naive INT4 leaves of what full precision solves, model by model."""
    parts = []
    for model, dots in groups:
        values = {dot.name: f"{dot.value.value:.2f}" for dot in dots}
        pairs = [
            f"{whose}{values[f'int4_naive{end}']} of {values[f'fp32{end}']}"
            for whose, end in (("", ""), ("the paper's ", ", paper"))
            if {f"int4_naive{end}", f"fp32{end}"} <= set(values)
        ]
        parts += [f"{model} {', '.join(pairs)}"] if pairs else []
    return f"What naive INT4 leaves of full precision: {'; '.join(parts) or 'not swept'}."


def similarity_section(results: Results) -> Section:
    """Compare consecutive similarity and fidelity with Tables 7 and 8."""
    blocks = [
        Paragraph(
            "Consecutive similarity (Eq. 3) looks at one model alone; fidelity (Eq. 4) compares its"
            " state with full precision. Both over the first supervision step."
        ),
        *(signal_table(sweep) for sweep in results.sweeps),
    ]
    if not results.sweeps:
        blocks.append(Command(NOT_MEASURED, f"{SWEEP_LINE}sudoku"))
    return Section("signals", "Carry-state signals (Tables 7, 8)", tuple(blocks))


def scheme_table(sweep: Sweep) -> Table:
    """Lay one sweep's schemes out beside the paper's."""
    spec, deepest, full = sweep.spec, sweep.spec.grid.deepest, sweep.reference
    architecture = architecture_of(sweep)
    base = printed(spec.task, architecture, "fp32")
    body = []
    for outcome, size in zip(sweep.outcomes, spec.bytes, strict=True):
        name = short_name(outcome.scheme)
        theirs = printed(spec.task, architecture, name)
        pairs = compare(full, outcome, deepest)
        change = intervals.paired_difference(pairs)
        first = outcome is full
        body.append(
            (
                label(outcome.scheme, spec.dtype),
                size_text(size),
                with_interval(outcome.exact(deepest)),
                rate(theirs.exact, theirs.total) if theirs else NONE,
                "" if first else points_text(change),
                "" if first else p_text(intervals.mcnemar(pairs)),
                "" if first or not (theirs and base) else point_number(theirs.exact, base.exact),
                with_error(outcome.cell(deepest)),
                number(theirs.cell if theirs else None),
                with_error(outcome.fidelity(spec.grid.H_cycles)),
                number(theirs.fidelity if theirs else None),
            )
        )
    source = f"; paper: {base.source}" if base else ""
    title = (
        f"{spec.model} ({architecture}, {spec.num_parameters:,} weights) on {spec.data},"
        f" {sweep.puzzles_text}, T={max(spec.grid.T)}, n={max(spec.grid.n)}{source}"
    )
    return Table(title, SCHEME_HEADER, tuple(body), frozenset(), spec.model)


def signal_table(sweep: Sweep) -> Table:
    """Lay out both signals of a sweep beside the paper's."""
    spec, step = sweep.spec, sweep.spec.grid.H_cycles
    task, architecture = spec.task, architecture_of(sweep)
    body = []
    for outcome in sweep.outcomes:
        name = short_name(outcome.scheme)
        is_published = (name,) in tables.SIMILARITY.rows and _is_papers(task, architecture)
        theirs = printed(task, architecture, name)
        calls = outcome.call_similarity
        body.append(
            (
                label(outcome.scheme, spec.dtype),
                with_error(calls),
                f"{round(calls.value - sweep.reference.call_similarity.value, 3) + 0.0:+.3f}",
                number(tables.SIMILARITY.value((name,), task)) if is_published else NONE,
                with_error(outcome.fidelity(step)),
                number(theirs.fidelity if theirs else None),
                f"{outcome.residual(step).value:.3f}",
            )
        )
    header = (
        "Scheme",
        "Consecutive\nsimilarity",
        "Change",
        "Similarity,\npaper",
        "Fidelity",
        "Fidelity,\npaper",
        "Residual",
    )
    title = f"{spec.model} ({architecture}), {sweep.puzzles_text}"
    return Table(title, header, tuple(body), frozenset(), spec.model)


def _is_papers(task: str, architecture: str) -> bool:
    """Tables 7 and 8 are of TRM-MLP on Sudoku and TRM-Att elsewhere."""
    return architecture == ("TRM-MLP" if task == "sudoku" else "TRM-Att")


def _dots(sweep: Sweep) -> list[Dot]:
    spec, dots = sweep.spec, []
    for name in SHOWN:
        outcome = sweep.scheme(parse(name).name)
        if outcome is not None:
            rate = outcome.exact(spec.grid.deepest)
            dots.append(Dot(name, scheme_index(name), len(dots), rate))
        theirs = printed(spec.task, architecture_of(sweep), name)
        if theirs is not None and theirs.exact is not None:
            hits = round(theirs.exact * theirs.total)
            rate = intervals.wilson(hits, theirs.total)
            dots.append(Dot(f"{name}, paper", scheme_index(name), len(dots), rate, hollow=True))
    return dots


def predictor_section(results: Results) -> Section:
    """Judge signals, show failures and the label-free rule."""
    schemes = sum(len(sweep.outcomes) - 1 for sweep in results.sweeps)
    if schemes < 3:
        text = "Needs sweeps of at least three compressed schemes; measure one with:"
        return Section("predictor", TITLE, (Command(text, COMMAND),))
    judged = study(results.sweeps)
    text = (
        f"{len(judged.points)} points: {schemes} compressed (model, scheme) pairs at every depth of"
        " their sweeps. Intervals of correlations draw models, then schemes of each, no puzzles; of"
        " a handful of models they are rough. The paper says that fidelity is monotone with damage"
        " and consecutive similarity is blind to"
        " it; at shallow depths full precision solves little itself, so that little can be lost"
        " whatever the fidelity."
    )
    pictures = draw_both(lambda width: predictor_tables.figure(judged.points, width=width))
    caption = "Every compressed scheme at full depth; bars: 95 % paired intervals."
    figure = Figure("predictor", (pictures,), caption, (_predictor_finding(judged),))
    blocks: list[Block] = [Paragraph(text), figure]
    return Section("predictor", TITLE, (*blocks, *study_tables(judged)))


def _predictor_finding(judged: PredictorStudy) -> str:
    """Say how one-step fidelity goes with what is lost at full depth."""
    ranked = judged.rankings.get(DEEPEST, ())
    found = next((r for r in ranked if r.signal == ONE_STEP), None)
    if found is None:
        return "Exact match lost against one-step fidelity, of too few schemes to rank."
    low, high = found.spearman[1:]
    return (
        f"Exact match lost goes with 1 - one-step fidelity: Spearman {found.spearman.value:+.2f}"
        f" [{low:+.2f}, {high:+.2f}] over {found.count} schemes."
    )
