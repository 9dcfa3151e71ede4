"""A network cut into graphs, on this computer and an emulated Cortex-M55: as run_stages runs it."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from export.lowering.stages import BUFFERS, Buffer, Partition, run_stages
from tests.support.firmware.cases import (
    expected_line,
    random_rows,
    solve_line,
    vectors_of,
    without_ticks,
    write_flash,
)
from tests.support.firmware.machines import Emulated, Host, Machine, need
from tests.support.firmware.oracle import DEPTH, rollout
from trm_jax.halting import BY_Q

DOUBLE = "NETWORKS=staged"


def stage(
    graph: str, inputs: str, outputs: str, to: Buffer, *, column: int = 0, rows: int
) -> Partition:
    places = {name: BUFFERS[name] for name in inputs.split()}
    return Partition(
        graph=graph, inputs=places, outputs=tuple(outputs.split()), to=to, column=column, rows=rows
    )


def layer(i: int) -> list[Partition]:
    """13 positions, all at once and in calls of 4; 3 heads of 2 columns in calls of 2."""
    return [
        stage(f"layers_{i}/heads_0-2", "h", "mixed/0 mixed/1", Buffer.WORK, rows=13),
        stage(f"layers_{i}/heads_2-3", "h", "mixed/2", Buffer.WORK, column=4, rows=13),
        stage(f"layers_{i}/tail", "h mixed", "h", Buffer.Z, rows=4),
    ]


STAGES = [stage("inject", "z injection", "h", Buffer.Z, rows=4), *layer(0), *layer(1)]


def call(name: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Run a graph of doubles/staged_block.c."""
    fed = {key: x.astype(np.int64) for key, x in inputs.items()}
    dtype = next(iter(inputs.values())).dtype
    if name == "inject":
        return {"h": ((4 * fed["z"] + 2 * fed["injection"] + 4) >> 3).astype(dtype)}
    h = fed["h"]
    if name.endswith("/tail"):
        total = 4 * h + 3 * fed["mixed"] - np.roll(h, -1, axis=-1)
        return {"h": ((total + 4) >> 3).astype(dtype)}
    assert h.shape[2] == 13, "heads see all positions"
    mixed = ((h + 2 * np.roll(h, -1, axis=2)) >> 2).astype(dtype)
    start, stop = map(int, name.rpartition("heads_")[2].split("-"))
    return {f"mixed/{i}": mixed[..., 2 * i : 2 * i + 2] for i in range(start, stop)}


def update(z: np.ndarray, injection: np.ndarray, is_H: bool) -> np.ndarray:
    """Apply the double's network by the host's stage runner."""
    del is_H
    return run_stages(call, z, injection, STAGES)


@pytest.fixture(scope="module", params=["host", "cortex-m55"])
def machine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Machine:
    if request.param == "host":
        need("make", "gcc")
        return Host(tmp_path_factory.mktemp("host"), DOUBLE)
    need("make", "arm-none-eabi-gcc", "qemu-system-arm")
    return Emulated(tmp_path_factory.mktemp("an547"), DOUBLE)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["int16", "int8"])
def test_stages_hand_states_on_as_the_host_s_runner_does(
    kind: str, machine: Machine, tmp_path: Path
) -> None:
    rows = random_rows(kind)
    inputs = np.random.default_rng(1).integers(0, 7, (3, 11))
    lines = [solve_line(puzzle, row) for puzzle, row in enumerate(inputs)]
    wanted = [rollout(rows, i, row, DEPTH, update) for i, row in enumerate(inputs)]
    said = machine.talk(write_flash(tmp_path, rows), [*lines, "quit"]).lines
    assert [without_ticks(line) for line in said[:-1]] == [expected_line(w) for w in wanted]
    assert len({bytes(w.z_L) for w in wanted}) == 3


def test_the_self_test_and_the_profile_run_stages(machine: Machine, tmp_path: Path) -> None:
    rows = random_rows("int16")
    flash = write_flash(tmp_path, rows, vectors_of(rows, update=update))
    lines = [
        "test",
        "profile",
        "set H=1 L=1 steps=1 halt=never",
        solve_line(0, np.zeros(11, int)),
        "profile",
        "quit",
    ]
    said = machine.talk(flash, lines).lines
    assert without_ticks(said[4]) == "tested 4 failed 0"
    before, after = (int(line.split()[2].removeprefix("calls=")) for line in (said[5], said[9]))
    # ceil(13 / 4) calls of injection and of each of two tails, 2 groups of heads in each of two
    # blocks; two updates
    assert after - before == 2 * (4 + 2 * (2 + 4))
    assert DEPTH.halting == BY_Q


def test_float_states_are_refused_by_the_double(machine: Machine, tmp_path: Path) -> None:
    said = machine.talk(write_flash(tmp_path, random_rows("float32")), ["info"])
    assert said.status == 1
    assert "differ in number type: 0 against 2" in said.lines[0]
