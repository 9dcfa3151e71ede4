"""Folders of results of every program, with made-up rows: what a report is made of.

`write_all` writes them; `damages` lists ways to damage one of their files.
"""

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from experiments.ablate.rows import AblationRow, AblationSpec, ablation_folder
from experiments.arc.outcomes import record_kinds
from experiments.arc.rows import SCORES_FILE, VoteSpec, vote_folder
from experiments.deploy.aihub.rows import AiHubRow, AiHubSpec, aihub_folder
from experiments.deploy.cortex_m.rows import MODELLED, BoardRow, BoardSpec, Speed, board_folder
from experiments.deploy.host.rows import (
    HostRow,
    HostSpec,
    Probe,
    export_folder,
    host_folder,
    probe_folder,
)
from experiments.footprint import rows as footprint_rows
from experiments.measurement.row_files import write_records
from experiments.measurement.shards import Moments
from experiments.recipe.rows import SearchRecord, SolvedRecord, write_search
from export.artifact.manifest import Expected, Manifest, dump_manifest, facts_of
from export.cortex_m.build import Counted
from export.cortex_m.memory import BoardSram, Flash
from export.graph.files import HOST_FILE, MANIFEST_FILE, name_files
from export.targets import Target
from quant.scheme import CarryPrecision
from tests.support.sweep_rows import write_made
from trm_jax.config import PRESETS

COMMON: dict[str, Any] = {
    "task": "sudoku",
    "model": "sudoku-trm-mlp-mini",
    "model_sha256": "1",
    "data_sha256": "2",
}


def write_sweep(path: Path) -> None:
    write_made(path, "sudoku-trm-mlp-mini")


def write_ablation(path: Path) -> None:
    measured: dict[str, Any] = {"num_parameters": 9, "data": "d", "num_puzzles": 6, "batch_size": 4}
    base = AblationSpec(**COMMON, **measured, dtype="float32", seed=0)
    settings: dict[str, Any] = {
        "fp32": {"share": 1.0, "steps": 4.0},
        "half": {"share": 0.5, "steps": 4.0},
    }
    planned = tuple(
        base.plan(study, variant, "fp32", settings[variant])
        for study in ("truncation", "pruning")
        for variant in settings
    )
    spec = AblationSpec(**COMMON, **measured, dtype="float32", seed=0, planned=planned)
    files = ablation_folder(path)
    files.open(spec, {"started": "now"})
    for each in planned:
        for start, stop in spec.shards:
            count = stop - start
            row = AblationRow(
                digest=each.digest,
                study=each.study,
                variant=each.variant,
                start=start,
                stop=stop,
                scored_cells=9 * count,
                correct_cells=8 * count,
                exact="80",
                lenient="80",
                cell_error=Moments(0.25 * count, 0.0625 * count),
                infidelity_one_step=None,
                infidelity=Moments(0.0, 0.0),
                facts={"bytes": 9.0, "parameters": 9.0},
            )
            files.append(row)


def write_vote(path: Path) -> None:
    spec = VoteSpec(
        models=("m",),
        models_sha256=("1",),
        tasks="t",
        tasks_sha256="2",
        num_tasks=3,
        num_aug=3,
        new_rows="mean",
        schemes=("fp32", "w8c-sym"),
        bytes=(40, 10),
        steps=2,
        gflops=0.5,
        tasks_per_shard=2,
        dtype="float32",
        seed=0,
    )
    vote_folder(path).open(spec, {})
    numbers = {name: 1 if kind is int else 0.5 for name, kind in record_kinds().items()}
    listed = [
        {**numbers, "scheme": scheme, "num_aug": num_aug, "pass@1_low": float("nan")}
        for scheme in ("fp32", "int8")
        for num_aug in (1, 3)
    ]
    write_records(path / SCORES_FILE, listed)


def write_footprint(path: Path) -> None:
    configs = {"sudoku-trm-mlp-mini": PRESETS["sudoku-trm-mlp-mini"]}
    footprint_rows.write_rows(path, footprint_rows.records(configs, ("fp32", "w8c-sym")))


def write_host(path: Path) -> None:
    sizes: dict[str, Any] = {"num_puzzles": 6, "total": 9, "batch": 4, "steps": 2, "threads": 1}
    spec = HostSpec(**COMMON, target="litert", schemes=("fp32", "w8c-sym"), **sizes)
    files, probes = host_folder(path), probe_folder(path)
    files.open(spec, {})
    for scheme in spec.schemes:
        for key in spec.work_keys(scheme):
            count = key.stop - key.start
            flags = dict.fromkeys(("exact", "simulated_exact", "lenient"), "80")
            lost = dict.fromkeys(("infidelity", "disagreement"), Moments(0.0, 0.0))
            cells = {"cells": 9 * count, "correct": 8 * count, "equal_cells": 9 * count}
            files.append(HostRow(digest=spec.digest, **key._asdict(), **flags, **cells, **lost))
        times = (1.0, 2.0)
        probes.append(Probe(digest=spec.digest, scheme=scheme, step_ms=times, memory_bytes=9))
        write_manifest(export_folder(path, scheme), scheme)


def write_manifest(folder: Path, scheme: str) -> None:
    config = PRESETS["sudoku-trm-mlp-mini"]
    operators = {"block": {"ADD": 1}, "head": {"ADD": 1}}
    names = (*name_files(operators, Target.LITERT), HOST_FILE)
    cells = (1,) * config.seq_len
    manifest = Manifest(
        model="m",
        source="m",
        parameters_sha256="0" * 64,
        task="sudoku",
        config=config,
        scheme=scheme,
        plan=scheme,
        carry=CarryPrecision.ARITHMETIC,
        target=Target.LITERT,
        batch=4,
        ranges={},
        weight_bytes=3,
        operators=operators,
        files={name: facts_of(b"123") for name in names},
        expected=Expected(
            steps=2,
            inputs=(cells,),
            puzzle_identifiers=(0,),
            tokens=(cells,),
            confirmed_by="litert",
        ),
        integers=None,
    )
    folder.mkdir(parents=True)
    (folder / MANIFEST_FILE).write_text(dump_manifest(manifest))


