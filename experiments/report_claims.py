"""What the paper says, and whether our numbers say it too: one row per claim and model.

A claim is confirmed or contradicted only where the interval decides it; otherwise it is open, and
n says why. MARGIN is what counts as a loss. "Why" names what differs between the paper's
experiment and ours; that a difference is the cause is not shown.
"""

import enum
from collections.abc import Sequence
from typing import NamedTuple

from experiments import statistics
from experiments.analysis import Outcome, compare
from experiments.document import Block, Command, Items, Paragraph, Section
from experiments.report_cells import points
from experiments.report_results import Results, architecture_of
from experiments.runs import Sweep
from experiments.statistics import Interval
from experiments.tables import Record, Table, interval_of, with_interval
from quant.scheme import parse

MARGIN = 0.02
COLLAPSED = 0.10  # exact match at or below which reasoning counts as destroyed
DIFFERENCES = (
    "Models: those bundled are 15 to 80 times smaller than the published ones and were trained by"
    " this project; a published or full-size checkpoint is measured with --model.",
    "Puzzles: 6x6 Sudoku, 8x8 mazes and small ARC-like tasks from this project's generators"
    " instead of Sudoku-Extreme, Maze-Hard and ARC-AGI-1.",
    "INT8: per-channel symmetric weights here; the paper's accuracy tables use bitsandbytes with"
    " threshold 6, its fidelity tables the same weights as here.",
    "Depth: T*n decides; the bundled models have two H-cycles in a step, the published ones three.",
)


class Verdict(enum.Enum):
    """Whether our numbers say what the paper says."""

    SAME = "confirmed"
    OTHER = "contradicted"
    OPEN = "open"


class Claim(NamedTuple):
    """One statement on one model.

    Attributes:
      where: in the paper.
      ours: the number that decides.
    """

    text: str
    where: str
    model: str
    ours: str
    verdict: Verdict


def claims_section(results: Results) -> Section:
    """Hold every claim against every model it can be held against."""
    found = [*_precision(results.sweeps), *_depth(results.sweeps), *_interventions(results)]
    if not found:
        line = "python -m experiments.report --all --out runs/report"
        command = Command("Nothing was measured; everything is, with:", line)
        return Section("claims", "What matched and what did not", (command,))
    count = {verdict: sum(c.verdict is verdict for c in found) for verdict in Verdict}
    text = (
        f"{count[Verdict.SAME]} confirmed, {count[Verdict.OTHER]} contradicted,"
        f" {count[Verdict.OPEN]} open, where the 95 % interval does not decide. A loss is more than"
        f" {100 * MARGIN:.0f} pp of exact match; reasoning counts as destroyed at"
        f" {100 * COLLAPSED:.0f} % or less."
    )
    table = claim_table(found)
    differences = Paragraph("What differs between the paper's experiment and the default one here:")
    blocks: tuple[Block, ...] = (Paragraph(text), table, differences, Items(DIFFERENCES))
    return Section("claims", "What matched and what did not", blocks)


def claim_table(found: Sequence[Claim]) -> Table:
    """Lay claims out, those of one text together."""
    groups: dict[str, list[Claim]] = {}
    for claim in found:
        groups.setdefault(claim.text, []).append(claim)
    body, sections = [], set()
    for group in groups.values():
        sections.add(len(body))
        for i, c in enumerate(group):
            first = (c.text, c.where) if i == 0 else ("", "")
            body.append((*first, c.model, c.ours, c.verdict.value))
    header = ("The paper says", "Where", "Model", "Ours: change in pp,\nor exact match", "Verdict")
    return Table("Claims of the paper", header, tuple(body), frozenset(sections))


def lossless(change: Interval) -> Verdict:
    """Decide "nothing is lost" from the interval of a change."""
    if change.low >= -MARGIN:
        return Verdict.SAME
    return Verdict.OTHER if change.high < -MARGIN else Verdict.OPEN


def loses(change: Interval) -> Verdict:
    """Decide "something is lost"."""
    opposite = {Verdict.SAME: Verdict.OTHER, Verdict.OTHER: Verdict.SAME}
    return opposite.get(lossless(change), Verdict.OPEN)


