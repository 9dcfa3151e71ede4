"""The one report: complete without runs, right numbers with them, self-contained, escaped."""

import csv
import dataclasses
import io
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from experiments.paper import tables as paper_tables
from experiments.paper.grids import GRIDS
from experiments.render import html_page, markdown_page
from experiments.render.document import Command, Document, Figure, Items, Paragraph, Section
from experiments.render.tables import Table, cells_to_csv, points_text
from experiments.report import __main__ as report
from experiments.report import page as report_page
from experiments.report.evidence import collect_claims, depth_effect
from experiments.report.inputs import Results, RunKind, kind_of, read_deployment, read_results
from experiments.report.provenance import run_facts
from experiments.report.sections.ablations import KNOWN, comparison
from experiments.report.sections.claims import claim_table, claims_section
from experiments.report.sections.memory import memory_section
from experiments.report.sections.opening import matrix, opening_blocks, row_of, survival
from experiments.report.verdicts import (
    ClaimVerdict,
    PaperEffect,
    Topic,
    has_effect,
    is_kept,
    is_lost,
    keeps,
    within,
)
from experiments.sweep.outcomes import Sweep
from export.footprint import energy
from tests.support.sweep_rows import make_sweep, write_made
from trm_jax.intervals import Interval, Pairs, interval_fields, paired_difference, wilson

VOID = {"meta", "br"}


class Page(HTMLParser):
    """Collects what a page is made of, and checks that tags are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a finished sweep, of the shape of a bundled model's."""
    path = tmp_path_factory.mktemp("runs") / "sweep"
    write_made(path, "sudoku-trm-mlp-mini")
    return path


@pytest.fixture(scope="module")
def pages(folder: Path) -> dict[str, str]:
    """The page with a sweep and the page without anything, as text."""
    found = {"sweep": read_results([folder]), "nothing": read_results([])}
    return {k: html_page.render(report_page.document(r)) for k, r in found.items()}


@pytest.mark.parametrize("name", ["sweep", "nothing"])
def test_the_page_stands_alone(pages: dict[str, str], name: str) -> None:
    page = Page(pages[name])
    assert page.open == []
    assert {tag for tag, _ in page.tags}.isdisjoint({"link", "img", "iframe", "object"})
    assert [attributes for tag, attributes in page.tags if tag == "script"] == [{}]  # its own
    targets = [a.get("href") or a.get("src") or "" for _, a in page.tags]
    assert all(t.startswith(("#", "data:text/csv;")) for t in targets if t)
    assert "url(" not in pages[name]
    assert "@import" not in pages[name]
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    assert {target.removeprefix("#") for target in targets if target.startswith("#")} <= set(ids)
    sections = {a.get("id") for tag, a in page.tags if tag == "details"}
    assert sections <= {target.removeprefix("#") for target in targets}  # the contents


def test_every_table_carries_its_numbers_and_headings_say_what_they_head(
    pages: dict[str, str],
) -> None:
    page = Page(pages["sweep"])
    tags = [tag for tag, _ in page.tags]
    files = [a["href"] for tag, a in page.tags if tag == "a" and "download" in a]
    assert len(files) == tags.count("table")
    texts = [unquote(file.partition(",")[2]) for file in files if file]
    (text,) = (t for t in texts if t.startswith("Scheme,Size,Exact,"))
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["Scheme"] for row in rows][:2] == ["fp32", "int8"]
    assert float(rows[2]["Exact"]) == 0.5  # 5 of 10
    assert float(rows[2]["Exact, low"]) == pytest.approx(wilson(5, 10).low, abs=5e-4)
    assert float(rows[2]["Cell, +-"]) >= 0
    assert all(a.get("scope") in ("row", "col") for tag, a in page.tags if tag == "th")


def test_names_of_columns_and_of_blocks_stay_apart() -> None:
    """Two columns of one heading keep both their numbers; blocks of one name have two addresses."""
    table = Table("Twice", ("A", "A"), (("1\n[.1, .2]", "2\n+-.3"),), frozenset())
    (row,) = csv.DictReader(io.StringIO(cells_to_csv(table)))
    assert row == {"A": "1", "A, low": ".1", "A, high": ".2", "A'": "2", "A', +-": ".3"}
    page = Page(html_page.render(Document("T", "S", (Section("a", "A", (table, table)),))))
    assert {a["id"] for _, a in page.tags if "id" in a} >= {"a-twice", "a-twice-2"}


