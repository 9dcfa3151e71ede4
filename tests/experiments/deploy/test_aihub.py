"""The whole AI Hub command, by the unmodified client, against the server in this process."""

import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml

pytest.importorskip("qai_hub", reason="the extra [aihub] is not installed")
pytest.importorskip("onnxruntime", reason="the extra [onnx] is not installed")

from qai_hub.util import session

from experiments.deploy import __main__ as deploy
from experiments.deploy.aihub import job as aihub_job
from experiments.render.tables import to_markdown
from experiments.report.inputs import read_deployment
from export.artifact.open import open_artifact
from export.artifact.solver import Solver
from export.runtimes.registry import open_runtime
from export.targets import Target
from tests.support.aihub import server as aihub_server
from tests.support.aihub.server import State
from tests.support.tiny import sweep as tiny
from trm_jax.data.format import load_dataset
from trm_jax.halting import parse_halting

S24, RB3 = "Samsung Galaxy S24", "Dragonwing RB3 Gen 2 Vision Kit"
SCHEMES = "fp32,w8c-sym_a8s,w4c-sym_a16s,hub:w4a16"
PATIENCE = {"MAX_RETRIES": 2, "BACKOFF_FACTOR": 0.01, "MAX_WAIT": 0.01}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("aihub")
    with pytest.MonkeyPatch.context() as patch:
        # one layer compiles in half the time
        patch.setattr(tiny, "CONFIG", dataclasses.replace(tiny.CONFIG, L_layers=1))
        tiny.write(root)
        patch.setattr(aihub_job, "CALIBRATION_SAMPLES", 3)
        for name, value in PATIENCE.items():  # how long the client waits between its retries
            patch.setattr(session, name, value)
        yield root


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[State]:
    with aihub_server.serve(tmp_path / "hub") as (state, address):
        config = aihub_server.write_config(tmp_path / "client.ini", address)
        monkeypatch.setenv("QAIHUB_CLIENT_INI", str(config))
        yield state


@pytest.fixture(scope="module")
def exports(root: Path) -> Path:
    """Exports of all schemes, made once by a dry run."""
    assert deploy.main(arguments(root, root / "dry", "--dry-run", "--schemes", SCHEMES)) == 0
    return root / "dry" / "exports"


@pytest.fixture
def out(exports: Path, tmp_path: Path) -> Path:
    shutil.copytree(exports, tmp_path / "out" / "exports")
    return tmp_path / "out"


def arguments(root: Path, out: Path, *more: str) -> list[str]:
    fixed = ["--target", "aihub", "--limit", "2", "--steps", "2", "--poll", "0"]
    # the tiny data set has 22 puzzles
    fixed += ["--calibration-puzzles", "8"] if "--schemes" in more else []
    return [*tiny.arguments(root, out), *fixed, *more]


def only_fp32(root: Path, out: Path, *more: str) -> list[str]:
    return [*arguments(root, out), "--schemes", "fp32", *more]


