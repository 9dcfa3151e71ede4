"""The default report: which jobs there are, resuming them, and what a failure leaves."""

import json
from pathlib import Path

import numpy as np
import pytest

from experiments.jobs import runner
from experiments.jobs.runner import CommandJob
from experiments.report import __main__ as report
from experiments.report.jobs import (
    ReportSubject,
    count_puzzles,
    is_large,
    jobs,
    schemes,
    subjects,
    tell_limits,
)
from tests.support.programs import load_program
from tests.support.samples import random_weights
from trm_jax import zoo
from trm_jax.checkpoints import model_files
from trm_jax.config import preset

FINE = CommandJob(name="fine", module="json.tool", arguments=("--help",))
BROKEN = CommandJob(name="broken", module="json.tool", arguments=("no-such-file",))


def test_every_bundled_model_is_swept():
    made = jobs(subjects({}, {}), quick=False)
    swept = {
        job.arguments[job.arguments.index("--model") + 1]
        for job in made
        if job.module == "experiments.sweep"
    }
    assert swept == set(zoo.MODELS)
    assert len({job.name for job in made}) == len(made)
    assert {"experiments.footprint", "experiments.ablate", "experiments.deploy"} <= {
        job.module for job in made
    }


def test_puzzles_that_schemes_break_are_watched():
    watched = {
        quick: [
            job.arguments[job.arguments.index("--task") + 1]
            for job in jobs(subjects({}, {}), quick=quick)
            if job.module == "experiments.watch"
        ]
        for quick in (False, True)
    }
    assert sorted(watched[False]) == ["arc", "maze", "sudoku"]
    assert watched[True] == ["sudoku"]


def test_larger_models_solve_fewer_puzzles():
    small, large = (
        ReportSubject(task="sudoku", model=f"sudoku-trm-mlp-{size}", data=None)
        for size in ("mini", "midi")
    )
    made = [job for job in jobs([small, large], quick=False) if job.module == "experiments.sweep"]
    limits = [job.arguments[job.arguments.index("--limit") + 1] for job in made]
    assert [int(limit) for limit in limits] == [200, 150]
    given = [job for job in jobs([small, large], quick=True, limit=60) if "sweep" in job.module]
    assert [job.arguments[job.arguments.index("--limit") + 1] for job in given] == ["60", "60"]


def test_more_puzzles_than_there_are_become_those_that_calibration_leaves():
    """A full run calibrates on 128 of the bundled puzzles, a quick one on none."""
    listed = subjects({}, {})
    there = len(np.load(zoo.puzzles("arc") / "test" / "all__inputs.npy"))
    for quick, most in ((False, there - 128), (True, there)):
        counts = count_puzzles(listed, quick=quick)
        made = jobs(listed, quick=quick, limit=10_000, counts=counts)
        limits = {
            job.name: job.arguments[job.arguments.index("--limit") + 1]
            for job in made
            if job.module == "experiments.sweep"
        }
        assert limits["sweep-arc-arc-trm-att-mini"] == str(most)
        assert max(map(int, limits.values())) < 10_000  # of no task are there so many
        said = tell_limits(counts, quick=quick, limit=10_000)
        (arc,) = [line for line in said if line.startswith("arc-")]
        assert arc.startswith(f"arc-trm-att-mini: {most} puzzles instead of 10000")
        assert tell_limits(counts, quick=quick, limit=None) == []
    nowhere = ReportSubject(task="maze", model=None, data="no/such/folder")
    with pytest.raises(FileNotFoundError, match="no/such/folder"):
        count_puzzles([nowhere], quick=True)
    foreign = ReportSubject(task="sudoku", model="hf:a/b/c", data=None)
    assert count_puzzles([foreign], quick=False) == {}


def test_schemes_of_integers_are_asked_only_of_models_that_have_them(tmp_path: Path):
    tiny = preset("sudoku-hrm-mini")
    model_files.save_model(tmp_path / "hrm", tiny, random_weights(tiny))
    models = ["sudoku-trm-mlp-mini", "sudoku-hrm-mini", str(tmp_path / "hrm"), "hf:a/b/c"]
    asked = [schemes(ReportSubject(task="sudoku", model=m, data=None)) for m in models]
    assert ["tflm_int8_int8" in names for names in asked] == [True, False, False, False]
    assert all("w4t-sym-gptq" in names.split(",") for names in asked)  # the report's quantisers
    assert ["w8c-sym_a8s" in names for names in asked] == [True, True, True, False]
    assert is_large(ReportSubject(task="sudoku", model="hf:a/b/c", data=None))


def test_a_given_model_takes_the_place_of_its_task():
    found = subjects({"sudoku": "hf:a/b/c"}, {"maze": "data/maze"})
    assert [s.model for s in found if s.task == "sudoku"] == ["hf:a/b/c"]
    assert [(s.model, s.data) for s in found if s.task == "maze"] == [(None, "data/maze")]
    assert all("/" not in job.name and ":" not in job.name for job in jobs(found, quick=True))
    with pytest.raises(ValueError, match="unknown task 'chess'"):
        subjects({"chess": "x"}, {})


def test_finished_jobs_do_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(CommandJob, "command", lambda self, folder: [self.module, *self.arguments])
    ran = []
    real = runner.run_job
    monkeypatch.setattr(runner, "run_job", lambda job, out: ran.append(job.name) or real(job, out))
    failures = runner.run_all([FINE, BROKEN], tmp_path)
    assert [f.job for f in failures] == [BROKEN]
    assert "no-such-file" in failures[0].message
    runner.run_all([FINE, BROKEN], tmp_path)
    assert ran == ["fine", "broken", "broken"]
    lines = [json.loads(line) for line in (tmp_path / runner.FILE).read_text().splitlines()]
    assert [line["command"] for line in lines] == [["json.tool", "--help"]]
    spent = runner.sum_spent(tmp_path)
    assert spent == (lines[0]["seconds"], lines[0]["cpu_seconds"])
    assert spent.cpu_seconds > 0
    (tmp_path / runner.FILE).write_text("{\n")
    with pytest.raises(ValueError, match="line 1 is damaged"):
        runner.read_finished(tmp_path)


def test_a_line_cut_off_by_a_kill_is_dropped_and_its_job_runs_again(tmp_path: Path):
    runner.run_all([FINE], tmp_path)
    file = tmp_path / runner.FILE
    whole = file.read_text()
    file.write_text(whole + whole[:20])
    assert runner.run_all([FINE], tmp_path) == []
    assert file.read_text() == whole


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name folders of results"),
        (["--quick"], "belong to --all"),
        (["--limit", "8"], "belong to --all"),
        (["--all", "x"], "give no folders"),
        (["--all", "--out", "x.html"], "writes a folder"),
        (["--all", "--model", "sudoku"], "take TASK=VALUE"),
        (["--all", "--model", "maze=a", "--model", "maze=b"], "given twice"),
    ],
)
def test_bad_input_exits_with_2(arguments, message, capsys):
    assert report.main(arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("quick", [False, True])
def test_every_job_is_a_command_line_of_its_program(quick: bool):
    for job in jobs(subjects({}, {}), quick=quick):
        _, *arguments = job.command(Path("out"))
        program = load_program(job.module)
        target = arguments[arguments.index("--target") + 1] if "--target" in arguments else "litert"
        deploys = job.module == "experiments.deploy"
        parser = program.parser(target) if deploys else program.parser()
        assert parser.parse_args(arguments).out == Path("out") / job.name
