"""Write a report as one self-contained page: no outside resource, readable without its script.

Every text is escaped; only pictures, which this project draws, go in as markup. The page follows
the reader's light or dark setting, folds its sections, scrolls wide tables in themselves, and
prints all of it black on white. Every table and figure has an address, every table its numbers as
CSV behind a link.

Not here: style and script (page_assets.py).
"""

import re
from collections.abc import Sequence
from html import escape
from urllib.parse import quote

from experiments.render import svg
from experiments.render.document import (
    Block,
    Command,
    Document,
    Embedded,
    Figure,
    Items,
    Paragraph,
    Section,
)
from experiments.render.page_assets import SCRIPT, STYLE
from experiments.render.svg import element
from experiments.render.tables import Table, cells_to_csv

CHOICE = "model"  # address of the choice of a model, for the script
OPENING = "first"  # what stands before all sections
LONG = 26  # letters from which a cell may break
MARKS = {
    "✓": ("same", "same direction and size"),
    "<": ("less", "same direction, smaller"),
    "?": ("open", "not resolved"),
    "✗": ("against", "contradicted"),
}
"""Symbols of verdicts (experiments/report/verdicts.py): the class that colours them, and words."""
NUMBER, WORD = re.compile(r"[-+<.\[]?\d"), re.compile(r"[a-z]{3,}")
COUNTED = re.compile(rf"(?:[{''.join(MARKS)}]\d*(?: |$))+")  # only symbols, with how many each
SAFE = " ,.+-_()[]/:;=*"  # letters of CSV that an address may hold as they are
SLUG = re.compile(r"[^a-z0-9]+")


def render(document: Document) -> str:
    """Write the page."""
    writer = _PageWriter([section.anchor for section in document.sections])
    links = "".join(
        element("li", element("a", escape(s.title), href=f"#{s.anchor}")) for s in document.sections
    )
    head = (
        element("meta", charset="utf-8")
        + element("meta", name="viewport", content="width=device-width,initial-scale=1")
        + element("title", escape(document.title))
        + element("style", STYLE + "\n" + svg.STYLE)
    )
    opening = "".join(writer.block(block, OPENING) for block in document.opening)
    body = (
        element("h1", escape(document.title))
        + (_facts(document.facts) if document.facts else "")
        + (element("div", opening, class_="opening") if opening else "")
        + element("p", escape(document.subtitle), class_="soft")
        + _choice(document)
        + element("nav", element("ul", links), aria_label="Contents")
        + "".join(map(writer.section, document.sections))
    )
    page = element("head", head) + "\n"
    page += element("body", element("main", body) + element("script", SCRIPT))
    return "<!doctype html>\n" + element("html", page, lang="en") + "\n"


def _facts(facts: tuple[tuple[str, str], ...]) -> str:
    pairs = (element("dt", escape(name)) + element("dd", escape(value)) for name, value in facts)
    return element("dl", "".join(element("div", pair) for pair in pairs), class_="facts")


def _choice(document: Document) -> str:
    """Offer the models of a page; without the script the choice stays hidden."""
    blocks = (block for section in document.sections for block in section.blocks)
    named = (block.model for block in blocks if isinstance(block, Table | Figure | Embedded))
    models = list(dict.fromkeys(model for model in named if model))
    if len(models) < 2:
        return ""
    options = element("option", "all models", value="")
    options += "".join(element("option", escape(model), value=model) for model in models)
    label = element("label", "Show " + element("select", options, id=CHOICE))
    return element("p", label, class_="only", hidden="hidden")


