"""Read puzzles from CSV files as people have them: a header line, then one puzzle a line.

    source,question,answer,rating        as published with Sudoku-Extreme and Maze-Hard
    quizzes,solutions                    and every other pair of `QUESTIONS` and `ANSWERS`

Only question and answer are needed; rating where a least difficulty is asked for. Taken where they
leave no doubt, and said in one line on standard error: other names, capitals and spaces in the
header, semicolons or tabs between columns, UTF-8 with a byte order mark and UTF-16 with one,
blank lines, and, where spaces are no symbols of the task, spaces around a cell. Everything else is
refused with its line number, a quoted cell that goes on in the next line too: no row is left out
in silence.

All bad rows are reported together. What a question or an answer must look like is the business of
the task (`sudoku/dataset.py`, `maze/dataset.py`).
"""

import codecs
import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np

UNKNOWN = 255  # token of a symbol outside the alphabet
CHUNK = 2_000  # rows decoded together
SHOWN = 5  # bad rows named in an error
MAX_LINE = 4 << 20  # characters; a question and an answer of 1000 x 1000 cells take 2 million
MAX_PROBLEMS = 10_000  # after which a file is not read on

QUESTIONS = ("question", "questions", "puzzle", "puzzles", "quiz", "quizzes")
ANSWERS = ("answer", "answers", "solution", "solutions")
RATING = "rating"
DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig", "UTF-8 with a byte order mark"),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16"),
)
REPLACED = "\ufffd"  # what stands for bytes that are no UTF-8

Decoder = Callable[[Sequence[str], Sequence[str]], tuple[np.ndarray, np.ndarray, dict[int, str]]]
"""Turns questions and answers into input and label tokens, one row each, and says what is wrong
with which row. Tokens of wrong rows do not matter."""

Say = Callable[[str], object]


class BadRows(ValueError):
    """Rows that are no puzzles."""

    def __init__(self, path: Path, problems: Sequence[tuple[int, str]]):
        self.problems = tuple(problems)
        shown = "; ".join(f"line {line}: {what}" for line, what in self.problems[:SHOWN])
        more = len(self.problems) - SHOWN
        tail = f"; and {more} more" if more > 0 else ""
        super().__init__(f"{path}: {len(self.problems)} bad rows: {shown}{tail}")


class CsvExamples(NamedTuple):
    """What a file holds, one row per puzzle.

    Attributes:
      inputs, labels: tokens, uint8.
      lines: where each puzzle stands in the file, from 1.
    """

    inputs: np.ndarray
    labels: np.ndarray
    lines: np.ndarray

    def take(self, rows: np.ndarray) -> "CsvExamples":
        """Keep some rows."""
        return CsvExamples(self.inputs[rows], self.labels[rows], self.lines[rows])


@dataclass
class CsvRows:
    """Rows of a file that passed the difficulty filter, with their line numbers."""

    lines: list[int] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)


@dataclass
class CsvReading:
    """A file that is being read: what is wrong with it, and what was taken as something else.

    Attributes:
      spaces_count: whether a space is a symbol of the task, and not to be left out.
      problems: line and what is wrong.
      taken: what to tell the user, each once.
    """

    path: Path
    spaces_count: bool
    min_difficulty: int | None
    problems: list[tuple[int, str]] = field(default_factory=list)
    taken: dict[str, None] = field(default_factory=dict)

    def refuse(self, line: int, what: str) -> None:
        """Note a bad row.

        Raises:
          BadRows: there are too many to go on.
        """
        self.problems.append((line, what))
        if len(self.problems) >= MAX_PROBLEMS:
            raise BadRows(self.path, sorted(self.problems))


class CsvColumns(NamedTuple):
    """The header of a file: what stands between columns, how many there are, and which are read."""

    delimiter: str
    count: int
    question: int
    answer: int
    rating: int | None


