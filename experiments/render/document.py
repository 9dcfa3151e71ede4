"""A report as data: sections of paragraphs, tables, figures and commands; rendered elsewhere.

html_page.py and markdown_page.py turn it into files. Text is plain: renderers escape it.
"""

from dataclasses import dataclass

from experiments.render.tables import Table


@dataclass(frozen=True)
class Paragraph:
    """Running text."""

    text: str


@dataclass(frozen=True)
class Items:
    """A list of short statements."""

    texts: tuple[str, ...]


@dataclass(frozen=True)
class Command:
    """A command line, with what it is for."""

    text: str
    line: str


@dataclass(frozen=True)
class Figure:
    """Pictures side by side.

    Attributes:
      name: of the files beside the Markdown.
      pictures: SVG markup for broad pages and for narrow ones (charts.py:draw_both).
      caption: what is to be seen, and what the bands are.
      findings: what each picture shows, in a sentence, for readers who do not see it; one stands
        for all, none: the caption says it.
      model: whose numbers they are; empty: of no single model.
    """

    name: str
    pictures: tuple[tuple[str, str], ...]
    caption: str
    findings: tuple[str, ...] = ()
    model: str = ""

    def told(self, at: int) -> str:
        """Say what a picture shows."""
        if len(self.findings) > 1:
            return self.findings[at]
        return (*self.findings, self.caption)[0]


@dataclass(frozen=True)
class Embedded:
    """A whole page of its own, inside this one.

    Attributes:
      title: what it shows.
      page: HTML without outside resources.
      model: whose numbers they are; empty: of no single model.
    """

    title: str
    page: str
    model: str = ""


Block = Paragraph | Items | Command | Figure | Table | Embedded


@dataclass(frozen=True)
class Section:
    """A part of the report.

    Attributes:
      anchor: of links to it.
    """

    anchor: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Document:
    """A whole report.

    Attributes:
      facts: names and values above everything: what was run, where and when.
      opening: what stands before the sections and is never folded: sentences, one figure, tables.
    """

    title: str
    subtitle: str
    sections: tuple[Section, ...]
    facts: tuple[tuple[str, str], ...] = ()
    opening: tuple[Block, ...] = ()
