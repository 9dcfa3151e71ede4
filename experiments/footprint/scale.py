"""The whole paper on released checkpoints: work, bytes, hours, cost, and what limits them.

Three kinds of numbers, kept apart:

    counted    from shapes: operations, bytes of puzzles, weights, states and rows
    measured   operations a second of a CPU's core, by `python -m benchmarks.rollout_gflops` on two
               cores (docs/benchmarks.md); what a host does for a puzzle and for a row, on the
               machine that prints the tables
    assumed    what no machine at hand could measure: the share of a device's peak, cores of a
               server that are as fast as those two, prices

Devices compute shards, each with a process of a host that makes its puzzles, and one program writes
all rows (docs/many-machines.md). The hours are those of the slowest of the three, after the start.
"""

import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from experiments.measurement.choices import CPU_BATCH, CPU_BYTES, DEVICE_BATCH, DEVICE_BYTES
from experiments.measurement.depths import full_grid
from experiments.measurement.row_files import append_row, line_of, read_lines
from experiments.measurement.shards import DepthSums, Moments
from experiments.render.tables import Table, digits_text
from trm_jax.config import Config, flops_per_step, preset
from trm_jax.data.arc.augment import draw, inverse_augment
from trm_jax.data.arc.canvas import crop
from trm_jax.data.arc.dataset import encode_pair
from trm_jax.data.arc.task_files import MAX_SIDE, TEST, Pair
from trm_jax.data.batches import gather
from trm_jax.data.format import from_examples

SCHEMES = 15
AUGMENTATIONS = 1_000  # of a task of ARC
ANSWERS = 100  # different ones of a task, assumed
START_S = 60.0  # of every process: a model loaded, compressed, compiled; assumed
TIMED = 100  # puzzles, or rows, that the host's work is timed on


@dataclass(frozen=True, kw_only=True)
class ScaleWorkload:
    """A part of the paper.

    Attributes:
      preset: of the released checkpoint.
      puzzles: rollouts of a scheme; of ARC all augmentations.
      is_arc: answers are voted on, and only the last one of a rollout is read.
    """

    name: str
    preset: str
    puzzles: int
    is_arc: bool = False

    @property
    def config(self) -> Config:
        return preset(self.preset)

    @property
    def cycles(self) -> int:
        """Depths that a rollout is read at."""
        return 1 if self.is_arc else len(full_grid(self.config).cycles)

    @property
    def flops(self) -> float:
        """Operations of all schemes: rollouts, one more step for similarities, and read-outs."""
        c = self.config
        read = 2.0 * self.cycles * c.num_positions * c.hidden_size * c.vocab_size
        steps = c.halt_max_steps + (0 if self.is_arc else 1)
        return SCHEMES * self.puzzles * (steps * flops_per_step(c) + read)

    @property
    def state_bytes(self) -> int:
        """Bytes of the two trajectories of a puzzle."""
        c = self.config
        cycles = 1 if self.is_arc else c.halt_max_steps * c.H_cycles
        return 2 * 4 * cycles * c.num_positions * c.hidden_size

    @property
    def data_bytes(self) -> int:
        """Bytes of questions and answers, a byte a cell."""
        return 2 * self.puzzles * self.config.seq_len


WORKLOADS = (
    ScaleWorkload(name="Sudoku, TRM-MLP", preset="sudoku-trm-mlp", puzzles=422_786),
    ScaleWorkload(name="Sudoku, TRM-Attention", preset="sudoku-trm-att", puzzles=422_786),
    ScaleWorkload(name="Sudoku, HRM", preset="sudoku-hrm", puzzles=422_786),
    ScaleWorkload(name="Maze, TRM-Attention", preset="maze-trm-att", puzzles=1_000),
    ScaleWorkload(name="Maze, HRM", preset="maze-hrm", puzzles=1_000),
    ScaleWorkload(
        name="ARC, 400 tasks x 1,000", preset="arc-trm-att", puzzles=400_000, is_arc=True
    ),
)


