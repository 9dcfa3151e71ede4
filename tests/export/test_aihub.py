"""What AI Hub's parts do without AI Hub: the ledger, profiles, devices, plain words."""

from pathlib import Path

import pytest

from export.aihub import profile
from export.aihub.client import plain_text
from export.aihub.devices import DEVICES, Precision, Unit, npu_warning
from export.aihub.ledger import Ledger

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


def test_what_an_npu_lacks_is_said_before_a_job() -> None:
    assert npu_warning(S24, Precision.W4A16) == ""
    assert "so float runs on the CPU there" in npu_warning(RB3, Precision.FLOAT)
    assert "norms, SiLU, sums" in npu_warning(RB3, Precision.W8A8)  # the products run, the rest not
    assert "not known here" in npu_warning("Galaxy S99", Precision.FLOAT)


def test_the_clients_frames_are_taken_off() -> None:
    boxed = "Failed to authenticate.\n\n┌────┐\n| a bad or    |\n| expired token |\n└────┘\n"
    assert plain_text(ValueError(boxed)) == "Failed to authenticate. a bad or expired token"
