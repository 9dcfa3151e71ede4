"""Programs answer --help and a mistyped option before anything heavy is imported.

jax, flax, matplotlib and their like take seconds; a command line needs none of them. What is
counted are modules, not seconds, so that a busy machine changes nothing. The counts are printed
(`pytest -s`, or `python -m tests.test_startup` for the table alone).
"""

import json
import subprocess
import sys

import pytest

from tests.support.programs import ROOT, programs

HEAVY = frozenset(
    {
        "aqt",
        "ai_edge_litert",
        "flatbuffers",
        "flax",
        "huggingface_hub",
        "jax",
        "jaxlib",
        "litert_converter",
        "matplotlib",
        "onnx",
        "onnxruntime",
        "optax",
        "orbax",
        "pandas",
        "qai_hub",
        "requests",
        "rich",
        "scipy",
        "tensorflow",
        "tflite_micro",
        "tflite_runtime",
        "torch",
        "yaml",
    }
)
"""Packages that no command line needs."""
MOST_MODULES = 450
"""Modules of a started program: Python's own about 60, argparse and what configurations take about
50 more, numpy and jaxtyping 230 where defaults come from a data set's module. jax alone has 400,
flax and optax bring it to 1,000, matplotlib to 1,400: what passes this bound is one of those."""
RUNNER = """
import json, runpy, sys
program, *arguments = sys.argv[1:]
sys.argv = [program, *arguments]
code = 0
try:
    runpy.run_module(program, run_name="__main__", alter_sys=True)
except SystemExit as end:
    code = end.code or 0
print("\\n" + json.dumps([code, sorted(sys.modules)]))
"""


def start(program: str, *arguments: str) -> tuple[int, list[str]]:
    """Start a program in a process of its own; returns its exit code and all modules imported."""
    run = subprocess.run(
        [sys.executable, "-c", RUNNER, program, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    code, modules = json.loads(run.stdout.splitlines()[-1])
    return code, modules


def heavy(modules: list[str]) -> set[str]:
    """Find heavy packages among modules."""
    return {name.partition(".")[0] for name in modules} & HEAVY


@pytest.mark.parametrize("program", programs())
def test_help_and_a_mistyped_option_import_nothing_heavy(program: str) -> None:
    for option, expected in (("--help", 0), ("--no-such-option", 2)):
        code, modules = start(program, option)
        sys.stdout.write(f"{program} {option}: {len(modules)} modules\n")
        assert code == expected
        assert heavy(modules) == set()
        assert len(modules) < MOST_MODULES


@pytest.mark.parametrize("target", ["litert", "onnx", "tflm", "cortex-m55", "aihub"])
def test_the_help_of_a_target_imports_nothing_heavy(target: str) -> None:
    code, modules = start("experiments.deploy", "--target", target, "--help")
    assert code == 0
    assert heavy(modules) == set()
    assert len(modules) < MOST_MODULES


def test_heavy_imports_would_be_seen() -> None:
    _, modules = start("json.tool", "--help")
    assert heavy(modules) == set()
    assert heavy([*modules, "jax.numpy"]) == {"jax"}


if __name__ == "__main__":
    for name in programs():
        sys.stdout.write(f"{name:<40} {len(start(name, '--help')[1]):>5} modules\n")
