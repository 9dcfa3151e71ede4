"""Sections on devices: what was measured there (Table 11), and the scheme to take.

Not here: the rule behind what to take, and the devices (report/advice/recommend.py).
"""

from experiments.paper import tables
from experiments.render.document import Block, Command, Paragraph, Section
from experiments.render.tables import Table, percent_text, points_text, size_text, with_interval
from experiments.report.advice.recommend import (
    DEVICES,
    MARGIN,
    NOT_SWEPT,
    Choice,
    Device,
    choose,
    explain,
    name_untried,
)
from experiments.report.cells import NONE
from experiments.report.inputs import Results, architecture_of
from experiments.sweep.outcomes import Sweep
from trm_jax import zoo

HEADER = (
    "Model",
    "Device",
    "Budgets",
    "Scheme",
    "Stored,\npublished size",
    "Peak",
    "Weights",
    "Puzzle,\nfull depth",
    "Exact",
    "Change, pp",
    "Depth",
    "Share of\nfull work",
)
TITLE, BUNDLED = "Recommended schemes", "(bundled)"


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
        return Section("recommended", TITLE, (command,))
    text = (
        "The rule: of the schemes that are harmless (lower end of the paired 95 % interval of the"
        f" change of exact match at least -{100 * MARGIN:.0f} pp), that the device's runtime"
        " computes, whose published size fits flash and SRAM and whose puzzle ends in time, the one"
        " with the fewest bytes; then the shallowest depth that is as harmless. Accuracy is"
        " measured on the model given, memory is that of the published size of its task and"
        " architecture, time is that of the deployments of this report, scaled by GFLOPs to the"
        " published size (“open”: none was deployed there): up to 2.3 times too long where they"
        " are of models as small as the bundled ones. Harmless at this size is no promise for"
        " another. Float weights are never recommended, 16-bit ones neither: runtimes expand them."
        " Where too few puzzles leave it open, the table says how many would decide. Recipes that a"
        " search found count as schemes."
    )
    rows = [row for sweep in results.sweeps for row in _rows(results, sweep)]
    table = Table("Recommended scheme for each device", HEADER, tuple(rows), frozenset())
    return Section("recommended", TITLE, (Paragraph(text), table, *_untried(results)))


def _untried(results: Results) -> list[Block]:
    """Give the commands that measure schemes of devices whose arithmetic was not swept."""
    blocks: list[Block] = []
    for sweep in results.sweeps:
        named = (name_untried(results, sweep, device) for device in DEVICES)
        schemes = ",".join(dict.fromkeys(name for name in named if name))
        if schemes and is_bundled(sweep):
            text = f"Integers for microcontrollers were not swept of {sweep.spec.model}; with:"
            blocks.append(Command(text, sweep_line(sweep, schemes)))
        elif schemes:
            blocks.append(
                Paragraph(
                    f"Integers for microcontrollers were not swept of {sweep.spec.model}: run the"
                    f" command of its sweep again with --schemes {schemes} --resume."
                )
            )
    return blocks


def is_bundled(sweep: Sweep) -> bool:
    """Return whether names alone tell a sweep's model and puzzles."""
    return sweep.spec.model in zoo.MODELS and sweep.spec.data.endswith(BUNDLED)


def sweep_line(sweep: Sweep, schemes: str) -> str:
    """Write the command of a sweep of other schemes that a report joins with this one."""
    spec = sweep.spec
    depths = "x".join(",".join(map(str, axis)) for axis in (spec.grid.T, spec.grid.n))
    halting = f" --halt {','.join(spec.halting)}" if spec.halting else ""
    return (
        f"python -m experiments.sweep --task {spec.task} --model {spec.model} --schemes {schemes}"
        f" --limit {spec.num_puzzles} --batch-size {spec.batch_size} --dtype {spec.dtype}"
        f" --depths {depths}{halting} --out runs/sweep-{spec.model}-integers"
    )


def recipe_table(results: Results) -> Table:
    """Name the scheme to take on each device, for the first model of every task."""
    first = {sweep.spec.task: sweep for sweep in reversed(results.sweeps)}
    shown = [first[task] for task in dict.fromkeys(s.spec.task for s in results.sweeps)]
    rows = tuple(
        (device.name, *(_short(results, sweep, device) for sweep in shown)) for device in DEVICES
    )
    title = f"What to take: the smallest scheme that surely loses at most {100 * MARGIN:.0f} pp"
    header = ("Device", *(sweep.spec.model for sweep in shown))
    return Table(title, header, rows, frozenset())


def _short(results: Results, sweep: Sweep, device: Device) -> str:
    choice = choose(results, sweep, device)
    if choice is None:
        reason = explain(results, sweep, device)
        return NOT_SWEPT if reason.startswith(NOT_SWEPT) else reason  # the section names a scheme
    return choice.candidate.name


def _rows(results: Results, sweep: Sweep) -> list[tuple[str, ...]]:
    rows = []
    for i, device in enumerate(DEVICES):
        name = f"{sweep.spec.model} ({architecture_of(sweep)})" if i == 0 else ""
        choice = choose(results, sweep, device)
        if choice is None:
            cells = (explain(results, sweep, device), *(NONE,) * 8)
        else:
            cells = _cells(sweep, choice)
        rows.append((name, device.name, device.budgets, *cells))
    return rows


def _cells(sweep: Sweep, choice: Choice) -> tuple[str, ...]:
    estimate, candidate = choice.estimate, choice.candidate
    return (
        candidate.name,
        size_text(estimate.backbone.total),
        f"{estimate.sram(choice.how).total / 2**20:.2f} MiB",
        choice.how.value,
        "open" if choice.seconds is None else f"~{choice.seconds:.3g} s",
        with_interval(candidate.exact),
        points_text(candidate.change),
        f"{candidate.cycles} H-cycles",
        percent_text(candidate.cycles / sweep.spec.grid.deepest),
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
