"""Folders of rows: files of earlier versions are read and gone on with; damage names its field.

Lines and documents here are literal: what each program wrote before the folder of rows was one.
Digests are literal too: a row whose digest is computed otherwise would be measured again.
"""

import dataclasses
import enum
import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from experiments.ablate.rows import AblationKey, ablation_folder
from experiments.arc.rows import VoteKey, VoteSpec, vote_folder
from experiments.deploy.aihub.rows import AiHubKey, AiHubSpec, aihub_folder
from experiments.deploy.cortex_m.graph_memory import ArenaRow
from experiments.deploy.cortex_m.rows import BoardSpec, Speed, board_folder
from experiments.deploy.host.rows import HostKey, HostSpec, host_folder, probe_folder
from experiments.footprint import rows as footprint_rows
from experiments.jobs.runner import Spent, sum_spent
from experiments.measurement.row_files import ResultFolder, read_lines
from experiments.measurement.shards import Moments
from experiments.measurement.spec import pending
from experiments.sweep.rows import SweepKey, sweep_folder
from export.cortex_m.build import Counted
from trm_jax.typed_json import read_fields

SWEEP_SPEC = """{"spec": {"task": "sudoku", "model": "m", "model_sha256": "1", "num_parameters": 7,
 "data": "d", "data_sha256": "2", "num_puzzles": 8, "batch_size": 4, "dtype": "float32", "seed": 0,
 "gflops_per_cycle": 0.087293952, "schemes": ["fp32", "w4c-asym"], "bytes": [1024520, 144940],
 "grid": {"T": [2], "n": [1, 16], "H_cycles": 2}}, "runs": [{"started": "now"}]}"""
SWEEP_ROW = (
    '{"digest":"0f8d1d4a3b5c6e7f","scheme":"fp32","start":0,"stop":4,"scored_cells":144,'
    '"correct_cells":[121,137],"exact":["20","e0"],"lenient":["20","e0"],'
    '"cell_error":[[0.638,0.168],[0.194,0.037]],"infidelity":[[0.0,0.0],[0.0,0.0]],'
    '"similarity":[[3.453,2.985],[3.999,3.999]],"residual":[[2.081,1.092],[0.041,0.0007]],'
    '"call_similarity":[2.872,2.064]}\n'
)
ABLATION_SPEC = """{"spec": {"task": "maze", "model": "m", "model_sha256": "1",
 "num_parameters": 329730, "data": "d", "data_sha256": "2", "num_puzzles": 10, "batch_size": 4,
 "dtype": "float32", "seed": 0, "planned": [{"study": "pruning", "variant": "25%",
 "reference": "fp32", "settings": {"share": 0.25}, "digest": "499cea84adae4769"}]}, "runs": []}"""
ABLATION_ROW = (
    '{"digest":"499cea84adae4769","study":"pruning","variant":"25%","start":0,"stop":4,'
    '"scored_cells":128,"correct_cells":127,"exact":"40","lenient":"40",'
    '"cell_error":[0.015625,0.000244140625],"infidelity_one_step":null,"infidelity":[0.0,0.0],'
    '"facts":{"bytes":1319432.0,"parameters":329730.0,"architecture":"TRM (attention)"}}\n'
)
VOTE_SPEC = """{"spec": {"models": ["m"], "models_sha256": ["1"], "tasks": "t",
 "tasks_sha256": "2", "num_tasks": 3, "num_aug": 3, "new_rows": "mean", "schemes": ["fp32"],
 "bytes": [8], "steps": 2, "gflops": 0.5, "tasks_per_shard": 2, "dtype": "float32", "seed": 42},
 "runs": []}"""
