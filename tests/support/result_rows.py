"""Folders of results with made-up numbers: a few rows of every program that writes rows.

Each function writes a finished folder by the program's own classes. The numbers mean nothing.
"""

import dataclasses
import tempfile
from pathlib import Path
from typing import Any

from experiments.ablate.rows import AblationRow, AblationSpec, ablation_folder
from experiments.deploy.aihub.rows import AiHubRow, AiHubSpec, aihub_folder
from experiments.deploy.cortex_m.rows import BoardRow, BoardSpec, Speed, board_folder
from experiments.deploy.host.rows import HostRow, HostSpec, Probe, host_folder, probe_folder
from experiments.footprint import rows as footprint_rows
from experiments.measurement.shards import Moments
from export.cortex_m.build import Counted
from export.cortex_m.memory import BoardSram, Flash
from tests.support.sweep_rows import write_made
from trm_jax.config import preset

ENVIRONMENT = {"started": "2026-11-29T00:00:00"}
HASH = "ab" * 32
FLAGS = {2: "80", 3: "a0"}
"""Solved puzzles of a shard by its size, first one highest."""


def write_sweep(folder: Path) -> None:
    """Write a sweep of four schemes."""
    write_made(folder, started=ENVIRONMENT["started"])


def write_ablation(folder: Path) -> None:
    """Write an ablation of one study with two variants."""
    base = AblationSpec(
        task="sudoku",
        model="m",
        model_sha256=HASH,
        num_parameters=10,
        data="d",
        data_sha256=HASH,
        num_puzzles=5,
        batch_size=3,
        dtype="float32",
        seed=0,
    )
    study = "activations"
    planned = (
        base.plan(study, "float32", "float32", {}),
        base.plan(study, "a8d", "float32", {"scheme": "w8c-sym_a8d"}),
    )
    spec = dataclasses.replace(base, planned=planned)
    opened = ablation_folder(folder)
    opened.open(spec, ENVIRONMENT)
    for each in planned:
        for start, stop in spec.shards:
            opened.append(_ablation_row(each, start, stop))


def _ablation_row(planned: Any, start: int, stop: int) -> AblationRow:
    count = stop - start
    return AblationRow(
        digest=planned.digest,
        study=planned.study,
        variant=planned.variant,
        start=start,
        stop=stop,
        scored_cells=16 * count,
        correct_cells=12 * count,
        exact=FLAGS[count],
        lenient=FLAGS[count],
        cell_error=Moments(0.25 * count, 0.0625 * count),
        infidelity_one_step=Moments(0.1 * count, 0.01 * count),
        infidelity=Moments(0.5 * count, 0.25 * count),
        facts={"bytes": 40.0, "parameters": 10.0},
    )


def write_votes(folder: Path) -> None:
    """Vote with a tiny model: scores and answers hang together too closely to be made up."""
    from experiments.arc import __main__ as arc
    from tests.support.tiny import arc as tiny

    with tempfile.TemporaryDirectory() as root:
        tiny.write(Path(root))
        assert arc.main(tiny.arguments(Path(root), folder)) == 0


def write_host(folder: Path) -> None:
    """Write a deployment on a runtime of this computer."""
    spec = HostSpec(
        task="sudoku",
        model="m",
        model_sha256=HASH,
        data_sha256=HASH,
        target="litert",
        schemes=("fp32", "w8c-sym"),
        num_puzzles=5,
        total=22,
        batch=3,
        steps=2,
        threads=1,
    )
    opened, probes = host_folder(folder), probe_folder(folder)
    opened.open(spec, ENVIRONMENT)
    for scheme in spec.schemes:
        for key in spec.work_keys(scheme):
            opened.append(_host_row(spec, scheme, key.start, key.stop))
        probe = Probe(digest=spec.digest, scheme=scheme, step_ms=(1.5, 1.25), memory_bytes=4096)
        probes.append(probe)
        _write_host_export(folder, scheme)


def _host_row(spec: HostSpec, scheme: str, start: int, stop: int) -> HostRow:
    count = stop - start
    return HostRow(
        digest=spec.digest,
        scheme=scheme,
        start=start,
        stop=stop,
        exact=FLAGS[count],
        simulated_exact=FLAGS[count],
        lenient=FLAGS[count],
        cells=16 * count,
        correct=12 * count,
        equal_cells=15 * count,
        infidelity=Moments(0.1 * count, 0.01 * count),
        disagreement=Moments(0.01 * count, 0.0001 * count),
    )


def _write_host_export(folder: Path, scheme: str) -> None:
    """Write the export of a scheme, of which tables read the manifest."""
    from experiments.deploy.host.rows import export_folder
    from tests.support.tiny import export as tiny

    tiny.make(export_folder(folder, scheme), tiny.configs()["mlp"], scheme)


def write_board(folder: Path) -> None:
    """Write a deployment on a Cortex-M55."""
    spec = BoardSpec(
        task="sudoku",
        model="m",
        model_sha256=HASH,
        data_sha256=HASH,
        library_sha256="",
        target="cortex-m55",
        schemes=("w8c-sym_a8s_tflm",),
        H_cycles=2,
        L_cycles=2,
        steps=4,
        speed=Speed(mhz=400.0, cpi=1.5, patience=10.0),
    )
    opened = board_folder(folder)
    opened.open(spec, ENVIRONMENT)
    flash = Flash(weights=1000, tables=10, records=20, rows=300, vectors=40, code=5000)
    sram = BoardSram(
        arena_head=100,
        arena_tail=50,
        arena_margin=16,
        carry=64,
        buffers=64,
        statics=32,
        stack=1024,
    )
    opened.append(
        BoardRow(
            digest=spec.digest,
            scheme=spec.schemes[0],
            flash=flash,
            sram=sram,
            graphs=2,
            counted=Counted.FIRMWARE,
            update_L=1000,
            update_H=1100,
            rest=50,
            counted_by="emulated",
        )
    )


def write_aihub(folder: Path) -> None:
    """Write a deployment through AI Hub."""
    spec = AiHubSpec(
        task="sudoku",
        model="m",
        model_sha256=HASH,
        data_sha256=HASH,
        target="aihub",
        variants=("fp32",),
        devices=("Samsung Galaxy S24",),
        steps=2,
        num_puzzles=2,
        loop="host",
    )
    opened = aihub_folder(folder)
    opened.open(spec, ENVIRONMENT)
    opened.append(
        AiHubRow(
            digest=spec.digest,
            task="sudoku",
            variant="fp32",
            label="fp32",
            device="Samsung Galaxy S24",
            route="onnx",
            precision="float",
            loop="host",
            H_cycles=2,
            steps=2,
            file_bytes=4096,
            step_ms=1.5,
            all_ms=(1.5, 1.75),
            host_ms=0.25,
            here_ms=2.5,
            here="onnx",
            peak_bytes=None,
            units={"npu": 3},
            layers=(("a", "MatMul", "npu"),),
            puzzles=2,
            exact="80",
            equal_cells=60,
            cells=64,
            infidelity=Moments(0.1, 0.01),
            jobs={"profile": "j1"},
            urls={"profile": "https://example.com/j1"},
        )
    )


def write_footprints(folder: Path) -> None:
    """Write the footprints of one configuration."""
    name = "sudoku-trm-mlp-mini"
    rows = footprint_rows.records({name: preset(name)}, ("fp32", "int8"))
    footprint_rows.write_rows(folder, rows)
