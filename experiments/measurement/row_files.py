"""Folders of rows: what every resumable program writes and reads, whatever its rows are.

    SPEC.json     {"kind": ..., "spec": {...}, "runs": [environment of every start]}, replaced in
                  one piece
    ROWS.jsonl    one row per line, in the order in which they were finished, append-only
    ROWS.parquet  rows from before those, packed (experiments.pack); of layouts that have a form

With several processes each writes files of its own, SPEC-K.json and ROWS-K.jsonl. A row is
complete or absent: it is written in one piece and synced; a last line without its newline was cut
off by a kill and is dropped. Rows of another digest are refused. Where a kill left both kinds of
the same rows, they are read once: the packed file says which lines it was made from.

A program states what its folder holds in a `FolderLayout` (sweep/rows.py, ablate/rows.py,
arc/rows.py, deploy/*/rows.py). Not here: what decides the numbers of a row, and which rows are
missing (spec.py); how JSON becomes a row (trm_jax/typed_json.py); files of packed rows (packed).
"""

import dataclasses
import json
import math
import os
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from experiments.measurement.packed.arrays import CURE, RowGroup
from experiments.measurement.row_checks import MOST, check_within
from experiments.measurement.spec import KeyedRow, RowSpec
from trm_jax.output.ownership import OutputKind, check_output
from trm_jax.output.staging import replace_text
from trm_jax.typed_json import encode, parse_json, read_fields

Line = TypeVar("Line")
SpecT = TypeVar("SpecT", bound=RowSpec)
RowT = TypeVar("RowT", bound=KeyedRow)


TAIL = 2**16  # bytes of a file's end that are read at a time
LINES, PACKED = ".jsonl", ".parquet"
LATER = "later"
"""In the metadata of a row's field: it came with a later version, and its default means that
nobody asked for it. Rows without it stay as earlier versions wrote and read them."""
RERUN = "delete the line and run the program again"
"""The cure of a program that goes on when it is run again, without --resume."""


Placed = Iterator[tuple[str, Any]]
"""Rows, each with its place as text."""


class RowFiles(NamedTuple):
    """The files that hold the rows of one process; None: it is not there.

    Attributes:
      packed: its rows come first.
      lines: appended to.
    """

    packed: Path | None
    lines: Path | None


class RowHead(NamedTuple):
    """What a packed row is of, without its numbers."""

    digest: str
    key: tuple


@dataclass(frozen=True)
class PackedForm:
    """How packed rows are read.

    Attributes:
      key: NamedTuple of the fields that name a row's unit of work.
      compact: (one row of arrays, how many rows it is of) -> what readers take of each.
    """

    key: Any
    compact: Callable[[Any, int], Iterable[KeyedRow]]


@dataclass(frozen=True)
class FolderLayout(Generic[SpecT, RowT]):
    """What the folders of a program hold.

    Attributes:
      noun: what a folder is, in messages: "sweep", "ablation".
      spec, row: the types of both files' contents.
      spec_name, rows_name: of the files, without number and ending.
      output: how such a folder is told from others.
      kind: written into the spec's file; empty: the noun.
      cure: what to do about a damaged line.
      packed: of rows that experiments.pack takes.
    """

    noun: str
    spec: type[SpecT]
    row: type[RowT]
    spec_name: str
    output: OutputKind
    kind: str = ""
    rows_name: str = "rows"
    cure: str = "delete the line and --resume"
    packed: PackedForm | None = None

    @property
    def a_noun(self) -> str:
        return f"{'an' if self.noun[0] in 'aeio' else 'a'} {self.noun}"


@dataclass(frozen=True, kw_only=True)
class SpecDocument:
    """The file that says what a folder is.

    Attributes:
      spec: as JSON has it.
      runs: environments of every start.
      kind: empty in folders of earlier versions.
    """

    spec: dict[str, Any]
    runs: tuple[dict[str, Any], ...]
    kind: str = ""


