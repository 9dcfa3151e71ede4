"""JSON read back into the dataclasses and NamedTuples that it was written from: the one validator.

`dataclasses.asdict` and `json.dumps` write a file or a row; `parse_json` and `read_fields` are the
way back, driven by the annotations of the fields:

    dataclass            an object; a field with a default may be missing, none may be unknown;
                         `read_complete` demands every field, as a model's own files must state it
    NamedTuple           a list, in the order of its fields
    tuple[X, ...]        a list; tuple[X, Y] a list of that length
    dict[str, X]         an object
    Enum                 one of its values
    X | None, X | Y      what the first fitting alternative reads
    int, float, str, bool    itself; a float may be written as an integer, and stays what it is
    a class with `from_json`, a classmethod: what that makes of the value, ValueError refuses it;
                         of a union whose classes share one `from_json`, likewise

JSON is read strictly: NaN, Infinity and numbers that overflow to it, a name given twice, and
nesting too deep for the parser are refused. What a value means beyond its type (a width that must
be positive) is checked by the dataclass itself, in `__post_init__`.

Not here: lines of rows (experiments/measurement/row_files.py).
"""

import dataclasses
import enum
import functools
import json
import math
import reprlib
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

Fields = TypeVar("Fields")
Place = tuple[Any, str | int] | None
"""Where a value stands: the place of what holds it, and its name or index there. It is written out
where a value is refused alone, since most never are."""
Reader = Callable[[Any, Place], Any]
"""(value as JSON has it, where it stands) -> value; raises ValueError."""

SHOWN = reprlib.Repr()
SHOWN.maxlevel, SHOWN.maxstring, SHOWN.maxlong, SHOWN.maxother = 3, 80, 80, 80

LARGEST = 2**63 - 1  # of an integer: what is longer fits no array and overflows as a float
MOST_DIGITS = 1000  # of an integer; Python's own bound is met at 4300, with words for programmers
LISTS = (list, tuple)
NAMES = {int: "an integer", float: "a number", str: "a text", bool: "true or false"}


def parse_json(text: str | bytes) -> Any:
    """Parse JSON as RFC 8259 has it.

    Raises:
      ValueError: not JSON or not UTF-8; a name given twice in one object; NaN or Infinity, which
        JSON does not have; or nested too deeply.
    """
    try:
        return json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_refuse_constant,
            parse_int=_read_integer,
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None


def read_json(file: Path) -> Any:
    """Parse a file of JSON.

    Raises:
      OSError: it cannot be read.
      ValueError: as `parse_json`; the message names the file.
    """
    try:
        return parse_json(file.read_bytes())
    except ValueError as error:
        raise ValueError(f"{file} is truncated or not JSON: {error}") from error


def read_fields(kind: type[Fields] | types.GenericAlias, values: Any) -> Fields:
    """Build a dataclass, NamedTuple or generic of the module docstring from its JSON form.

    Raises:
      ValueError: a field is missing, unknown or of another type; the message names it.
      TypeError: `kind` has a field that this module does not read.
    """
    return _reader(kind)(values, None)


def read_complete(kind: type[Fields], values: Any) -> Fields:
    """Build a dataclass whose every field must be there, those with a default too.

    A default is what a caller means who leaves an argument out. A file that lacks a field means
    nothing by it: it was written by another version, or damaged. A `from_json` of its own is not
    asked: it may be the caller.

    Raises:
      As `read_fields`.
    """
    if isinstance(values, dict):
        names = [field.name for field in dataclasses.fields(kind) if field.init]  # type: ignore[arg-type]
        if missing := [name for name in names if name not in values]:
            raise ValueError(f"field {missing[0]} is missing")
    return _dataclass_reader(kind)(values, None)


def encode(value: Any) -> Any:
    """Write what JSON has no form for: an Enum as its value (`default` of json.dumps)."""
    if isinstance(value, enum.Enum):
        return value.value
    raise TypeError(f"{type(value).__name__} has no form in JSON")