@dataclass(frozen=True, kw_only=True)
class ScaleDevice:
    """What computes.

    Attributes:
      gflops: a second, of one.
      dollars: an hour, of one.
      batch, state_bytes: puzzles of a shard at most, and bytes of their states.
      source: where `gflops` comes from.
    """

    name: str
    gflops: float
    dollars: float
    batch: int
    state_bytes: int
    source: str

    def batch_of(self, work: ScaleWorkload) -> int:
        """Choose the puzzles of a shard as programs do; of ARC that is a task."""
        if work.is_arc:
            return AUGMENTATIONS
        return max(1, min(self.batch, self.state_bytes // work.state_bytes))


CORE_GFLOPS, CORES = 65.5, 64
PEAK_GFLOPS, SHARE = 989e3, 0.3
DEVICES = {
    "cpu": ScaleDevice(
        name="CPU",
        gflops=CORES * CORE_GFLOPS,
        dollars=2.5,
        batch=CPU_BATCH,
        state_bytes=CPU_BYTES,
        source=f"measured {CORE_GFLOPS} GFLOP/s a core (float32); assumed {CORES} of them",
    ),
    "h200": ScaleDevice(
        name="H200",
        gflops=SHARE * PEAK_GFLOPS,
        dollars=3.5,
        batch=DEVICE_BATCH,
        state_bytes=DEVICE_BYTES,
        source=f"assumed {SHARE:.0%} of its peak of {PEAK_GFLOPS / 1e3:,.0f} TFLOP/s (bfloat16)",
    ),
}
"""By the name that --rates and --prices take."""
MACHINES = (("cpu", 1), ("h200", 1), ("h200", 8), ("h200", 64))


@dataclass(frozen=True)
class HostCosts:
    """What a host takes, in seconds.

    Attributes:
      puzzle: of a core, to make one of a batch.
      write: by the clock, until a row is on the disk; read: of a core, to read one.
      row_bytes: of it.
    """

    puzzle: float
    write: float
    read: float
    row_bytes: int


def sweep_row(cycles: int, batch: int, cells: int) -> DepthSums:
    """Make a row of random numbers, whose digits are as many as those of real ones."""
    rng = np.random.default_rng(0)

    def moments() -> tuple[Moments, ...]:
        return tuple(Moments(*map(float, pair)) for pair in rng.uniform(0, batch, (cycles, 2)))

    flags = tuple(rng.bytes(-(-batch // 8)).hex() for _ in range(cycles))
    return DepthSums(
        digest=rng.bytes(8).hex(),
        scheme="w4c-asym_a8d",
        start=100_000,
        stop=100_000 + batch,
        scored_cells=batch * cells,
        correct_cells=(batch * cells - 1,) * cycles,
        exact=flags,
        lenient=flags,
        cell_error=moments(),
        infidelity=moments(),
        similarity=moments(),
        residual=moments(),
        call_similarity=Moments(1 / 3, 1 / 7),
    )


def vote_row() -> dict[str, Any]:
    """Make a row as a vote writes it: a task under all augmentations."""
    rng = np.random.default_rng(0)
    return {
        "digest": rng.bytes(8).hex(),
        "grids": ["0" * MAX_SIDE * (MAX_SIDE + 1)] * ANSWERS,
        "answers": [ANSWERS - 1] * AUGMENTATIONS,
        "q_halt": list(map(float, rng.normal(size=AUGMENTATIONS))),
        "exact": [0] * AUGMENTATIONS,
        "seconds": 1 / 3,
    }


def measure_host(work: ScaleWorkload, batch: int) -> HostCosts:
    """Time what this machine's host does for a puzzle and for a row of a workload."""
    row = vote_row() if work.is_arc else vars(sweep_row(work.cycles, batch, work.config.seq_len))
    kind = dict[str, Any] if work.is_arc else DepthSums
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "rows.jsonl"
        write = _seconds(lambda: append_row(file, row), time.perf_counter)  # it waits for a disk
        lines = (line_of(row) + "\n") * TIMED
        file.write_text(lines, encoding="utf-8")
        read = _seconds(lambda: sum(1 for _ in read_lines(file, kind, ""))) / TIMED
    make = _arc_questions if work.is_arc else _stored_puzzles(work.config)
    return HostCosts(_seconds(make) / TIMED, write, read, len(lines) // TIMED)


def _stored_puzzles(config: Config) -> Callable[[], object]:
    """Make a function that takes TIMED puzzles out of a data set."""
    tokens = np.ones((TIMED, config.seq_len), np.uint8)
    dataset = from_examples(tokens, tokens, vocab_size=config.vocab_size)
    return lambda: gather(dataset, np.arange(TIMED), TIMED)


def _arc_questions() -> None:
    """Make augmented questions of ARC's largest size, and turn as many answers back."""
    rng, grid = np.random.RandomState(0), np.ones((MAX_SIDE, MAX_SIDE), np.uint8)
    for _ in range(TIMED):
        augmentation = draw(rng)
        question, _ = encode_pair(Pair(TEST, grid, grid), augmentation, MAX_SIDE)
        inverse_augment(crop(question), augmentation)


def _seconds(act: Callable[[], object], clock: Callable[[], float] = time.process_time) -> float:
    """Time an act in seconds of a core: the least of five, after one that is not counted."""
    act()
    times = []
    for _ in range(5):
        began = clock()
        act()
        times.append(clock() - began)
    return min(times)


@dataclass(frozen=True, kw_only=True)
class ScaleEstimate:
    """A workload on a number of devices, in seconds.

    Attributes:
      devices: computing: not more than there are shards.
      compute: until the last shard is done; host: to make puzzles; write: of all rows.
      dollars: of all devices for as long as it takes.
    """

    work: ScaleWorkload
    device: ScaleDevice
    count: int
    devices: int
    rows: int
    compute: float
    host: float
    write: float

    @property
    def busy(self) -> float:
        """Seconds without those of starting."""
        return max(self.compute, self.host, self.write)

    @property
    def seconds(self) -> float:
        return START_S + self.busy

    @property
    def dollars(self) -> float:
        return self.count * self.device.dollars * self.seconds / 3600

    @property
    def limit(self) -> str:
        """What makes it take so long."""
        if self.busy < START_S:
            return "starting"
        if self.busy > self.compute:
            return "host" if self.host > self.write else "writing rows"
        return "computing" if self.devices == self.count else f"{self.devices} shards"


def estimate(
    work: ScaleWorkload, device: ScaleDevice, count: int, host: HostCosts
) -> ScaleEstimate:
    """Estimate a workload on a number of devices; a shard is computed by one."""
    shards = -(-work.puzzles // device.batch_of(work))
    rounds = -(-shards // count)
    each = work.flops / shards / (device.gflops * 1e9)
    return ScaleEstimate(
        work=work,
        device=device,
        count=count,
        devices=min(count, shards),
        rows=shards * SCHEMES,
        compute=rounds * each,
        host=rounds * work.puzzles / shards * host.puzzle * (SCHEMES if work.is_arc else 1),
        write=shards * SCHEMES * host.write,
    )


def with_numbers(rates: Mapping[str, float], prices: Mapping[str, float]) -> dict[str, ScaleDevice]:
    """Put measured rates (GFLOP/s) and prices (dollars an hour) in the place of those assumed."""
    devices = dict(DEVICES)
    for name, rate in rates.items():
        devices[name] = replace(devices[name], gflops=rate, source="as --rates says")
    for name, price in prices.items():
        devices[name] = replace(devices[name], dollars=price)
    return devices


def read_numbers(option: str, text: str | None) -> dict[str, float]:
    """Read NAME=NUMBER,... of devices.

    Raises:
      ValueError: another form, an unknown device, or a number that is not positive.
    """
    numbers: dict[str, float] = {}
    for part in text.split(",") if text else ():
        name, _, number = part.partition("=")
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if name not in DEVICES or not 0 < value < 1e15:
            raise ValueError(
                f"{option} takes {'=..., '.join(DEVICES)}=... with positive numbers, got"
                f" {part[:40]!r}"
            )
        numbers[name] = value
    return numbers


def scale_tables(devices: Mapping[str, ScaleDevice]) -> list[Table]:
    """Make all tables: counted, measured, assumed, and what follows."""
    host = {w.name: measure_host(w, devices["h200"].batch_of(w)) for w in WORKLOADS}
    return [
        counted_table(host),
        measured_table(host),
        assumed_table(devices),
        hours_table(devices, host),
    ]


def counted_table(host: Mapping[str, HostCosts]) -> Table:
    """Lay out what follows from shapes."""
    body = []
    for w in WORKLOADS:
        batch = DEVICES["h200"].batch_of(w)
        rows = -(-w.puzzles // batch) * SCHEMES
        body.append(
            (
                w.name,
                f"{w.puzzles:,}",
                digits_text(w.config.halt_max_steps * flops_per_step(w.config) / 1e9),
                digits_text(w.flops / 1e18, 2),
                _bytes(w.data_bytes),
                _bytes(w.state_bytes),
                f"{batch:,}",
                f"{rows:,}",
                _bytes(rows * host[w.name].row_bytes),
            )
        )
    header = (
        "Part",
        "Puzzles",
        "GFLOPs of\na rollout",
        f"10^18 FLOPs,\n{SCHEMES} schemes",
        "Puzzles,\nbytes",
        "States of\na puzzle",
        "Puzzles\nof a shard",
        "Rows",
        "Bytes of\nrows",
    )
    return Table("Counted, with shards as on an H200", header, tuple(body), frozenset())


def measured_table(host: Mapping[str, HostCosts]) -> Table:
    """Lay out what the host takes on this machine."""
    body = [
        (name, *(digits_text(1e6 * x) for x in (costs.puzzle, costs.write, costs.read)))
        for name, costs in host.items()
    ]
    header = ("Part", "Puzzle made", "Row written", "Row read")
    return Table(
        "Measured here, microseconds: of a core, but writing by the clock",
        header,
        tuple(body),
        frozenset(),
    )


def assumed_table(devices: Mapping[str, ScaleDevice]) -> Table:
    """Lay out what a device does and costs."""
    body = [(d.name, digits_text(d.gflops), d.source, f"{d.dollars:g}") for d in devices.values()]
    body.append(("each process", "", f"assumed {START_S:g} s to load, compress and compile", ""))
    header = ("Device", "GFLOP/s", "which is", "$ an hour,\nassumed")
    return Table("Devices", header, tuple(body), frozenset())


def hours_table(devices: Mapping[str, ScaleDevice], host: Mapping[str, HostCosts]) -> Table:
    """Lay out times, cost and limits, machine by machine."""
    body: list[tuple[str, ...]] = []
    breaks = set()
    for name, count in MACHINES:
        breaks.add(len(body))
        listed = [estimate(w, devices[name], count, host[w.name]) for w in WORKLOADS]
        for each in listed:
            body.append(_hours_row(f"{count} {each.device.name}", each))
        body.append(_total(f"{count} {devices[name].name}", listed))
    header = (
        "Machine",
        "Part",
        "Time",
        "Device-\nhours",
        "$",
        "limited by",
        "Host's\ntime",
        "Time of\nwriting",
    )
    return Table("What follows", header, tuple(body), frozenset(breaks - {0}))


def _hours_row(machine: str, e: ScaleEstimate) -> tuple[str, ...]:
    device_hours, dollars = e.count * e.seconds / 3600, f"{e.dollars:,.2f}"
    shown = (time_text(e.seconds), digits_text(device_hours), dollars, e.limit)
    return (machine, e.work.name, *shown, time_text(e.host), time_text(e.write))


def _total(machine: str, listed: Sequence[ScaleEstimate]) -> tuple[str, ...]:
    seconds, dollars = sum(e.seconds for e in listed), sum(e.dollars for e in listed)
    device_hours = digits_text(listed[0].count * seconds / 3600)
    return (machine, "all", time_text(seconds), device_hours, f"{dollars:,.2f}", "", "", "")


def time_text(seconds: float) -> str:
    """Write a time in the unit that reads well: `<1 s`, 21 s, 3.5 min, 183 h."""
    if seconds < 1:
        return "<1 s"
    if seconds < 120:
        return f"{digits_text(seconds)} s"
    return (
        f"{digits_text(seconds / 60)} min" if seconds < 7200 else f"{digits_text(seconds / 3600)} h"
    )


def _bytes(count: float) -> str:
    """Write bytes with three digits."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{digits_text(count)} {unit}"
        count /= 1000
    return f"{digits_text(count)} TB"
