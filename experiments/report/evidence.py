"""The paper's claims as functions of results, each with the number of ours that decides it.

    sweeps      precision (Tables 3, 9, 10), recovery by calibration (section 4.5), whether collapse
                is architectural (4.2, 4.4), depth (4.2), signals (4.3, Table 7)
    ablations   interventions beside precision (Tables 1, 12-14, App. J, sections 4.2 and 4.6)
    shapes      the two deployments of Table 2

Every claim is held against the effect that the paper prints, scaled to what full precision solves
here. Not here: how an interval decides (verdicts.py), the table of claims (sections/claims.py).
"""

import re

from experiments.paper import tables
from experiments.paper.grids import GRIDS
from experiments.predictor.ranking import judged_pairs
from experiments.render.tables import Record, points_text
from experiments.report.cells import printed
from experiments.report.inputs import PUBLISHED, Results, architecture_of
from experiments.report.quantisers import Rescue, find_rescue, group_quantisers
from experiments.report.verdicts import (
    SMALL_LOSS,
    Claim,
    ClaimVerdict,
    PaperEffect,
    Topic,
    has_effect,
    is_kept,
    is_lost,
    keeps,
    within,
)
from experiments.sweep.outcomes import Sweep, SweepOutcome, compare
from export.footprint.estimate import BUDGETS, estimate_footprint
from export.footprint.sram import Residency
from quant.scheme import parse, short_name
from trm_jax import intervals
from trm_jax.config import ARC_TRM_ATT
from trm_jax.intervals import Interval, interval_of

NOT_PRINTED = "none printed"  # of this architecture on this task
SIMILARITY_CHANGE = 0.064  # the largest change that the paper calls insensitive (ARC, Table 7)
FULL_DEPTH, SHALLOW = 48, 8  # H-cycles of the paper: T=3, n=16, and its “single cycle”
NAIVE, CALIBRATED = parse("int4_naive").name, parse("int4_calibrated").name

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
CELLS_TOLD = ("pruning", "distillation", "linear_attention")
"""Studies in which the paper says that cells survive."""


def collect_claims(results: Results) -> list[Claim]:
    """Collect every claim that the results can decide, the memory's always, by topic."""
    per_sweep = (_cells, _precision, _recovery, _collapse, _depth, _signals)
    swept = [claim for make in per_sweep for sweep in results.sweeps for claim in make(sweep)]
    listed = [*swept, *_studies(results), *_memory()]
    order = list(Topic)
    return sorted(listed, key=lambda claim: order.index(claim.topic))


def paper_effect(sweep: Sweep, scheme: str) -> PaperEffect | None:
    """Find what the paper prints for a scheme at full depth on a sweep's task and architecture."""
    names = (sweep.spec.task, architecture_of(sweep))
    full, theirs = (printed(*names, name) for name in ("fp32", scheme))
    if full is None or theirs is None or full.exact is None or theirs.exact is None:
        return None
    return PaperEffect(theirs.exact - full.exact, full.exact)


def _cells(sweep: Sweep) -> list[Claim]:
    """Whether naive INT4 takes more of the puzzles than of their cells, where it takes any."""
    outcome, effect = sweep.scheme(NAIVE), paper_effect(sweep, "int4_naive")
    names = (sweep.spec.task, architecture_of(sweep))
    full, theirs = (printed(*names, name) for name in ("fp32", "int4_naive"))
    if outcome is None or effect is None or -effect.share <= SMALL_LOSS:
        return []
    if full is None or theirs is None or full.cell is None or theirs.cell is None:
        return []
    cells = PaperEffect(effect.change - (theirs.cell - full.cell), effect.base)
    deepest = sweep.spec.grid.deepest
    changed = intervals.difference(
        sweep.change(outcome, deepest),
        intervals.difference(outcome.cell(deepest), sweep.reference.cell(deepest)),
    )
    text = "Naive INT4 takes more of the puzzles than of their cells"
    return [_effect_claim(sweep, Topic.CELLS, text, theirs.source, changed, cells)]


