"""Section on tokens: recursion and decoders on one scale, and the second study's tables beside.

Not here: measuring (experiments/decode); the first study's claims (claims.py).
"""

from collections.abc import Mapping

from experiments.paper import second_study as study
from experiments.render.document import Block, Command, Paragraph, Section
from experiments.render.tables import Table
from experiments.report.inputs import Results

TITLE = "Reasoning in tokens, beside recursion"
COMMAND = "python -m experiments.decode --task sudoku"


OURS = (
    "The parts of the second study on this project's decoders and puzzles: each table is of one run"
    " of experiments.decode.studies (docs/tokens-studies.md), its first row what the others are"
    " compared with, in pairs. Orders of writing are of validation puzzles, everything else of"
    " held-out ones."
)


def tokens_section(results: Results) -> Section:
    """Put both families side by side, then what the second study prints."""
    text = (
        "A decoder writes its reasoning down, a recursive model repeats a network over the whole"
        " puzzle. Both solve the same held-out puzzles under the same schemes. Changes are paired"
        " on the same puzzles (Bonett and Price), p is McNemar's. Bytes read are weights, read"
        " once for every token or block application at batch 1; energy is a lower bound"
        " by the stated model and was measured on no device."
    )
    blocks: list[Block] = [Paragraph(text)]
    blocks += results.comparisons
    if not results.comparisons:
        blocks.append(Command("Nothing was compared; compare both families with:", COMMAND))
    if results.studies:
        blocks += [Paragraph(OURS), *results.studies]
    blocks += [Paragraph(_beside()), *_printed_tables(), _circulating()]
    return Section("tokens", TITLE, tuple(blocks))


def _beside() -> str:
    return (
        f"What {study.SOURCE} prints, in percent. Its models are some ten thousand times larger"
        " and solve mathematics: the tables say in which direction an effect goes, and none of"
        " their numbers is reproduced here."
    )


def _printed_tables() -> list[Table]:
    caps = ("MATH500 under a hard cap", *study.CAPS)
    votes = ("MATH500, samples of one prompt", *map(str, study.SAMPLES))
    return [
        _table("Budget forcing, as printed", caps, study.BUDGET_FORCING),
        _table("Votes of parallel samples, as printed", votes, study.VOTES),
        _table(
            "Quantisation, as printed",
            ("Average of five benchmarks", "%"),
            {name: (value,) for name, value in study.QUANTISED.items()},
        ),
    ]


def _table(title: str, header: tuple[str, ...], rows: Mapping[str, tuple[float, ...]]) -> Table:
    cells = tuple((name, *(f"{value:g}" for value in values)) for name, values in rows.items())
    return Table(title, header, cells, frozenset())


def _circulating() -> Table:
    rows = tuple((each.claim, each.finding) for each in study.CIRCULATING)
    title = "Numbers that articles ascribe to the study, and what its text says"
    return Table(title, ("Said", "In the text"), rows, frozenset())
