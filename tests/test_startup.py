"""Programs answer --help and a mistyped option before anything heavy is imported.

jax, flax, matplotlib and their like take seconds; a command line needs none of them. What is
counted are modules, not seconds, so that a busy machine changes nothing. The counts are printed
(`pytest -s`; `python -m benchmarks.structure` makes a table of them).
"""

import sys

import pytest

from benchmarks.structure import start_program
from tests.support.programs import programs

MOST_MODULES = 450
"""Modules of a started program: Python's own about 60, argparse and what configurations take about
50 more, numpy and jaxtyping 230 where defaults come from a data set's module. jax alone has 400,
flax and optax bring it to 1,000, matplotlib to 1,400: what passes this bound is one of those."""


@pytest.mark.parametrize("program", programs())
def test_help_and_a_mistyped_option_import_nothing_heavy(program: str) -> None:
    for option, expected in (("--help", 0), ("--no-such-option", 2)):
        started = start_program(program, option)
        sys.stdout.write(f"{program} {option}: {len(started.modules)} modules\n")
        assert (started.code, started.heavy) == (expected, set())
        assert len(started.modules) < MOST_MODULES


@pytest.mark.parametrize("target", ["litert", "onnx", "tflm", "cortex-m55", "aihub"])
def test_the_help_of_a_target_imports_nothing_heavy(target: str) -> None:
    started = start_program("experiments.deploy", "--target", target, "--help")
    assert (started.code, started.heavy) == (0, set())
    assert len(started.modules) < MOST_MODULES


def test_heavy_imports_would_be_seen() -> None:
    started = start_program("json.tool", "--help")
    assert started.heavy == set()
    assert started._replace(modules=(*started.modules, "jax.numpy")).heavy == {"jax"}