def _precision(sweep: Sweep) -> list[Claim]:
    mixing = architecture_of(sweep) == "TRM-MLP"
    naive = paper_effect(sweep, "int4_naive")
    if mixing:
        text = "Naive INT4 breaks MLP mixing"
    elif naive and -naive.share > SMALL_LOSS:
        text = "Naive INT4 costs ARC part of its answers"
    else:
        text = "Naive INT4 spares attention"
    cases = (
        ("int4_naive", text, "Table 10", Topic.ARCHITECTURE),
        ("int4_calibrated", "Calibrated INT4 loses little", "Table 9", Topic.RECOVERY),
        ("int8", "INT8 weights lose nothing", "Table 3", Topic.REST),
    )
    claims = []
    for scheme, text, where, topic in cases:
        outcome, effect = sweep.scheme(parse(scheme).name), paper_effect(sweep, scheme)
        if outcome is None:
            continue
        theirs = printed(sweep.spec.task, architecture_of(sweep), scheme) if effect else None
        source = theirs.source if theirs else where
        changed = sweep.change(outcome, sweep.spec.grid.deepest)
        claims.append(_effect_claim(sweep, topic, text, source, changed, effect))
    return claims


def _recovery(sweep: Sweep) -> list[Claim]:
    """Whether calibration brings back more than half of what naive INT4 lost, in pairs."""
    naive, calibrated = sweep.scheme(NAIVE), sweep.scheme(CALIBRATED)
    if naive is None or calibrated is None:
        return []
    deepest = sweep.spec.grid.deepest
    gain = intervals.paired_difference(compare(naive, calibrated, deepest))
    full, low, high = (o.solved(deepest) for o in (sweep.reference, naive, calibrated))
    beyond = intervals.paired_mean(high.astype(float) - (low.astype(float) + full) / 2)
    theirs = {key[0]: values[0] or 0.0 for key, values in tables.SUDOKU_SCHEMES.rows.items()}
    back = theirs["int4_calibrated"] - theirs["int4_naive"]
    lost = theirs["fp32"] - theirs["int4_naive"]
    verdict, why = ClaimVerdict.OPEN, "it is not sure that naive INT4 loses more than half of it"
    if not is_lost(sweep.change(naive, deepest)):
        why = "naive INT4 is not sure to lose anything here that could come back"
    elif beyond.low > 0:
        verdict, why = ClaimVerdict.SAME, ""
    elif gain.high <= 0:
        verdict, why = ClaimVerdict.OTHER, _setting(sweep)
    elif beyond.high < 0 < gain.low:
        verdict, why = ClaimVerdict.SMALLER, "surely less than half of it comes back"
    else:
        why = "half of the loss is inside the interval of what comes back"
    text = "Calibrating per channel recovers what naive INT4 lost"
    effect = f"{back:+.1f} of {lost:.1f} pp lost"
    return [_claim(sweep, Topic.RECOVERY, text, "Sec. 4.5", effect, _points(gain), verdict, why)]


def _collapse(sweep: Sweep) -> list[Claim]:
    """Whether what MLP mixing loses is the architecture's: then no quantiser would bring it back.

    Decided where min/max surely loses, by whether another quantiser of the same grid brings back
    more than half of the loss.
    """
    if architecture_of(sweep) != "TRM-MLP":
        return []
    rescues = (find_rescue(sweep, group) for group in group_quantisers(sweep.outcomes))
    return [
        _architectural(sweep, rescue) for rescue in rescues if rescue and not is_kept(rescue.naive)
    ]