def test_only_pages_of_several_models_offer_a_choice(pages: dict[str, str]) -> None:
    assert 'id="model"' not in pages["sweep"]
    tables = [Table(name, ("A",), (("1",),), frozenset(), name) for name in ("a", "b")]
    text = html_page.render(Document("T", "S", (Section("s", "S", tuple(tables)),)))
    assert re.findall('<option value="([^"]*)"', text) == ["", "a", "b"]
    assert re.findall('data-model="([^"]*)"', text) == ["a", "b"]


def test_without_runs_every_section_says_how_to_make_it(pages: dict[str, str]) -> None:
    commands = set(re.findall(r"python -m (experiments\.\w+)", pages["nothing"]))
    assert commands >= {
        "experiments.sweep",
        "experiments.ablate",
        "experiments.deploy",
        "experiments.footprint",
        "experiments.report",
    }


def test_ours_stands_beside_the_papers(pages: dict[str, str]) -> None:
    text = re.sub(r"<[^>]*>", " ", pages["sweep"])
    row = re.search(r"int4_naive\s+9\.0|int4_naive.*?int3_naive", text, re.S)
    assert row is not None
    assert "0.5000" in row[0]  # ours: 5 of 10
    assert "0.102" in row[0]  # Table 9
    assert "-63.6" in row[0]  # 10.2 - 73.8


def test_figures_tell_their_finding_to_who_does_not_see_them(pages: dict[str, str]) -> None:
    figures = [a for tag, a in Page(pages["sweep"]).tags if tag == "svg"]
    told = [str(a["aria-label"]) for a in figures if a.get("role") == "img"]
    assert len(told) == len(figures) > 3
    (ours,) = {text for text in told if text.startswith("Ours: sudoku-trm-mlp-mini")}  # by depth
    assert "int4_naive 0.50, from 1 on" in ours
    (theirs,) = {text for text in told if text.startswith("The paper: Table 18")}
    assert "int4_naive ends lowest, at 0.06." in theirs  # as Table 18 prints at 48 H-cycles
    assert any(text.startswith("Nothing beats in both bytes") for text in told)
    left = "sudoku-trm-mlp-mini 0.50 of 0.70, the paper's 0.10 of 0.74"
    assert any(left in text for text in told)
    assert any("4 MB MCU: sudoku-trm-mlp tflm_int8_int8 (2.89 MiB)" in text for text in told)


def test_energy_is_called_a_lower_bound_beside_its_table() -> None:
    blocks = memory_section(read_results([])).blocks
    tables = [i for i, b in enumerate(blocks) if isinstance(b, Table) and "mJ" in b.title]
    (place,) = tables
    note = blocks[place + 1]
    assert isinstance(note, Paragraph)
    assert "lower bound" in note.text
    assumed = [kind.value for kind in energy.Arithmetic]
    assumed += [energy.SRAM_PJ_PER_BYTE, energy.FLASH_PJ_PER_BYTE]
    assert all(f"{value:g}" in note.text for value in assumed)
    assert all(word in note.text for word in ("instructions", "activations", "leakage"))


def test_every_table_of_the_paper_has_a_place(pages: dict[str, str]) -> None:
    numbers = [t.number for t in paper_tables.TABLES] + [grid.number for grid in GRIDS.values()]
    headings = " ".join(re.findall(r"<h2[^>]*>(.*?)</h2>", pages["nothing"]))
    spans = re.findall(r"(\d+)-(\d+)", headings)
    covered = {str(n) for first, last in spans for n in range(int(first), int(last) + 1)}
    covered |= set(re.findall(r"\d+", headings))
    assert {n for n in numbers if n.isdecimal()} <= covered


def test_text_is_escaped() -> None:
    evil = "<script>alert('x')</script> & _so_ *on*"
    table = Table(evil, (evil,), ((evil,),), frozenset())
    blocks = (Paragraph(evil), Items((evil,)), Command(evil, evil), table)
    text = html_page.render(Document(evil, evil, (Section("a", evil, blocks),)))
    assert text.count("<script") == 1  # the page's own
    # title, h1, subtitle, link, h2, paragraph, item, command twice, heading, header, cell
    assert text.count("&lt;script&gt;") == 12
    assert Page(text).open == []


