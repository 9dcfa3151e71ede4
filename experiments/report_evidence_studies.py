"""The paper's claims on interventions beside precision, from the records of ablations."""

import re

from experiments import statistics
from experiments.report_results import Results
from experiments.report_verdicts import Claim, Verdict, destroyed, lossless
from experiments.tables import Record, interval_of, points_text, with_interval

DESTROYS = (
    ("pruning", "25% of all linears", "Pruning 25 % destroys reasoning", "Table 13"),
    ("pruning", "50% of all linears", "Pruning 50 % destroys reasoning", "Table 13"),
    ("truncation", "50% context, n=1", "Half the context destroys reasoning", "Table 12"),
    ("distillation", "student.*", "A single-cycle student solves nothing", "Table 14"),
    ("linear_attention", "linear, [^,]*, n=1", "Linear attention destroys reasoning", "App. J"),
    ("qat", "int4_naive, QAT no gradient", "QAT as the paper did it solves nothing", "Sec. 4.6"),
    ("activations", "w8c-sym_a8s, states too", "Naive static INT8 destroys Sudoku", "Sec. 4.2"),
)
"""Study, pattern of its variants, claim, where."""


def study_claims(results: Results) -> list[Claim]:
    """Hold every study's variants against what the paper says of them."""
    return [
        *(
            _intervention(record, text, where)
            for study, pattern, text, where in DESTROYS
            for record in results.records_of(study)
            if re.fullmatch(pattern, record["variant"])
            and (study != "activations" or record["task"] == "sudoku")
        ),
        *_embedding(results),
    ]


def _embedding(results: Results) -> list[Claim]:
    """Table 1 says of a form of the puzzle table whether it loses anything."""
    cases = {
        "int8 table": "The puzzle table in int8 loses nothing",
        "one row streamed": "One streamed row of the table loses nothing",
    }
    made = []
    for record in results.records_of("embedding"):
        if record["variant"] in cases:
            pairs = statistics.Pairs(record["lost"], record["gained"], record["puzzles"])
            changed = statistics.paired_difference(pairs)
            name = f"{record['task']}: {record['variant']}, n = {record['puzzles']}"
            ours, verdict = points_text(changed).replace("\n", " pp\n"), lossless(changed)
            made.append(Claim(cases[record["variant"]], "Table 1", name, ours, verdict))
    return made


def _intervention(record: Record, text: str, where: str) -> Claim:
    exact = interval_of(record, "exact")
    verdict = destroyed(exact)
    reasons = {
        Verdict.SAME: "",
        Verdict.OTHER: "small model, other puzzles (see below)",
        Verdict.OPEN: f"{record['puzzles']} puzzles allow up to {100 * exact.high:.0f} %",
    }
    name = f"{record['task']}: {record['variant']}, n = {record['puzzles']}"
    return Claim(text, where, name, with_interval(exact), verdict, reasons[verdict])