def _architectural(sweep: Sweep, rescue: Rescue) -> Claim:
    verdict = ClaimVerdict.OPEN
    if is_lost(rescue.naive) and rescue.beyond_half.low > 0:
        verdict = ClaimVerdict.OTHER
    elif is_lost(rescue.naive) and rescue.beyond_half.high < 0:
        verdict = ClaimVerdict.SAME
    lost, left = (0.0 - 100 * change.value for change in (rescue.naive, rescue.better))
    why = f"same grid: min/max loses {lost:.1f} pp, {short_name(rescue.scheme)} {left:.1f} pp"
    ours = points_text(rescue.beyond_half).replace("\n", " pp beyond half of the loss\n")
    text = "Collapse under coarse grids is architectural"
    return Claim(
        Topic.ARCHITECTURE,
        text,
        "Sec. 4.2, 4.4",
        f"{sweep.spec.model}, {short_name(rescue.plain)}",
        sweep.reference.num_puzzles,
        "whatever the quantiser",
        ours,
        verdict,
        why,
    )


def _depth(sweep: Sweep) -> list[Claim]:
    """Whether INT8 at a sixth of the cycles keeps accuracy, or is too shallow, against full depth.

    Where a sixth was not measured the claim gets the harder depth: less than that to keep
    accuracy, more to be too shallow. What fails there may still hold at a sixth: that is open.
    """
    outcome, effect = sweep.scheme(parse("int8").name), depth_effect(sweep.spec.task)
    if outcome is None or effect is None:
        return []
    deepest, depths = sweep.spec.grid.deepest, sweep.spec.grid.cycles
    lost = -effect.share > SMALL_LOSS
    if lost:
        cycles = min(c for c in depths if c * FULL_DEPTH >= deepest * SHALLOW)
    else:
        cycles = max((c for c in depths if c * FULL_DEPTH <= deepest * SHALLOW), default=0)
    if not cycles:
        return []
    text = "INT8 at a sixth of the cycles " + ("is too shallow" if lost else "keeps accuracy")
    claim = _effect_claim(
        sweep, Topic.DEPTH, text, "Tables 16-18", sweep.change(outcome, cycles), effect
    )
    if claim.verdict is ClaimVerdict.OTHER and cycles * FULL_DEPTH != deepest * SHALLOW:
        why = f"{cycles} of {deepest} H-cycles: harder than a sixth, which was not measured"
        claim = claim._replace(verdict=ClaimVerdict.OPEN, why=why)
    return [claim._replace(model=f"{claim.model}, {cycles} of {deepest} H-cycles")]


def depth_effect(task: str) -> PaperEffect | None:
    """Find what INT8 at 8 H-cycles changes against full precision at all 48 (Tables 16-18).

    Not Tables 4-6, which compare with 6, 30 and 40 H-cycles.
    """
    grid = GRIDS.get(task)
    base, value = (
        (grid.at("fp32", FULL_DEPTH, "exact"), grid.at("int8", SHALLOW, "exact"))
        if grid
        else (None, None)
    )
    return None if base is None or value is None else PaperEffect(value - base, base)


def _signals(sweep: Sweep) -> list[Claim]:
    """Fidelity orders schemes; consecutive similarity does not see the scheme."""
    pairs = judged_pairs(sweep, sweep.spec.grid.deepest)
    wrong = sum(pair.holds and pair.wrong for pair in pairs)
    right = sum(pair.holds and not pair.wrong for pair in pairs)
    verdict = ClaimVerdict.OTHER if wrong else ClaimVerdict.SAME if right else ClaimVerdict.OPEN
    rest = len(pairs) - right - wrong
    ours = f"of {len(pairs)} pairs {right} surely so, {wrong} surely not, {rest} not resolved"
    text = "Fidelity falls monotonically with damage"
    claim = _claim(sweep, Topic.FIDELITY, text, "Sec. 4.3", "every pair", ours, verdict)
    claims = [claim] if pairs else []
    naive = sweep.scheme(NAIVE)
    if naive is not None:
        claims.append(_similarity(sweep, naive))
    return claims