def rows(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "rows.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_a_dry_run_needs_no_token_and_prints_sizes_and_shapes(
    root: Path, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QAIHUB_CLIENT_INI", "/nowhere/client.ini")
    more = ("--dry-run", "--schemes", "fp32,w4c-sym_a16s", "--device", S24, "--device", RB3)
    assert deploy.main(arguments(root, out, *more)) == 0
    text = capsys.readouterr().out
    assert "takes x (1, 17, 16), z_H (1, 17, 16), z_L (1, 17, 16)" in text
    assert "logits (1, 16, 6), q (1, 2)" in text
    assert "4 samples, 13.1 kB per inference job" in text  # 2 puzzles, 2 steps; 3 x 17 x 16 floats
    assert f"{RB3}: upload, compile, 1 inference job with profile" in text
    assert "its NPU computes w8a8 only, so w4a16 runs on the CPU there" in text
    assert not (out / "jobs.jsonl").exists()


@pytest.mark.slow
def test_every_scheme_runs_on_every_device_and_is_asked_for_once(
    hub: State, root: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = arguments(root, out, "--schemes", SCHEMES, "--device", S24, "--device", RB3)
    assert deploy.main(command) == 0
    text = capsys.readouterr().out
    found = rows(out)
    assert [(r["variant"], r["device"]) for r in found] == [
        (scheme, device) for scheme in SCHEMES.split(",") for device in (S24, RB3)
    ]
    for row in found:
        units = {"CPU"} if row["variant"] in ("fp32", "hub:w4a16") else {"CPU", "NPU"}
        assert set(row["units"]) == ({"NPU"} if row["device"] == S24 else units)
        assert row["peak_bytes"] == 5 << 20  # as the server says
        assert row["step_ms"] > 0
        assert row["jobs"].keys() >= {"inference"}
        assert f"/jobs/{row['jobs']['inference']}/" in text
        if row["variant"] == "fp32":  # float32 on both sides: other sums, the same answers
            assert row["equal_cells"] == row["cells"] == 2 * 2 * 16
            assert row["infidelity"][0] < 1e-5
    assert "NOT on the NPU" in text
    metrics = yaml.safe_load((out / "perf.yaml").read_text())["precisions"]
    assert metrics["fp32"][S24]["tflite"]["inference_metrics"]["layer_counts"]["npu"] > 0
    layers = (out / "layers.csv").read_text().splitlines()
    assert len(layers) == 1 + sum(len(r["layers"]) for r in found)
    assert (out / "summary.csv").read_text().count("\n") == 1 + len(found)
    table, halting = read_deployment(out)  # what a report reads, from rows
    assert to_markdown(table) + "\n" + to_markdown(halting) == (out / "summary.md").read_text()
    assert [row[1] for row in halting.rows] == [row[1] for row in table.rows]
    assert {row[4] for row in halting.rows} == {"rules"}
    jobs, hub.token = len(hub.jobs), "another"  # what is finished needs no connection
    assert deploy.main(command) == 0
    assert len(hub.jobs) == jobs == 8 + 4 + 1  # inference, compile, quantise


@pytest.mark.slow
def test_a_failed_job_is_left_out_and_asked_for_again(
    hub: State, root: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.fail = {RB3: "the device ran out of memory"}
    both = only_fp32(root, out, "--device", S24, "--device", RB3)
    assert deploy.main(both) == 0
    assert f"left out: fp32 on {RB3}: job" in (text := capsys.readouterr().out)
    assert "the device ran out of memory" in text
    assert len(rows(out)) == 1
    hub.fail = {}
    assert deploy.main(both) == 0  # the same job, still failed
    assert len(hub.jobs) == 2
    assert deploy.main([*both, "--retry-failed"]) == 0
    assert len(hub.jobs) == 3
    assert len(rows(out)) == 2


def test_exports_of_other_cycles_are_not_taken_for_these(
    hub: State, root: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert deploy.main(only_fp32(root, out, "--h-cycles", "1")) == 2
    error = capsys.readouterr().err
    assert "holds an export of another configuration; choose another --out" in error


def test_if_every_job_fails_the_command_does(
    hub: State, root: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.fail = {"inference": "bad model"}
    assert deploy.main(only_fp32(root, out)) == 2
    assert "--retry-failed" in capsys.readouterr().err


def test_a_slow_job_is_picked_up_by_the_same_command(
    hub: State, root: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.slow = 10**6
    assert deploy.main(only_fp32(root, out, "--timeout", "0.05")) == 2
    assert "the same command picks it up" in capsys.readouterr().err
    (job,) = hub.jobs
    assert job in (out / "jobs.jsonl").read_text()
    hub.looks[job] = 1
    assert deploy.main(only_fp32(root, out)) == 0
    assert list(hub.jobs) == [job]


def test_a_dropped_connection_is_tried_again(hub: State, root: Path, out: Path) -> None:
    hub.drop = 1
    assert deploy.main(only_fp32(root, out)) == 0
    assert hub.drop == 0


def test_a_dead_connection_loses_nothing(
    hub: State, root: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.slow = 10**6
    assert deploy.main(only_fp32(root, out, "--timeout", "0.05")) == 2
    (job,) = hub.jobs
    hub.drop = 10**6
    assert deploy.main(only_fp32(root, out)) == 2
    assert "onnect" in capsys.readouterr().err.splitlines()[-1]
    hub.drop, hub.looks[job] = 0, 0
    assert deploy.main(only_fp32(root, out)) == 0
    assert list(hub.jobs) == [job]


def test_an_expired_token_says_what_to_do(
    hub: State, root: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.token = "a-newer-token"
    assert deploy.main(only_fp32(root, out)) == 2
    error = capsys.readouterr().err
    assert "bad or expired API token" in error
    assert "qai-hub configure" in error
    assert not hub.jobs


def test_without_a_token_it_says_what_to_do(
    root: Path, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QAIHUB_CLIENT_INI", "/nowhere/client.ini")
    assert deploy.main(only_fp32(root, out)) == 2
    assert "qai-hub configure --api_token TOKEN" in capsys.readouterr().err


def test_quota_is_told(
    hub: State, root: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.quota = 0
    assert deploy.main(only_fp32(root, out)) == 2
    assert "quota is used up" in capsys.readouterr().err
    hub.quota = 1
    assert deploy.main(only_fp32(root, out)) == 0


def test_a_closed_loop_feeds_the_devices_own_states_back(hub: State, root: Path, out: Path) -> None:
    halt = "q:0.2"  # between the tiny model's q_halt of both puzzles after the first step
    assert deploy.main(only_fp32(root, out, "--loop", "closed", "--halt", halt)) == 0
    assert len(hub.jobs) == 2  # one per step
    (row,) = rows(out)
    assert row["equal_cells"] == row["cells"]
    assert row["infidelity"][0] < 1e-5
    export = open_artifact(out / "exports" / "fp32")
    runtime = open_runtime(Target.LITERT, export.model)
    puzzles = load_dataset(root / "data" / "test").inputs[:2].astype(np.int32)
    solver = Solver(export, runtime)
    halted = solver.solve(puzzles, steps=2, halting=parse_halting(halt))
    runtime.close()
    assert row["halted"][1] == halted.steps.tolist()
    assert set(row["halted"][1]) == {1, 2}


BAD = {
    "device": (("--device", "Galaxy S99"), "similar ones: Samsung Galaxy S2"),
    "scheme": (("--schemes", "w8c-sym_a8da"), "does not compute w8c-sym_a8da"),
    "carry": (("--schemes", "int8_carry8"), "unknown scheme"),
    "weight-only": (("--schemes", "int8"), "AI Hub has no weight_only"),
    "hub": (("--schemes", "hub:w2a2"), "AI Hub quantises to"),
    "limit": (("--limit", "99"), "--limit must be"),
    "halt": (("--halt", "residual:0.1"), "states of a step's H-cycles lie inside the file"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_exits_with_2(
    name: str, hub: State, root: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more, message = BAD[name]
    assert deploy.main(only_fp32(root, out, *more)) == 2
    assert message in capsys.readouterr().err
    assert not hub.jobs
