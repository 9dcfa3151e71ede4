"""Section on the quantiser: what the same bits keep when ranges and integers are chosen otherwise.

The paper's numbers beside ours: naive INT4 (Tables 8-10), calibrated INT4 (Table 9), static INT8
(section 4.2). Schemes that differ in the quantiser alone stand together (report/quantisers.py).

Other toolkits stand below, from an ablation's study of that name, each held against this project's
scheme of the same bits; then searches for the bits of every matrix (experiments.recipe).

Not here: how toolkits are called (experiments/ablate/toolkits), the claim (report/evidence.py).
"""

from collections.abc import Sequence

from experiments.ablate import tables as ablate_tables
from experiments.ablate.tables import Ablation, compare_variants
from experiments.paper import tables
from experiments.recipe.rows import SearchRecord
from experiments.render.charts import Series, draw_both, lines, tell_order
from experiments.render.document import Block, Command, Figure, Items, Paragraph, Section
from experiments.render.tables import (
    Record,
    Table,
    points_text,
    size_text,
    with_error,
    with_interval,
)
from experiments.report.cells import NONE, number, printed
from experiments.report.inputs import Results, architecture_of
from experiments.report.quantisers import Quantisers, group_quantisers, method_text
from experiments.sweep.outcomes import Sweep, SweepOutcome, compare
from quant.affine import Symmetry
from quant.scheme import Activations, Granularity, Ranges, Scheme, parse, short_name
from trm_jax import intervals
from trm_jax.intervals import Interval, interval_of

RECIPE_COMMAND = "python -m experiments.recipe --task sudoku --budget 3.5bits --limit 1000"
RECIPE_HEADER = (
    "Model",
    "Weights",
    "Size",
    "Exact",
    "Against full\nprecision, pp",
    "Recipe - it,\npp",
    "Seconds,\nsolving too",
)
TITLE = "Loop-aware quantisation (Sec. 3.4, 4.2, 4.5)"
SCHEMES = "int4_naive,w4t-sym-mse,w4t-sym-gptq-first,w4t-sym-gptq,int3_naive,w3t-sym-gptq"
COMMAND = f"python -m experiments.sweep --task sudoku --schemes {SCHEMES}"
PAPER_GRIDS = (
    (Granularity.PER_TENSOR, Symmetry.SYMMETRIC, "one scale per tensor, as naive"),
    (Granularity.PER_CHANNEL, Symmetry.ASYMMETRIC, "one scale per channel, as calibrated"),
)
TOOLKITS = "toolkits"
TOOLKIT_COMMAND = "python -m experiments.ablate --task sudoku --only toolkits --limit 1000"
TOOLKIT_HEADER = (
    "Variant",
    "Exact",
    "Against full\nprecision, pp",
    "Against ours,\npp",
    "Ours",
    "Fidelity,\n1 step",
    "Seconds\nto make",
)
CREDITS = (
    "GPTQ, rounding by Hessians: arXiv 2210.17323; QEP, its errors carried forward: 2504.09629.",
    "LoopQ, quantisation of looped language models: arXiv 2605.16343.",
    "Activation spikes of gated linear units: arXiv 2405.14428; prefixes that hold them,"
    " PrefixQuant: 2410.05265. Here the spike is at the puzzle prefix.",
)
HEADER = (
    "Scheme",
    "How ranges and\nintegers are chosen",
    "Size",
    "Exact",
    "Against full\nprecision, pp",
    "Against min/max\nof this width, pp",
    "Fidelity,\n1 step",
    "Exact,\npaper",
    "Fidelity,\npaper",
)