class ResultFolder(Generic[SpecT, RowT]):
    """The files of one process in a folder of results, and the reading of those of all.

    Attributes:
      path: the folder.
      layout: what it holds.
      spec_file, rows_file: of this process; `process` is None where there is only one.
    """

    def __init__(
        self, path: Path, layout: FolderLayout[SpecT, RowT], process: int | None = None
    ) -> None:
        suffix = "" if process is None else f"-{process}"
        self.path, self.layout = path, layout
        self.spec_file = path / f"{layout.spec_name}{suffix}.json"
        self.rows_file = path / f"{layout.rows_name}{suffix}{LINES}"

    def check(self, spec: SpecT, *, resume: bool) -> None:
        """Refuse a folder that this spec's rows must not be written into. Changes nothing.

        Raises:
          FileExistsError: the folder is in use and `resume` is off, or it is of another program.
          ValueError: its rows are of another spec; the message says what differs.
        """
        check_output(self.path, self.layout.output, resume=resume)
        for earlier in self.read_specs():
            if problems := earlier.conflicts(spec):
                raise ValueError(
                    f"{self.path} holds rows of another {self.layout.noun}"
                    f" ({'; '.join(problems)}); choose another --out"
                )

    def open(self, spec: SpecT, environment: Mapping[str, Any]) -> None:
        """Note the start of a run, widen the spec to it, and drop a line that a kill cut off."""
        self.path.mkdir(parents=True, exist_ok=True)
        runs = [environment]
        if self.spec_file.exists():
            runs = [*self._document(self.spec_file).runs, environment]
            spec = self._spec(self.spec_file).widened(spec)
        layout = self.layout
        kind = layout.kind or layout.noun
        write_document(self.spec_file, dataclasses.asdict(spec), runs, kind)
        drop_torn_line(self.rows_file)

    def append(self, row: RowT) -> None:
        """Write a finished row and wait until it is on the disk."""
        append_row(self.rows_file, row)

    def read_specs(self) -> list[SpecT]:
        """Read the specs of all processes.

        Raises:
          ValueError: one is damaged.
        """
        return [
            self._spec(file) for file in sorted(self.path.glob(f"{self.layout.spec_name}*.json"))
        ]

    def read_spec(self) -> SpecT:
        """Read the specs of all processes as one.

        Raises:
          FileNotFoundError: the folder holds none.
          ValueError: one is damaged, or they are of different runs.
        """
        return merge_specs([self])

    def read_rows(self, spec: SpecT) -> list[RowT]:
        """Read the rows of all processes at once.

        Raises:
          ValueError: as `iter_rows`.
        """
        return list(self.iter_rows(spec))

    def iter_rows(self, spec: SpecT) -> Iterator[RowT]:
        """Read the rows of all processes one after the other, a cut-off last line left out.

        Packed rows come as the layout's `PackedForm.compact` makes them.

        Raises:
          ValueError: a line or packed row is damaged, or of another spec.
          ModuleNotFoundError: rows are packed, and pyarrow is not installed.
        """
        return self._iter(spec, self._packed_rows)

    def iter_heads(self, spec: SpecT) -> Iterator[KeyedRow]:
        """Read what rows are of; the numbers of packed rows are not read.

        Raises:
          As `iter_rows`.
        """
        return self._iter(spec, self._packed_heads)

    def check_packed(self, spec: SpecT, file: Path) -> None:
        """Read a packed file, whatever its name, as `iter_rows` does.

        Raises:
          ValueError: as `iter_rows`.
        """
        for _ in self._iter(spec, self._packed_rows, [RowFiles(file, None)]):
            pass

    def row_files(self) -> list[RowFiles]:
        """List the files of rows, process by process."""
        layout = self.layout
        lines = set(self.path.glob(f"{layout.rows_name}*{LINES}"))
        packed = set(self.path.glob(f"{layout.rows_name}*{PACKED}")) if layout.packed else set()
        names = {file.with_suffix("") for file in lines | packed}
        pairs = [(name.with_suffix(PACKED), name.with_suffix(LINES)) for name in sorted(names)]
        return [RowFiles(p if p in packed else None, n if n in lines else None) for p, n in pairs]

    def _iter(
        self,
        spec: SpecT,
        read_packed: Callable[[SpecT, Path], Placed],
        files: Sequence[RowFiles] | None = None,
    ) -> Iterator[Any]:
        """Read rows from both kinds of files, none twice."""
        places: dict[tuple, str] = {}
        for packed, lines in self.row_files() if files is None else files:
            parts = [(read_packed(spec, packed), CURE)] if packed else []
            if lines:
                parts.append((self._appended(spec, packed, lines), self.layout.cure))
            for rows, cure in parts:
                for place, row in rows:
                    if (first := places.setdefault(row.key, place)) != place:
                        raise ValueError(f"{place} is of the same work as {first}; {cure}")
                    yield row

    def _appended(self, spec: SpecT, packed: Path | None, lines: Path) -> Placed:
        """Read the lines behind those that are packed."""
        try:
            skipped = 0
            if packed is not None:
                from experiments.measurement.packed.row_groups import count_repeated  # an extra

                skipped = count_repeated(packed, lines, self.layout.row)
            for place, row in _lines_of(lines, self.layout.row, self.layout.cure, skipped):
                self._check(spec, row, place, self.layout.cure)
                yield place, row
        except FileNotFoundError as error:
            if os.path.lexists(lines):
                raise
            raise FileNotFoundError(
                f"{lines} was packed while it was read; run the program again"
            ) from error

    def _packed_rows(self, spec: SpecT, file: Path) -> Placed:
        from experiments.measurement.packed.row_groups import read_groups  # an extra

        for group in read_groups(file, self.layout.row):
            yield from self._check_group(spec, file, group)

    def _packed_heads(self, spec: SpecT, file: Path) -> Placed:
        from experiments.measurement.packed.row_groups import read_groups  # an extra

        assert self.layout.packed is not None
        names = self.layout.packed.key._fields
        for group in read_groups(file, self.layout.row, ("digest", *names)):
            for number, fields in enumerate(group.rows(), group.first):
                key = self.layout.packed.key(*(fields[name] for name in names))
                head = RowHead(fields["digest"], key)
                self._check_digest(spec, head, place := f"{file}, row {number}", CURE)
                yield place, head

    def _check_group(self, spec: SpecT, file: Path, group: RowGroup) -> list[tuple[str, Any]]:
        """Check rows all at once; if that fails one by one, to name the row."""
        from experiments.measurement.packed.row_groups import damage  # an extra

        layout = self.layout
        assert layout.packed is not None
        places = [f"{file}, row {group.first + at}" for at in range(group.size)]
        try:
            whole = layout.row(**group.fields)
            rows = list(layout.packed.compact(whole, group.size))
            for place, row in zip(places, rows, strict=True):
                self._check_digest(spec, row, place, CURE)
            spec.check_row(whole)
        except ValueError as error:
            for place, fields in zip(places, group.rows(), strict=True):
                try:
                    row = layout.row(**fields)
                except ValueError as reason:
                    raise damage(place, reason) from reason
                self._check(spec, row, place, CURE)
            raise damage(file, error) from error
        return list(zip(places, rows, strict=True))

    def _check(self, spec: SpecT, row: RowT, place: str, cure: str) -> None:
        """Check a row against the spec that it must belong to."""
        self._check_digest(spec, row, place, cure)
        try:
            spec.check_row(row)
        except ValueError as error:
            raise ValueError(f"{place} is damaged ({error}); {cure}") from error

    def _check_digest(self, spec: SpecT, row: KeyedRow, place: str, cure: str) -> None:
        try:
            expected = spec.digest_for(row)
        except ValueError as error:
            raise ValueError(f"{place} is damaged ({error}); {cure}") from error
        if row.digest != expected:
            key = " ".join(map(str, row.key))
            raise ValueError(
                f"{place} is of another {self.layout.noun} ({key}: digest {row.digest}, not"
                f" {expected}); {cure}, or choose another folder"
            )

    def _document(self, file: Path) -> SpecDocument:
        layout = self.layout
        return read_document(file, layout.a_noun, layout.kind or layout.noun)

    def _spec(self, file: Path) -> SpecT:
        stored = self._document(file).spec
        try:
            return read_fields(self.layout.spec, stored)
        except ValueError as error:
            raise ValueError(f"{file} is not the spec of {self.layout.a_noun}: {error}") from error


