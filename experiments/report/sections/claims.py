"""Section on the paper's claims: whether our numbers say it too, one row per claim and model.

A claim is confirmed or contradicted only where the interval decides it; otherwise it is open.
"Why" says what differs between the paper's experiment and ours, or how wide the interval is; that
a difference is the cause is not shown.

Not here: the claims and their numbers (report/evidence.py), how an interval decides
(report/verdicts.py).
"""

from collections.abc import Sequence

from experiments.render.document import Block, Command, Items, Paragraph, Section
from experiments.render.tables import Table
from experiments.report.evidence import collect_claims
from experiments.report.inputs import Results
from experiments.report.verdicts import COLLAPSED, MARGIN, Claim, ClaimVerdict

DIFFERENCES = (
    "Models: those bundled are far smaller than the published ones and were trained by this"
    " project; a published or full-size checkpoint is measured with --model.",
    "Puzzles: 6x6 Sudoku, 8x8 mazes and small ARC-like tasks from this project's generators"
    " instead of Sudoku-Extreme, Maze-Hard and ARC-AGI-1.",
    "INT8: per-channel symmetric weights here; the paper's accuracy tables use bitsandbytes with"
    " threshold 6, its fidelity tables the same weights as here.",
    "Depth: T*n decides; the bundled models have two H-cycles in a step, the published ones three.",
)
TITLE = "What matched and what did not"


def claims_section(results: Results) -> Section:
    """Hold every claim against every model it can be held against."""
    listed = collect_claims(results)
    count = {verdict: sum(c.verdict is verdict for c in listed) for verdict in ClaimVerdict}
    text = (
        f"{count[ClaimVerdict.SAME]} confirmed, {count[ClaimVerdict.OTHER]} contradicted,"
        f" {count[ClaimVerdict.OPEN]} open, where the 95 % interval does not decide. A loss is more"
        f" than {100 * MARGIN:.0f} pp of exact match; reasoning counts as destroyed at"
        f" {100 * COLLAPSED:.0f} % or less."
    )
    blocks: list[Block] = [Paragraph(text), claim_table(listed)]
    if not (results.sweeps or results.ablations):
        line = "python -m experiments.report --all --out runs/report"
        blocks.append(Command("No puzzle was run; everything is measured with:", line))
    differences = Paragraph("What differs between the paper's experiment and the default one here:")
    return Section("claims", TITLE, (*blocks, differences, Items(DIFFERENCES)))


def claim_table(listed: Sequence[Claim]) -> Table:
    """Lay claims out, those of one text together."""
    groups: dict[str, list[Claim]] = {}
    for claim in listed:
        groups.setdefault(claim.text, []).append(claim)
    body, sections = [], set()
    for group in groups.values():
        sections.add(len(body))
        for i, c in enumerate(group):
            first = (c.text, c.where) if i == 0 else ("", "")
            body.append((*first, c.model, c.ours, c.verdict.value, c.why))
    header = ("The paper says", "Where", "Model", "Ours", "Verdict", "Why it may differ")
    return Table("Claims of the paper", header, tuple(body), frozenset(sections))
