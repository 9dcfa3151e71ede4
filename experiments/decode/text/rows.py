"""Rows of a study of text: what a decoder reads and writes under one scheme, token by token.

    OUT/text.json    {"spec": {...}, "runs": [environment of every start]}
    OUT/text.jsonl   one `TextRow` per line

Nothing is averaged here: tables compare schemes token by token.
"""

import itertools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, NamedTuple, Self

from experiments.measurement import folders
from experiments.measurement.row_checks import (
    check_all_within,
    check_different,
    check_length,
    check_within,
)
from experiments.measurement.row_files import FolderLayout, ResultFolder
from experiments.measurement.spec import RowSpec
from quant.scheme import parse


class TextKey(NamedTuple):
    """The unit of work: one scheme."""

    scheme: str


@dataclass(frozen=True, kw_only=True)
class TextSpec(RowSpec):
    """One study.

    Attributes:
      model: name for headings.
      model_sha256: of configuration and weights.
      text_sha256, calibration_sha256, questions_sha256: of tokens.
      num_tokens: of the text; all but the first are predicted.
      num_questions, max_new_tokens: answers, and tokens of each at most; 0: none.
      schemes: names as `quant.scheme.Scheme.name` writes them, full precision first.
    """

    IDENTITY: ClassVar[tuple[str, ...]] = (
        "model_sha256",
        "text_sha256",
        "calibration_sha256",
        "questions_sha256",
        "num_tokens",
        "num_questions",
        "max_new_tokens",
    )

    model: str
    model_sha256: str
    text_sha256: str
    calibration_sha256: str
    questions_sha256: str
    num_tokens: int
    num_questions: int
    max_new_tokens: int
    schemes: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check the numbers and the schemes.

        Raises:
          ValueError: names the field.
        """
        check_within("num_tokens", self.num_tokens, 2)
        counts = {"num_questions": self.num_questions, "max_new_tokens": self.max_new_tokens}
        check_all_within(counts, 0)
        check_different("schemes", map(parse, self.schemes))

    def check_row(self, row: "TextRow") -> None:
        """Check a row's lengths."""
        check_length("nats", row.nats, self.num_tokens - 1)
        check_length("written", row.written, self.num_questions)

    def lists(self, row: "TextRow") -> bool:
        """Return whether a row is of a scheme of the study."""
        return row.scheme in self.schemes

    def work_keys(self) -> list[TextKey]:
        """List the work, full precision first."""
        return [TextKey(scheme) for scheme in self.schemes]

    def widened(self, later: Self) -> Self:
        """Join with a later spec: all schemes."""
        schemes = dict.fromkeys(itertools.chain(self.schemes, later.schemes))
        return replace(self, schemes=tuple(schemes))


@dataclass(frozen=True, kw_only=True)
class TextRow:
    """What a decoder does under one scheme.

    Attributes:
      weight_bytes: stored size of all weights.
      cache_bytes: of one token in the KV cache.
      nats: -log of the probability of every token of the text but the first.
      likeliest: the likeliest token at each of these places.
      written: the tokens of every answer, the stop token included.
    """

    digest: str
    scheme: str
    weight_bytes: int
    cache_bytes: int
    nats: tuple[float, ...]
    likeliest: tuple[int, ...]
    written: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
          ValueError: names the field.
        """
        sizes = {"weight_bytes": self.weight_bytes, "cache_bytes": self.cache_bytes}
        check_all_within(sizes, 1)
        check_all_within({f"nats[{i}]": value for i, value in enumerate(self.nats)}, 0)
        check_length("likeliest", self.likeliest, len(self.nats))

    @property
    def key(self) -> TextKey:
        """The unit of work."""
        return TextKey(self.scheme)


LAYOUT = FolderLayout(
    "study of text", TextSpec, TextRow, "text", folders.TEXT, kind="text", rows_name="text"
)


def text_folder(path: Path) -> ResultFolder[TextSpec, TextRow]:
    """Name the files of a study."""
    return ResultFolder(path, LAYOUT)