def test_an_unfinished_sweep_says_so_wherever_its_numbers_are() -> None:
    whole = make_sweep("sudoku-trm-mlp-mini", tens=20)
    spec = dataclasses.replace(whole.spec, num_puzzles=400)
    half = report_page.document(read_results([])._replace(sweeps=[whole._replace(spec=spec)]))
    sentences, *_ = half.opening
    assert isinstance(sentences, Items)
    assert sentences.texts[-1].startswith(
        f"{whole.spec.model} is unfinished: 200 of 400 puzzles; all numbers"
    )
    named = [
        block.title if isinstance(block, Table) else block.caption
        for section in half.sections
        for block in section.blocks
        if isinstance(block, Table | Figure) and block.model == whole.spec.model
    ]
    counted = [text for text in named if "puzzles" in text]
    assert len(counted) >= 4
    assert [text for text in counted if "unfinished: 200 of 400 puzzles" not in text] == []
    assert "unfinished" not in str(report_page.document(read_results([])._replace(sweeps=[whole])))


def test_markdown_has_everything_and_its_pictures(folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "out" / "r.html"
    assert report.main([str(folder), "--out", str(page)]) == 0
    text = page.with_suffix(".md").read_text()
    files = re.findall(r"\]\((r-figures/[^)]*)\)", text)
    assert files
    assert all((page.parent / file).is_file() for file in files)
    document = report_page.document(read_results([folder]))
    assert text == markdown_page.render(document, "r-figures")
    assert all(f"## {section.title}" in text for section in document.sections)


SAME, LESS, OPEN, OTHER = ClaimVerdict


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (-0.90, -0.50, SAME),  # surely at least half of the effect of -.8
        (-0.90, -0.30, OPEN),  # half of it is inside
        (-0.30, -0.05, LESS),  # surely something, surely less than half
        (-0.30, 0.01, OPEN),
        (-0.07, 0.02, OTHER),  # surely less than a tenth
        (0.05, 0.20, OTHER),  # the other way
        (-1.00, 1.00, OPEN),
    ],
)
def test_an_effect_is_decided_by_the_interval_and_the_paper_s_size(low, high, verdict) -> None:
    for value in (low, (low + high) / 2, high):  # whatever the point estimate
        assert has_effect(Interval(value, low, high), -0.8) is verdict
        assert has_effect(Interval(-value, -high, -low), 0.8) is verdict
    with pytest.raises(ValueError, match="no direction"):
        has_effect(Interval(low, low, high), 0.0)


@pytest.mark.parametrize(
    ("low", "high", "theirs", "verdict"),
    [
        (-0.01, 0.03, 0.0, SAME),
        (-0.03, 0.03, 0.0, OPEN),  # 2 pp at least
        (-0.03, 0.03, -0.02, SAME),  # twice the paper's own loss
        (-0.50, -0.03, 0.0, OTHER),
        (-0.50, -0.03, -0.02, OPEN),
        (-0.03, 0.03, 0.2, OPEN),  # a gain of the paper allows no loss here
    ],
)
def test_what_is_kept_may_lose_twice_what_the_paper_loses(low, high, theirs, verdict) -> None:
    assert keeps(Interval(0.0, low, high), theirs) is verdict


def test_small_moves_are_decided_by_the_interval_too() -> None:
    cases = ((-0.01, 0.05, SAME), (-0.01, 0.07, OPEN), (0.07, 0.2, OTHER), (-0.2, -0.07, OTHER))
    for low, high, verdict in cases:
        assert within(Interval(0.0, low, high), 0.064) is verdict
    assert is_lost(Interval(-0.1, -0.2, -0.03))
    assert not is_lost(Interval(-0.1, -0.2, -0.01))
    assert is_kept(Interval(0.0, -0.02, 0.1))


def test_claims_of_the_abstract_stand_first_with_the_paper_s_effect(folder: Path) -> None:
    results = read_results([folder])
    listed = collect_claims(results)
    assert [c.topic for c in listed] == sorted((c.topic for c in listed), key=list(Topic).index)
    naive = next(c for c in listed if c.text == "Naive INT4 breaks MLP mixing")
    assert naive.effect == "-63.6 of 73.8 pp"  # Table 9
    assert naive.verdict is ClaimVerdict.OPEN  # 2 of 7 lost, of 10
    assert naive.words == "? not resolved at n = 10"
    assert "10 puzzles leave" in naive.why
    assert str(PaperEffect(-0.5, 0.8)) == "-50.0 of 80.0 pp"
    assert claim_table(listed).rows[0][0] == Topic.CELLS.value
    texts = [
        b.texts
        for b in claims_section(results, collect_claims(results)).blocks
        if isinstance(b, Items)
    ]
    assert any("400 ARC tasks" in text and "Interpretation" in text for text in texts[1])