def open_text(reading: CsvReading) -> TextIO:
    """Open a file by the mark at its beginning; without one it is UTF-8."""
    with reading.path.open("rb") as file:
        head = file.read(4)
    for mark, encoding, name in MARKS:
        if head.startswith(mark):
            reading.taken[name] = None
            return reading.path.open(newline="", encoding=encoding, errors="replace")
    return reading.path.open(newline="", encoding="utf-8", errors="replace")


def lines_of(file: TextIO, reading: CsvReading) -> Iterator[tuple[int, str]]:
    """Yield numbered lines without their ends; blank ones are left out, and told."""
    number, blank = 0, False
    while text := file.readline(MAX_LINE + 1):
        number += 1
        if len(text) > MAX_LINE:
            reading.refuse(number, f"more than {MAX_LINE:,} characters")
            return
        if not text.strip():
            blank = True
            continue
        if blank:  # amid others; at the end they go without saying
            reading.taken["blank lines left out"] = None
        yield number, text.rstrip("\r\n")


def split_line(text: str, delimiter: str) -> list[str]:
    """Split a line into its cells.

    Raises:
      ValueError: a quote that does not end on the line, or a damaged one.
    """
    if "\0" in text:
        raise ValueError("a NUL byte: this is no text")
    if '"' not in text:
        return text.split(delimiter)
    csv.field_size_limit(MAX_LINE)  # the module's own limit is 131,072
    try:
        return next(csv.reader([text], delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise ValueError(f"a quoted cell does not end on its line ({error})") from None


def read_header(line: int, text: str, reading: CsvReading) -> CsvColumns:
    """Find the columns by their names, whatever stands between them.

    Raises:
      ValueError: question or answer is missing, there twice, or under two names.
    """
    damaged: ValueError | None = None
    for delimiter, name in DELIMITERS.items():
        try:
            cells = split_line(text, delimiter)
        except ValueError as error:  # a quoted name may end at another delimiter
            damaged = damaged or error
            continue
        names = [cell.strip().lower() for cell in cells]
        if _has(names, QUESTIONS) and _has(names, ANSWERS):
            if delimiter != ",":
                reading.taken[f"{name} between columns"] = None
            return _columns(cells, names, delimiter, reading)
    if damaged is not None:
        raise ValueError(f"{reading.path}: line {line}: {damaged}")
    cells = text.split(",")
    found = [cell.strip().lower() for cell in cells]
    lacking = [n for n, s in (("question", QUESTIONS), ("answer", ANSWERS)) if not _has(found, s)]
    raise ValueError(
        f"{reading.path} lacks the columns {lacking}; its first line is {_short(text)!r}"
    )


def _has(names: Sequence[str], wanted: Sequence[str]) -> bool:
    return any(name in wanted for name in names)


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "..."


def _columns(
    cells: Sequence[str], names: Sequence[str], delimiter: str, reading: CsvReading
) -> CsvColumns:
    """Choose the one column of each meaning."""
    question = _one(names, QUESTIONS, reading)
    answer = _one(names, ANSWERS, reading)
    if (cells[question], cells[answer]) != ("question", "answer"):
        pair = f"{cells[question].strip()!r} and {cells[answer].strip()!r}"
        reading.taken[f"columns {pair} as question and answer"] = None
    rating = None
    if reading.min_difficulty is not None:
        if RATING not in names:
            raise ValueError(
                f"{reading.path} lacks the columns ['rating']; its first line is {list(cells)}"
            )
        rating = _one(names, (RATING,), reading)
    return CsvColumns(delimiter, len(cells), question, answer, rating)


def _one(names: Sequence[str], wanted: Sequence[str], reading: CsvReading) -> int:
    places = [at for at, name in enumerate(names) if name in wanted]
    if len(places) > 1:
        listed = [names[at] for at in places]
        raise ValueError(
            f"{reading.path} has the columns {listed}, any of which may be the {wanted[0]};"
            " keep one of them"
        )
    return places[0]


def _read_rows(reading: CsvReading) -> Iterator[CsvRows]:
    """Yield the rows in chunks; bad rows go to the problems."""
    with open_text(reading) as file:
        lines = lines_of(file, reading)
        first = next(lines, None)
        columns = read_header(*(first or (1, "")), reading)
        rows = CsvRows()
        for line, text in lines:
            _add_row(rows, line, text, columns, reading)
            if len(rows.lines) == CHUNK:
                yield rows
                rows = CsvRows()
        yield rows


def _add_row(rows: CsvRows, line: int, text: str, columns: CsvColumns, reading: CsvReading) -> None:
    """Read a row, or note what is wrong with it."""
    try:
        cells = split_line(text, columns.delimiter)
        if len(cells) != columns.count:
            raise ValueError(f"too {'few' if len(cells) < columns.count else 'many'} columns")
        rated = None if columns.rating is None else _rating(cells[columns.rating])
    except ValueError as error:
        reading.refuse(line, str(error))
        return
    if rated is not None and rated < (reading.min_difficulty or 0):
        return
    question, answer = cells[columns.question], cells[columns.answer]
    if not reading.spaces_count:
        tidy = question.strip(), answer.strip()
        if tidy != (question, answer):
            reading.taken["spaces around cells left out"] = None
        question, answer = tidy
        if "_" in question:
            reading.taken["_ as blank"] = None
    rows.lines.append(line)
    rows.questions.append(question)
    rows.answers.append(answer)


def _rating(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("no number as rating") from None


def read_examples(
    path: Path,
    decode: Decoder,
    *,
    min_difficulty: int | None = None,
    spaces_count: bool = False,
    progress: Callable[[int], object] = lambda done: None,
    say: Say = lambda text: None,
) -> CsvExamples:
    """Read a whole file.

    Args:
      path: CSV file with a header line.
      decode: the task's decoder.
      min_difficulty: leave out rows of a lower rating.
      spaces_count: a space is a symbol of the task (a free cell of a maze).
      progress: called with the number of rows decoded so far.
      say: is told in one line what was taken as something else.

    Raises:
      BadRows: some rows are no puzzles.
      ValueError: a column is missing or there twice, or no row is left.
    """
    reading = CsvReading(path, spaces_count, min_difficulty)
    parts: list[tuple[np.ndarray, np.ndarray]] = []
    lines: list[int] = []
    for rows in _read_rows(reading):
        if rows.lines:
            inputs, labels, wrong = decode(rows.questions, rows.answers)
            for i in sorted(wrong):
                reading.refuse(rows.lines[i], wrong[i])
            parts.append((inputs, labels))
            lines += rows.lines
            progress(len(lines))
    _conclude(reading, say)
    if not parts:
        rated = "" if min_difficulty is None else f" with a rating of {min_difficulty} or more"
        raise ValueError(f"{path} has no puzzles{rated}")
    inputs, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return CsvExamples(inputs, labels, np.array(lines, np.int64))


def _conclude(reading: CsvReading, say: Say) -> None:
    """Say what was taken as something else, and refuse a file with bad rows."""
    if reading.taken:
        say(f"{reading.path}: read {', '.join(reading.taken)}")
    if reading.problems:
        raise BadRows(reading.path, sorted(reading.problems))


def subset(examples: CsvExamples, size: int | None, seed: int) -> CsvExamples:
    """Keep `size` random puzzles, or all where `size` is None.

    Raises:
      ValueError: there are not as many.
    """
    num = len(examples.inputs)
    if size is None:
        return examples
    if not 1 <= size <= num:
        raise ValueError(f"subsample must be 1 to {num}, got {size}")
    return examples.take(np.random.default_rng(seed).choice(num, size, replace=False))


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
        name = "bytes that are no UTF-8" if symbol == REPLACED else f"the unknown symbol {symbol!r}"
        wrong.setdefault(i, f"{what} has {name}")
    return decoded