def quantisation_section(results: Results) -> Section:
    """Compare quantisers on the same grids, model by model."""
    text = (
        "One network is applied in every cycle, so that an error of its weights or ranges returns"
        " at every step. Loop-aware means: Hessians and ranges are summed over every L-cycle,"
        " H-cycle and supervision step of calibration puzzles, and the puzzle prefix, which the"
        " answer hardly depends on, does not decide ranges. Schemes of one group have the same"
        " bits, granularity and arithmetic. Exact match has 95 % Wilson intervals; changes"
        " are paired on the same puzzles (Bonett and Price)."
    )
    groups = [(sweep, group_quantisers(sweep.outcomes)) for sweep in results.sweeps]
    shown = [(sweep, some) for sweep, some in groups if some]
    blocks: list[Block] = [Paragraph(text)]
    for sweep, some in shown:
        blocks += [quantiser_table(sweep, some), *_figure(sweep, some)]
    if not shown:
        blocks.append(
            Command("No two quantisers of one width were given; measure some with:", COMMAND)
        )
    blocks += [*toolkit_blocks(results), *recipe_blocks(results.searches)]
    blocks += [Paragraph("What this stands on:"), Items(CREDITS)]
    return Section("quantisers", TITLE, tuple(blocks))


def quantiser_table(sweep: Sweep, groups: Sequence[Quantisers]) -> Table:
    """Lay out one sweep's groups, full precision above them."""
    spec, full = sweep.spec, sweep.reference
    rows, sections = [_row(sweep, None, full)], set()
    for group in groups:
        sections.add(len(rows))
        rows += [_row(sweep, group, outcome) for outcome in group.outcomes]
    title = (
        f"{spec.model} ({architecture_of(sweep)}) on {spec.data}, {sweep.puzzles_text},"
        f" {spec.grid.deepest} H-cycles"
    )
    return Table(title, HEADER, tuple(rows), frozenset(sections), spec.model)


def toolkit_blocks(results: Results) -> list[Block]:
    """Lay out what other toolkits made of the same models, and what they refused."""
    blocks: list[Block] = []
    for ablation in results.ablations:
        listed = [r for r in ablate_tables.records(ablation) if r["study"] == TOOLKITS]
        if not listed:
            continue
        blocks.append(toolkit_table(ablation, listed))
        said = {
            key.removeprefix("refused_").replace("_", " "): text
            for record in listed
            for key, text in record.items()
            if key.startswith("refused_") and text
        }
        if said:
            blocks.append(Paragraph("What Qwix says where it is given the recursion itself:"))
            blocks.append(Items(tuple(f"{case}: {text}" for case, text in said.items())))
    return blocks or [Command("No other toolkit was compared; compare them with:", TOOLKIT_COMMAND)]


def toolkit_table(ablation: Ablation, listed: Sequence[Record]) -> Table:
    """Lay out the study of toolkits of one model."""
    spec = ablation.spec
    rows = []
    for record in listed:
        beside = record.get("setting_beside") or ""
        pairs = beside and compare_variants(ablation, TOOLKITS, beside, record["variant"])
        is_full = record["variant"] == record["reference"]
        seconds = record.get("make_seconds", record.get("train_seconds"))
        rows.append(
            (
                record["variant"],
                with_interval(interval_of(record, "exact")),
                NONE if is_full else points_text(interval_of(record, "exact_difference")),
                points_text(intervals.paired_difference(pairs)) if pairs else NONE,
                beside if pairs else NONE,
                with_error(interval_of(record, "fidelity_one_step")),
                NONE if seconds is None else f"{seconds:.0f}",
            )
        )
    title = (
        f"Other toolkits: {spec.model} on {spec.data}, {listed[0]['puzzles']} puzzles; all calls"
        " and rollouts are collected by this project's loop"
    )
    return Table(title, TOOLKIT_HEADER, tuple(rows), frozenset({1}), spec.model)


def recipe_blocks(searches: Sequence[SearchRecord]) -> list[Block]:
    """Lay out what searches found for every matrix under a budget, one after the other."""
    if not searches:
        text = "No bits were chosen matrix by matrix; a search does so under a budget of bytes:"
        return [Command(text, RECIPE_COMMAND)]
    starts, rows = set(), []
    for search in searches:
        starts.add(len(rows))
        rows += _recipe_rows(search)
    title = "Bits of every matrix, chosen under a budget; puzzles that did not choose, in pairs"
    return [Table(title, RECIPE_HEADER, tuple(rows), frozenset(starts - {0}))]


