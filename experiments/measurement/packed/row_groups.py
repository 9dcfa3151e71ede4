"""A file of packed rows: written once, read a group of rows at a time, only the columns asked for.

    rows.parquet    the rows of a rows.jsonl in their order, one column per field, none nullable:

        int             int64
        float           double
        str             string
        tuple[X, ...]   list of X
        NamedTuple      struct of its fields

    A row group has at most GROUP rows. In it all lists of a field have one length, and so have all
    texts in lists: a shorter shard begins another group. Pages have checksums. The footer's
    metadata has a key `lines`: {"kind", "rows", "size", "sha256"} of what was packed.

All functions raise ValueError for a damaged file, and name it. Not here: what a group is read as
(arrays.py); the steps that replace lines by such a file and back (experiments/pack).
"""

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import sys
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from experiments.measurement.packed.arrays import CURE, RowGroup, take_every
from trm_jax.typed_json import parse_json, read_fields

GROUP = 4096
PART = 2**20  # bytes that are hashed at a time
SCALARS = {int: pa.int64(), float: pa.float64(), str: pa.string()}
LINES = b"lines"


@dataclass(frozen=True, kw_only=True)
class PackedLines:
    """What a file says of the lines that it was packed from.

    Attributes:
      kind: name of the type of row.
      rows: how many lines.
      size: bytes of the lines.
      sha256: of the lines.
    """

    kind: str
    rows: int
    size: int
    sha256: str


def write_groups(
    file: Path,
    kind: type,
    groups: Iterable[Sequence[Mapping[str, Any]]],
    packed_lines: Callable[[], PackedLines],
) -> None:
    """Write groups of rows and wait until they are on the disk.

    Args:
      kind: dataclass of a row.
      groups: fields of rows as JSON has them; a field that is missing has its default.
      packed_lines: says what they are, when all groups were taken.

    Raises:
      ValueError, TypeError, KeyError, OverflowError: a field does not fit its column.
    """
    hints, defaults, schema = _hints(kind), _defaults(kind), _schema(kind)
    texts: Any = [name for name, hint in hints.items() if hint is str]  # of values that differ
    with (
        file.open("wb") as handle,
        pq.ParquetWriter(
            handle,
            schema,
            compression="zstd",
            use_dictionary=texts,
            write_statistics=False,
            write_page_checksum=True,
            store_schema=False,
        ) as writer,
    ):
        for group in groups:
            rows = [{**defaults, **row} for row in group]
            columns = [_column(hints[name], [row[name] for row in rows]) for name in schema.names]
            writer.write_table(pa.table(columns, schema), row_group_size=GROUP)
        said = dataclasses.asdict(packed_lines())
        writer.add_key_value_metadata({LINES: json.dumps(said).encode()})
        writer.close()
        handle.flush()
        os.fsync(handle.fileno())


def read_groups(file: Path, kind: type, names: Sequence[str] = ()) -> Iterator[RowGroup]:
    """Read a file group by group.

    Args:
      kind: dataclass of a row.
      names: of the fields to read; none: all.

    Raises:
      ValueError: the file is damaged, or of another kind of rows.
    """
    with _opened(file, kind) as parquet:
        first = 1
        for at in range(parquet.num_row_groups):
            with explained(file):
                group = _read_group(parquet, at, first, kind, names)
            yield group
            first += group.size


def read_packed_lines(file: Path, kind: type) -> PackedLines:
    """Read what a file says of the lines that it was packed from.

    Raises:
      ValueError: as `read_groups`.
    """
    with _opened(file, kind) as parquet, explained(file):
        return _packed_lines(parquet)


def count_repeated(file: Path, lines: Path, kind: type) -> int:
    """Count the lines at the beginning of another file that were packed into this one.

    Returns:
      All that were packed, or 0: a kill left both files, or the lines are of later rows.

    Raises:
      ValueError, OSError: as `read_groups`, or one of the files is not there.
    """
    said = read_packed_lines(file, kind)
    if lines.stat().st_size < said.size:
        return 0
    digest, left = hashlib.sha256(), said.size
    with lines.open("rb") as handle:
        while left > 0 and (part := handle.read(min(left, PART))):
            digest.update(part)
            left -= len(part)
    return said.rows if digest.hexdigest() == said.sha256 else 0


@contextlib.contextmanager
def explained(file: Path) -> Iterator[None]:
    """Name a file in errors that say that it is damaged."""
    try:
        yield
    except OSError as error:
        if error.errno is not None:  # of the system; pyarrow's own have none
            raise
        raise damage(file, error) from error
    except (pa.ArrowException, ValueError) as error:
        if isinstance(error, MemoryError):
            raise
        raise damage(file, error) from error


def damage(place: Path | str, error: Exception) -> ValueError:
    """Say that a file, or something in it, is damaged, and what to do."""
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return ValueError(f"{place} is damaged ({reason}); {CURE}")


@contextlib.contextmanager
def _opened(file: Path, kind: type) -> Iterator[pq.ParquetFile]:
    """Open a file and check that it holds the columns of a kind of rows."""
    with explained(file):
        parquet = pq.ParquetFile(file, page_checksum_verification=True)
    with parquet:
        with explained(file):
            _check_columns(parquet, kind)
        yield parquet


