"""The files that leave a machine: small, few, and a run again when unpacked."""

from pathlib import Path

import pytest

from experiments.full_size import luggage
from experiments.full_size.luggage import MOST_BYTES, check_files, choose_storage, pack, unpack


def run_folder(out: Path) -> Path:
    """A run of which every part is a few bytes."""
    for name in (
        "model/model.safetensors",
        "model/config.json",
        "training/rows.jsonl",
        "sweep/spec.json",
        "data/train/all__inputs.npy",
        "luggage/state/part-000.bin",
        "luggage/state/manifest.json",
        "full_size.json",
        "README.md",
        ".lock",
    ):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text(name)
    return out


def test_luggage_unpacks_to_the_run(tmp_path: Path) -> None:
    out = run_folder(tmp_path / "out")
    files = pack(out)
    assert [str(file.relative_to(out / "luggage")) for file in files] == [
        "model.safetensors",
        "results.zip",
        "state/manifest.json",
        "state/part-000.bin",
    ]
    model = unpack(out / "luggage", tmp_path / "back")
    assert (model / "model.safetensors").read_text() == "model/model.safetensors"
    back = {str(f.relative_to(tmp_path / "back")) for f in (tmp_path / "back").rglob("*.*")}
    assert back == {
        "model/model.safetensors",
        "model/config.json",
        "training/rows.jsonl",
        "sweep/spec.json",
        "full_size.json",
        "README.md",
    }


def test_a_run_whose_training_failed_is_packed_without_weights(tmp_path: Path) -> None:
    out = run_folder(tmp_path / "out")
    for file in ("model/model.safetensors", "model/config.json"):
        (out / file).unlink()
    assert out / "luggage" / "results.zip" in pack(out)
    with pytest.raises(FileNotFoundError, match=r"holds no model/config\.json"):
        unpack(out / "luggage", tmp_path / "back")


def test_files_that_cannot_be_carried_are_refused(tmp_path: Path) -> None:
    large = tmp_path / "large.bin"
    with large.open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    with pytest.raises(ValueError, match=r"large\.bin has 15\.0 MiB; 15 MiB can be carried"):
        check_files([large])
    with pytest.raises(ValueError, match="9 files to carry; 8 can be carried"):
        check_files([Path(__file__)] * 9)


def test_full_size_weights_fit_one_file() -> None:
    assert choose_storage(256_000) == "float32"
    assert choose_storage(5_000_000) == "bfloat16"
    # the state's parts, its manifest, weights and results are all that is carried
    assert luggage.STATE_BYTES // MOST_BYTES + 3 == luggage.MOST_FILES