def _recipe_rows(search: SearchRecord) -> list[tuple[str, ...]]:
    """Lay out one search: full precision, the recipe, and the best single scheme of its size."""
    full, recipe, *_ = schemes = search.schemes
    stored = search.target or "densely packed"
    where = f"{search.model} on {search.data}, {search.num_puzzles} puzzles; {stored}"
    return [
        (
            where if each is full else "",
            f"recipe of {size_text(search.budget)}" if each is recipe else each.name,
            size_text(each.stored),
            with_interval(each.rate),
            NONE if each is full else points_text(each.difference(full)),
            NONE if each is recipe else points_text(recipe.difference(each)),
            f"{search.seconds:.0f}" if each is recipe else NONE,
        )
        for each in schemes
    ]


def _row(sweep: Sweep, group: Quantisers | None, outcome: SweepOutcome) -> tuple[str, ...]:
    spec, deepest, scheme = sweep.spec, sweep.spec.grid.deepest, parse(outcome.scheme)
    size = dict(zip(spec.schemes, spec.bytes, strict=True))[outcome.scheme]
    naive = group.naive if group else None
    gain = NONE
    if naive is not None and naive is not outcome:
        gain = points_text(intervals.paired_difference(compare(naive, outcome, deepest)))
    return (
        short_name(outcome.scheme),
        method_text(scheme) or NONE,
        size_text(size),
        with_interval(outcome.exact(deepest)),
        NONE if outcome is sweep.reference else points_text(sweep.change(outcome, deepest)),
        gain,
        with_error(outcome.fidelity(spec.grid.H_cycles)),
        *_papers(sweep, outcome),
    )


def _papers(sweep: Sweep, outcome: SweepOutcome) -> tuple[str, str]:
    """Write what the paper prints of a scheme: exact match and one-step fidelity."""
    task, architecture, scheme = sweep.spec.task, architecture_of(sweep), parse(outcome.scheme)
    theirs = printed(task, architecture, short_name(outcome.scheme))
    if theirs is not None:
        return number(theirs.exact), number(theirs.fidelity)
    static = scheme.activations is Activations.STATIC_INT8 and scheme.ranges is Ranges.ALL
    if static and (task, architecture) == ("sudoku", "TRM-MLP"):
        return number(tables.STATIC.fraction(("sudoku",), "PExact")), NONE
    return NONE, NONE


def _figure(sweep: Sweep, groups: Sequence[Quantisers]) -> list[Figure]:
    """Draw exact match against width on the paper's two grids, where two widths were measured."""
    pictures, told = [], []
    for granularity, symmetry, words in PAPER_GRIDS:
        series = _series(sweep, groups, granularity, symmetry)
        if series:
            title = f"{sweep.spec.model}: {words}"
            pictures.append(_drawn(title, series))
            told.append(f"Exact match, {words}. {tell_order(series, 'bits')}")
    if not pictures:
        return []
    caption = (
        f"Exact match against the width of weights, by quantiser; {sweep.puzzles_text}"
        ", full depth; bands are 95 % intervals. An auto grid is the symmetric or the"
        " asymmetric one, whichever leaves less error."
    )
    name = f"quantisers-{sweep.spec.model}"
    return [Figure(name, tuple(pictures), caption, tuple(told), sweep.spec.model)]


def _drawn(title: str, series: Sequence[Series]) -> tuple[str, str]:
    words = ("bits of a weight", "exact match")
    return draw_both(lambda width: lines(title, series, *words, width=width))


def _series(
    sweep: Sweep, groups: Sequence[Quantisers], granularity: Granularity, symmetry: Symmetry
) -> list[Series]:
    """Collect the methods that were measured at two widths or more."""
    points: dict[str, dict[float, Interval]] = {}
    for outcome in (o for group in groups for o in group.outcomes):
        scheme = parse(outcome.scheme)
        weights = scheme.weights
        if weights is None or scheme != Scheme(weights=weights):
            continue
        if weights.granularity is granularity and (
            weights.adaptive or weights.symmetry is symmetry
        ):
            rate = outcome.exact(sweep.spec.grid.deepest)
            points.setdefault(method_text(scheme), {})[weights.bits] = rate
    return [
        Series(method, i, sorted(rates), [rates[bits] for bits in sorted(rates)])
        for i, (method, rates) in enumerate(points.items())
        if len(rates) > 1
    ]
