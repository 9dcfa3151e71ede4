"""Write a report in Markdown, its pictures as SVG files beside it."""

from itertools import chain
from pathlib import Path

from experiments.render.document import (
    Block,
    Command,
    Document,
    Embedded,
    Figure,
    Items,
    Paragraph,
)
from experiments.render.tables import Table, to_markdown


def render(document: Document, pictures: str) -> str:
    """Write the text.

    Args:
      pictures: folder of the picture files, relative to the text.
    """
    parts = [f"# {document.title}"]
    parts += [f"{name}: {_escape(value)}" for name, value in document.facts]
    parts += [_block(block, pictures) for block in document.opening]
    parts.append(document.subtitle)
    for section in document.sections:
        parts.append(f"## {section.title}")
        parts += [_block(block, pictures) for block in section.blocks]
    return "\n\n".join(parts) + "\n"


def write_pictures(document: Document, folder: Path) -> None:
    """Write every picture into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    sections = (section.blocks for section in document.sections)
    for block in chain(document.opening, *sections):
        if isinstance(block, Figure):
            for i, (picture, _) in enumerate(block.pictures):
                (folder / f"{block.name}-{i}.svg").write_text(picture, encoding="utf-8")


def _block(block: Block, pictures: str) -> str:
    match block:
        case Paragraph(text):
            return _escape(text)
        case Items(texts):
            return "\n".join(f"- {_escape(text)}" for text in texts)
        case Command(text, line):
            return f"{_escape(text)}\n\n```\n{line}\n```"
        case Figure(name, drawn, caption):
            said = [_escape(block.told(i)).replace("]", r"\]") for i in range(len(drawn))]
            files = (f"![{text}]({pictures}/{name}-{i}.svg)" for i, text in enumerate(said))
            return "\n".join([*files, "", f"*{_escape(caption)}*"])
        case Table():
            return to_markdown(block).rstrip()
        case Embedded(title):
            return f"{_escape(title)}: in the page."


def _escape(text: str) -> str:
    """Keep signs of the field from becoming markup."""
    return text.replace("*", r"\*").replace("<", "&lt;").replace("_", r"\_")
