"""What is said where a package of an extra is not installed, in every program that needs one."""

import functools
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

import pytest

from benchmarks.structure import ROOT, find_imports, find_modules
from tests.support.decoders import LLAMA, random_params
from tests.support.programs import environment
from tests.support.slow import slow
from trm_jax.command_line import exit_code, install_text
from trm_jax.command_line.extras import CORE, EXTRA_OF, PROJECT, explain_import
from trm_jax.decoder.files.release import save_release

PROJECT_FILE = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
FOR_DEVELOPERS = {"dev", "docs"}
ELSEWHERE = {"google", "tflite_runtime"}
"""Foreign packages that come with others (protobuf with onnx), or live in another environment."""


def distribution(requirement: str) -> str:
    """Take the name off a requirement, in its normal form."""
    name = re.match(r"[\w.-]+", requirement)
    assert name
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def extras() -> dict[str, str]:
    """Read distribution -> extra from pyproject.toml."""
    listed = PROJECT_FILE["optional-dependencies"]
    return {
        distribution(requirement): extra
        for extra, requirements in listed.items()
        if extra not in FOR_DEVELOPERS
        for requirement in requirements
    }


def owners(package: str) -> set[str]:
    """List the installed distributions that have an importable package."""
    return {distribution(name) for name in installed().get(package, [])}


@functools.cache
def installed() -> Mapping[str, list[str]]:
    """Which distributions hold each importable package; reading them all takes half a second."""
    return metadata.packages_distributions()


def foreign_packages() -> set[str]:
    """List what the packages import that is neither theirs nor Python's."""
    modules = find_modules()
    tops = {name.split(".")[0] for module in modules for name in find_imports(module, modules)}
    ours = {module.split(".")[0] for module in modules}
    return tops - ours - set(sys.stdlib_module_names) - ELSEWHERE


def test_every_foreign_package_has_words():
    assert foreign_packages() - EXTRA_OF.keys() - set(CORE) == set()


def test_the_table_is_pyproject_s():
    known = extras()
    assert set(EXTRA_OF.values()) == set(known.values())
    for package, extra in EXTRA_OF.items():
        named = {known[owner] for owner in owners(package) if owner in known}
        assert named in (set(), {extra}), f"{package} is of {named}"
    required = {distribution(each) for each in PROJECT_FILE["dependencies"]}
    for package in CORE:
        assert not owners(package) & known.keys()
    assert {name for name in required if not metadata.distribution(name)} == set()


def test_a_broken_package_is_told_from_a_missing_one():
    missing = ModuleNotFoundError("No module named 'onnx'", name="onnx")
    broken = ImportError("libfoo.so: cannot open\nmore", name="onnxruntime.capi.state")
    assert explain_import(missing) == (
        f"this needs the package onnx, which is not installed: pip install '{PROJECT}[onnx]'"
        " (in a checkout: pip install -e '.[onnx]')"
    )
    assert str(explain_import(broken)).startswith(
        "the package onnxruntime cannot be loaded (libfoo.so: cannot open); again: pip install"
    )
    assert explain_import(ModuleNotFoundError("No module named 'x'", name="x")) is None
    assert install_text("jax") == f"pip install '{PROJECT}' (in a checkout: pip install -e '.')"


def test_own_words_about_a_package_stand(capsys):
    def action():
        raise ModuleNotFoundError("torch is needed here")

    assert exit_code(action, ()) == 2
    assert capsys.readouterr().err == "error: torch is needed here\n"


MODEL = ("--model", "sudoku-trm-mlp-mini", "--scheme", "fp32", "--out", "out")
TOOLKITS = (
    *("experiments.ablate", "--task", "sudoku", "--only", "toolkits", "--limit", "1"),
    *("--out", "out"),
)
BUNDLED = str(ROOT / "trm_jax" / "zoo" / "sudoku-trm-mlp-mini")
NEEDS = {
    "flatbuffers": ("export.tflite", *MODEL),
    "ai_edge_litert": ("export.tflite", *MODEL),
    "onnx": ("export.onnx", *MODEL, "--steps", "1"),
    "onnxruntime": ("export.onnx", *MODEL, "--steps", "1"),
    "tflite_micro": ("experiments.deploy.cortex_m.arena", "--preset", "sudoku-trm-att-mini"),
    "ethosu": ("export.tflite", *MODEL, "--target", "ethos-u", "--batch-size", "1"),
    "qai_hub": (
        *("experiments.deploy", "--target", "aihub", "--task", "sudoku", "--schemes", "fp32"),
        *("--limit", "1", "--steps", "1", "--out", "out"),
    ),
    "qwix": TOOLKITS,
    "ai_edge_quantizer": TOOLKITS,
    "torch": ("trm_jax.convert", BUNDLED, "--out", "step_1", "--to-torch"),
    "yaml": ("trm_jax.convert", "step_1", "--out", "out", "--preset", "sudoku-trm-mlp"),
    "jax": ("experiments.sweep", "--task", "sudoku"),
    "ray": ("experiments.sweep", "--task", "sudoku", "--engine", "ray"),
    "pyarrow": ("experiments.pack", "sweep"),
    "scipy": ("experiments.predictor", "nowhere"),
    "huggingface_hub": ("trm_jax.convert", "hf:a/b/c", "--out", "out"),
    "gguf": ("experiments.decode.text", "--model", "model.gguf"),
    "reasoning_gym": ("experiments.decode.reasoning", "--model", "nowhere"),
    "tokenizers": ("experiments.decode.text", "--model", "release"),
}
"""A program for each package that it cannot do without."""
NOT_IMPORTED_BY_PROGRAMS = {"litert_converter", "requests", "tensorflow"}


def test_every_package_of_an_extra_is_tried():
    assert EXTRA_OF.keys() - NEEDS.keys() == NOT_IMPORTED_BY_PROGRAMS


@pytest.mark.parametrize("package", [slow(name) for name in NEEDS])
def test_a_program_names_what_to_install(package: str, tmp_path: Path):
    """Blocked by a module of its name that raises what Python would, in child processes too."""
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    text = f"No module named {package!r}"
    (blocked / f"{package}.py").write_text(f"raise ModuleNotFoundError({text!r}, name={package!r})")
    (tmp_path / "step_1").write_bytes(b"PK\x03\x04")
    (tmp_path / "all_config.yaml").write_text("arch: {}\n")
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    if package == "tokenizers":
        save_release(tmp_path / "release", LLAMA, random_params(LLAMA))
        (tmp_path / "release" / "tokenizer.json").write_text("{}")
    path = os.pathsep.join((str(blocked), str(ROOT)))
    done = subprocess.run(
        [sys.executable, "-m", *NEEDS[package]],
        cwd=tmp_path,
        env={**environment(), "PYTHONPATH": path, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: ")
    assert install_text(package) in last