VOTE_ROW = (
    '{"digest":"051d79b531cb94e4","scheme":"fp32","model":0,"start":0,"stop":2,'
    '"grids":["7777/7807","70/07",""],"answers":[0,1,2,0],"q_halt":[5.97,4.32,5.75,5.31],'
    '"exact":[1,1,0,1],"seconds":0.0946}\n'
)
HOST_ROW = (
    '{"digest":"0130275f737c91fd","scheme":"fp32","start":0,"stop":4,"exact":"00",'
    '"simulated_exact":"00","lenient":"00","cells":72,"correct":62,"equal_cells":72,'
    '"infidelity":[0.0,0.0],"disagreement":[0,0]}\n'
)
PROBE = (
    '{"digest":"0130275f737c91fd","scheme":"fp32","step_ms":[2.12,2.15],"memory_bytes":14790656}\n'
)
AIHUB_ROW = (
    '{"digest":"debc765a61d5b854","task":"sudoku","variant":"fp32","label":"fp32",'
    '"device":"Samsung Galaxy S24","route":"tflite","precision":"float","loop":"forced",'
    '"H_cycles":2,"steps":2,"file_bytes":123328,"step_ms":0.058,"all_ms":[0.118,0.062],'
    '"host_ms":0.0506,"here_ms":0.1018,"here":"LiteRT, CPU","peak_bytes":null,'
    '"units":{"NPU":170},"layers":[["layer_0","ADD","NPU"],["layer_1","MUL","CPU"]],"puzzles":4,'
    '"exact":"c0","equal_cells":64,"cells":64,"infidelity":[1e-06,1e-12],'
    '"jobs":{"inference":"j1"},"urls":{"inference":"https://example.org/jobs/j1/"}}\n'
)
BOARD_ROW = (
    '{"digest":"731975726beb58e4","scheme":"fp32","flash":{"weights":1018880,"tables":84,'
    '"records":7228,"rows":5792,"vectors":416,"code":111704},"sram":{"arena_head":543232,'
    '"arena_tail":10320,"arena_margin":16384,"carry":37888,"buffers":912,"statics":2936,'
    '"stack":32768},"graphs":2,"counted":"firmware, and an estimate for TFLM",'
    '"update_L":73974474,"update_H":73974474,"rest":332966,"counted_by":"operator model"}\n'
)
HOST = HostSpec(
    task="sudoku",
    model="m",
    model_sha256="1",
    data_sha256="2",
    target="litert",
    schemes=("fp32",),
    num_puzzles=6,
    total=9,
    batch=4,
    steps=2,
    threads=1,
)
AIHUB = AiHubSpec(
    task="sudoku",
    model="m",
    model_sha256="1",
    data_sha256="2",
    target="aihub",
    variants=("fp32", "w8c-sym_a8s"),
    devices=("Samsung Galaxy S24",),
    steps=2,
    num_puzzles=4,
    loop="forced",
)
BOARD = BoardSpec(
    task="sudoku",
    model="m",
    model_sha256="1",
    data_sha256="2",
    library_sha256="",
    target="cortex-m55",
    schemes=("fp32", "tflm_int8_int8"),
    H_cycles=2,
    L_cycles=2,
    steps=16,
    speed=Speed(mhz=400.0, cpi=1.0, patience=60.0),
)


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        file, ending = name.rsplit("_", 1)
        (folder / f"{file}.{ending}").write_text(text)
    return folder


def goes_on(folder: ResultFolder, spec: Any, row_text: str) -> Any:
    """Check that a folder is taken up and that its row would be written as it stands there."""
    folder.check(spec, resume=True)
    (row,) = folder.read_rows(spec)
    folder.open(spec, {"started": "later"})
    assert folder.rows_file.read_text() == row_text
    folder.append(row)
    assert folder.rows_file.read_text() == 2 * row_text
    return row


def test_a_sweep_of_today_is_gone_on_with(tmp_path: Path) -> None:
    folder = sweep_folder(write(tmp_path, spec_json=SWEEP_SPEC))
    spec = folder.read_spec()
    assert spec.digest == "3ae608b83673bc21"
    text = SWEEP_ROW.replace("0f8d1d4a3b5c6e7f", spec.digest)
    write(tmp_path, rows_jsonl=text)
    row = goes_on(folder, spec, text)
    assert row.cell_error == (Moments(0.638, 0.168), Moments(0.194, 0.037))
    assert pending(spec.work_keys(), [row])[0] == SweepKey("w4c-asym", 0, 4)
    assert spec.architecture == ""  # added later
    runs = json.loads(folder.spec_file.read_text())["runs"]
    assert [run["started"] for run in runs] == ["now", "later"]


