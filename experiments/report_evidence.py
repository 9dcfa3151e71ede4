"""The paper's claims as functions of results, each with the number that decides it."""

from collections.abc import Callable

from experiments import statistics
from experiments.analysis import Outcome, compare
from experiments.predictor_rank import judged_pairs
from experiments.report_evidence_studies import study_claims
from experiments.report_results import PUBLISHED, Results, architecture_of
from experiments.report_verdicts import Claim, Verdict, gains, loses, lossless
from experiments.runs import Sweep
from experiments.statistics import Interval
from experiments.tables import points_text
from export.footprint.estimate import BUDGETS, footprint
from export.footprint.sram import Residency
from quant.scheme import parse
from trm_jax.config import ARC_TRM_ATT

SIMILARITY_CHANGE = 0.064  # the largest change that the paper calls insensitive (ARC, Table 7)


def claims(results: Results) -> list[Claim]:
    """Collect every claim that the results can decide, the memory's always."""
    per_sweep = (_precision, _recovery, _depth, _signals)
    swept = [claim for make in per_sweep for sweep in results.sweeps for claim in make(sweep)]
    return [*swept, *study_claims(results), *_memory()]


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
        _changed(sweep, text, where, change(sweep, outcome, sweep.spec.grid.deepest), decide)
        for scheme, text, where, decide in cases
        if (outcome := sweep.scheme(parse(scheme).name))
    ]


def _recovery(sweep: Sweep) -> list[Claim]:
    """Calibration against naive quantisation, in pairs, at 4 bits."""
    naive, calibrated = (sweep.scheme(parse(f"int4_{k}").name) for k in ("naive", "calibrated"))
    if naive is None or calibrated is None:
        return []
    pairs = compare(naive, calibrated, sweep.spec.grid.deepest)
    gain = statistics.paired_difference(pairs)
    text = "Calibrating per channel recovers what naive INT4 lost"
    return [_changed(sweep, text, "Sec. 4.5", gain, gains)]


def _depth(sweep: Sweep) -> list[Claim]:
    outcome = sweep.scheme(parse("int8").name)
    if outcome is None or 8 not in sweep.spec.grid.cycles:
        return []
    sudoku = sweep.spec.task == "sudoku"
    text = "INT8 at 8 H-cycles " + ("is too shallow for Sudoku" if sudoku else "keeps accuracy")
    changed = change(sweep, outcome, 8)
    return [_changed(sweep, text, "Sec. 4.2", changed, loses if sudoku else lossless)]


def _signals(sweep: Sweep) -> list[Claim]:
    """Fidelity orders schemes; consecutive similarity does not see the scheme."""
    name, found = _name(sweep), judged_pairs(sweep, sweep.spec.grid.deepest)
    wrong = sum(pair.holds and pair.wrong for pair in found)
    right = sum(pair.holds and not pair.wrong for pair in found)
    verdict = Verdict.OTHER if wrong else Verdict.SAME if right else Verdict.OPEN
    ours = f"of {len(found)} pairs of schemes {right} surely so, {wrong} surely not"
    text = "Fidelity falls monotonically with damage"
    made = [Claim(text, "Sec. 4.3", name, ours, verdict)]
    naive = sweep.scheme(parse("int4_naive").name)
    if naive is not None:
        moved = naive.call_similarity.value - sweep.reference.call_similarity.value
        blind = abs(moved) <= SIMILARITY_CHANGE
        text = "Consecutive similarity is insensitive to naive INT4"
        verdict = Verdict.SAME if blind else Verdict.OTHER
        why = "" if blind else _setting(sweep)
        made.append(Claim(text, "Table 7", name, f"{moved:+.3f}", verdict, why))
    return made


def _memory() -> list[Claim]:
    """The two deployments of Table 2, with states and working memory counted."""
    cases = (
        ("tflm_int8_int8", "8 MB SoC", "INT8 with flash loading fits 8 MB (6.51 MB)"),
        ("tflm_int4_int8", "4 MB MCU", "Calibrated INT4 fits a 4 MB MCU (3.26 MB)"),
    )
    made = []
    for scheme, device, text in cases:
        found = footprint(ARC_TRM_ATT, parse(scheme))
        how = found.residency_for(BUDGETS[device])
        peak = found.sram(Residency.STREAMING).total / 2**20
        fits = how in (Residency.FULL, Residency.STREAMING)
        ours = f"{peak:.2f} MiB, one block streamed"
        why = "" if fits else "the paper counts weights alone; states and activations come on top"
        if not fits and how is Residency.IN_PLACE:
            least = found.sram(how).total / 2**20
            why += f"; with weights executed from flash {least:.2f} MiB fit"
        verdict = Verdict.SAME if fits else Verdict.OTHER
        made.append(Claim(text, "Table 2", f"ARC, published size, {scheme}", ours, verdict, why))
    return made


def change(sweep: Sweep, outcome: Outcome, cycles: int) -> Interval:
    """Estimate the change of exact match against full precision at full depth, paired."""
    if outcome is sweep.reference and cycles == sweep.spec.grid.deepest:
        return Interval(0.0, 0.0, 0.0)  # the same answers: nothing is estimated
    full = sweep.reference.solved(sweep.spec.grid.deepest)
    pairs = statistics.pairs(full, outcome.solved(cycles))
    return statistics.paired_difference(pairs)


def _changed(
    sweep: Sweep, text: str, where: str, changed: Interval, decide: Callable[[Interval], Verdict]
) -> Claim:
    verdict = decide(changed)
    reach = 100 * (changed.high - changed.low) / 2
    reasons = {
        Verdict.SAME: "",
        Verdict.OTHER: _setting(sweep),
        Verdict.OPEN: f"{sweep.reference.num_puzzles} puzzles leave +-{reach:.0f} pp",
    }
    ours = points_text(changed).replace("\n", " pp\n")
    return Claim(text, where, _name(sweep), ours, verdict, reasons[verdict])


def _setting(sweep: Sweep) -> str:
    """Say what was run here instead of the paper's model."""
    here = f"{sweep.spec.num_parameters / 1e6:.2f} M weights on {sweep.spec.data}"
    config = PUBLISHED.get((sweep.spec.task, architecture_of(sweep)))
    if config is None:
        return here
    count = footprint(config, parse("fp32")).num_parameters
    return f"{here}; the paper's has {count / 1e6:.2f} M"


def _name(sweep: Sweep) -> str:
    return f"{sweep.spec.model}, n = {sweep.reference.num_puzzles}"
