"""The first screen: three sentences, one figure, what to take on each device, claims by model.

Every sentence says what intervals say. The ten rows of claims are those of the abstract and what
the paper says beside it; a cell counts the verdicts of its claims on its model.

Not here: each claim with its numbers (claims.py), the rule behind what to take (devices.py).
"""

import math
from collections import Counter
from collections.abc import Sequence

from experiments.predictor.ranking import judged_pairs
from experiments.render.charts import Dot, draw_both, rows
from experiments.render.document import Block, Command, Figure, Items
from experiments.render.scheme_style import scheme_index
from experiments.render.tables import Table, points_text
from experiments.report.cells import printed
from experiments.report.inputs import Results, architecture_of, times_published
from experiments.report.sections.devices import recipe_table
from experiments.report.verdicts import (
    MARGIN,
    SYMBOLS,
    Claim,
    ClaimVerdict,
    Topic,
    is_kept,
    is_lost,
)
from experiments.sweep.outcomes import Sweep
from quant.scheme import parse
from trm_jax import intervals, zoo
from trm_jax.intervals import Interval

SHOWN = {
    "int8": "INT8 weights",
    "int4_naive": "naive INT4",
    "int4_calibrated": "calibrated INT4",
}
"""Schemes of the sentences and the figure."""
ROWS = (
    ("Cells survive while puzzles are lost", Topic.CELLS, ""),
    ("Naive INT4 breaks MLP mixing, spares attention", Topic.ARCHITECTURE, "Naive"),
    ("The collapse is the architecture's, whatever the quantiser", Topic.ARCHITECTURE, ""),
    ("Calibrated INT4 recovers it without training", Topic.RECOVERY, ""),
    ("Fidelity falls with damage", Topic.FIDELITY, "Fidelity"),
    ("Consecutive similarity does not show damage", Topic.FIDELITY, ""),
    ("INT8 at a sixth of the cycles is enough, but for Sudoku", Topic.DEPTH, ""),
    ("It fits 8 MB, INT4 fits 4 MB, and the puzzle table shrinks", Topic.MEMORY, ""),
    ("INT8 weights lose nothing", Topic.REST, "INT8"),
    ("Pruning, truncation, distillation, QAT and static INT8 destroy reasoning", Topic.REST, ""),
)
"""What the matrix says in each row: the claims of a topic whose text begins so, and that no row
above has."""
TICK = 20  # percentage points


def opening_blocks(results: Results, listed: Sequence[Claim]) -> tuple[Block, ...]:
    """Answer first.

    Args:
      listed: the claims, as `evidence.collect_claims` finds them.
    """
    tally = headline(listed)
    if not results.sweeps:
        line = "python -m experiments.report --all --out runs/report"
        return (Items((tally,)), Command("No puzzle was run; everything is measured with:", line))
    first = survival(results)
    sentences = Items((first, breaking(results.sweeps), tally, *unfinished(results.sweeps)))
    return (
        sentences,
        change_figure(results.sweeps, first),
        recipe_table(results),
        matrix(results, listed),
    )


def unfinished(sweeps: Sequence[Sweep]) -> list[str]:
    """Say which sweeps have puzzles left."""
    return [
        f"{sweep.spec.model} is {sweep.puzzles_text}; all numbers of it are of those. The command"
        " of its sweep goes on with --resume."
        for sweep in sweeps
        if sweep.is_unfinished
    ]


def where_text(results: Results) -> str:
    """Say on what models the numbers are."""
    models = {sweep.spec.model for sweep in results.sweeps}
    others = models - set(zoo.MODELS)
    return "On the models that were given" if others else "On small bundled models"


def survival(results: Results) -> str:
    """Say on how many models each scheme surely keeps exact match, surely loses, or neither."""
    parts = []
    for scheme, words in SHOWN.items():
        changes = [
            sweep.change(outcome, sweep.spec.grid.deepest)
            for sweep in results.sweeps
            if (outcome := sweep.scheme(parse(scheme).name))
        ]
        kept, lost = (sum(map(judge, changes)) for judge in (is_kept, is_lost))
        others = {"more is surely lost on": lost, "not resolved on": len(changes) - kept - lost}
        said = ", ".join(f"{what} {number}" for what, number in others.items() if number)
        if changes:
            models = "" if parts else " models"
            rest = f" ({said})" if said else ""
            parts.append(f"under {words} on {kept} of {len(changes)}{models}{rest}")
    if not parts:
        return f"{where_text(results)}, none of {', '.join(SHOWN)} was swept."
    most = f"{100 * MARGIN:.0f} pp"
    listed = ", ".join(parts)
    return f"{where_text(results)} exact match stays within {most} of full precision {listed}."


