"""The documented commands: every one names flags that exist, and the quick ones run.

Documented is each `python -m MODULE ...` in a fenced block of README.md, BUILD.md, CONTRIBUTING.md
or a page of docs/, or indented in the docstring of a program (a module with a `__main__` guard). A
trailing backslash goes on in the next line; a comment, a redirection or && ends the command. None
runs code of tests/.

A command that begins like a key of `QUICK` runs, in an empty folder, with the options given there
in the place of its own, which makes it small; commands that this makes equal run once. The others
need what a test does not have (a network, a checkpoint, an hour); their flags are looked up in
`--help`.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.structure import PACKAGES, ROOT
from quant.scheme import parse as parse_scheme
from tests.support.programs import load_program, programs
from tests.support.slow import slow
from trm_jax.command_line.parsing import LineParser

PROMPT = "python -m "
SETS_UP_AND_RUNS = {
    "make sweep": "experiments.sweep --task maze",
    "make test": "pytest",
}
"""README's two first commands and what each runs when its environment is there."""
QUICK = {
    "experiments.sweep --task": "--limit 8 --out out",
    "experiments.ablate --task maze --only": "--limit 2 --only pruning --quick --out out",
    "trm_jax.convert --list": "",
    "trm_jax.data.sudoku generate": "--num-train 4 --num-test 2 --workers 1",
    "trm_jax.data.maze generate": "--num-train 4 --num-test 2 --workers 1",
    "trm_jax.data.arc generate": "--num-train 2 --num-test 2 --num-aug 1",
    "experiments.deploy --target aihub --task sudoku --dry": "--schemes fp32 --limit 1 --out out",
    "export.onnx --model sudoku-trm-mlp-mini": "--scheme fp32 --steps 1 --out out",
    "experiments.footprint --scale": "",
    "experiments.footprint": "--models sudoku-trm-mlp-mini --out out",
    "experiments.deploy.cortex_m.arena": "--preset sudoku-trm-att-mini --out out",
    "experiments.deploy --target cortex-m55": "--schemes fp32 --out out",
    "experiments.deploy --task": "--limit 2 --batch-size 2 --steps 1 --schemes fp32,int8 --out out",
    "experiments.arc": "--limit 1 --num-aug 1 --steps 1 --schemes fp32 --out out",
    "benchmarks.depth_grid": "--limit 1 --repeats 1 --schemes fp32,int8 --depths 1x1,2",
    "benchmarks.rollout_gflops": "--limit 1 --repeats 1 --steps 1",
    "benchmarks.sequence_length --mixer mlp": "--lengths 16 --repeats 2",
    "benchmarks.latency --presets sudoku-trm-mlp-mini": "--schemes w8c-sym_a8da --repeats 1",
}
CALIBRATED = ("--calibration-puzzles", "8")
"""Makes a sweep small whose schemes are calibrated, by default on 128 puzzles; others refuse it."""
OUT_OF_REACH = {"--model", "--data", "--tasks", "--preset", "--coordinator", "--engine"}
"""Options of commands that need a download, other hosts, or minutes for a full-size model; not
where a key of `QUICK` names them."""

Command = tuple[str, ...]
"""Module and arguments."""


def parse(text: str) -> list[Command]:
    """Read the commands of a text."""
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    parts = (part.strip() for line in lines for part in re.split(r"&&|\s#\s|>", line))
    return [tuple(shlex.split(p.removeprefix(PROMPT))) for p in parts if p.startswith(PROMPT)]


def fenced(name: str) -> list[Command]:
    """Read the commands in the fenced blocks of a document."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", (ROOT / name).read_text(), re.DOTALL | re.MULTILINE)
    return [command for block in blocks for command in parse(block)]


def in_docstring(program: str) -> list[Command]:
    """Read the commands in a program's docstring."""
    return parse(load_program(program).__doc__ or "")


def documents() -> list[str]:
    """List the documents that name commands."""
    pages = sorted((ROOT / "docs").rglob("*.md"))
    return ["README.md", "BUILD.md", "CONTRIBUTING.md", *(str(p.relative_to(ROOT)) for p in pages)]


def documented() -> list[Command]:
    """Collect the commands of everything that is there, each once."""
    sources = [fenced(name) for name in documents()] + [in_docstring(p) for p in programs()]
    ours = (c for commands in sources for c in commands if c[0].split(".")[0] in PACKAGES)
    return list(dict.fromkeys(ours))


def is_quick(command: Command) -> bool:
    """Return whether a command runs in this test."""
    key = quick_key(command)
    return key is not None and not (OUT_OF_REACH & set(command)) - set(key.split())