def test_an_ablation_of_today_is_gone_on_with(tmp_path: Path) -> None:
    files = {"ablation_json": ABLATION_SPEC, "rows_jsonl": ABLATION_ROW}
    folder = ablation_folder(write(tmp_path, **files))
    spec = folder.read_spec()
    row = goes_on(folder, spec, ABLATION_ROW)
    assert row.infidelity_one_step is None
    assert pending(spec.work_keys(), [row])[0] == AblationKey("pruning", "25%", 4, 8)
    remade = spec.plan("pruning", "25%", "fp32", {"share": 0.25})
    assert remade == spec.planned[0]  # the literal digest


def test_a_vote_of_today_is_gone_on_with(tmp_path: Path) -> None:
    folder = vote_folder(write(tmp_path, votes_json=VOTE_SPEC, rows_jsonl=VOTE_ROW))
    spec = folder.read_spec()
    assert spec.digest == "051d79b531cb94e4"
    row = goes_on(folder, spec, VOTE_ROW)
    assert pending(spec.work_keys(), [row]) == [VoteKey("fp32", 0, 2, 3)]
    fewer = dataclasses.replace(spec, num_tasks=1)  # the last run decides what tables show
    folder.open(fewer, {})
    assert folder.read_spec() == fewer


def test_a_host_deployment_of_today_is_gone_on_with(tmp_path: Path) -> None:
    """Earlier versions wrote no deployment.json."""
    write(tmp_path, rows_jsonl=HOST_ROW, probes_jsonl=PROBE)
    assert HOST.digest == "0130275f737c91fd"
    row = goes_on(host_folder(tmp_path), HOST, HOST_ROW)
    assert pending(HOST.work_keys("fp32"), [row]) == [HostKey("fp32", 4, 6)]
    (probe,) = probe_folder(tmp_path).read_rows(HOST)
    assert probe.step_ms == (2.12, 2.15)
    other = dataclasses.replace(HOST, steps=3)
    with pytest.raises(ValueError, match=r"another deployment \(steps is 2, asked for 3\)"):
        host_folder(tmp_path).check(other, resume=True)


def test_an_aihub_deployment_of_today_is_gone_on_with(tmp_path: Path) -> None:
    write(tmp_path, rows_jsonl=AIHUB_ROW)
    assert AIHUB.digest == "debc765a61d5b854"
    row = goes_on(aihub_folder(tmp_path), AIHUB, AIHUB_ROW)
    assert row.layers[1] == ("layer_1", "MUL", "CPU")
    assert pending(AIHUB.work_keys(), [row]) == [AiHubKey("w8c-sym_a8s", "Samsung Galaxy S24")]


def test_a_board_deployment_of_today_is_gone_on_with(tmp_path: Path) -> None:
    write(tmp_path, rows_jsonl=BOARD_ROW)
    assert BOARD.digest == "731975726beb58e4"
    row = goes_on(board_folder(tmp_path), BOARD, BOARD_ROW)
    assert row.counted is Counted.ESTIMATED
    assert pending(BOARD.work_keys(), [row]) == [("tflm_int8_int8",)]


def test_other_files_of_today_are_read(tmp_path: Path) -> None:
    arena = (
        '{"key":"k","graph":"g","count":2,"operators":3,"weights":4,"head":5,"tail":6}\n'
        '{"key":"k","gr'  # cut off by a kill
    )
    job = '{"command":["experiments.footprint","--out","o"],"seconds":0.5,"cpu_seconds":0.25}\n'
    numbers = dict.fromkeys(footprint_rows.record_kinds(), 2.79)
    texts = {"config": "c", "scheme": "fp32", "fits 4 MB MCU": None, "fits 8 MB SoC": "full"}
    footprint = json.dumps(numbers | texts) + "\n"
    write(tmp_path, rows_jsonl=arena, jobs_jsonl=job, footprint_jsonl=footprint)
    ((place, row),) = read_lines(tmp_path / "rows.jsonl", ArenaRow, "move it away")
    assert (row.head, row.tail, place[-6:]) == (5, 6, "line 1")
    assert sum_spent(tmp_path) == Spent(0.5, 0.25)
    (record,) = footprint_rows.read_rows(tmp_path)
    assert record["fits 4 MB MCU"] is None


