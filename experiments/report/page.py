"""The one report: sections in the order of a reader's questions, written as HTML and Markdown."""

from collections.abc import Sequence
from pathlib import Path

from experiments.paper import tables
from experiments.render import html_page, markdown_page
from experiments.render.document import Document
from experiments.report.evidence import collect_claims
from experiments.report.inputs import Results, read_results
from experiments.report.provenance import run_facts
from experiments.report.sections.ablations import ablation_section, vote_section
from experiments.report.sections.accuracy import (
    architecture_section,
    precision_section,
    predictor_section,
    similarity_section,
)
from experiments.report.sections.claims import claims_section
from experiments.report.sections.depth import depth_section
from experiments.report.sections.devices import device_section, recommendation_section
from experiments.report.sections.memory import memory_section, pareto_section
from experiments.report.sections.opening import opening_blocks
from experiments.report.sections.quantisation import quantisation_section
from experiments.report.sections.tokens import tokens_section
from experiments.report.sections.viewers import viewer_section

TITLE = "What survives when a recursive reasoner is compressed"
SECTIONS = (
    recommendation_section,
    viewer_section,
    precision_section,
    architecture_section,
    quantisation_section,
    depth_section,
    similarity_section,
    predictor_section,
    memory_section,
    pareto_section,
    ablation_section,
    vote_section,
    device_section,
    tokens_section,
)


def document(results: Results) -> Document:
    """Build the report."""
    subtitle = (
        f"Every table and figure of {tables.SOURCE}, ours beside the paper's. Numbers under"
        " “paper” are the paper's, all others were measured or computed by this project."
    )
    claims = collect_claims(results)
    return Document(
        TITLE,
        subtitle,
        (claims_section(results, claims), *(make(results) for make in SECTIONS)),
        facts=run_facts(results.runs, results.sweeps, results.ablations),
        opening=opening_blocks(results, claims),
    )


def write_page(folders: Sequence[Path], page: Path) -> list[Path]:
    """Read results and write PAGE, the same in Markdown beside it, and its pictures.

    Args:
      page: ends in .html.

    Returns:
      The files that were written, the pictures by their folder.

    Raises:
      OSError, ValueError: a folder is missing, damaged or not finished.
    """
    report = document(read_results(folders))
    text, pictures = page.with_suffix(".md"), page.with_name(f"{page.stem}-figures")
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(html_page.render(report), encoding="utf-8")
    text.write_text(markdown_page.render(report, pictures.name), encoding="utf-8")
    markdown_page.write_pictures(report, pictures)
    return [page, text, pictures]