def _check_columns(parquet: pq.ParquetFile, kind: type) -> None:
    wanted, found = _schema(kind), parquet.schema_arrow
    if missing := [name for name in wanted.names if name not in found.names]:
        raise ValueError(f"column {missing[0]} is missing")
    if unknown := [name for name in found.names if name not in wanted.names]:
        raise ValueError(f"column {unknown[0]} is unknown")
    for field in wanted:
        if found.field(field.name) != field:
            raise ValueError(f"column {field.name} must be {field.type}")
    said = _packed_lines(parquet)
    if said.kind != kind.__name__:
        raise ValueError(f"it holds {said.kind}, not {kind.__name__}")
    if said.rows != (rows := parquet.metadata.num_rows):
        raise ValueError(f"it has {rows} rows of {said.rows}")


def _packed_lines(parquet: pq.ParquetFile) -> PackedLines:
    text = (parquet.metadata.metadata or {}).get(LINES)
    if text is None:
        raise ValueError("it does not say what it was packed from")
    return read_fields(PackedLines, parse_json(text))


def _read_group(
    parquet: pq.ParquetFile, at: int, first: int, kind: type, names: Sequence[str]
) -> RowGroup:
    hints = _hints(kind)
    table = parquet.read_row_group(at, columns=list(names or _schema(kind).names))
    fields = {}
    for name in table.column_names:
        column = table.column(name).combine_chunks()
        try:
            fields[name] = _shared(column) if hints[name] is str else _arrays(hints[name], column)
        except ValueError as error:
            raise ValueError(f"rows from {first}: column {name} {error}") from error
    return RowGroup(first, table.num_rows, fields)


# From types to columns


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


@functools.cache
def _schema(kind: type) -> pa.Schema:
    hints = _hints(kind)
    return pa.schema([_field(each.name, hints[each.name]) for each in dataclasses.fields(kind)])


def _field(name: str, kind: Any) -> pa.Field:
    return pa.field(name, _arrow_type(kind), nullable=False)


def _arrow_type(kind: Any) -> pa.DataType:
    if kind in SCALARS:
        return SCALARS[kind]
    if (item := _item(kind)) is not None:
        return pa.list_(_field("element", item))
    return pa.struct([_field(name, hint) for name, hint in _hints(kind).items()])


def _item(kind: Any) -> Any:
    """Return X of tuple[X, ...]; None of other types."""
    return typing.get_args(kind)[0] if typing.get_origin(kind) is tuple else None


def _defaults(kind: type) -> dict[str, Any]:
    fields = dataclasses.fields(kind)
    return {each.name: each.default for each in fields if each.default is not dataclasses.MISSING}


def _column(kind: Any, values: Sequence[Any]) -> pa.Array:
    """Build a column of values as JSON has them, the innermost lists first."""
    arrow = _arrow_type(kind)
    if kind in SCALARS:
        return pa.array(values, arrow)
    if (item := _item(kind)) is not None:
        ends = pa.array(np.cumsum([0, *map(len, values)]), pa.int32())
        inner = _column(item, list(chain.from_iterable(values)))
        return pa.ListArray.from_arrays(ends, inner, type=arrow)
    hints = list(_hints(kind).values())
    parts = list(zip(*values, strict=True)) or [()] * len(hints)
    columns = [_column(hint, part) for hint, part in zip(hints, parts, strict=True)]
    return pa.StructArray.from_arrays(columns, fields=list(arrow))


# From columns to a row of arrays, and to rows


def _arrays(kind: Any, column: pa.Array) -> Any:
    """Read a column as the field of one row of arrays."""
    if kind is str:
        return _texts(column)
    if kind in SCALARS:
        return column.to_numpy()
    if (item := _item(kind)) is not None:
        length = _only(column.value_lengths().to_numpy())
        values = _arrays(item, column.flatten()) if length else ()
        return tuple(take_every(values, at, length) for at in range(length))
    hints = _hints(kind).values()
    return kind(*map(_arrays, hints, column.flatten()))


def _texts(column: pa.StringArray) -> np.ndarray:
    """Read texts of one length as an array of bytes, without a copy."""
    offsets = np.frombuffer(column.buffers()[1], np.int32)
    offsets = offsets[column.offset : column.offset + len(column) + 1]
    if not (length := _only(np.diff(offsets))):
        raise ValueError("has an empty text")
    letters = np.frombuffer(column.buffers()[2], np.uint8)[offsets[0] : offsets[-1]]
    return letters.view(f"S{length}")


def _shared(column: pa.StringArray) -> list[str]:
    """Read texts of which few differ: equal ones are one object."""
    coded = column.dictionary_encode()
    words = [sys.intern(word) for word in coded.dictionary.to_pylist()]
    return [words[index] for index in coded.indices.to_numpy().tolist()]


def _only(lengths: np.ndarray) -> int:
    length = int(lengths[0])
    if (lengths != length).any():
        raise ValueError("has several lengths in a group of rows")
    return length