def test_the_first_screen_answers_with_three_sentences_a_figure_and_two_tables() -> None:
    made = make_sweep("sudoku-trm-mlp-mini", tens=20)  # int8 loses nothing, int4 two of ten
    results = read_results([])._replace(sweeps=[made])
    listed = collect_claims(results)
    sentences, figure, recipe, table = opening_blocks(results, listed)
    assert isinstance(sentences, Items)
    survives, breaks, counted = sentences.texts
    assert survives == (
        "On small bundled models exact match stays within 2 pp of full precision under INT8 weights"
        " on 1 of 1 models, under naive INT4 on 0 of 1 (more is surely lost on 1)."
    )
    lost = points_text(paired_difference(Pairs(40, 0, 200))).replace("\n", " ")
    assert f"costs most on sudoku-trm-mlp-mini: {lost} pp of its puzzles" in breaks
    assert counted.startswith(f"Of {len(listed)} pairs of a claim of the paper and a model: ")
    assert isinstance(figure, Figure)
    assert figure.findings == (survives,)
    assert "with 718,409.4 times the weights" in figure.caption  # 5,028,866 / 7
    assert all(lost in drawn for drawn in figure.pictures[0])  # shown where a reader points
    assert isinstance(recipe, Table)
    assert ("phone", "int8") in recipe.rows
    assert isinstance(table, Table)
    assert table.header == ("The paper says", "sudoku-trm-mlp-mini", "published ARC size")
    assert len(table.rows) == 10
    assert {row[0]: row[1] for row in table.rows}["INT8 weights lose nothing"] == "✓"
    assert table.rows[7][2] == "✓1 ✗1"  # 8 MB and 4 MB
    page = html_page.render(report_page.document(results))
    assert '<span class="mark against" title="1 contradicted"' in page  # a symbol has its colour
    given = Results([make_sweep("somebody")], [], [], [], [])
    assert survival(given).startswith("On the models that were given exact match")


def test_every_claim_has_a_row_on_the_first_screen() -> None:
    listed = [*collect_claims(Interventions()), *collect_claims(read_results([]))]
    rows = {claim.text: row_of(claim) for claim in listed}
    assert rows["The puzzle table in int8 loses nothing"] == 7
    assert rows["A single-cycle student solves nothing"] == 9
    cells = {row[0]: row[1:] for row in matrix(read_results([]), listed).rows}
    assert sum(cell != "" for row in cells.values() for cell in row) > 4


def test_the_header_says_what_was_run_where_and_when() -> None:
    made = [make_sweep("a"), make_sweep("b", tens=2)]
    new = {"started": "2026-11-29T09:00:00+00:00", "commit": "abc", "devices": "2 x cpu"}
    old = {"started": "2026-11-27T09:00:00+00:00", "devices": "2 x cpu"}
    facts = dict(run_facts([new, old, new], made, []))
    assert facts["Commit"] == "abc; not recorded"
    assert facts["Measured"] == "2026-11-27 to 2026-11-29"
    assert facts["Machine"] == "2 x cpu"
    assert facts["Puzzles"] == "10 for a; 20 for b"
    assert facts["Seeds"] == "0"
    assert run_facts([], [], []) == ()


def test_depths_are_shares_of_full_depth_as_in_the_paper() -> None:
    """8 of 48 H-cycles there; here the harder depth of those around a sixth of 4."""
    sudoku, maze = depth_effect("sudoku"), depth_effect("maze")
    assert sudoku == PaperEffect(pytest.approx(0.554 - 0.709), 0.709)  # Table 18
    assert maze == PaperEffect(pytest.approx(0.869 - 0.870), 0.870)  # Table 17
    assert depth_effect("chess") is None
    made = make_sweep("sudoku-trm-mlp-mini", tens=20)  # depths 1, 2 and 4
    (claim,) = (c for c in collect_claims(results_of(made)) if c.topic is Topic.DEPTH)
    assert claim.model == "sudoku-trm-mlp-mini, 1 of 4 H-cycles"
    assert claim.text == "INT8 at a sixth of the cycles is too shallow"
    # a quarter of the cycles loses nothing: whether a sixth would, that does not say
    assert claim.verdict is ClaimVerdict.OPEN
    assert "harder than a sixth" in claim.why
    mazes = made._replace(spec=dataclasses.replace(made.spec, task="maze"))
    assert not any(c.topic is Topic.DEPTH for c in collect_claims(results_of(mazes)))  # 0 of 4


def results_of(sweep: Sweep) -> Results:
    return read_results([])._replace(sweeps=[sweep])


