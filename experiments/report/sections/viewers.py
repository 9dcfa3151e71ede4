"""Section on single puzzles: solved and broken cycle by cycle, as experiments.watch shows them.

Not here: drawing a puzzle (experiments/watch), which puzzles a report watches (report/jobs.py).
"""

from experiments.render.document import Block, Command, Embedded, Paragraph, Section
from experiments.report.inputs import Results

TITLE = "Where reasoning breaks: single puzzles, cycle by cycle"
COMMAND = "python -m experiments.watch --task sudoku --model sudoku-trm-mlp-mini --broken"


def viewer_section(results: Results) -> Section:
    """Embed the viewers of puzzles that schemes break."""
    text = (
        "Puzzles that full precision solves and a scheme does not, the same puzzle under each"
        " scheme side by side. From the H-cycle at which they part the scheme always has more"
        " mistakes than full precision. These are single puzzles, chosen because they break: how"
        " many a scheme loses stands in the tables of precision."
    )
    blocks: list[Block] = [Paragraph(text)]
    blocks += [Embedded(viewer.title, viewer.page, viewer.model) for viewer in results.viewers]
    if not results.viewers:
        blocks.append(Command("No puzzle was watched; watch some with:", COMMAND))
    return Section("watch", TITLE, tuple(blocks))
