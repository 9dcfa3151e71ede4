"""The paper's claims as functions of results, each with the number of ours that decides it.

    sweeps      precision (Tables 3, 9, 10), recovery by calibration (section 4.5), whether collapse
                is architectural (4.2, 4.4), depth (4.2), signals (4.3, Table 7)
    ablations   interventions beside precision (Tables 1, 12-14, App. J, sections 4.2 and 4.6)
    shapes      the two deployments of Table 2

Not here: how an interval decides (verdicts.py), the table of claims (sections/claims.py).
"""

import re
from collections.abc import Callable

from experiments.predictor.ranking import judged_pairs
from experiments.render.tables import Record, points_text, with_interval
from experiments.report.inputs import PUBLISHED, Results, architecture_of
from experiments.report.quantisers import Rescue, find_rescue, group_quantisers
from experiments.report.verdicts import Claim, ClaimVerdict, destroyed, gains, loses, lossless
from experiments.sweep.outcomes import Sweep, compare
from export.footprint.estimate import BUDGETS, estimate_footprint
from export.footprint.sram import Residency
from quant.scheme import parse, short_name
from trm_jax import intervals
from trm_jax.config import ARC_TRM_ATT
from trm_jax.intervals import Interval, interval_of

SIMILARITY_CHANGE = 0.064  # the largest change that the paper calls insensitive (ARC, Table 7)


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


def collect_claims(results: Results) -> list[Claim]:
    """Collect every claim that the results can decide, the memory's always."""
    per_sweep = (_precision, _recovery, _collapse, _depth, _signals)
    swept = [claim for make in per_sweep for sweep in results.sweeps for claim in make(sweep)]
    return [*swept, *_studies(results), *_memory()]


def _precision(sweep: Sweep) -> list[Claim]:
    mixing = architecture_of(sweep) == "TRM-MLP"
    naive = (
        ("Naive INT4 breaks MLP mixing", loses)
        if mixing
        else ("Naive INT4 spares attention", lossless)
    )
    cases = (
        ("int8", "INT8 weights lose nothing", "Table 3", lossless),
        ("int4_naive", naive[0], "Table 10", naive[1]),
        ("int4_calibrated", "Calibrated INT4 loses little", "Table 9", lossless),
    )
    return [
        _changed(sweep, text, where, sweep.change(outcome, sweep.spec.grid.deepest), decide)
        for scheme, text, where, decide in cases
        if (outcome := sweep.scheme(parse(scheme).name))
    ]


def _recovery(sweep: Sweep) -> list[Claim]:
    """Calibration against naive quantisation, in pairs, at 4 bits."""
    naive, calibrated = (sweep.scheme(parse(f"int4_{k}").name) for k in ("naive", "calibrated"))
    if naive is None or calibrated is None:
        return []
    pairs = compare(naive, calibrated, sweep.spec.grid.deepest)
    gain = intervals.paired_difference(pairs)
    text = "Calibrating per channel recovers what naive INT4 lost"
    return [_changed(sweep, text, "Sec. 4.5", gain, gains)]


def _collapse(sweep: Sweep) -> list[Claim]:
    """Whether what MLP mixing loses is the architecture's: then no quantiser would bring it back.

    Decided where min/max surely loses, by whether another quantiser of the same grid brings back
    more than half of the loss.
    """
    if architecture_of(sweep) != "TRM-MLP":
        return []
    rescues = (find_rescue(sweep, group) for group in group_quantisers(sweep.outcomes))
    return [
        _architectural(sweep, rescue)
        for rescue in rescues
        if rescue and lossless(rescue.naive) is not ClaimVerdict.SAME
    ]


def _architectural(sweep: Sweep, rescue: Rescue) -> Claim:
    opposite = {ClaimVerdict.SAME: ClaimVerdict.OTHER, ClaimVerdict.OTHER: ClaimVerdict.SAME}
    is_lost = loses(rescue.naive) is ClaimVerdict.SAME
    verdict = opposite.get(gains(rescue.beyond_half)) if is_lost else None
    lost, left = (0.0 - 100 * change.value for change in (rescue.naive, rescue.better))
    why = f"same grid: min/max loses {lost:.1f} pp, {short_name(rescue.scheme)} {left:.1f} pp"
    ours = points_text(rescue.beyond_half).replace("\n", " pp beyond half of the loss\n")
    text = "Collapse under coarse grids is architectural"
    name = f"{_name(sweep)}, {short_name(rescue.plain)}"
    return Claim(text, "Sec. 4.2, 4.4", name, ours, verdict or ClaimVerdict.OPEN, why)


def _depth(sweep: Sweep) -> list[Claim]:
    outcome = sweep.scheme(parse("int8").name)
    if outcome is None or 8 not in sweep.spec.grid.cycles:
        return []
    sudoku = sweep.spec.task == "sudoku"
    text = "INT8 at 8 H-cycles " + ("is too shallow for Sudoku" if sudoku else "keeps accuracy")
    changed = sweep.change(outcome, 8)
    return [_changed(sweep, text, "Sec. 4.2", changed, loses if sudoku else lossless)]