class _PageWriter:
    """Writes blocks, and remembers the addresses that are taken."""

    def __init__(self, anchors: Sequence[str]) -> None:
        self._taken = {*anchors, CHOICE, "tip"}

    def section(self, section: Section) -> str:
        heading = element("summary", element("h2", escape(section.title)))
        blocks = "\n".join(self.block(block, section.anchor) for block in section.blocks)
        folded = element("details", heading + "\n" + blocks, id=section.anchor)
        return "\n" + element("section", folded)

    def block(self, block: Block, anchor: str) -> str:
        match block:
            case Paragraph(text):
                return element("p", escape(text))
            case Items(texts):
                kind = "lead" if anchor == OPENING else None
                items = "".join(element("li", escape(text)) for text in texts)
                return element("ul", items, class_=kind)
            case Command(text, line):
                code = element("pre", escape(line), tabindex=0)
                return element("p", escape(text)) + code
            case Figure():
                return self._figure(block)
            case Table():
                return self._table(block, anchor)
            case Embedded():
                return self._embedded(block)

    def _figure(self, figure: Figure) -> str:
        at = self._address(figure.name)
        drawn = "".join(
            element(
                "div",
                "".join(_drawn(pair[i], figure.told(k)) for k, pair in enumerate(figure.pictures)),
                class_=f"row {kind}",
                role="group",
                aria_label=figure.caption,
            )
            for i, kind in enumerate(("broad", "narrow"))
        )
        words = element("figcaption", escape(figure.caption) + " " + _self_link(at))
        return element("figure", drawn + words, id=at, data_model=figure.model or None)

    def _table(self, table: Table, anchor: str) -> str:
        at = self._address(f"{anchor} {table.title.partition(',')[0]}"[:60])
        file = element(
            "a",
            "CSV",
            href="data:text/csv;charset=utf-8," + quote(cells_to_csv(table), safe=SAFE),
            download=f"{at}.csv",
        )
        title = element("span", escape(table.title), id=f"{at}-title")
        level = "h2" if anchor == OPENING else "h3"
        heading = element(level, f"{title} {_self_link(at)} {file}", class_="head")
        grid = element("table", _head(table) + _body(table), aria_labelledby=f"{at}-title")
        room = {"role": "region", "aria_labelledby": f"{at}-title", "tabindex": 0}
        wide = element("div", grid, class_="wide", **room)
        return element("div", heading + wide, id=at, data_model=table.model or None)

    def _embedded(self, block: Embedded) -> str:
        """Keep another page's style and script apart from this one's."""
        at = self._address(block.title)
        heading = element("h3", f"{escape(block.title)} {_self_link(at)}", class_="head")
        frame = element(
            "iframe",
            " ",
            srcdoc=block.page,
            title=block.title,
            sandbox="allow-scripts",
            loading="lazy",
        )
        return element("div", heading + frame, id=at, data_model=block.model or None)

    def _address(self, words: str) -> str:
        """Make an address of words that no other block of the page has."""
        base = at = SLUG.sub("-", words.lower()).strip("-")
        number = 1
        while at in self._taken:
            number += 1
            at = f"{base}-{number}"
        self._taken.add(at)
        return at


def _drawn(picture: str, finding: str) -> str:
    """Name a picture by what it shows, and leave its style to the page, which has it once."""
    plain = picture.replace(element("style", svg.STYLE), "", 1)
    return plain.replace("<svg ", f'<svg aria-label="{escape(finding)}" ', 1)


def _self_link(at: str) -> str:
    return element("a", "#", href=f"#{at}", aria_label="Link to this place")


def _head(table: Table) -> str:
    words = _word_columns(table)
    cells = (
        element(
            "th" if cell else "td",
            _lines(cell) or " ",
            class_="words" if i in words else None,
            scope="col" if cell else None,
        )
        for i, cell in enumerate(table.header)
    )
    return element("thead", element("tr", "".join(cells)))


def _body(table: Table) -> str:
    words = _word_columns(table)
    rows = (_row(row, words, at in table.sections) for at, row in enumerate(table.rows))
    return element("tbody", "".join(rows))


def _row(row: Sequence[str], words: set[int], begins: bool) -> str:
    """Write a row; the first of a group that says nothing else heads the group, across columns."""
    if begins and not any(row[1:]):
        heading = element("th", _text(row[0]), scope="row", class_="words", colspan=len(row))
        return element("tr", heading, class_="first topic")
    cells = "".join(_cell(cell, i in words, first=i == 0) for i, cell in enumerate(row))
    return element("tr", cells, class_="first" if begins else None)


def _word_columns(table: Table) -> set[int]:
    """Find the columns of words, which stand to the left: most of what they say is no number."""
    columns = {0}
    for i in range(len(table.header)):
        cells = [row[i] for row in table.rows if row[i] not in ("", "-")]
        words = sum(not NUMBER.match(cell) or len(WORD.findall(cell)) > 1 for cell in cells)
        if 2 * words > len(cells):
            columns.add(i)
    return columns


def _cell(text: str, words: bool, *, first: bool) -> str:
    value, _, error = text.partition("\n")
    kinds = (["words"] if words else []) + (["long"] if len(value) >= LONG else [])
    if COUNTED.fullmatch(value):
        content = "".join(map(_mark, value.split()))
    else:
        content = _text(value)
        kinds += [MARKS[symbol][0] for symbol in value.split(" ")[:1] if symbol in MARKS]
    content += f"<br>{element('small', _text(error))}" if error else ""
    is_name = first and bool(value)
    name = {"scope": "row"} if is_name else {}
    return element(
        "th" if is_name else "td", content or "&nbsp;", class_=" ".join(kinds) or None, **name
    )


def _mark(counted: str) -> str:
    """Write a symbol with how many it counts, in its colour, with words for who does not see it."""
    kind, words = MARKS[counted[0]]
    said = f"{counted[1:] or 1} {words}"
    names = {"title": said, "aria_label": said, "role": "img"}
    return element("span", escape(counted), class_=f"mark {kind}", **names)


def _text(text: str) -> str:
    """Escape what a cell says; a reach has its sign."""
    return escape(text.replace("+-", "±"))


def _lines(text: str) -> str:
    return "<br>".join(map(escape, text.split("\n")))