class Colour(enum.Enum):
    RED = "red"


class Pair(NamedTuple):
    first: int
    second: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inner:
    size: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Everything:
    name: str
    flag: bool
    colour: Colour
    pairs: tuple[Pair, ...]
    place: tuple[str, int]
    inner: Inner
    facts: dict[str, float | str]
    maybe: Pair | None = None


FIELDS: dict[str, Any] = {
    "name": "n",
    "flag": True,
    "colour": "red",
    "pairs": [[1, 2.5], [3, 4]],
    "place": ["a", 7],
    "inner": {"size": 5},
    "facts": {"bytes": 4, "word": "w"},
}


def test_every_kind_of_field_is_read() -> None:
    assert read_fields(Everything, FIELDS) == Everything(
        name="n",
        flag=True,
        colour=Colour.RED,
        pairs=(Pair(1, 2.5), Pair(3, 4)),
        place=("a", 7),
        inner=Inner(size=5),
        facts={"bytes": 4, "word": "w"},
    )
    assert read_fields(Everything, FIELDS | {"maybe": [1, 2]}).maybe == Pair(1, 2)
    assert read_fields(Everything, FIELDS | {"maybe": None}).maybe is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": 3}, "field name must be a text, got 3"),
        ({"flag": 1}, "field flag must be true or false, got 1"),
        ({"colour": "blue"}, r"field colour must be one of \['red'\], got 'blue'"),
        ({"pairs": [[1, 2], [3]]}, r"field pairs\[1\] must be a list of 2, got \[3\]"),
        ({"pairs": [[1, 2], [3, "x"]]}, r"field pairs\[1\]\[1\] must be a number, got 'x'"),
        ({"pairs": [[1.5, 2]]}, r"field pairs\[0\]\[0\] must be an integer, got 1.5"),
        ({"pairs": "x"}, "field pairs must be a list, got 'x'"),
        ({"inner": {}}, "field inner.size is missing"),
        ({"inner": {"size": True}}, "field inner.size must be an integer, got True"),
        ({"facts": {"a": None}}, "field facts.a must be a number, got None"),
        ({"maybe": 3}, "field maybe must be a list of 2, got 3"),
        ({"colours": 3}, "field colours is unknown"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(FIELDS) + "\n" + json.dumps(FIELDS | change) + "\n")
    with pytest.raises(ValueError, match=rf"rows\.jsonl, line 2 is damaged \({message}\); do it"):
        list(read_lines(file, Everything, "do it"))


def test_a_line_that_is_no_row_is_named(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    for text in ("3\n", '{"name": "n"\n', "\n"):
        file.write_text(text)
        with pytest.raises(ValueError, match=r"line 1 is damaged"):
            list(read_lines(file, Everything, ""))


def test_the_digest_of_a_vote_is_of_its_identity() -> None:
    spec = read_fields(VoteSpec, json.loads(VOTE_SPEC)["spec"])
    names = set(VoteSpec.IDENTITY)
    other = {"models": ("n",), "num_tasks": 9, "schemes": ("fp32", "int8"), "bytes": (8, 2)}
    assert dataclasses.replace(spec, **other).digest == spec.digest
    for name in names - {"models_sha256", "new_rows", "dtype", "tasks_sha256"}:
        changed = dataclasses.replace(spec, **{name: getattr(spec, name) + 1})
        assert changed.digest != spec.digest
        assert spec.conflicts(changed) == [
            f"{name} is {getattr(spec, name)}, asked for {getattr(changed, name)}"
        ]


def test_a_link_to_nowhere_is_no_lack_of_rows(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    assert list(read_lines(file, ArenaRow, "do it")) == []
    file.symlink_to("nowhere")
    with pytest.raises(FileNotFoundError):
        list(read_lines(file, ArenaRow, "do it"))