def destroyed(exact: Interval) -> Verdict:
    """Decide "puzzles are no longer solved"."""
    if exact.high <= COLLAPSED:
        return Verdict.SAME
    return Verdict.OTHER if exact.low > COLLAPSED else Verdict.OPEN


def _precision(sweeps: Sequence[Sweep]) -> list[Claim]:
    found = []
    for sweep in sweeps:
        mixing = architecture_of(sweep) == "TRM-MLP"
        cases = (
            ("int8", "INT8 weights lose nothing", "Table 3", lossless),
            ("int4_naive", "Naive INT4 breaks MLP mixing", "Table 10", loses) if mixing else
            ("int4_naive", "Naive INT4 spares attention", "Table 10", lossless),
            ("int4_calibrated", "Calibrated INT4 loses little", "Table 9", lossless),
        )  # fmt: skip
        for scheme, text, where, decide in cases:
            outcome = sweep.scheme(parse(scheme).name)
            if outcome is not None:
                change = _change(sweep, outcome, sweep.spec.grid.deepest)
                found.append(Claim(text, where, _name(sweep), points(change), decide(change)))
        found += _recovery(sweep)
    return found


def _recovery(sweep: Sweep) -> list[Claim]:
    """Calibration against naive quantisation, in pairs, at 4 bits."""
    naive, calibrated = (sweep.scheme(parse(f"int4_{k}").name) for k in ("naive", "calibrated"))
    if naive is None or calibrated is None:
        return []
    pairs = compare(naive, calibrated, sweep.spec.grid.deepest)
    gain = statistics.bootstrap_difference(pairs, sweep.spec.seed)
    verdict = Verdict.SAME if gain.low > 0 else Verdict.OTHER if gain.high < 0 else Verdict.OPEN
    text = "Calibrating per channel recovers what naive INT4 lost"
    return [Claim(text, "Sec. 4.5", _name(sweep), points(gain), verdict)]


def _depth(sweeps: Sequence[Sweep]) -> list[Claim]:
    found = []
    for sweep in sweeps:
        outcome = sweep.scheme(parse("int8").name)
        if outcome is None or 8 not in sweep.spec.grid.cycles:
            continue
        change = _change(sweep, outcome, 8)
        sudoku = sweep.spec.task == "sudoku"
        text = "INT8 at T=1, n=8 " + ("is too shallow for Sudoku" if sudoku else "keeps accuracy")
        verdict = loses(change) if sudoku else lossless(change)
        found.append(Claim(text, "Sec. 4.2", _name(sweep), points(change), verdict))
    return found


def _interventions(results: Results) -> list[Claim]:
    cases = (
        ("pruning", "25% of all linears", "Pruning 25 % destroys reasoning", "Table 13"),
        ("pruning", "50% of all linears", "Pruning 50 % destroys reasoning", "Table 13"),
        ("truncation", "50% context, n=1", "Half the context destroys reasoning", "Table 12"),
        ("distillation", "student", "A single-cycle student solves nothing", "Table 14"),
        ("linear_attention", "linear", "Linear attention destroys reasoning", "App. J"),
        ("qat", "int4_naive, no gradient", "QAT as the paper did it solves nothing", "Sec. 4.6"),
    )
    return [
        _intervention(record, text, where)
        for study, start, text, where in cases
        for record in results.records_of(study)
        if record["variant"].startswith(start)
    ]


def _intervention(record: Record, text: str, where: str) -> Claim:
    exact = interval_of(record, "exact")
    name = f"{record['task']}: {record['variant']}"
    return Claim(text, where, name, with_interval(exact), destroyed(exact))


def _change(sweep: Sweep, outcome: Outcome, cycles: int) -> Interval:
    """Change of exact match against full precision at full depth, paired."""
    full = sweep.reference.solved(sweep.spec.grid.deepest)
    pairs = statistics.pairs(full, outcome.solved(cycles))
    return statistics.bootstrap_difference(pairs, sweep.spec.seed)


def _name(sweep: Sweep) -> str:
    return f"{sweep.spec.model}, n = {sweep.reference.num_puzzles}"
