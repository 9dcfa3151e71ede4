"""The one report: sections in the order of a reader's questions, written as HTML and Markdown."""

from collections.abc import Sequence
from pathlib import Path

from experiments import paper, render_html, render_markdown
from experiments.document import Document
from experiments.report_ablations import ablation_section, vote_section
from experiments.report_accuracy import architecture_section, precision_section, similarity_section
from experiments.report_claims import claims_section
from experiments.report_depth import depth_section
from experiments.report_devices import device_section, recommendation_section
from experiments.report_memory import memory_section, pareto_section
from experiments.report_predictor import predictor_section
from experiments.report_results import Results, read_results

TITLE = "What survives when a recursive reasoner is compressed"
SECTIONS = (
    claims_section,
    recommendation_section,
    precision_section,
    architecture_section,
    depth_section,
    similarity_section,
    predictor_section,
    memory_section,
    pareto_section,
    ablation_section,
    vote_section,
    device_section,
)


def document(results: Results) -> Document:
    """Build the report."""
    subtitle = (
        f"Every table and figure of {paper.SOURCE}, ours beside the paper's. Numbers under"
        " “paper” are the paper's, all others were measured or computed by this project."
    )
    return Document(TITLE, subtitle, tuple(make(results) for make in SECTIONS))


def write_page(folders: Sequence[Path], page: Path) -> list[Path]:
    """Read results and write PAGE, the same in Markdown beside it, and its pictures.

    Args:
      page: ends in .html.

    Returns:
      The files that were written, the pictures by their folder.

    Raises:
      OSError, ValueError: a folder is missing, damaged or not finished.
    """
    made = document(read_results(folders))
    text, pictures = page.with_suffix(".md"), page.with_name(f"{page.stem}-figures")
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(render_html.render(made), encoding="utf-8")
    text.write_text(render_markdown.render(made, pictures.name), encoding="utf-8")
    render_markdown.write_pictures(made, pictures)
    return [page, text, pictures]
