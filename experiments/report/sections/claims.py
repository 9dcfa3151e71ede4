"""Section on the paper's claims: whether our numbers say it too, one row per claim and model.

The abstract's statements stand first. A claim is decided by a 95 % interval against the effect that
the paper prints, never by a point estimate; otherwise it is not resolved. "Why" says what differs
between the paper's experiment and ours, or how wide the interval is; that a difference is the cause
is not shown.

Not here: the claims and their numbers (report/evidence.py), how an interval decides
(report/verdicts.py), claims by model at a glance (opening.py).
"""

from collections.abc import Sequence

from experiments.render.document import Block, Command, Items, Paragraph, Section
from experiments.render.tables import Table, percent_text
from experiments.report.inputs import Results
from experiments.report.verdicts import (
    LARGE,
    MARGIN,
    NONE,
    SMALL_LOSS,
    Claim,
    Topic,
)

DIFFERENCES = (
    "Models: those bundled are far smaller than the published ones and were trained by this"
    " project; a published or full-size checkpoint is measured with --model.",
    "Puzzles: 6x6 Sudoku, 8x8 mazes and small ARC-like tasks from this project's generators"
    " instead of Sudoku-Extreme, Maze-Hard and ARC-AGI-1.",
    "INT8: per-channel symmetric weights here; the paper's accuracy tables use bitsandbytes with"
    " threshold 6, its fidelity tables the same weights as here.",
    "Depth: T*n decides; the bundled models have two H-cycles in a step, the published ones three."
    " A sixth of 32 H-cycles is not measured: an eighth stands for it where accuracy is to be kept,"
    " a quarter where it is to be lost.",
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


def claims_section(results: Results, listed: Sequence[Claim]) -> Section:
    """Hold every claim against every model it can be held against.

    Args:
      listed: the claims, as `evidence.collect_claims` finds them.
    """
    blocks: list[Block] = [Paragraph(RULE), claim_table(listed)]
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
    f" the 95 % interval is beyond {percent_text(LARGE)} of it; “smaller”: beyond 0 and short of"
    f" {percent_text(LARGE)}; “contradicted”: short of {percent_text(NONE)}; otherwise"
    f" not resolved. Where the paper loses {percent_text(SMALL_LOSS)} of its puzzles or less, or"
    " prints no number of this task and architecture, nothing is lost if the interval ends above"
    f" twice the paper's loss, {100 * MARGIN:.0f} pp at least."
)


def claim_table(listed: Sequence[Claim]) -> Table:
    """Lay claims out by topic, those of one text together."""
    body, sections = [], set()
    for topic in Topic:
        groups: dict[tuple[str, str], list[Claim]] = {}
        for claim in listed:
            if claim.topic is topic:
                groups.setdefault((claim.text, claim.where), []).append(claim)
        if not groups:
            continue
        sections.add(len(body))
        body.append((topic.value, *[""] * 7))
        for group in groups.values():
            for i, c in enumerate(group):
                text, where = (c.text, c.where) if i == 0 else ("", "")
                puzzles = "" if c.puzzles is None else str(c.puzzles)
                body.append((text, c.words, c.model, puzzles, c.ours, c.effect, where, c.why))
    header = (
        "The paper says",
        "Verdict",
        "Model",
        "Puzzles",
        "Ours",
        "The paper's\neffect",
        "Where",
        "Why it may differ",
    )
    return Table(
        "Claims of the paper, the abstract's first", header, tuple(body), frozenset(sections)
    )
