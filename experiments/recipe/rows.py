"""What a search found, as a file that other programs read: which puzzles every scheme solves.

    OUT/solved.json   one `SearchRecord`: the search, and a `SolvedRecord` per scheme

Intervals and paired differences follow from the flags, so that a table of several searches needs
no model. The recipe itself is recipe.json, which a person may edit; this file says what was
measured of the recipe as it was found.

Not here: what a search computes (runner.py), tables (tables.py).
"""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.measurement.row_checks import check_all_within, check_different, check_flags
from experiments.measurement.shards import from_hex, to_hex
from experiments.recipe.outcomes import FULL, RECIPE, SolvedScheme
from quant.scheme import parse
from trm_jax.typed_json import read_complete, read_json

FILE = "solved.json"


@dataclass(frozen=True, kw_only=True)
class SolvedRecord:
    """Which puzzles a scheme solves, as it stands in the file.

    Attributes:
      name: FULL, RECIPE, or that of a single scheme's weights.
      stored: bytes of the model.
      scheme: as `quant.scheme.Scheme.name` writes it.
      exact: one bit per puzzle in hex (measurement/shards.py).
    """

    name: str
    stored: int
    scheme: str
    exact: str


@dataclass(frozen=True, kw_only=True)
class SearchRecord:
    """One search.

    Attributes:
      target: whose storage was counted, None: densely packed.
      budget: bytes of the model.
      seconds: that the search took; in older files solving puzzles for the report too.
      deciding_puzzles: that chose between recipes at the end.
      solved: full precision, the recipe, and the best single scheme of that size, if it is another.

    Raises:
      ValueError: names the field.
    """

    task: str
    model: str
    data: str
    target: str | None
    budget: int
    seconds: float
    num_puzzles: int
    deciding_puzzles: int
    solved: tuple[SolvedRecord, ...]

    def __post_init__(self) -> None:
        names = [each.name for each in self.solved]
        if names[:2] != [FULL, RECIPE] or len(names) > 3:
            raise ValueError(
                f"field solved must be {FULL!r}, {RECIPE!r} and at most one more, got {names}"
            )
        check_different("solved", names)
        check_all_within({"num_puzzles": self.num_puzzles}, 1)
        counts = {"budget": self.budget, "deciding_puzzles": self.deciding_puzzles}
        sizes = {f"solved[{i}].stored": each.stored for i, each in enumerate(self.solved)}
        check_all_within({**counts, **sizes, "seconds": self.seconds}, 0)
        for i, each in enumerate(self.solved):
            parse(each.scheme)
            check_flags(f"solved[{i}].exact", each.exact, self.num_puzzles)

    @property
    def schemes(self) -> tuple[SolvedScheme, ...]:
        """The schemes with their flags unpacked."""
        return tuple(
            SolvedScheme(
                name=each.name,
                stored=each.stored,
                scheme=parse(each.scheme),
                exact=from_hex(each.exact, self.num_puzzles),
            )
            for each in self.solved
        )


def records_of(solved: Sequence[SolvedScheme]) -> tuple[SolvedRecord, ...]:
    """Pack what schemes solve."""
    return tuple(
        SolvedRecord(
            name=each.name,
            stored=each.stored,
            scheme=each.scheme.name,
            exact=to_hex(each.exact[None])[0],
        )
        for each in solved
    )


def write_search(folder: Path, record: SearchRecord) -> None:
    """Write a search into its folder."""
    content = json.dumps(dataclasses.asdict(record), indent=1)
    (folder / FILE).write_text(content + "\n", encoding="utf-8")


def read_search(folder: Path) -> SearchRecord:
    """Read what `write_search` wrote.

    Raises:
      FileNotFoundError: the folder is of an earlier version.
      ValueError: the file is damaged; the message names it and the field.
    """
    file = folder / FILE
    if not file.is_file():
        raise FileNotFoundError(
            f"{folder} has no {FILE}: run its `python -m experiments.recipe` command again"
        )
    values = read_json(file)  # names the file itself
    try:
        return read_complete(SearchRecord, values)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