@functools.cache
def _reader(kind: Any) -> Reader:
    """Make the reader of a type, once."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return lambda value, place: value
    if kind is float:
        return _read_float
    if kind in NAMES or kind is types.NoneType:
        return functools.partial(_read_scalar, kind)
    is_union = origin in (typing.Union, types.UnionType)
    if own := _own_reader(arguments if is_union else (kind,)):
        return own
    if is_union:
        return functools.partial(_read_union, tuple(map(_reader, arguments)))
    if origin is tuple and arguments[1:] == (Ellipsis,):
        return functools.partial(_read_list, _reader(arguments[0]))
    if origin is tuple:
        return functools.partial(_read_tuple, tuple(map(_reader, arguments)))
    if origin in (dict, Mapping):
        return functools.partial(_read_mapping, _reader(arguments[1]))
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return functools.partial(_read_enum, kind)
    if dataclasses.is_dataclass(kind):
        return _dataclass_reader(kind)
    if isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return _named_tuple_reader(kind)
    raise TypeError(f"fields of type {kind} are not read from JSON")


def _own_reader(kinds: tuple[Any, ...]) -> Reader | None:
    """Make a reader of the `from_json` that all of some classes share; None where they do not."""
    own = {getattr(getattr(kind, "from_json", None), "__func__", None) for kind in kinds}
    if len(own) > 1 or None in own:
        return None

    def read(value: Any, place: Place) -> Any:
        try:
            return kinds[0].from_json(value)
        except ValueError as error:
            raise ValueError(f"{_text(place)}: {error}" if place else str(error)) from error

    return read


def _read_float(value: Any, place: Place) -> Any:
    if type(value) is float and math.isfinite(value):  # nearly all are
        return value
    fits = isinstance(value, int | float) and not isinstance(value, bool) and _is_finite(value)
    return value if fits else _refuse(place, NAMES[float], value)


def _read_scalar(kind: Any, value: Any, place: Place) -> Any:
    if kind is types.NoneType:
        fits = value is None
    else:
        fits = type(value) is kind and (kind is not int or -LARGEST <= value <= LARGEST)
    return value if fits else _refuse(place, NAMES.get(kind, "null"), value)


def _read_union(readers: tuple[Reader, ...], value: Any, place: Place) -> Any:
    reasons = []
    for read in readers:
        try:
            return read(value, place)
        except ValueError as error:
            reasons.append(str(error))
    raise ValueError(reasons[0])


def _read_list(read: Reader, value: Any, place: Place) -> tuple[Any, ...]:
    items = value if isinstance(value, LISTS) else _refuse(place, "a list", value)
    return tuple([read(item, (place, i)) for i, item in enumerate(items)])


def _read_places(readers: tuple[Reader, ...], value: Any, place: Place) -> list[Any]:
    if not isinstance(value, LISTS) or len(value) != len(readers):
        _refuse(place, f"a list of {len(readers)}", value)
    return [readers[i](item, (place, i)) for i, item in enumerate(value)]


def _read_tuple(readers: tuple[Reader, ...], value: Any, place: Place) -> tuple[Any, ...]:
    return tuple(_read_places(readers, value, place))


def _read_mapping(read: Reader, value: Any, place: Place) -> dict[str, Any]:
    items = value if isinstance(value, dict) else _refuse(place, "an object", value)
    return {name: read(item, (place, name)) for name, item in items.items()}


def _read_enum(kind: type[enum.Enum], value: Any, place: Place) -> enum.Enum:
    try:
        return kind(value)
    except ValueError:
        return _refuse(place, f"one of {[member.value for member in kind]}", value)


@functools.cache
def _dataclass_reader(kind: Any) -> Reader:
    hints = typing.get_type_hints(kind)
    fields = [field for field in dataclasses.fields(kind) if field.init]
    readers = {field.name: _reader(hints[field.name]) for field in fields}
    nothing = dataclasses.MISSING
    required = [f.name for f in fields if f.default is nothing and f.default_factory is nothing]

    def read(value: Any, place: Place) -> Any:
        values = value if isinstance(value, dict) else _refuse(place, "an object", value)
        if missing := [name for name in required if name not in values]:
            raise ValueError(f"field {_text((place, missing[0]))} is missing")
        if unknown := [name for name in values if name not in readers]:
            raise ValueError(f"field {_text((place, unknown[0]))} is unknown")
        return kind(**{name: readers[name](v, (place, name)) for name, v in values.items()})

    return read


def _named_tuple_reader(kind: Any) -> Reader:
    hints = typing.get_type_hints(kind)
    readers = tuple(_reader(hints[name]) for name in kind._fields)
    return lambda value, place: kind(*_read_places(readers, value, place))


def _text(place: Place) -> str:
    if place is None:
        return ""
    holder, name = place
    if isinstance(name, int):
        return f"{_text(holder)}[{name}]"
    return f"{_text(holder)}.{name}" if holder else name


def _refuse(place: Place, needed: str, value: Any) -> typing.NoReturn:
    where = f"field {_text(place)}" if place else "the line"
    shown = SHOWN.repr(value)  # repr() of a list that holds itself many times over never ends
    shown = shown if len(shown) <= 40 else f"{shown[:37]}..."
    raise ValueError(f"{where} must be {needed}, got {shown}")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {twice!r} is given twice")
    return values


def _is_finite(value: int | float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond the floats
        return False


def _read_integer(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"the number {digits[:20]}... has {len(digits)} digits")
    return int(digits)


def _refuse_constant(constant: str) -> typing.NoReturn:
    raise ValueError(f"{constant} is no number of JSON")
