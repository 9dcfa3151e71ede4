"""Sections on devices: what was measured there (Table 11), and the scheme to take by a rule.

The rule, for a model that was swept, of the published size of its task and architecture:

    1. harmless   the lower end of the paired 95 % interval of the change of exact match, against
                  full precision on the same puzzles, is not below -MARGIN
    2. computed   the device's runtime multiplies so (export/lowering/storage.py): TFLite Micro on a
                  microcontroller, LiteRT on others
    3. fits       the published configuration's peak memory under the scheme fits the budget,
                  with weights loaded, streamed, or read from flash (a phone has no budget)
    4. smallest   of what is left, the fewest bytes; full precision is never recommended

and of the depths the shallowest that is as harmless under that scheme. Weight-only schemes keep
float32 activations, so that they fit less than their bytes suggest; the rule counts that. Where no
scheme is surely harmless and one may be, it is undecided, and the table says how many puzzles would
decide it if the same share of them changed.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from experiments.paper import tables
from experiments.render.document import Block, Command, Paragraph, Section
from experiments.render.tables import Table, points_text, size_text, with_interval
from experiments.report.cells import NONE
from experiments.report.inputs import PUBLISHED, Results, architecture_of
from experiments.sweep.outcomes import Sweep, SweepOutcome
from export.footprint.estimate import BUDGETS, Footprint, estimate_footprint
from export.footprint.sram import Residency
from export.lowering.storage import matrix_plan
from export.targets import Target
from quant.scheme import Scheme, label, parse

MARGIN = 0.05


class Device(NamedTuple):
    """What a scheme must run on; a budget of None is not tight."""

    name: str
    target: Target
    budget: int | None


DEVICES = (
    Device("4 MB MCU", Target.TFLM, BUDGETS["4 MB MCU"]),
    Device("8 MB SoC", Target.LITERT, BUDGETS["8 MB SoC"]),
    Device("phone", Target.LITERT, None),
)


class Choice(NamedTuple):
    """What the rule says of a model on a device.

    Attributes:
      how: how the weights are held.
      cycles: the shallowest harmless depth in H-cycles.
    """

    outcome: SweepOutcome
    estimate: Footprint
    how: Residency
    cycles: int


def device_section(results: Results) -> Section:
    """Show what was measured on targets, beside Table 11."""
    blocks: list[Block] = [*results.deployments]
    if not blocks:
        line = "python -m experiments.deploy --task sudoku"
        blocks.append(Command("No deployment was given; measure one with:", line))
    blocks.append(_paper_devices())
    return Section("devices", "Devices (Table 11, Sec. 4.7)", tuple(blocks))


def recommendation_section(results: Results) -> Section:
    """Name which scheme to take on each device."""
    if not results.sweeps:
        line = "python -m experiments.sweep --task sudoku"
        command = Command("No sweep was given; measure one with:", line)
        return Section("recommended", "Recommended schemes", (command,))
    text = (
        "The rule: of the schemes that are harmless (lower end of the paired 95 % interval of the"
        f" change of exact match at least -{100 * MARGIN:.0f} pp), that the device's runtime"
        " computes (TFLite Micro on the microcontroller, LiteRT on the others) and whose published"
        " size fits it, the one with the fewest bytes; then the shallowest depth that is as"
        " harmless. Accuracy is measured on the model given, memory is that of the published size"
        " of its task and architecture. Harmless at this size is no promise for another."
        " Full precision is never recommended; where too few puzzles leave it open the table says"
        " so."
    )
    rows = [row for sweep in results.sweeps for row in _rows(sweep)]
    header = (
        "Model",
        "Device",
        "Scheme",
        "Stored,\npublished size",
        "Peak",
        "Weights",
        "Exact",
        "Change, pp",
        "Depth",
        "Share of\nfull work",
    )
    table = Table("Recommended scheme for each device", header, tuple(rows), frozenset())
    return Section("recommended", "Recommended schemes", (Paragraph(text), table))


def recipe_table(sweeps: Sequence[Sweep]) -> Table:
    """Name the scheme to take on each device, for the first model of every task."""
    first = {sweep.spec.task: sweep for sweep in reversed(sweeps)}
    shown = [first[task] for task in dict.fromkeys(sweep.spec.task for sweep in sweeps)]
    rows = []
    for device in DEVICES:
        choices = ((sweep, choose(sweep, device)) for sweep in shown)
        rows.append(
            (
                device.name,
                *(
                    label(choice.outcome.scheme, sweep.spec.dtype)
                    if choice
                    else explain(sweep, device)
                    for sweep, choice in choices
                ),
            )
        )
    title = f"What to take: the smallest scheme that surely loses at most {100 * MARGIN:.0f} pp"
    header = ("Device", *(sweep.spec.model for sweep in shown))
    return Table(title, header, tuple(rows), frozenset())


def choose(sweep: Sweep, device: Device) -> Choice | None:
    """Apply the rule; None if no scheme passes, or the published size is not known."""
    deepest = sweep.spec.grid.deepest
    passing = [
        c for c in _fitting(sweep, device) if sweep.change(c.outcome, deepest).low >= -MARGIN
    ]
    return min(passing, key=lambda choice: choice.estimate.backbone.total, default=None)


def explain(sweep: Sweep, device: Device) -> str:
    """Say why no scheme is recommended, and how many puzzles would decide where that is open."""
    if PUBLISHED.get((sweep.spec.task, architecture_of(sweep))) is None:
        return "the published size is not known"
    fitting = _fitting(sweep, device)
    if not fitting:
        return "none that was swept runs there and fits"
    deepest = sweep.spec.grid.deepest
    changes = [(c.outcome.scheme, sweep.change(c.outcome, deepest)) for c in fitting]
    known = [(name, change) for name, change in changes if change.value > -MARGIN]
    if not known:
        return f"every scheme that fits loses more than {100 * MARGIN:.0f} pp, or may do so"
    name, change = max(known, key=lambda each: each[1].low)
    shrink = (change.value - change.low) / (change.value + MARGIN)
    needed = math.ceil(sweep.reference.num_puzzles * shrink * shrink)
    return f"undecided: {label(name, sweep.spec.dtype)} needs n >= {needed}"


def _fitting(sweep: Sweep, device: Device) -> list[Choice]:
    """List the schemes below full precision that a device computes and whose size fits it."""
    config = PUBLISHED.get((sweep.spec.task, architecture_of(sweep)))
    if config is None:
        return []
    fitting = []
    for outcome in sweep.outcomes:
        scheme = parse(outcome.scheme)
        if outcome is sweep.reference or not computes(device.target, scheme):
            continue
        estimate = estimate_footprint(config, scheme)
        how = estimate.residency_for(device.budget) if device.budget else Residency.FULL
        if how is not None:
            fitting.append(Choice(outcome, estimate, how, _shallowest(sweep, outcome)))
    return fitting


def computes(target: Target, scheme: Scheme) -> bool:
    """Return whether a target multiplies as a scheme asks, and right."""
    try:
        matrix_plan(scheme, target)
    except ValueError:  # its reason is for the person who exports
        return False
    return True


def _shallowest(sweep: Sweep, outcome: SweepOutcome) -> int:
    depths = sweep.spec.grid.cycles
    return next((c for c in depths if sweep.change(outcome, c).low >= -MARGIN), depths[-1])


def _rows(sweep: Sweep) -> list[tuple[str, ...]]:
    rows = []
    for i, device in enumerate(DEVICES):
        name = f"{sweep.spec.model} ({architecture_of(sweep)})" if i == 0 else ""
        choice = choose(sweep, device)
        cells = (explain(sweep, device), *(NONE,) * 7) if choice is None else _cells(sweep, choice)
        rows.append((name, device.name, *cells))
    return rows


def _cells(sweep: Sweep, choice: Choice) -> tuple[str, ...]:
    estimate, deepest = choice.estimate, sweep.spec.grid.deepest
    return (
        label(choice.outcome.scheme, sweep.spec.dtype),
        size_text(estimate.backbone.total),
        f"{estimate.sram(choice.how).total / 2**20:.2f} MiB",
        choice.how.value,
        with_interval(choice.outcome.exact(choice.cycles)),
        points_text(sweep.change(choice.outcome, choice.cycles)),
        f"{choice.cycles} H-cycles",
        f"{choice.cycles / deepest:.0%}",
    )


def _paper_devices() -> Table:
    source = tables.DEVICES
    rows = tuple(
        (*key, *(f"{value:,.4g}" if value is not None else NONE for value in values))
        for key, values in source.rows.items()
    )
    header = ("Task", "Scheme", "Device", "Step, ms", "Puzzle, ms", "Peak, MB", "Size, MB", "Exact")
    title = "The paper's Table 11, measured over AI Hub (not ours). " + source.notes[0]
    return Table(title, header, rows, frozenset())