def _similarity(sweep: Sweep, naive: SweepOutcome) -> Claim:
    moved = intervals.difference(naive.call_similarity, sweep.reference.call_similarity)
    verdict = within(moved, SIMILARITY_CHANGE)
    text = "Consecutive similarity is insensitive to naive INT4"
    ours = f"{moved.value:+.3f}\n[{moved.low:+.3f}, {moved.high:+.3f}]"
    why = "" if verdict is ClaimVerdict.SAME else _setting(sweep)
    effect = f"at most {SIMILARITY_CHANGE} (ARC)"
    return _claim(sweep, Topic.FIDELITY, text, "Table 7", effect, ours, verdict, why)


def _memory() -> list[Claim]:
    """The two deployments of Table 2, with states and working memory counted."""
    cases = (
        ("tflm_int8_int8", "8 MB SoC", "INT8 with flash loading fits 8 MB", "6.51 MB"),
        ("tflm_int4_int8", "4 MB MCU", "Calibrated INT4 fits a 4 MB MCU", "3.26 MB"),
    )
    claims = []
    for scheme, device, text, printed_size in cases:
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
        name = f"published ARC size, {scheme}"
        claims.append(
            Claim(Topic.MEMORY, text, "Table 2", name, None, printed_size, ours, verdict, why)
        )
    return claims


def _studies(results: Results) -> list[Claim]:
    """Hold every study's variants against what the paper says of them."""
    claims = []
    for study, pattern, text, where in DESTROYS:
        records = results.records_of(study)
        for record in records:
            effect = _study_effect(study, record)
            if effect is None or not re.fullmatch(pattern, record["variant"]):
                continue
            claims.append(
                _intervention(record, Topic.REST, text, where, _change_of(record), effect)
            )
            cells = _cells_of(study, record, records, effect)
            if cells:
                told = f"{text.partition(' destroys')[0].partition(' solves')[0]}: cells survive"
                claims.append(_intervention(record, Topic.CELLS, told, where, *cells))
    return [*claims, *_embedding(results)]


def _study_effect(study: str, record: Record) -> PaperEffect | None:
    """Find what the paper prints of an intervention; None where it has no number for the task."""
    task = record["task"]
    full = tables.PRECISION.fraction(("fp32",), f"{task} PExact") or 0.0
    lost = PaperEffect(-full, full)  # to 0.0 %
    match study:
        case "pruning":
            return lost  # Table 13: 0.0 % for all tasks
        case "distillation":
            return lost if (task,) in tables.DISTILLATION.rows else None
        case "truncation":
            whole, half = (tables.TRUNCATION.fraction((k,), task) for k in ("100%", "50%"))
            return None if whole is None or half is None else PaperEffect(half - whole, whole)
        case "linear_attention":
            base = tables.LINEAR_ATTENTION.fraction(("softmax",), "PExact") or 0.0
            return PaperEffect(-base, base) if task == "maze" else None
        case "qat":
            return lost if task == "sudoku" else None
        case "activations":
            static = tables.STATIC.fraction(("sudoku",), "PExact") or 0.0
            return PaperEffect(static - full, full) if task == "sudoku" else None
    return None


def _cells_of(
    study: str, record: Record, records: list[Record], effect: PaperEffect
) -> tuple[Interval, PaperEffect] | None:
    """How much more of the puzzles than of their cells is lost: ours and the paper's."""
    task = record["task"]
    full = tables.PRECISION.fraction(("fp32",), f"{task} CellAcc")
    theirs: float | None = None
    if study == "pruning" and record["variant"].startswith("25%"):
        theirs = tables.PRUNING.fraction(("25%",), f"{task} CellAcc")
    elif study == "distillation":
        theirs = tables.DISTILLATION.fraction((task,), "CellAcc")
    elif study == "linear_attention":
        full = tables.LINEAR_ATTENTION.fraction(("softmax",), "CellAcc")
        theirs = tables.LINEAR_ATTENTION.fraction(("zero-shot",), "CellAcc")
    reference = next(
        (r for r in records if r["task"] == task and r["variant"] == record.get("reference")), None
    )
    if full is None or theirs is None or reference is None:
        return None
    cells = intervals.difference(interval_of(record, "cell"), interval_of(reference, "cell"))
    changed = intervals.difference(_change_of(record), cells)
    return changed, PaperEffect(effect.change - (theirs - full), effect.base)


