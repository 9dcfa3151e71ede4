"""Section on the paper's claims: whether our numbers say it too, one row per claim and model.

The abstract's statements stand first. A claim is decided by a 95 % interval against the effect that
the paper prints, never by a point estimate; otherwise it is not resolved. "Why" says what differs
between the paper's experiment and ours, or how wide the interval is; that a difference is the cause
is not shown.

Not here: the claims and their numbers (report/evidence.py), how an interval decides
(report/verdicts.py).
"""

from collections.abc import Sequence

from experiments.render.document import Block, Command, Items, Paragraph, Section
from experiments.render.tables import Table
from experiments.report.evidence import collect_claims
from experiments.report.inputs import Results
from experiments.report.sections import devices
from experiments.report.verdicts import (
    LARGE,
    MARGIN,
    NONE,
    SMALL_LOSS,
    SYMBOLS,
    Claim,
    ClaimVerdict,
    Topic,
)
from quant.scheme import label
from trm_jax import zoo

DIFFERENCES = (
    "Models: those bundled are far smaller than the published ones and were trained by this"
    " project; a published or full-size checkpoint is measured with --model.",
    "Puzzles: 6x6 Sudoku, 8x8 mazes and small ARC-like tasks from this project's generators"
    " instead of Sudoku-Extreme, Maze-Hard and ARC-AGI-1.",
    "INT8: per-channel symmetric weights here; the paper's accuracy tables use bitsandbytes with"
    " threshold 6, its fidelity tables the same weights as here.",
    "Depth: T*n decides; the bundled models have two H-cycles in a step, the published ones three.",
)
INTERPRETATIONS = (
    "Interpretation: fidelity and consecutive similarity (Tables 7, 8) are over the first"
    " supervision step; the definition names final states, the printed values fit one step.",
    "Interpretation: Tables 16-18 print no number of puzzles; 400 ARC tasks and 1,000 puzzles of"
    " the others are read off the steps of the printed rates; the paper's intervals follow.",
    "Interpretation: the paper's “single cycle” is T=1 with n=8, 8 H-cycles (500 of 3,000 GFLOPs).",
    "Interpretation: “architectural” is read as “no quantiser of the same grid brings it back”.",
    "Cell accuracy is the mean over puzzles of each puzzle's share of right cells.",
)
TITLE = "What matched and what did not"


def claims_section(results: Results) -> Section:
    """Hold every claim against every model it can be held against."""
    listed = collect_claims(results)
    blocks: list[Block] = [Paragraph(headline(results, listed))]
    if results.sweeps:
        blocks += [Paragraph(recommendation(results)), matrix(results, listed)]
    blocks.append(Paragraph(RULE))
    blocks.append(claim_table(listed))
    if not (results.sweeps or results.ablations):
        line = "python -m experiments.report --all --out runs/report"
        blocks.append(Command("No puzzle was run; everything is measured with:", line))
    blocks.append(
        Paragraph("What differs between the paper's experiment and the default one here:")
    )
    blocks += [Items(DIFFERENCES), Paragraph("How the paper was read:"), Items(INTERPRETATIONS)]
    return Section("claims", TITLE, tuple(blocks))


RULE = (
    "The paper's effect is scaled to what full precision solves here. “Same direction and size”:"
    f" the 95 % interval is beyond {LARGE:.0%} of it; “smaller”: beyond 0 and short of {LARGE:.0%};"
    f" “contradicted”: short of {NONE:.0%}; otherwise not resolved. Where the paper loses"
    f" {SMALL_LOSS:.0%} of its puzzles or less, nothing is lost if the interval ends above"
    f" twice the paper's loss, {100 * MARGIN:.0f} pp at least."
)


def headline(results: Results, listed: Sequence[Claim]) -> str:
    """Count the verdicts, and say on what."""
    count = {verdict: sum(c.verdict is verdict for c in listed) for verdict in ClaimVerdict}
    models = {sweep.spec.model for sweep in results.sweeps}
    where = (
        "On the models that were given" if models - set(zoo.MODELS) else "On small bundled models"
    )
    numbers = "; ".join(f"{number} {verdict.value}" for verdict, number in count.items())
    against = [
        topic.value
        for topic in Topic
        if any(c.topic is topic and c.verdict is ClaimVerdict.OTHER for c in listed)
    ]
    other = f"Contradicted somewhere: {'; '.join(against)}." if against else "None is contradicted."
    return f"{where}, of {len(listed)} pairs of a claim and a model: {numbers}. {other}"


def recommendation(results: Results) -> str:
    """Say in a sentence what to take on each device, for the first model of every task."""
    first = {sweep.spec.task: sweep for sweep in reversed(results.sweeps)}
    parts = []
    for task in sorted(first):
        sweep = first[task]
        named = []
        for device in devices.DEVICES:
            choice = devices.choose(sweep, device)
            dtype = sweep.spec.dtype
            short = label(choice.outcome.scheme, dtype) if choice else "nothing is sure"
            named.append(f"{short} ({device.name})")
        parts.append(f"{sweep.spec.model}: {', '.join(named)}")
    most = f"{100 * devices.MARGIN:.0f} pp"
    return f"Smallest scheme that surely loses at most {most}, by device: {'; '.join(parts)}."


def matrix(results: Results, listed: Sequence[Claim]) -> Table:
    """Lay the claims that were held against models out, one column per model."""
    models = list(dict.fromkeys(sweep.spec.model for sweep in results.sweeps))
    by_place: dict[tuple[str, str], list[Claim]] = {}
    for claim in listed:
        by_place.setdefault((claim.text, claim.model.partition(",")[0]), []).append(claim)
    texts = [text for text, model in by_place if model in models]
    rows, sections, topic_of = [], set(), {c.text: c.topic for c in listed}
    for i, text in enumerate(dict.fromkeys(texts)):
        if not i or topic_of[text] is not topic_of[rows[-1][0]]:
            sections.add(i)
        cells = [
            " ".join(SYMBOLS[c.verdict] for c in by_place.get((text, model), ()))
            for model in models
        ]
        rows.append((text, *cells))
    key = ", ".join(f"{symbol} {verdict.value}" for verdict, symbol in SYMBOLS.items())
    title = f"Claims and models ({key}; blank: not asked)"
    return Table(title, ("The paper says", *models), tuple(rows), frozenset(sections))


def claim_table(listed: Sequence[Claim]) -> Table:
    """Lay claims out by topic, those of one text together."""
    body, sections = [], set()
    for topic in Topic:
        groups: dict[str, list[Claim]] = {}
        for claim in listed:
            if claim.topic is topic:
                groups.setdefault(claim.text, []).append(claim)
        if not groups:
            continue
        sections.add(len(body))
        body.append((topic.value, *[""] * 6))
        for group in groups.values():
            for i, c in enumerate(group):
                text, where = (c.text, c.where) if i == 0 else ("", "")
                model = c.model if c.puzzles is None else f"{c.model}, n = {c.puzzles}"
                body.append((text, c.words, model, c.ours, c.effect, where, c.why))
    header = (
        "The paper says",
        "Verdict",
        "Model",
        "Ours",
        "Its effect",
        "Where",
        "Why it may differ",
    )
    return Table(
        "Claims of the paper, the abstract's first", header, tuple(body), frozenset(sections)
    )