def made_small(command: Command) -> Command:
    """Put the options of `QUICK` in the place of the command's own."""
    small = [
        *(CALIBRATED if is_calibrated(command) else ()),
        *QUICK[quick_key(command) or ""].split(),
    ]
    kept, words = [], list(command)
    while words:
        word = words.pop(0)
        own = word in small
        kept += [] if own else [word]
        while own and words and not words[0].startswith("--"):
            words.pop(0)
    return (*kept, *small)


def is_calibrated(command: Command) -> bool:
    """Return whether a command is a sweep of schemes of which some are calibrated on puzzles."""
    if command[0] != "experiments.sweep" or "--schemes" not in command:
        return False
    names = command[command.index("--schemes") + 1].split(",")
    return any(parse_scheme(name).needs_puzzles for name in names)


def runs() -> list[Any]:
    """List the commands that run, made small, each once; those that start JAX take long."""
    small = dict.fromkeys(made_small(command) for command in documented() if is_quick(command))
    return [c if c[0].startswith("trm_jax.") else slow((c,)) for c in small]


def quick_key(command: Command) -> str | None:
    """Find the entry of `QUICK` that makes a command small; what it names is in reach."""
    line = " ".join(command)
    return next((key for key in QUICK if line.startswith(key)), None)


def run(command: Command, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own, as a user would."""
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def help_of(command: Command, capsys: pytest.CaptureFixture[str]) -> str:
    """Print the help of a command, or of the subcommand it names."""
    module, *arguments = command
    main = load_program(module).main
    subcommand = [word for word in arguments[:1] if not word.startswith("-")]
    texts = []
    for words in ([], subcommand):
        with pytest.raises(SystemExit) as exit_info:
            main([*words, "--help"])
        assert exit_info.value.code == 0
        texts.append(capsys.readouterr().out)
    return "\n".join(texts)


@pytest.mark.parametrize("command", documented(), ids=" ".join)
def test_documented_flags_exist(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    described = set(re.findall(r"--[\w-]+", help_of(command, capsys)))
    flags = {word.partition("=")[0] for word in command[1:] if word.startswith("--")}
    assert flags <= described


class Parsed(Exception):
    """A program has read its command line."""


@pytest.mark.parametrize("command", documented(), ids=" ".join)
def test_documented_values_are_taken(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flag that exists may be given a value that its program refuses."""

    def stop_after(name: str) -> None:
        parse_words = getattr(LineParser, name)

        def read(self: LineParser, *args: Any, **options: Any) -> None:
            parse_words(self, *args, **options)
            raise Parsed

        monkeypatch.setattr(LineParser, name, read)

    for name in ("parse_args", "parse_intermixed_args"):
        stop_after(name)
    if "--help" in command:
        return
    with pytest.raises(Parsed):
        load_program(command[0]).main(list(command[1:]))


@pytest.mark.parametrize("command", runs(), ids=" ".join)
def test_quick_commands_run(command: Command, tmp_path: Path) -> None:
    result = run(command, tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout
    if command[0].startswith("benchmarks."):
        assert all(json.loads(line) for line in result.stdout.splitlines())


@pytest.mark.parametrize("program", programs())
def test_programs_say_how_to_run_them(program: str) -> None:
    commands = in_docstring(program)
    assert program in {command[0] for command in commands}
    assert len(commands) >= 2


@pytest.mark.parametrize("name", documents())
def test_documented_commands_run_no_test_code(name: str) -> None:
    blocks = re.findall(r"^```\w*\n(.*?)^```", (ROOT / name).read_text(), re.DOTALL | re.MULTILINE)
    runs = re.compile(r"python\S* (-m tests\.|tests/|-c .*\btests\.)")
    assert [line for block in blocks for line in block.splitlines() if runs.search(line)] == []


def test_readme_begins_with_the_main_job_and_the_test_command() -> None:
    text = (ROOT / "README.md").read_text()
    first = re.search(r"^```bash\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert first is not None
    lines = [line.partition("#")[0].strip() for line in first[1].splitlines()]
    assert lines == list(SETS_UP_AND_RUNS)
    assert any(
        line.strip().startswith("make test ")
        for line in (ROOT / ".ci/run").read_text().splitlines()
    )


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize("command", SETS_UP_AND_RUNS)
def test_make_sets_up_and_runs(command: str, tmp_path: Path) -> None:
    dry = ["make", "--no-print-directory", "-n", f"VENV={tmp_path}", command.split()[1]]
    fresh = subprocess.run(dry, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "-m pip install" in fresh
    assert f"-m {SETS_UP_AND_RUNS[command]}" in fresh.splitlines()[-1]
    (tmp_path / ".installed").touch()  # newer than pyproject.toml
    again = subprocess.run(dry, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert len(again.splitlines()) == 1


def test_unknown_flag_would_be_found(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(AssertionError):
        test_documented_flags_exist(("experiments.report", "DIR", "--no-such"), capsys)