def merge_specs(folders: Sequence[ResultFolder[SpecT, RowT]]) -> SpecT:
    """Join the specs of folders of one layout.

    Raises:
      FileNotFoundError: a folder has none.
      ValueError: they do not belong together, or are damaged.
    """
    specs = []
    for folder in folders:
        if not (own := folder.read_specs()):
            layout = folder.layout
            raise FileNotFoundError(
                f"{folder.path} holds no {layout.noun} (no {layout.spec_name}.json)"
            )
        specs += own
    joined = specs[0]
    for spec in specs[1:]:
        if problems := joined.conflicts(spec):
            noun = folders[0].layout.noun
            raise ValueError(f"rows of different {noun}s do not merge: {'; '.join(problems)}")
        joined = joined.widened(spec)
    return joined


def merge_folders(folders: Sequence[ResultFolder[SpecT, RowT]]) -> tuple[SpecT, list[RowT]]:
    """Join the rows of folders of one layout.

    Raises:
      FileNotFoundError: a folder has no spec.
      ValueError: the folders do not belong together, or are damaged.
    """
    spec = merge_specs(folders)
    return spec, list(merged_rows(folders, spec))


def merged_rows(folders: Sequence[ResultFolder[SpecT, RowT]], spec: SpecT) -> Iterator[RowT]:
    """Read the rows of folders one after the other.

    Args:
      spec: of all (`merge_specs`).

    Raises:
      ValueError: a folder is damaged, or has rows of nothing that the spec lists.
    """
    for folder in folders:
        for row in folder.iter_rows(spec):
            if not spec.lists(row):
                key = " ".join(map(str, row.key))
                raise ValueError(
                    f"{folder.path} has a row of nothing that its {folder.layout.spec_name}.json"
                    f" lists ({key}); {folder.layout.cure}"
                )
            yield row


