"""JSON comes back as the types it was written from, or is refused with the field's name."""

import dataclasses
import enum
import json
import re
from pathlib import Path
from typing import Any

import pytest

from trm_jax.typed_json import encode, parse_json, read_complete, read_fields, read_json


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inner:
    size: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    name: str
    rate: float
    colour: Colour
    inner: Inner
    pairs: tuple[tuple[int, float], ...]
    note: str | None = None
    on: bool = True


RECORD = Record(
    name="a", rate=0.5, colour=Colour.RED, inner=Inner(size=3), pairs=((1, 0.5), (2, 1.0))
)


def as_json(record: Record) -> dict[str, Any]:
    return json.loads(json.dumps(dataclasses.asdict(record), default=encode))


def test_a_record_comes_back() -> None:
    assert read_fields(Record, as_json(RECORD)) == RECORD
    assert read_complete(Record, as_json(RECORD)) == RECORD


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rate": "6"}, "field rate must be a number, got '6'"),
        ({"rate": True}, "field rate must be a number, got True"),
        ({"rate": float("inf")}, "field rate must be a number, got inf"),
        ({"rate": 10**400}, "field rate must be a number, got 1000"),
        ({"inner": {"size": 2.5}}, "field inner.size must be an integer, got 2.5"),
        ({"inner": {"size": 2.0}}, "field inner.size must be an integer, got 2.0"),
        ({"inner": {}}, "field inner.size is missing"),
        ({"inner": []}, "field inner must be an object, got []"),
        ({"on": "false"}, "field on must be true or false, got 'false'"),
        ({"on": 1}, "field on must be true or false, got 1"),
        ({"colour": "blue"}, "field colour must be one of ['red'], got 'blue'"),
        ({"pairs": [[1]]}, "field pairs[0] must be a list of 2, got [1]"),
        ({"more": 1}, "field more is unknown"),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        read_fields(Record, as_json(RECORD) | change)


def test_only_read_complete_demands_fields_with_a_default() -> None:
    values = as_json(RECORD)
    del values["on"]
    assert read_fields(Record, values) == RECORD
    with pytest.raises(ValueError, match="field on is missing"):
        read_complete(Record, values)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shape:
    sides: int

    @classmethod
    def from_json(cls, values: Any) -> "Shape":
        """Choose the class by the number of sides."""
        if not isinstance(values, int) or values < 3:
            raise ValueError(f"a shape has 3 sides or more, got {values}")
        return Triangle(sides=3) if values == 3 else Square(sides=4)


class Triangle(Shape):
    pass


class Square(Shape):
    pass


@dataclasses.dataclass(frozen=True, kw_only=True)
class Drawing:
    shape: Triangle | Square
    others: tuple[Shape, ...] = ()


def test_a_class_reads_itself_and_its_siblings() -> None:
    assert read_fields(Drawing, {"shape": 4}).shape == Square(sides=4)
    assert read_fields(Drawing, {"shape": 3, "others": [4]}).others == (Square(sides=4),)
    with pytest.raises(ValueError, match=r"^others\[0\]: a shape has 3 sides or more, got 2$"):
        read_fields(Drawing, {"shape": 3, "others": [2]})


def test_a_value_that_holds_itself_many_times_is_shown_in_short() -> None:
    nested: Any = ["x"]
    for _ in range(40):
        nested = [nested] * 10
    with pytest.raises(ValueError, match="field on must be true or false") as caught:
        read_fields(Record, {**as_json(RECORD), "on": nested})
    assert len(str(caught.value)) < 100


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": NaN}', "NaN is no number"),
        ('{"a": -Infinity}', "-Infinity is no number"),
        ('{"a": 1, "b": 2, "a": 3}', "the name 'a' is given twice"),
        ("[" * 100_000, "nested too deeply"),
        (b'{"a": "\xff"}', "utf-8"),
        ("", "Expecting value"),
    ],
)
def test_what_is_no_json_is_refused(text: str | bytes, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_json(text)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "record.json"
    file.write_text('{"a": ')
    with pytest.raises(ValueError, match=r"record\.json is truncated or not JSON"):
        read_json(file)


def test_a_number_of_thousands_of_digits_is_refused_in_our_words() -> None:
    assert parse_json("9" * 1000) == 10**1000 - 1
    for digits in (1001, 5000):
        with pytest.raises(ValueError, match=f"has {digits} digits"):
            parse_json("9" * digits)
