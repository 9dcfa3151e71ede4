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
      pictures: SVG markup.
      caption: what is to be seen, and what the bands are.
    """

    name: str
    pictures: tuple[str, ...]
    caption: str


Block = Paragraph | Items | Command | Figure | Table


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
    """A whole report."""

    title: str
    subtitle: str
    sections: tuple[Section, ...]
