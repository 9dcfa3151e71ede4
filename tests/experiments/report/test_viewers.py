"""Viewers in the report: whole pages of experiments.watch, kept apart from the report's own."""

from html import unescape
from pathlib import Path

import pytest

from experiments.render import html_page, markdown_page
from experiments.render.document import Document, Embedded
from experiments.report.inputs import Results, RunKind, kind_of, read_results, read_viewer
from experiments.report.sections.viewers import viewer_section
from experiments.watch.page import BODY, HEAD

TITLE = "m-mini on d & e, cycle by cycle"


def write_viewer(folder: Path, data: str = "{}") -> str:
    """Write a page by the program's own frame."""
    title = TITLE.replace("&", "&amp;")
    body = BODY.format(title=title, about="a", data=data, script="let a = 1 < 2;")
    text = f'<!doctype html>\n<html lang="en">{HEAD.format(title=title, style="")}{body}</html>\n'
    folder.mkdir(exist_ok=True)
    (folder / "watch.html").write_text(text)
    return text


def test_a_viewer_stands_whole_and_apart_in_the_report(tmp_path: Path) -> None:
    text = write_viewer(tmp_path / "w", '{"a": "</iframe>\\" onload=x"}')
    assert kind_of(tmp_path / "w") is RunKind.VIEWER
    results = read_results([tmp_path / "w"])
    assert results.viewers == [(TITLE, "m-mini", text)]
    section = viewer_section(results)
    assert section.blocks[1] == Embedded(TITLE, text, "m-mini")
    page = html_page.render(Document("T", "S", (section,)))
    (frame,) = (part for part in page.split("<iframe ")[1:])
    attributes, _, _ = frame.partition(">")
    assert 'sandbox="allow-scripts"' in attributes  # neither reads the other
    assert unescape(attributes.partition('srcdoc="')[2].partition('"')[0]) == text
    assert page.count("</iframe>") == 1
    assert "in the page" in markdown_page.render(Document("T", "S", (section,)), "figures")
    nothing = viewer_section(Results([], [], [], [], []))
    assert "experiments.watch" in str(nothing.blocks[1])


@pytest.mark.parametrize("cut", ["</html>", "<title>", "application/json"])
def test_half_a_viewer_is_refused(cut: str, tmp_path: Path) -> None:
    text = write_viewer(tmp_path)
    (tmp_path / "watch.html").write_text(text.replace(cut, ""))
    with pytest.raises(ValueError, match=r"watch\.html is no whole page of experiments\.watch"):
        read_viewer(tmp_path)
