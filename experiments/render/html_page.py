"""Write a report as one self-contained page: no script, no outside resource.

Every text is escaped; only pictures, which this project draws, go in as markup. The page follows
the reader's light or dark setting, scrolls wide tables, and prints black on white.
"""

import re
from html import escape

from experiments.render.document import Block, Command, Document, Figure, Items, Paragraph, Section
from experiments.render.svg import element
from experiments.render.tables import Table

STYLE = """
:root{color-scheme:light dark;--good:#1b6e3c;--bad:#b3261e;--part:#8a5a00;--page:#fff;--ink:#1c1c1c;--soft:#5c5c5c;--rule:#d8d8d8;--tint:#f4f5f7;--link:#0b5fa5}
@media (prefers-color-scheme:dark){:root{--good:#6fd39a;--bad:#ff8a7a;--part:#f0b95a;--page:#16181b;--ink:#e4e4e4;--soft:#a5a5a5;--rule:#3a3d42;--tint:#1f2226;--link:#7cc0ff}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:76rem;padding:1.5rem;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
h1{font-size:1.7rem;margin:.2rem 0}h2{font-size:1.25rem;margin:2.4rem 0 .6rem;border-bottom:1px solid var(--rule)}
p,li{max-width:48rem}.soft,figcaption,caption{color:var(--soft)}a{color:var(--link)}
nav ul{columns:2;padding-left:1.2rem}
.wide{overflow-x:auto;max-width:100%;margin:1rem 0}
table{border-collapse:collapse;font-size:.86rem;font-variant-numeric:tabular-nums}
caption{text-align:left;font-weight:600;padding:.3rem 0}
th,td{padding:.22rem .6rem;text-align:right;vertical-align:top;white-space:nowrap}
.words{text-align:left}
.same{color:var(--good)}.against{color:var(--bad)}.less{color:var(--part)}.open{color:var(--soft)}
.long{white-space:normal;min-width:14rem;max-width:26rem}
thead th{border-bottom:1px solid var(--soft);vertical-align:bottom}
tr.first td{border-top:1px solid var(--rule)}
small{color:var(--soft);white-space:nowrap}
figure{margin:1.2rem 0}.row{display:flex;flex-wrap:wrap;gap:1rem}
svg{max-width:100%;height:auto}
pre{background:var(--tint);padding:.6rem .8rem;overflow-x:auto;font-size:.85rem}
@media print{:root{--good:#000;--bad:#000;--part:#000;--page:#fff;--ink:#000;--soft:#444;--rule:#bbb;--tint:#fff;--link:#000}
body{max-width:none;padding:0;font-size:11px}.wide{overflow:visible}figure,tr{break-inside:avoid}nav{display:none}}
""".strip()  # noqa: E501 - rules read best one a line
LONG = 34  # letters from which a cell may break
MARKS = {"✓": "same", "<": "less", "?": "open", "✗": "against"}
"""Symbols of verdicts (experiments/report/verdicts.py) and the class that colours them."""
NUMBER, WORD = re.compile(r"[-+<.\[]?\d"), re.compile(r"[a-z]{3,}")


def render(document: Document) -> str:
    """Write the page."""
    links = "".join(
        element("li", element("a", escape(s.title), href=f"#{s.anchor}")) for s in document.sections
    )
    head = (
        element("meta", charset="utf-8")
        + element("meta", name="viewport", content="width=device-width,initial-scale=1")
        + element("title", escape(document.title))
        + element("style", STYLE)
    )
    body = (
        element("h1", escape(document.title))
        + element("p", escape(document.subtitle), class_="soft")
        + element("nav", element("details", element("summary", "Contents") + element("ul", links)))
        + "".join(map(_section, document.sections))
    )
    page = element("head", head) + "\n" + element("body", element("main", body))
    return "<!doctype html>\n" + element("html", page, lang="en") + "\n"


def _section(section: Section) -> str:
    heading = element("h2", escape(section.title), id=section.anchor)
    return "\n" + heading + "\n" + "\n".join(map(_block, section.blocks))


def _block(block: Block) -> str:
    match block:
        case Paragraph(text):
            return element("p", escape(text))
        case Items(texts):
            return element("ul", "".join(element("li", escape(text)) for text in texts))
        case Command(text, line):
            return element("p", escape(text)) + element("pre", escape(line))
        case Figure(_, pictures, caption):
            drawn = element("div", "".join(pictures), class_="row")
            return element("figure", drawn + element("figcaption", escape(caption)))
        case Table():
            return _table(block)


def _table(table: Table) -> str:
    words = _word_columns(table)
    header = "".join(
        element("th", _lines(cell), class_="words" if i in words else None, scope="col")
        for i, cell in enumerate(table.header)
    )
    rows = [
        element(
            "tr",
            "".join(_cell(cell, i in words) for i, cell in enumerate(row)),
            class_="first" if at in table.sections else None,
        )
        for at, row in enumerate(table.rows)
    ]
    caption = element("caption", escape(table.title))
    whole = caption + element("thead", element("tr", header)) + element("tbody", "".join(rows))
    return element("div", element("table", whole), class_="wide")


def _word_columns(table: Table) -> set[int]:
    """Find the columns of words, which stand to the left: most of what they say is no number."""
    columns = {0}
    for i in range(len(table.header)):
        cells = [row[i] for row in table.rows if row[i] not in ("", "-")]
        words = sum(not NUMBER.match(cell) or len(WORD.findall(cell)) > 1 for cell in cells)
        if 2 * words > len(cells):
            columns.add(i)
    return columns


def _cell(text: str, words: bool) -> str:
    value, _, error = text.partition("\n")
    content = escape(value) + (f"<br>{element('small', escape(error))}" if error else "")
    kinds = (["words"] if words else []) + (["long"] if len(value) >= LONG else [])
    kinds += [MARKS[symbol] for symbol in value.split(" ")[:1] if symbol in MARKS]
    return element("td", content or "&nbsp;", class_=" ".join(kinds) or None)


def _lines(text: str) -> str:
    return "<br>".join(map(escape, text.split("\n")))
