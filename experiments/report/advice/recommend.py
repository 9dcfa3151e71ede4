"""Which scheme to take on a device, by a rule; nothing is recommended that is not sure.

For a model that was swept, of the published size of its task and architecture:

    1. harmless   the lower end of the paired 95 % interval of the change of exact match, against
                  full precision on the same puzzles, is not below -MARGIN
    2. computed   the device's runtime multiplies so (export/lowering/storage.py)
    3. fits       stored bytes fit the flash, the peak fits the SRAM: weights loaded, streamed, or
                  read from flash; a budget of None is not tight
    4. in time    a puzzle at full depth ends within the device's patience, by the pace that
                  deployments show (paces.py); where none was given that is open, and said
    5. smallest   of what is left, the fewest bytes; float weights are never recommended: full
                  precision is the reference, and runtimes expand 16-bit floats to it

and of the depths the shallowest that is as harmless under that scheme. Candidates are the schemes
of the sweep and the recipes that searches found for the same model. Weight-only schemes keep
float32 activations, so that they fit less than their bytes suggest; the rule counts that. Where no
scheme is surely harmless and one may be, it is undecided, and the number of puzzles is named from
which the same interval would decide it if the same share of them changed.

Not here: tables (sections/devices.py).
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from experiments.recipe.rows import SearchRecord
from experiments.render.tables import size_text
from experiments.report.advice.paces import estimate_seconds
from experiments.report.inputs import PUBLISHED, Results, architecture_of
from experiments.sweep.outcomes import Sweep, compare
from export.cortex_m.memory import BOARDS
from export.ethos_u.accelerators import Accelerator
from export.footprint.estimate import BUDGETS, Footprint, estimate_footprint
from export.footprint.sram import Residency
from export.lowering.storage import matrix_plan
from export.targets import Target
from quant.integer.network import has_integers
from quant.scheme import Scheme, label, parse
from trm_jax import intervals
from trm_jax.config import Config
from trm_jax.intervals import Interval, Pairs

MARGIN = 0.05
NOT_SWEPT = "not swept"
FIRST = ("tflm_int8_int16", "tflm_int8_int8", "tflm_int4_int16", "tflm_int4_int8")
"""What to measure where a microcontroller is asked for and none of its schemes was swept: the first
that fits, the more exact ones first."""
BOARD = next(board for board in BOARDS if board.name == "Alif Ensemble E7")


class Device(NamedTuple):
    """What a scheme must run on; a budget of None is not tight.

    Attributes:
      pace: name of the device among paces; empty: nothing is timed there.
      flash, sram: bytes; seconds: a puzzle may take.
    """

    name: str
    target: Target
    pace: str
    flash: int | None
    sram: int | None
    seconds: float

    @property
    def budgets(self) -> str:
        """The budgets in words."""
        sizes = ((self.flash, "flash"), (self.sram, "SRAM"))
        parts = [f"{size / 2**20:.1f} MiB {name}" for size, name in sizes if size is not None]
        return ", ".join([*parts, f"{self.seconds:g} s"])


DEVICES = (
    Device("Cortex-M55", Target.TFLM, "cortex-m55", BOARD.graph_bytes, BOARD.work_bytes, 60.0),
    Device(
        "Ethos-U55",
        Target.ETHOS_U,
        Accelerator.U55_256.value,
        BOARD.graph_bytes,
        BOARD.work_bytes,
        10.0,
    ),
    Device("4 MB MCU", Target.TFLM, "cortex-m55", None, BUDGETS["4 MB MCU"], 60.0),
    Device("8 MB SoC", Target.LITERT, "", None, BUDGETS["8 MB SoC"], 10.0),
    Device("phone", Target.LITERT, Target.AI_HUB.value, None, None, 10.0),
    Device("computer", Target.LITERT, Target.LITERT.value, None, None, 10.0),
)
"""Both boards have the memory of an Alif Ensemble E7; patience is that of their deployments, and
the NPU's elsewhere. The two with a size in their name are the paper's (Sec. 3.3)."""


class Candidate(NamedTuple):
    """A scheme that was measured on a model.

    Attributes:
      pairs: against full precision at full depth.
      exact: at the recommended depth; change: there too.
      cycles: the shallowest harmless depth in H-cycles; full depth where nothing is harmless.
    """

    name: str
    scheme: Scheme
    pairs: Pairs
    exact: Interval
    change: Interval
    cycles: int

    @property
    def is_harmless(self) -> bool:
        return intervals.paired_difference(self.pairs).low >= -MARGIN


class Choice(NamedTuple):
    """What the rule says of a candidate on a device.

    Attributes:
      how: how the weights are held.
      seconds: of a puzzle of the published size at full depth; None: nothing was timed.
    """

    candidate: Candidate
    estimate: Footprint
    how: Residency
    seconds: float | None


def candidates(sweep: Sweep, searches: Sequence[SearchRecord]) -> list[Candidate]:
    """List the schemes of integer weights that were measured on a sweep's model."""
    integers = (at for at, o in enumerate(sweep.outcomes) if parse(o.scheme).weights is not None)
    swept = [_swept(sweep, at) for at in integers]
    found = [
        _found(search, sweep.spec.grid.deepest)
        for search in searches
        if search.model == sweep.spec.model
    ]
    return [*swept, *found]