def write_document(
    file: Path, spec: Mapping[str, Any], runs: Sequence[Mapping[str, Any]], kind: str
) -> None:
    """Write what a folder is and every start of its program, in one piece."""
    document = {"kind": kind, "spec": spec, "runs": runs}
    replace_text(file, json.dumps(document, indent=1, default=encode) + "\n")


def read_document(file: Path, noun: str, kind: str = "") -> SpecDocument:
    """Read what `write_document` wrote.

    Args:
      noun: what the folder should be, for the message.
      kind: that the document must be of, where it says one: earlier versions did not.

    Raises:
      ValueError: it is damaged, or of another kind.
    """
    try:
        values = parse_json(file.read_bytes())
        if not (isinstance(values, dict) and {"spec", "runs"} <= values.keys()):
            raise ValueError("it needs `spec` and `runs`")
        document = read_fields(SpecDocument, values)
    except ValueError as error:
        raise ValueError(f"{file} is not the spec of {noun}: {error}") from error
    if kind and document.kind and document.kind != kind:
        raise ValueError(f"{file} is of a {document.kind}, not of {noun}; choose another folder")
    return document


def append_row(file: Path, row: Any) -> None:
    """Write a dataclass or mapping as one line of JSON, in one piece, and wait for the disk.

    Raises:
      ValueError: a number is not finite: the line could never be read.
    """
    if not isinstance(row, Mapping):
        row = said_fields(type(row), dataclasses.asdict(row))
    line = line_of(row) + "\n"
    with file.open("ab") as handle:
        handle.write(line.encode())
        handle.flush()
        os.fsync(handle.fileno())


