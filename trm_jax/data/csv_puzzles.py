"""Read puzzles from CSV files as published: columns source, question, answer, rating.

Only question and answer are needed; rating where a least difficulty is asked for. Rows are
checked as they are read, and all bad ones are reported together with their line numbers. What a
question or an answer must look like is the business of the task (`sudoku/__main__.py`,
`maze/__main__.py`).
"""

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

UNKNOWN = 255  # token of a symbol outside the alphabet
CHUNK = 2_000  # rows decoded together
SHOWN = 5  # bad rows named in an error

Decoder = Callable[[Sequence[str], Sequence[str]], tuple[np.ndarray, np.ndarray, dict[int, str]]]
"""Turns questions and answers into input and label tokens, one row each, and says what is wrong
with which row. Tokens of wrong rows do not matter."""


class BadRows(ValueError):
    """Rows that are no puzzles."""

    def __init__(self, path: Path, problems: Sequence[tuple[int, str]]):
        self.problems = tuple(problems)
        shown = "; ".join(f"line {line}: {what}" for line, what in self.problems[:SHOWN])
        more = len(self.problems) - SHOWN
        tail = f"; and {more} more" if more > 0 else ""
        super().__init__(f"{path}: {len(self.problems)} bad rows: {shown}{tail}")


@dataclass
class Rows:
    """Rows of a file that passed the difficulty filter, with their line numbers."""

    lines: list[int] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)


def _columns(header: Sequence[str], path: Path, names: Sequence[str]) -> list[int]:
    if missing := [name for name in names if name not in header]:
        raise ValueError(f"{path} lacks the columns {missing}; its first line is {list(header)}")
    return [header.index(name) for name in names]


def _read_rows(
    path: Path, min_difficulty: int | None, problems: list[tuple[int, str]]
) -> Iterator[Rows]:
    """Yield the rows in chunks; short rows and ratings that are no number go to `problems`."""
    names = ["question", "answer"] + ["rating"] * (min_difficulty is not None)
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        reader = csv.reader(file)
        columns = _columns(next(reader, []), path, names)
        rows = Rows()
        for row in reader:
            try:
                question, answer, *rating = (row[c] for c in columns)
                if rating and int(rating[0]) < (min_difficulty or 0):
                    continue
            except (IndexError, ValueError):
                what = "no number as rating" if len(row) > max(columns) else "too few columns"
                problems.append((reader.line_num, what))
                continue
            rows.lines.append(reader.line_num)
            rows.questions.append(question)
            rows.answers.append(answer)
            if len(rows.lines) == CHUNK:
                yield rows
                rows = Rows()
        yield rows


def read_examples(
    path: Path,
    decode: Decoder,
    *,
    min_difficulty: int | None = None,
    progress: Callable[[int], object] = lambda done: None,
) -> tuple[np.ndarray, np.ndarray]:
    """Read a whole file.

    Args:
      path: CSV file with a header line.
      decode: the task's decoder.
      min_difficulty: leave out rows of a lower rating.
      progress: called with the number of rows decoded so far.

    Returns:
      Input and label tokens, one row per puzzle, uint8.

    Raises:
      BadRows: some rows are no puzzles.
      ValueError: a column is missing, or no row is left.
    """
    problems: list[tuple[int, str]] = []
    parts: list[tuple[np.ndarray, np.ndarray]] = []
    done = 0
    for rows in _read_rows(path, min_difficulty, problems):
        if rows.lines:
            inputs, labels, wrong = decode(rows.questions, rows.answers)
            problems.extend((rows.lines[i], wrong[i]) for i in sorted(wrong))
            parts.append((inputs, labels))
            done += len(rows.lines)
            progress(done)
    if problems:
        raise BadRows(path, sorted(problems))
    if not parts:
        rated = "" if min_difficulty is None else f" with a rating of {min_difficulty} or more"
        raise ValueError(f"{path} has no puzzles{rated}")
    inputs, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return inputs, labels


def subset(
    inputs: np.ndarray, labels: np.ndarray, size: int | None, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Keep `size` random puzzles, or all where `size` is None.

    Raises:
      ValueError: there are not as many.
    """
    if size is None:
        return inputs, labels
    if not 1 <= size <= len(inputs):
        raise ValueError(f"subsample must be 1 to {len(inputs)}, got {size}")
    rows = np.random.default_rng(seed).choice(len(inputs), size, replace=False)
    return inputs[rows], labels[rows]


def decode_text(
    texts: Sequence[str], cells: int, tokens: dict[str, int], what: str, wrong: dict[int, str]
) -> np.ndarray:
    """Turn texts into tokens, noting wrong lengths and unknown symbols.

    Args:
      texts: one puzzle each.
      cells: symbols a text must have.
      tokens: token of each symbol.
      what: question or answer, for the messages.
      wrong: gets a message for each bad row that has none yet.

    Returns:
      (texts, cells) uint8; rows of wrong length are `UNKNOWN` throughout.
    """
    table = np.full(256, UNKNOWN, np.uint8)
    for symbol, token in tokens.items():
        table[ord(symbol)] = token
    for i, text in enumerate(texts):
        if len(text) != cells:
            wrong.setdefault(i, f"{what} has {len(text)} cells, must have {cells}")
    joined = "".join(t if len(t) == cells else "\xff" * cells for t in texts)
    codes = np.frombuffer(joined.encode("latin-1", errors="replace"), np.uint8)
    decoded = table[codes].reshape(len(texts), cells)
    for i in np.flatnonzero((decoded == UNKNOWN).any(axis=1)).tolist():
        symbol = next((s for s in texts[i] if s not in tokens), "")
        wrong.setdefault(i, f"{what} has the unknown symbol {symbol!r}")
    return decoded
