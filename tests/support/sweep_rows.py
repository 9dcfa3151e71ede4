"""Rows of sweeps with made-up numbers, few enough to be added up by hand in a test.

`ROWS` are of one small sweep; `make_sweep` makes finished sweeps whose schemes differ, and
`write_made` writes their folders.
"""

import dataclasses
from pathlib import Path

import numpy as np

from experiments.measurement.depths import DepthGrid
from experiments.measurement.shards import Moments, to_hex
from experiments.sweep.outcomes import Sweep, outcomes
from experiments.sweep.rows import SweepRow, SweepSpec, sweep_folder

SPEC = SweepSpec(
    task="sudoku",
    model="m",
    model_sha256="1",
    num_parameters=7,
    gflops_per_cycle=0.5,
    data="d",
    data_sha256="2",
    num_puzzles=10,
    batch_size=4,
    schemes=("fp32", "w8c-sym"),
    bytes=(28, 9),
    grid=DepthGrid((1, 2), (1, 2), 2),
    dtype="float32",
    seed=0,
)
SOLVED = {"fp32": (0b1110, 0b1100, 0b11), "w8c-sym": (0b1111, 0b0000, 0b01)}
"""Solved puzzles of each shard (4, 4 and 2 puzzles) at the deepest cell, first one highest."""


def make_row(scheme: str, shard: int, wrong: float = 0.25) -> SweepRow:
    """Make a row whose deepest cell is in SOLVED; shallower cells solve nothing."""
    start, stop = SPEC.shards[shard]
    count = stop - start
    bits = [bool(SOLVED[scheme][shard] >> (count - 1 - i) & 1) for i in range(count)]
    flags = to_hex(np.asarray([[False] * count, [False] * count, bits]))
    error = (Moments(wrong * count, wrong**2 * count),) * 3
    lost = (Moments(0.0, 0.0) if scheme == "fp32" else Moments(0.5 * count, 0.25 * count),) * 3
    return SweepRow(
        digest=SPEC.digest,
        scheme=scheme,
        start=start,
        stop=stop,
        scored_cells=16 * count,
        correct_cells=(12 * count,) * 3,
        exact=flags,
        lenient=flags,
        cell_error=error,
        infidelity=lost,
        similarity=lost,
        residual=lost,
        call_similarity=Moments(0.7 * count, 0.49 * count),
    )


ROWS = [make_row(scheme, shard) for shard in range(3) for scheme in SPEC.schemes]

SOLVED_OF_TEN = {"fp32": 7, "w8c-sym": 7, "w4t-sym": 5, "w3t-sym": 1}
"""How many of every 10 puzzles each scheme solves."""

LOST = {"fp32": 0.0, "w8c-sym": 0.001, "w4t-sym": 0.05, "w3t-sym": 0.3}
"""How much fidelity each scheme loses."""


def make_sweep(
    model: str = "m",
    lost: dict[str, float] = LOST,
    tens: int = 1,
    solved: dict[str, int] = SOLVED_OF_TEN,
) -> Sweep:
    """Make a sweep in which each scheme solves the first so many of every 10 puzzles."""
    spec, rows = make_rows(model, lost, tens, solved)
    return Sweep(spec, outcomes(spec, rows))


def write_made(path: Path, model: str = "m", started: str = "now") -> None:
    """Write the folder of a sweep as `make_sweep` makes it."""
    spec, rows = make_rows(model)
    folder = sweep_folder(path)
    folder.open(spec, {"started": started})
    for row in rows:
        folder.append(row)


def make_rows(
    model: str = "m",
    lost: dict[str, float] = LOST,
    tens: int = 1,
    solved: dict[str, int] = SOLVED_OF_TEN,
) -> tuple[SweepSpec, list[SweepRow]]:
    """Make the rows of such a sweep."""
    spec = dataclasses.replace(
        SPEC, model=model, schemes=tuple(solved), bytes=(9,) * len(solved), num_puzzles=10 * tens
    )
    rows = []
    for scheme in solved:
        for start, stop in spec.shards:
            count = stop - start
            bits = np.asarray([[i % 10 < solved[scheme] for i in range(start, stop)]])
            moment = Moments(lost[scheme] * count, lost[scheme] ** 2 * count)
            rows.append(
                dataclasses.replace(
                    make_row("fp32", 0),
                    digest=spec.digest,
                    scheme=scheme,
                    start=start,
                    stop=stop,
                    scored_cells=16 * count,
                    correct_cells=(12 * count,) * 3,
                    exact=to_hex(bits) * 3,
                    lenient=to_hex(bits) * 3,
                    cell_error=(Moments(0.25 * count, 0.0625 * count),) * 3,
                    infidelity=(moment,) * 3,
                    call_similarity=Moments(0.7 * count, 0.49 * count),
                )
            )
    return spec, rows