def choose(results: Results, sweep: Sweep, device: Device) -> Choice | None:
    """Apply the rule; None if nothing passes, or the published size is not known."""
    passing = [c for c in _fitting(results, sweep, device) if c.candidate.is_harmless]
    in_time = [c for c in passing if c.seconds is None or c.seconds <= device.seconds]
    return min(in_time, key=lambda choice: choice.estimate.backbone.total, default=None)


def explain(results: Results, sweep: Sweep, device: Device) -> str:
    """Say why nothing is recommended, and how many puzzles would decide where that is open."""
    if published(sweep) is None:
        return "published size not known"
    fitting = list(_fitting(results, sweep, device))
    if not fitting:
        untried = name_untried(results, sweep, device)
        if untried is None:
            return "none swept fits" if _tried(results, sweep, device) else "none fits"
        return f"{NOT_SWEPT}: {untried}"
    timed = [c for c in fitting if c.seconds is None or c.seconds <= device.seconds]
    if not timed:
        fastest = min(c.seconds for c in fitting if c.seconds is not None)
        return f"none in time: about {fastest:,.0f} s"
    counts = [intervals.puzzles_needed(c.candidate.pairs, -MARGIN) for c in timed]
    needed = [(n, c.candidate.name) for n, c in zip(counts, timed, strict=True) if n is not None]
    if not needed:
        return f"none is harmless: {100 * MARGIN:.0f} pp or more are lost"
    count, name = min(needed)
    return f"undecided: {name} needs n >= {count}"


def name_untried(results: Results, sweep: Sweep, device: Device) -> str | None:
    """Name the scheme to measure first on a device whose arithmetic was not measured.

    Returns:
      None: it was, or nothing would fit, or the architecture has no integers.
    """
    config = published(sweep)
    if config is None or not has_integers(config) or _tried(results, sweep, device):
        return None
    return next((name for name in FIRST if _place(config, parse(name), device)), None)


def _tried(results: Results, sweep: Sweep, device: Device) -> bool:
    """Return whether anything was measured in the arithmetic that a device is made for."""
    if device.target not in (Target.TFLM, Target.ETHOS_U):
        return True
    schemes = (each.scheme for each in candidates(sweep, results.searches))
    return any(scheme.is_integer for scheme in schemes)


def published(sweep: Sweep) -> Config | None:
    """Find the published configuration of a sweep's task and architecture."""
    return PUBLISHED.get((sweep.spec.task, architecture_of(sweep)))


def computes(target: Target, scheme: Scheme) -> bool:
    """Return whether a target multiplies as a scheme asks, and right."""
    kinds = scheme.all_weights or (None,)
    try:
        for weights in kinds:
            matrix_plan(replace(scheme, weights=weights, exceptions=()), target)
    except ValueError:  # its reason is for the person who exports
        return False
    return True


def _fitting(results: Results, sweep: Sweep, device: Device) -> Iterator[Choice]:
    """List what a device computes and whose published size fits it."""
    config = published(sweep)
    if config is None:
        return
    for candidate in candidates(sweep, results.searches):
        placed = _place(config, candidate.scheme, device)
        if placed is not None:
            estimate, how = placed
            gflops = estimate.work().total
            seconds = estimate_seconds(results.paces, device.pace, candidate.name, gflops)
            yield Choice(candidate, estimate, how, seconds)


def _place(config: Config, scheme: Scheme, device: Device) -> tuple[Footprint, Residency] | None:
    """Count the bytes of a scheme and choose how its weights are held; None: it does not run."""
    if not computes(device.target, scheme):
        return None
    try:
        estimate = estimate_footprint(config, scheme)
    except ValueError:  # a recipe of matrices that the published size lacks
        return None
    if device.flash is not None and estimate.backbone.total + estimate.table > device.flash:
        return None
    how = Residency.FULL if device.sram is None else estimate.residency_for(device.sram)
    return None if how is None else (estimate, how)


def _swept(sweep: Sweep, at: int) -> Candidate:
    outcome, depths = sweep.outcomes[at], sweep.spec.grid.cycles
    deepest = sweep.spec.grid.deepest
    harmless = (c for c in depths if sweep.change(outcome, c).low >= -MARGIN)
    cycles = next(harmless, deepest)
    return Candidate(
        label(outcome.scheme, sweep.spec.dtype),
        parse(outcome.scheme),
        compare(sweep.reference, outcome, deepest),
        outcome.exact(cycles),
        sweep.change(outcome, cycles),
        cycles,
    )


def _found(search: SearchRecord, deepest: int) -> Candidate:
    full, recipe, *_ = search.schemes
    pairs = intervals.pairs(full.exact, recipe.exact)
    name = f"recipe of {size_text(recipe.stored)}"
    return Candidate(
        name, recipe.scheme, pairs, recipe.rate, intervals.paired_difference(pairs), deepest
    )