def _change_of(record: Record) -> Interval:
    return intervals.paired_difference(
        intervals.Pairs(record["lost"], record["gained"], record["puzzles"])
    )


def _embedding(results: Results) -> list[Claim]:
    """Table 1 says of a form of the puzzle table whether it loses anything."""
    cases = {
        "int8 table": "The puzzle table in int8 loses nothing",
        "one row streamed": "One streamed row of the table loses nothing",
    }
    claims = []
    for record in results.records_of("embedding"):
        if record["variant"] in cases:
            changed = _change_of(record)
            name, text = f"{record['model']}: {record['variant']}", cases[record["variant"]]
            verdict, count = keeps(changed), record["puzzles"]
            claims.append(
                Claim(
                    Topic.MEMORY,
                    text,
                    "Table 1",
                    name,
                    count,
                    "no loss",
                    _points(changed),
                    verdict,
                    _reason(verdict, changed, count, "small model, other puzzles (see below)"),
                )
            )
    return claims


def _intervention(
    record: Record, topic: Topic, text: str, where: str, changed: Interval, effect: PaperEffect
) -> Claim:
    count = record["puzzles"]
    base = record["exact"] + (record["lost"] - record["gained"]) / count
    verdict = has_effect(changed, effect.share * base) if base > 0 else ClaimVerdict.OPEN
    why = _reason(verdict, changed, count, "small model, other puzzles (see below)")
    name = f"{record['model']}: {record['variant']}"
    return Claim(topic, text, where, name, count, str(effect), _points(changed), verdict, why)


def _effect_claim(
    sweep: Sweep,
    topic: Topic,
    text: str,
    where: str,
    changed: Interval,
    effect: PaperEffect | None,
) -> Claim:
    """Hold a change against the paper's, scaled to what full precision solves here."""
    base = sweep.reference.exact(sweep.spec.grid.deepest).value
    here = effect.share * base if effect else 0.0
    is_loss = effect is not None and -effect.share > SMALL_LOSS
    verdict = has_effect(changed, here) if is_loss and base > 0 else keeps(changed, here)
    why = _reason(verdict, changed, sweep.reference.num_puzzles, _setting(sweep))
    shown = str(effect) if effect else NOT_PRINTED
    return _claim(sweep, topic, text, where, shown, _points(changed), verdict, why)


def _claim(
    sweep: Sweep,
    topic: Topic,
    text: str,
    where: str,
    effect: str,
    ours: str,
    verdict: ClaimVerdict,
    why: str = "",
) -> Claim:
    count = sweep.reference.num_puzzles
    return Claim(topic, text, where, sweep.spec.model, count, effect, ours, verdict, why)


def _reason(verdict: ClaimVerdict, changed: Interval, count: int, setting: str) -> str:
    if verdict is ClaimVerdict.SAME:
        return ""
    if verdict is not ClaimVerdict.OPEN:
        return setting
    reach = 100 * (changed.high - changed.low) / 2
    sure = "; something is surely lost, how much is not" if changed.high < 0 else ""
    return f"{count} puzzles leave +-{reach:.0f} pp{sure}"


def _points(changed: Interval) -> str:
    return points_text(changed).replace("\n", " pp\n")


def _setting(sweep: Sweep) -> str:
    """Say what was run here instead of the paper's model."""
    here = f"{sweep.spec.num_parameters / 1e6:.2f} M weights on {sweep.spec.data}"
    config = PUBLISHED.get((sweep.spec.task, architecture_of(sweep)))
    if config is None:
        return here
    count = estimate_footprint(config, parse("fp32")).num_parameters
    return f"{here}; the paper's has {count / 1e6:.2f} M"