def test_folders_are_known_by_their_files(folder: Path, tmp_path: Path) -> None:
    assert kind_of(folder) is RunKind.SWEEP
    for mark, kind in (
        ("summary.csv", RunKind.DEPLOYMENT),
        ("footprint.jsonl", RunKind.FOOTPRINT),
        ("ablation.json", RunKind.ABLATION),
        ("votes.json", RunKind.VOTES),
        ("study.json", RunKind.STUDY),
    ):
        (tmp_path / mark).mkdir()
        (tmp_path / mark / mark).touch()
        assert kind_of(tmp_path / mark) is kind
    with pytest.raises(FileNotFoundError, match="no folder of results"):
        kind_of(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*nowhere"):
        kind_of(tmp_path / "nowhere")


def test_folders_without_rows_to_read_say_what_to_do(tmp_path: Path) -> None:
    """Earlier versions kept tables alone."""
    (tmp_path / "summary.csv").touch()
    (tmp_path / "summary.md").write_text("| a |\n| --- |\n| 1 |\n")
    with pytest.raises(FileNotFoundError, match=r"no deployment\.json: run its .* again"):
        read_deployment(tmp_path)


def test_empty_results_are_results() -> None:
    found = read_results([])
    assert found.sweeps == []
    assert found.footprints  # they follow from shapes
    assert isinstance(found, Results)


def test_interventions_are_held_against_the_paper() -> None:
    """Pruning to 0 of 200 is what the paper says; a student that solves half is not."""
    listed = collect_claims(Interventions())
    found = {c.model: c.verdict for c in listed if c.topic is not Topic.CELLS}
    (cells,) = (c for c in listed if c.topic is Topic.CELLS)
    assert cells.text == "Pruning 25 %: cells survive"
    assert cells.effect == "-31.6 of 69.1 pp"  # -69.10 - (50.01 - 87.47), Tables 3 and 13
    assert cells.verdict is ClaimVerdict.SAME  # 80 of 100 puzzles, none of the cells
    assert found["sudoku-mini: 25% of all linears"] is ClaimVerdict.SAME
    assert found["sudoku-mini: student"] is ClaimVerdict.OTHER
    assert found["arc-mini: int8 table"] is ClaimVerdict.OPEN  # one of 100 puzzles lost
    pruning, student = (KNOWN[study] for study in ("pruning", "distillation"))
    depths = {c.model for c in listed if c.where == "App. J"}
    assert depths == {"maze-mini: linear, zero-shot, n=1"}  # the paper's has taken one step
    table = comparison(pruning, Interventions().records_of("pruning"))
    assert table is not None
    assert table.rows[0][3:] == ("0.000", "0.5000\n+-.010", "0.500")  # Table 13: 0 and 50.01 %
    assert student.find("sudoku", "student, n=1") == (0.0, pytest.approx(0.5477))
    assert student.find("arc", "student, n=1") is None
    assert pruning.find("sudoku", "25% of blocks only") is None  # the paper pruned heads too
    assert KNOWN["linear_attention"].find("maze", "fp32, n=1") == (0.785, pytest.approx(0.994))
    assert KNOWN["linear_attention"].find("maze", "fp32") is None  # of another depth
    assert KNOWN["qat"].find("sudoku", "int4_naive, QAT no gradient") == (0.0, 0.0)
    assert KNOWN["qat"].find("sudoku", "int4_naive, QAT straight-through") is None


class Interventions(Results):
    """Results whose ablations are these records."""

    RECORDS = (
        ("pruning", "sudoku", "25% of all linears", Interval(0.0, 0.0, 0.02), 80),
        ("distillation", "sudoku", "student", Interval(0.5, 0.43, 0.57), 1),
        ("embedding", "arc", "int8 table", Interval(0.8, 0.7, 0.9), 1),
        ("linear_attention", "maze", "linear, zero-shot", Interval(0.0, 0.0, 0.02), 60),
        ("linear_attention", "maze", "linear, zero-shot, n=1", Interval(0.0, 0.0, 0.02), 60),
        ("pruning", "sudoku", "fp32", Interval(0.8, 0.7, 0.9), 0),
    )

    def __new__(cls) -> "Interventions":
        return super().__new__(cls, [], [], [], [], [])

    def records_of(self, study: str) -> list:
        return [
            {
                "task": task,
                "model": f"{task}-mini",
                "variant": variant,
                "reference": "fp32",
                "puzzles": 100,
                "lost": lost,
                "gained": 0,
                **interval_fields("exact", exact),
                **interval_fields("cell", Interval(0.5, 0.49, 0.51)),
            }
            for known, task, variant, exact, lost in self.RECORDS
            if known == study
        ]