def write_board(path: Path) -> None:
    cycles: dict[str, Any] = {"H_cycles": 2, "L_cycles": 2, "steps": 4}
    spec = BoardSpec(
        **COMMON,
        library_sha256="",
        target="cortex-m55",
        schemes=("fp32", "tflm_int8_int8"),
        **cycles,
        speed=Speed(mhz=400.0, cpi=1.0, patience=60.0),
    )
    files = board_folder(path)
    files.open(spec, {})
    for scheme in spec.schemes:
        row = BoardRow(
            digest=spec.digest,
            scheme=scheme,
            flash=Flash(weights=1, tables=2, records=3, rows=4, vectors=5, code=6),
            sram=BoardSram(
                arena_head=1, arena_tail=2, arena_margin=3, carry=4, buffers=5, statics=6, stack=7
            ),
            graphs=2,
            counted=Counted.ESTIMATED,
            update_L=10,
            update_H=10,
            rest=1,
            counted_by=MODELLED,
        )
        files.append(row)


def write_aihub(path: Path) -> None:
    device = "Samsung Galaxy S24"
    runs: dict[str, Any] = {"steps": 2, "num_puzzles": 4, "loop": "forced"}
    spec = AiHubSpec(**COMMON, target="aihub", variants=("fp32",), devices=(device,), **runs)
    files = aihub_folder(path)
    files.open(spec, {})
    texts = {"task": "sudoku", "variant": "fp32", "label": "fp32", "device": device}
    texts |= {"route": "tflite", "precision": "float", "loop": "forced", "here": "LiteRT, CPU"}
    times: dict[str, Any] = {"step_ms": 0.1, "all_ms": (0.1, 0.2), "host_ms": 0.1, "here_ms": 0.1}
    files.append(
        AiHubRow(
            digest=spec.digest,
            **texts,
            **times,
            H_cycles=2,
            steps=2,
            file_bytes=9,
            peak_bytes=None,
            units={"NPU": 2},
            layers=(("layer_0", "ADD", "NPU"), ("layer_1", "MUL", "CPU")),
            puzzles=4,
            exact="c0",
            equal_cells=64,
            cells=64,
            infidelity=Moments(1e-6, 1e-12),
            jobs={"inference": "j1"},
            urls={"inference": "https://example.org/jobs/j1/"},
        )
    )


def write_recipe(path: Path) -> None:
    path.mkdir()
    names = {"full precision": "fp32", "recipe": "w4t-sym[head=w8c-sym]", "w3c-sym": "w3c-sym"}
    solved = tuple(
        SolvedRecord(name=name, stored=9 * i, scheme=scheme, exact=exact)
        for (name, scheme), exact, i in zip(
            names.items(), ("fc0f", "fc0e", "f80f"), (4, 2, 1), strict=True
        )
    )
    record = SearchRecord(
        task="sudoku",
        model="sudoku-trm-mlp-mini",
        data="d",
        target=None,
        budget=20_000,
        seconds=155.2,
        num_puzzles=16,
        deciding_puzzles=4,
        solved=solved,
    )
    write_search(path, record)


WRITERS: dict[str, Callable[[Path], None]] = {
    "sweep": write_sweep,
    "ablation": write_ablation,
    "vote": write_vote,
    "footprint": write_footprint,
    "host": write_host,
    "board": write_board,
    "aihub": write_aihub,
    "recipe": write_recipe,
}


def damaged(content: bytes, is_lines: bool, rng: random.Random) -> bytes:
    """Damage a file: a byte, a line, or a field somewhere in its JSON."""
    way = rng.choice(("byte", "cut", "line", "field", "field", "field", "field"))
    if way == "byte":
        at = rng.randrange(len(content))
        return content[:at] + bytes([rng.randrange(256)]) + content[at + 1 :]
    if way == "cut":
        return content[: rng.randrange(len(content))]
    lines = content.splitlines(keepends=True) if is_lines else [content]
    at = rng.randrange(len(lines))
    if way == "line":
        doubled = lines[: at + 1] + lines[at:]
        return b"".join(rng.choice((doubled, lines[:at] + lines[at + 1 :])))
    document = json.loads(lines[at])
    holder, name = rng.choice(list(places(document)))
    if rng.random() < 0.15:
        del holder[name]
    else:
        holder[name] = rng.choice(WRONG)
    lines[at] = json.dumps(document).encode() + b"\n"
    return b"".join(lines)


WRONG: tuple[Any, ...] = (
    *(None, True, "", "x", "00", "nan", "w99", [], [1], [[1, 2]], {}, {"a": 1}, 0, -1, 1, 7),
    *(1.5, -0.5, 1e308, -1e308, 1e-320, 10**12, 10**18, -(10**12), 10**400, float("nan")),
    *(float("inf"), "\x00", "\ud800", "é" * 100, "../../x", [0] * 10_000, ["fp32", "fp32"]),
)
"""Values in the place of the right one."""


def places(document: Any) -> Iterator[tuple[Any, Any]]:
    """List everything that JSON holds: its holder and its name or index there."""
    names = list(document) if isinstance(document, dict) else range(len(document))
    for name in names:
        yield document, name
        if isinstance(document[name], dict | list):
            yield from places(document[name])
