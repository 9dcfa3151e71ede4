"""What AI Hub's parts do without AI Hub: the ledger, profiles, devices, plain words."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.aihub import profile, results
from export.aihub.client import Hub, HubError, Waiting, plain_text
from export.aihub.devices import DEVICES, Precision, Unit, npu_warning
from export.aihub.ledger import Ledger
from tests.support.hub_server import failing_hub

S24, _, RB3 = DEVICES


def test_the_ledger_keeps_the_last_line_of_a_key(tmp_path: Path) -> None:
    file = tmp_path / "new" / "jobs.jsonl"
    ledger = Ledger(file)
    ledger.add("a", "j1", "url")
    ledger.add("b", "j2")
    ledger.add("a", "")  # taken back
    again = Ledger(file)
    assert (again.find("a"), again.find("b"), again.find("c")) == ("", "j2", "")
    assert file.read_text().splitlines()[1] == '{"key": "b", "id": "j2", "url": ""}'


def test_a_line_that_a_kill_cut_off_is_dropped_and_damage_is_named(tmp_path: Path) -> None:
    file = tmp_path / "jobs.jsonl"
    Ledger(file).add("a", "j1")
    whole = file.read_bytes()
    file.write_bytes(whole + b'{"key": "b", "id"')
    assert Ledger(file).find("a") == "j1"
    assert file.read_bytes() == whole
    file.write_bytes(b"{}\n" + whole)
    with pytest.raises(ValueError, match="line 1 is damaged"):
        Ledger(file)


def test_a_profile_has_none_where_the_service_has_no_number() -> None:
    layers = [
        {"name": "a", "type": "FULLY_CONNECTED", "compute_unit": "NPU"},
        {"name": "b", "type": "ADD", "compute_unit": "CPU", "execution_time": 7},
    ]
    summary = {
        "estimated_inference_time": 1500,
        "all_inference_times": [1500, 1700],
        "estimated_inference_peak_memory": -1,
        "warm_load_time": -1,
    }
    found = profile.read_profile({"execution_summary": summary, "execution_detail": layers})
    assert (found.call_ms, found.all_ms) == (1.5, (1.5, 1.7))
    assert (found.peak_bytes, found.load_ms) == (None, None)
    assert found.units == {Unit.NPU: 1, Unit.CPU: 1}
    assert found.layers[1].microseconds == 7
    ranged = profile.read_profile(
        {"execution_summary": {**summary, "inference_memory_peak_range": (1, 9)}}
    )
    assert ranged.peak_bytes == 9
    with pytest.raises(ValueError, match="no latency"):
        profile.read_profile({"execution_summary": {}})


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([], "must be an object"),
        ({"execution_summary": 3}, "must be an object"),
        ({"execution_summary": {"estimated_inference_time": "1500"}}, "estimated_inference_time"),
        ({"execution_summary": {"estimated_inference_time": -3}}, "no latency"),
        (
            {"execution_summary": {"estimated_inference_time": 3, "all_inference_times": [None]}},
            r"all_inference_times\[0\]",
        ),
        (
            {"execution_summary": {"estimated_inference_time": 3}, "execution_detail": [{}]},
            "compute_unit is missing",
        ),
    ],
)
def test_a_profile_of_another_form_is_refused_by_its_field(document: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        profile.read_profile(document)


def test_results_of_a_job_come_back_and_damage_names_the_file(tmp_path: Path) -> None:
    outputs = {"z_H": [np.ones((1, 3), np.float32)], "logits": [np.zeros((1, 2), np.int8)]}
    results.save_results(tmp_path, "j1", outputs, {"execution_summary": {}})
    assert results.has_results(tmp_path, "j1")
    loaded = results.load_results(tmp_path, "j1")
    assert loaded.profile == {"execution_summary": {}}
    for name, values in outputs.items():
        np.testing.assert_array_equal(loaded.outputs[name], values)
    for file in ("j1.npz", "j1.json"):
        whole = (tmp_path / file).read_bytes()
        for damaged in (whole[:-9], b"", b"x" * 300, whole[:40] + b"\0" * 40 + whole[80:]):
            (tmp_path / file).write_bytes(damaged)
            with pytest.raises(ValueError, match=rf"{file} is damaged.*delete both") as caught:
                results.load_results(tmp_path, "j1")
            assert "pickle" not in str(caught.value)
        (tmp_path / file).write_bytes(whole)


def test_what_an_npu_lacks_is_said_before_a_job() -> None:
    assert npu_warning(S24, Precision.W4A16) == ""
    assert "so float runs on the CPU there" in npu_warning(RB3, Precision.FLOAT)
    assert "norms, SiLU, sums" in npu_warning(RB3, Precision.W8A8)  # the products run, the rest not
    assert "not known here" in npu_warning("Galaxy S99", Precision.FLOAT)


def test_the_clients_frames_are_taken_off() -> None:
    boxed = "Failed to authenticate.\n\n┌────┐\n| a bad or    |\n| expired token |\n└────┘\n"
    assert plain_text(ValueError(boxed)) == "Failed to authenticate. a bad or expired token"


REASONS = {
    "cut": "the connection was cut",
    "loop": "AI Hub redirects in a circle",
    "portal": "what answers is another service (a login page of the network?)",
    "page": "what answers is another service",
    "garbage": "the connection was cut",
    "401": "Failed to authenticate",
    "403": "AI Hub refuses access (403)",
    "404": "AI Hub has no such thing (404)",
    "429": "AI Hub takes no more requests for now (429)",
    "500": "AI Hub is out of order (500)",
    "503": "AI Hub is out of order (503)",
}


@pytest.mark.parametrize("name", REASONS)
def test_every_failure_of_the_network_is_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("qai_hub")
    settings = tmp_path / "client.ini"
    monkeypatch.setenv("QAIHUB_CLIENT_INI", str(settings))
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # the client waits between attempts
    with failing_hub(name) as address:
        settings.write_text(
            f"[api]\napi_token = t\napi_url = {address}\nweb_url = {address}\nverbose = False\n"
        )
        hub = Hub(Ledger(tmp_path / "jobs.jsonl"), Waiting(), print)
        with pytest.raises(HubError) as refusal:
            hub.check_device(S24)
    assert str(refusal.value).startswith(f"asking for the devices: {REASONS[name]}")
    assert not (tmp_path / "jobs.jsonl").exists()