def said_fields(kind: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Lay a row out; a field that came later is left out where it says nothing (LATER)."""
    silent = {f.name: f.default for f in dataclasses.fields(kind) if f.metadata.get(LATER)}
    return {k: v for k, v in values.items() if k not in silent or v != silent[k]}


def line_of(fields: Mapping[str, Any]) -> str:
    """Write a row as JSON, without its newline.

    Raises:
      ValueError: as `append_row`; the message names the row and the field.
    """
    for name, value in fields.items():
        try:
            json.dumps(value, default=encode, allow_nan=False)
        except ValueError as error:
            what = ", ".join(f"{k} {v}" for k, v in fields.items() if isinstance(v, str | int))
            raise ValueError(
                f"{name} is not a finite number in the row of {what}; nothing was written of it:"
                " leave out what overflows (a narrower dtype, a coarser scheme)"
            ) from error
    return write_line(fields)


def write_line(fields: Mapping[str, Any]) -> str:
    """Write a row whose numbers are known to be finite."""
    return json.dumps(fields, separators=(",", ":"), default=encode)


def drop_torn_line(file: Path) -> None:
    """Cut off the last line if a kill left it without its newline."""
    if file.exists():
        os.truncate(file, _end_of_lines(file))


def _end_of_lines(file: Path) -> int:
    """Find where the last whole line of a file ends; of a large file its end alone is read."""
    with file.open("rb") as handle:
        end = handle.seek(0, os.SEEK_END)
        while end > 0:
            start = max(end - TAIL, 0)
            handle.seek(start)
            if (at := handle.read(end - start).rfind(b"\n")) >= 0:
                return start + at + 1
            end = start
    return 0


def read_lines(
    file: Path, kind: type[Line] | types.GenericAlias, cure: str
) -> Iterator[tuple[str, Line]]:
    """Read the rows of a file, each with its place as text; no file has none.

    Args:
      kind: dataclass or NamedTuple of a row, or a mapping.
      cure: what to do about a damaged line.

    Raises:
      ValueError: a line is damaged.
    """
    if os.path.lexists(file):  # a link to nowhere is damage, not the lack of rows
        yield from _lines_of(file, kind, cure)


def _lines_of(
    file: Path, kind: type[Line] | types.GenericAlias, cure: str, skipped: int = 0
) -> Iterator[tuple[str, Line]]:
    """Read the rows of a file that is there, behind so many lines that are not looked at."""
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.endswith(b"\n"):
                return  # cut off by a kill
            if number <= skipped:
                continue
            place = f"{file}, line {number}"
            try:
                row = read_fields(kind, parse_json(line[:-1]))
            except ValueError as error:
                raise ValueError(f"{place} is damaged ({error}); {cure}") from error
            yield place, row


def write_records(file: Path, records: Sequence[Mapping[str, Any]]) -> None:
    """Write a whole file of records, one per line: they are recomputed, not resumed.

    JSON has no NaN, such as an end of an interval that one puzzle does not give: it becomes null.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = [{k: None if v != v else v for k, v in record.items()} for record in records]
    replace_text(file, "".join(json.dumps(line, allow_nan=False) + "\n" for line in lines))


def read_records(file: Path, cure: str, kinds: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Read what `write_records` wrote.

    Args:
      kinds: type of every field; of a `float | None` null is read as NaN.

    Raises:
      FileNotFoundError: it is not there.
      ValueError: a line is damaged, or a field is missing, unknown or of another type.
    """
    records = []
    for number, line in enumerate(file.read_bytes().splitlines(), start=1):
        try:
            records.append(_read_record(read_fields(dict[str, Any], parse_json(line)), kinds))
        except ValueError as error:
            raise ValueError(f"{file}, line {number} is damaged ({error}); {cure}") from error
    return records


def _read_record(values: dict[str, Any], kinds: Mapping[str, Any]) -> dict[str, Any]:
    if wrong := sorted(values.keys() ^ kinds.keys()):
        state = "unknown" if wrong[0] in values else "missing"
        raise ValueError(f"field {wrong[0]} is {state}")
    record = {}
    for name, kind in kinds.items():
        (value,) = read_fields(dict[str, kind], {name: values[name]}).values()
        if isinstance(value, int | float):
            check_within(name, value, -MOST)
        record[name] = math.nan if value is None and kind == float | None else value
    return record
