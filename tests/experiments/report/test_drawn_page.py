"""The report's page as a browser draws it: three widths, paper, and what its script adds."""

from pathlib import Path

import pytest

from experiments.render import html_page
from experiments.report.inputs import read_results
from experiments.report.page import document
from tests.support.browser import Browser, BrowserPage
from tests.support.sweep_rows import make_sweep

WIDTHS = (1400, 800, 390)
MODELS = ("sudoku-trm-mlp-mini", "sudoku-trm-att-mini")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of two models."""
    sweeps = [make_sweep(name, tens=20) for name in MODELS]
    runs = [{"started": "2026-11-29T10:00:00", "commit": "0123456789", "devices": "2 x cpu (cpu)"}]
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(html_page.render(document(read_results([])._replace(sweeps=sweeps, runs=runs))))
    return path


def shown(page: BrowserPage, selector: str) -> int:
    """Count the elements that a reader could come to."""
    return page.evaluate(
        f"[...document.querySelectorAll('{selector}')].filter(e=>!e.hidden).length"
    )


def test_no_table_leaves_the_page_folded_or_open(
    browser: Browser, file: Path, tmp_path: Path
) -> None:
    """Wide tables scroll within the page; whoever uses it without sight or a mouse can, too."""
    with browser.page(file) as page:
        for width in WIDTHS:
            page.resize(width)
            assert page.overflow == 0, width
            page.screenshot(tmp_path / f"{width}.png")  # for whoever looks at a failure
        page.resize(WIDTHS[0])
        bottom = "Math.max(...['.lead','.opening figure'].map(s=>document.querySelector(s)"
        assert page.evaluate(bottom + ".getBoundingClientRect().bottom))") < 900
        rows = "document.querySelectorAll('.opening table')[1].tHead.getBoundingClientRect().bottom"
        assert page.evaluate(rows) < 900  # sentences, figure and the head of the claims: one screen
        page.evaluate("document.querySelectorAll('details').forEach(d=>d.open=true)")
        assert page.violations() == []
        for width in WIDTHS:
            page.resize(width)
            assert page.overflow == 0, width
        marks = "[...document.querySelectorAll('svg [data-tip]')].map(e=>e.getBoundingClientRect())"
        shown = f"{marks}.filter(r=>r.width)"
        outside = f"{shown}.filter(r=>r.left<0||r.right>innerWidth).length"
        for width in (390, 320):
            page.resize(width)
            assert page.evaluate(f"{shown}.length") * 2 == page.evaluate(f"{marks}.length"), width
            assert page.evaluate(outside) == 0, width  # nothing is left to scroll sideways
        page.prefer(dark=True)
        assert page.violations("color-contrast") == []
        assert page.errors == []


def test_paper_shows_what_is_folded_and_cuts_nothing_off(browser: Browser, file: Path) -> None:
    with browser.page(file, width=760) as page:
        heights = "[...document.querySelectorAll('details')].map(d=>d.offsetHeight)"
        folded = page.evaluate(heights)
        page.prefer(media="print")
        assert all(a > 2 * b for a, b in zip(page.evaluate(heights), folded, strict=True))
        wide = "[...document.querySelectorAll('.wide')].filter(e=>e.scrollWidth>e.clientWidth+1)"
        assert page.evaluate(f"{wide}.length") == 0
        assert page.overflow == 0


def test_tables_are_sorted_by_their_headings(browser: Browser, file: Path) -> None:
    column = "[...t.tBodies[0].rows].map(r=>parseFloat(r.cells[2].textContent))"
    click = "t.tHead.rows[0].cells[2].querySelector('button').click()"
    with browser.page(file) as page:
        page.evaluate("t=document.querySelector('#precision table')")
        before = page.evaluate(column)
        page.evaluate(click)
        assert page.evaluate(column) == sorted(before) != before
        page.evaluate(click)
        assert page.evaluate(column) == sorted(before, reverse=True)
        assert page.evaluate("t.tHead.rows[0].cells[2].getAttribute('aria-sort')") == "descending"
        claims = "document.querySelector('#claims table')"
        page.evaluate(f"{claims}.tHead.rows[0].cells[1].querySelector('button').click()")
        names = page.evaluate(f"[...{claims}.tBodies[0].rows].map(r=>r.cells[0].textContent)")
        assert all(name.strip() for name in names)  # a row keeps its name wherever it goes
        assert page.errors == []


def test_a_choice_leaves_one_model_and_a_link_opens_its_section(
    browser: Browser, file: Path
) -> None:
    with browser.page(file) as page:
        both = shown(page, "[data-model]")
        page.evaluate("c=document.getElementById('model')")
        page.evaluate(f"c.value='{MODELS[0]}',c.dispatchEvent(new Event('change'))")
        assert shown(page, "[data-model]") == shown(page, f'[data-model="{MODELS[0]}"]') < both
        rows = "[...document.querySelectorAll('#claims tbody tr:not(.topic)')]"
        models = f"{rows}.filter(r=>!r.hidden)"
        texts = page.evaluate(f"{models}.map(r=>r.cells[2].textContent.trim()).filter(Boolean)")
        assert texts
        assert all(text.startswith(MODELS[0]) for text in texts)
        page.evaluate(f"c.value='{MODELS[1]}',c.dispatchEvent(new Event('change'))")
        names = page.evaluate(f"{models}.map(r=>r.cells[0].textContent.trim())")
        assert all(names)  # a claim stays named where the row that named it is hidden
        page.evaluate("c.value='',c.dispatchEvent(new Event('change'))")
        assert shown(page, "[data-model]") == both
        page.evaluate("location.hash=document.querySelector('#depth [data-model]').id")
        page.until("document.getElementById('depth').open")
        dot = "document.querySelector('.opening [data-tip]')"
        page.evaluate(f"{dot}.dispatchEvent(new PointerEvent('pointerover',{{bubbles:true}}))")
        assert page.evaluate("tip.hidden") is False
        assert page.evaluate(f"tip.textContent=={dot}.dataset.tip") is True
        assert page.errors == []