def breaking(sweeps: Sequence[Sweep]) -> str:
    """Say where naive INT4 costs most, in puzzles and in cells, and whether fidelity shows it."""
    naive = parse("int4_naive").name
    swept = [(sweep, outcome) for sweep in sweeps if (outcome := sweep.scheme(naive))]
    parts = []
    if swept:
        sweep, outcome = min(
            swept, key=lambda each: each[0].change(each[1], each[0].spec.grid.deepest).high
        )
        depth = sweep.spec.grid.deepest
        puzzles = points_text(sweep.change(outcome, depth)).replace("\n", " ")
        cells = points_text(
            intervals.difference(outcome.cell(depth), sweep.reference.cell(depth))
        ).replace("\n", " ")
        parts.append(
            f"Naive INT4 costs most on {sweep.spec.model}: {puzzles} pp of its puzzles,"
            f" {cells} pp of its cells"
        )
    pairs = [p for sweep in sweeps for p in judged_pairs(sweep, sweep.spec.grid.deepest)]
    right, wrong = (sum(p.holds and p.wrong is side for p in pairs) for side in (False, True))
    parts.append(
        f"of {len(pairs)} pairs of schemes whose fidelity differs, that of higher fidelity surely"
        f" solves more in {right} and surely fewer in {wrong}; {len(pairs) - right - wrong} are not"
        " resolved"
        if pairs
        else "too few puzzles or schemes to say whether higher fidelity solves more"
    )
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}."


def headline(listed: Sequence[Claim]) -> str:
    """Count the verdicts; what is contradicted is named by topic."""
    count = Counter(claim.verdict for claim in listed)
    numbers = "; ".join(f"{count[verdict]} {verdict.value}" for verdict in ClaimVerdict)
    topics = dict.fromkeys(c.topic for c in listed if c.verdict is ClaimVerdict.OTHER)
    against = f" ({', '.join(topic.name.lower() for topic in topics)})" if topics else ""
    return f"Of {len(listed)} pairs of a claim of the paper and a model: {numbers}{against}."


def change_figure(sweeps: Sequence[Sweep], finding: str) -> Figure:
    """Draw what each scheme changes of exact match, model by model, the paper's beside it."""
    groups = [(sweep.spec.model, dots) for sweep in sweeps if (dots := _dots(sweep))]
    if not groups:
        return Figure("change", (), "None of the schemes of this figure was swept.")
    values = [end for _, dots in groups for dot in dots for end in dot.value]
    low, high = TICK * math.floor(min(values) / TICK), TICK * math.ceil(max(values) / TICK)
    ticks = range(min(low, -TICK), max(high, TICK) + 1, TICK)
    title = "Exact match under each scheme, minus full precision"
    pictures = draw_both(lambda width: rows(title, groups, "percentage points", ticks, width=width))
    times = [ratio for sweep in sweeps if (ratio := times_published(sweep))]
    ends = dict.fromkeys(f"{end(times):,.1f}" for end in (min, max)) if times else ()
    larger = f" with {' to '.join(ends)} times the weights" if times else ""
    caption = (
        "Filled: ours at full depth, whiskers are 95 % paired intervals. Hollow: the paper's, of"
        f" models of the same architecture{larger}."
    )
    return Figure("change", (pictures,), caption, (finding,))


def _dots(sweep: Sweep) -> list[Dot]:
    spec, dots = sweep.spec, []
    full = printed(spec.task, architecture_of(sweep), "fp32")
    for at, name in enumerate(SHOWN):
        outcome, index = sweep.scheme(parse(name).name), scheme_index(name)
        if outcome is None:
            continue
        change = sweep.change(outcome, spec.grid.deepest)
        scaled = Interval(*(100 * value for value in change))
        said = points_text(change).replace("\n", " ")
        dots.append(Dot(name, index, at, scaled, text=f"{name}: {said} pp"))
        theirs = printed(spec.task, architecture_of(sweep), name)
        if full and theirs and full.exact is not None and theirs.exact is not None:
            moved = 100 * (theirs.exact - full.exact)
            text = f"{name}, paper: {moved:+.1f} pp"
            value = Interval(moved, moved, moved)
            dots.append(Dot(f"{name}, paper", index, at, value, hollow=True, text=text))
    return dots


def matrix(results: Results, listed: Sequence[Claim]) -> Table:
    """Count the verdicts of ten kinds of claims, one column per model."""
    swept = [sweep.spec.model for sweep in results.sweeps]
    models = list(dict.fromkeys([*swept, *(claim.column for claim in listed)]))
    cells: dict[tuple[int, str], Counter[ClaimVerdict]] = {}
    for claim in listed:
        cells.setdefault((row_of(claim), claim.column), Counter())[claim.verdict] += 1
    body = tuple(
        (text, *(_counted(cells.get((at, model), Counter())) for model in models))
        for at, (text, *_) in enumerate(ROWS)
    )
    key = ", ".join(f"{symbol} {verdict.value}" for verdict, symbol in SYMBOLS.items())
    title = f"Claims and models ({key}; a number: of several; blank: not asked)"
    return Table(title, ("The paper says", *models), body, frozenset())


def row_of(claim: Claim) -> int:
    """Find the row of the matrix that a claim counts in."""
    return next(
        at
        for at, (_, topic, start) in enumerate(ROWS)
        if claim.topic is topic and claim.text.startswith(start)
    )


def _counted(verdicts: Counter[ClaimVerdict]) -> str:
    several = verdicts.total() > 1
    return " ".join(
        f"{SYMBOLS[verdict]}{verdicts[verdict] if several else ''}"
        for verdict in ClaimVerdict
        if verdicts[verdict]
    )
