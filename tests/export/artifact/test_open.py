"""Damaged exports: a clear error, and no interpreter sees one."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.artifact import manifest
from export.artifact.open import open_artifact
from export.graph import files
from export.runtimes import litert
from tests.conftest import ROOT
from tests.support.export.mutants import mutant
from tests.support.tiny import export as tiny
from trm_jax.checkpoints.tensor_files import load_tensors, save_tensors

MUTANTS = 1000
READ = 200  # by the reader alone; graph/test_tflite_files.py gives it a thousand more


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "e"
    tiny.make(folder, tiny.configs()["mlp"], "w4c-asym_a8da")
    return folder


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "copy")
    return tmp_path / "copy"


def rehash(folder: Path) -> None:
    """Make the manifest say what the files are now."""
    file = folder / files.MANIFEST_FILE
    values = json.loads(file.read_text())
    for name in values["files"]:
        facts = manifest.facts_of((folder / name).read_bytes())
        values["files"][name] = {"bytes": facts.bytes, "sha256": facts.sha256}
    file.write_text(json.dumps(values))


def test_an_export_opens_and_its_manifest_survives_json(made: Path) -> None:
    export = open_artifact(made)
    assert manifest.parse_manifest(manifest.dump_manifest(export.manifest)) == export.manifest
    assert export.manifest.total_bytes == sum(
        (made / name).stat().st_size for name in export.manifest.files
    )


@pytest.mark.slow
def test_a_thousand_mutants_are_refused_before_any_interpreter(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("an interpreter saw a damaged file")

    monkeypatch.setattr(litert.LiteRT, "__init__", never)
    file = copy / files.MODEL_FILE
    data, rng = file.read_bytes(), np.random.default_rng(1)
    for _ in range(MUTANTS):
        changed = mutant(data, rng)
        if changed == data:  # two flips of one bit
            continue
        file.write_bytes(changed)
        with pytest.raises(ValueError, match=r"was changed|bytes, its manifest says"):
            open_artifact(copy)


@pytest.mark.slow
def test_mutants_without_their_hash_do_not_crash_the_reader(made: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "tests.support.export.mutants",
        str(made / files.MODEL_FILE),
        str(READ),
    ]
    done = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    assert "refused by the reader" in done.stdout


Edit = Callable[[dict[str, Any]], Any]
WRONG_MANIFESTS: dict[str, tuple[Edit, str]] = {
    "format": (lambda m: m.update(format=9), "format must be 1"),
    "missing": (lambda m: m.pop("scheme"), "scheme"),
    "integers missing": (lambda m: m.pop("integers"), "field integers is missing"),
    "H_cycles missing": (
        lambda m: m["config"].pop("H_cycles"),
        "config: field H_cycles is missing",
    ),
    "text for a number": (lambda m: m.update(batch="1"), "field batch must be an integer, got '1'"),
    "true for a number": (lambda m: m.update(weight_bytes=True), "field weight_bytes must be an"),
    "no steps": (lambda m: m["expected"].update(steps=0), "expected.steps must be at least 1"),
    "a real step": (lambda m: m["expected"].update(steps=2.5), "field expected.steps must be an"),
    "a real token": (
        lambda m: m["expected"]["tokens"][0].__setitem__(0, 1.5),
        r"field expected.tokens\[0\]\[0\] must be an integer, got 1.5",
    ),
    "identifiers": (
        lambda m: m["expected"]["puzzle_identifiers"].__setitem__(0, -1),
        "puzzle_identifiers must be below",
    ),
    "operators": (lambda m: m.update(operators=[]), "field operators must be an object"),
    "unknown": (lambda m: m.update(more=1), "more"),
    "target": (lambda m: m.update(target="abacus"), "abacus"),
    "configuration": (lambda m: m["config"].update(seq_len=5), "must have 5 tokens"),
    "cycles": (lambda m: m["config"].update(H_cycles=9), "another configuration"),
    "batch": (lambda m: m.update(batch=4), "expected float32"),
    "no batch": (lambda m: m.update(batch=0), "batch must be at least 1"),
    "parameters": (lambda m: m.update(parameters_sha256="0" * 64), "other parameters"),
    "files": (lambda m: m["files"].pop("host.safetensors"), "files must be"),
    "hash": (lambda m: m["files"]["model.tflite"].update(sha256="0" * 64), "was changed"),
    "size": (lambda m: m["files"]["model.tflite"].update(bytes=1), "its manifest says 1"),
    "answers": (lambda m: m["expected"]["tokens"].pop(), "differ in number"),
    "tokens": (lambda m: m["expected"]["tokens"][0].__setitem__(0, 77), "tokens below 5"),
}


@pytest.mark.parametrize("name", WRONG_MANIFESTS)
def test_wrong_manifests_say_what_is_wrong(name: str, copy: Path) -> None:
    edit, message = WRONG_MANIFESTS[name]
    file = copy / files.MANIFEST_FILE
    values = json.loads(file.read_text())
    edit(values)
    file.write_text(json.dumps(values))
    with pytest.raises(ValueError, match=message):
        open_artifact(copy)


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"format": 1', "\x00", '{"format": 1}'])
def test_other_json_is_no_manifest(text: str, copy: Path) -> None:
    (copy / files.MANIFEST_FILE).write_text(text)
    with pytest.raises(ValueError, match="not the manifest of an export"):
        open_artifact(copy)


@pytest.mark.parametrize("name", ["manifest.json", "model.tflite", "host.safetensors"])
def test_missing_files_are_named(name: str, copy: Path) -> None:
    (copy / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        open_artifact(copy)


def test_a_model_of_another_export_is_refused(copy: Path, tmp_path: Path) -> None:
    tiny.make(tmp_path / "other", tiny.configs()["mlp"], "int8")
    shutil.copy(tmp_path / "other" / files.MODEL_FILE, copy)
    rehash(copy)
    with pytest.raises(ValueError, match="other parameters"):
        open_artifact(copy)


@pytest.mark.parametrize("damage", ["shape", "name", "nan"])
def test_wrong_host_tensors_are_refused(damage: str, copy: Path) -> None:
    file = copy / files.HOST_FILE
    host = {name: value.copy() for name, value in load_tensors(file).items()}
    if damage == "shape":
        host["H_init"] = host["H_init"][:-1]
    elif damage == "name":
        host["z_init"] = host.pop("H_init")
    else:
        host["H_init"][0] = np.nan
    save_tensors(host, file)
    rehash(copy)
    with pytest.raises(ValueError, match=r"host\.safetensors"):
        open_artifact(copy)
