"""The shared options mean the same in every program that has them."""

from pathlib import Path
from types import ModuleType

import pytest

from experiments.ablate import __main__ as ablate
from experiments.arc import __main__ as arc
from experiments.deploy import __main__ as deploy
from experiments.measurement.options import DEFAULT_LIMIT, CommonOptions, read_common
from experiments.sweep import __main__ as sweep

SILENT = CommonOptions(
    task="maze",
    model=None,
    preset=None,
    data=None,
    limit=DEFAULT_LIMIT,
    batch_size=None,
    dtype="auto",
    seed=0,
    out=None,
    resume=False,
)


def read(program: ModuleType, *arguments: str) -> CommonOptions:
    """Read a program's command line."""
    return read_common(program.parser().parse_args(arguments))


def test_defaults_of_a_sweep() -> None:
    assert read(sweep, "--task", "maze") == SILENT


def test_programs_leave_open_what_depends_on_others() -> None:
    assert read(ablate, "--task", "maze").limit is None  # 200, or 16 with --quick
    votes = read(arc)
    assert (votes.task, votes.model, votes.limit, votes.seed) == ("arc", None, 0, 42)


@pytest.mark.parametrize("program", [sweep, ablate, arc])
def test_shared_options_are_read(program: ModuleType) -> None:
    task = [] if program is arc else ["--task", "maze", "--model", "m"]
    given = "--preset sudoku-trm-mlp --data d --limit 3 --batch-size 2 --dtype bfloat16 --seed 5"
    common = read(program, *task, *given.split(), "--out", "o", "--resume")
    expected = CommonOptions(
        task="arc" if program is arc else "maze",
        model=None if program is arc else "m",
        preset="sudoku-trm-mlp",
        data=Path("d"),
        limit=3,
        batch_size=2,
        dtype="bfloat16",
        seed=5,
        out=Path("o"),
        resume=True,
    )
    assert common == expected


@pytest.mark.parametrize("target", sorted(deploy.BY_TARGET))
def test_every_target_has_the_shared_options(target: str) -> None:
    args = deploy.parser(target).parse_args(["--task", "maze"])
    assert (args.model, args.data, args.out) == (None, None, None)
    # an Ethos-U multiplies integers only: there full precision is refused
    assert args.schemes.startswith("fp32,") == (target != "ethos-u")
