"""Section on fidelity as a predictor (section 4.3, Fig. 3)."""

from experiments import predictor_tables
from experiments.document import Block, Command, Figure, Paragraph, Section
from experiments.predictor_study import study
from experiments.predictor_tables import study_tables
from experiments.report_results import Results

TITLE = "Fidelity as a predictor of damage (Sec. 4.3, Fig. 3)"
COMMAND = "python -m experiments.sweep --task sudoku"


def predictor_section(results: Results) -> Section:
    """Judge signals, show failures and the label-free rule."""
    schemes = sum(len(sweep.outcomes) - 1 for sweep in results.sweeps)
    if schemes < 3:
        text = "Needs sweeps of at least three compressed schemes; measure one with:"
        return Section("predictor", TITLE, (Command(text, COMMAND),))
    found = study(results.sweeps)
    text = (
        f"{len(found.points)} points: {schemes} compressed (model, scheme) pairs at every depth of"
        " their sweeps. Intervals are bootstraps over pairs, not puzzles. The paper says that"
        " fidelity is monotone with damage and consecutive similarity is blind to it; at shallow"
        " depths full precision solves little itself, so that little can be lost whatever the"
        " fidelity."
    )
    picture = predictor_tables.figure(found.points)
    caption = "Every compressed scheme at full depth; bars: 95 % paired intervals."
    blocks: list[Block] = [Paragraph(text), Figure("predictor", (picture,), caption)]
    return Section("predictor", TITLE, (*blocks, *study_tables(found)))