def _signals(sweep: Sweep) -> list[Claim]:
    """Fidelity orders schemes; consecutive similarity does not see the scheme."""
    name, pairs = _name(sweep), judged_pairs(sweep, sweep.spec.grid.deepest)
    wrong = sum(pair.holds and pair.wrong for pair in pairs)
    right = sum(pair.holds and not pair.wrong for pair in pairs)
    verdict = ClaimVerdict.OTHER if wrong else ClaimVerdict.SAME if right else ClaimVerdict.OPEN
    ours = f"of {len(pairs)} pairs of schemes {right} surely so, {wrong} surely not"
    text = "Fidelity falls monotonically with damage"
    claims = [Claim(text, "Sec. 4.3", name, ours, verdict)]
    naive = sweep.scheme(parse("int4_naive").name)
    if naive is not None:
        moved = naive.call_similarity.value - sweep.reference.call_similarity.value
        blind = abs(moved) <= SIMILARITY_CHANGE
        text = "Consecutive similarity is insensitive to naive INT4"
        verdict = ClaimVerdict.SAME if blind else ClaimVerdict.OTHER
        why = "" if blind else _setting(sweep)
        claims.append(Claim(text, "Table 7", name, f"{moved:+.3f}", verdict, why))
    return claims


def _memory() -> list[Claim]:
    """The two deployments of Table 2, with states and working memory counted."""
    cases = (
        ("tflm_int8_int8", "8 MB SoC", "INT8 with flash loading fits 8 MB (6.51 MB)"),
        ("tflm_int4_int8", "4 MB MCU", "Calibrated INT4 fits a 4 MB MCU (3.26 MB)"),
    )
    claims = []
    for scheme, device, text in cases:
        estimate = estimate_footprint(ARC_TRM_ATT, parse(scheme))
        how = estimate.residency_for(BUDGETS[device])
        peak = estimate.sram(Residency.STREAMING).total / 2**20
        fits = how in (Residency.FULL, Residency.STREAMING)
        ours = f"{peak:.2f} MiB, one block streamed"
        why = "" if fits else "the paper counts weights alone; states and activations come on top"
        if not fits and how is Residency.IN_PLACE:
            least = estimate.sram(how).total / 2**20
            why += f"; with weights executed from flash {least:.2f} MiB fit"
        verdict = ClaimVerdict.SAME if fits else ClaimVerdict.OTHER
        claims.append(Claim(text, "Table 2", f"ARC, published size, {scheme}", ours, verdict, why))
    return claims


def _studies(results: Results) -> list[Claim]:
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
    claims = []
    for record in results.records_of("embedding"):
        if record["variant"] in cases:
            pairs = intervals.Pairs(record["lost"], record["gained"], record["puzzles"])
            changed = intervals.paired_difference(pairs)
            name = f"{record['task']}: {record['variant']}, n = {record['puzzles']}"
            ours, verdict = points_text(changed).replace("\n", " pp\n"), lossless(changed)
            claims.append(Claim(cases[record["variant"]], "Table 1", name, ours, verdict))
    return claims


def _intervention(record: Record, text: str, where: str) -> Claim:
    exact = interval_of(record, "exact")
    verdict = destroyed(exact)
    reasons = {
        ClaimVerdict.SAME: "",
        ClaimVerdict.OTHER: "small model, other puzzles (see below)",
        ClaimVerdict.OPEN: f"{record['puzzles']} puzzles allow up to {100 * exact.high:.0f} %",
    }
    name = f"{record['task']}: {record['variant']}, n = {record['puzzles']}"
    return Claim(text, where, name, with_interval(exact), verdict, reasons[verdict])


def _changed(
    sweep: Sweep,
    text: str,
    where: str,
    changed: Interval,
    decide: Callable[[Interval], ClaimVerdict],
) -> Claim:
    verdict = decide(changed)
    reach = 100 * (changed.high - changed.low) / 2
    reasons = {
        ClaimVerdict.SAME: "",
        ClaimVerdict.OTHER: _setting(sweep),
        ClaimVerdict.OPEN: f"{sweep.reference.num_puzzles} puzzles leave +-{reach:.0f} pp",
    }
    ours = points_text(changed).replace("\n", " pp\n")
    return Claim(text, where, _name(sweep), ours, verdict, reasons[verdict])


def _setting(sweep: Sweep) -> str:
    """Say what was run here instead of the paper's model."""
    here = f"{sweep.spec.num_parameters / 1e6:.2f} M weights on {sweep.spec.data}"
    config = PUBLISHED.get((sweep.spec.task, architecture_of(sweep)))
    if config is None:
        return here
    count = estimate_footprint(config, parse("fp32")).num_parameters
    return f"{here}; the paper's has {count / 1e6:.2f} M"


def _name(sweep: Sweep) -> str:
    return f"{sweep.spec.model}, n = {sweep.reference.num_puzzles}"
