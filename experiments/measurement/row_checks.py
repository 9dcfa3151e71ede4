"""What the numbers of a row can be: checks that rows and specs make when they are built or read.

A row that was damaged on the disk (another length, a count beyond its total, a rate above 1) is
refused by name where it is read, not somewhere in a table. A check passes whatever a program can
write: sums of float32 numbers have room for rounding.

A number may be an array of the numbers of many rows, and a text an array of bytes: a check then
holds for all rows or for none (measurement/packed).

Types are checked before (trm_jax/typed_json.py). All functions raise ValueError and name the field.
"""

import functools
import re
from collections.abc import Iterable, Mapping, Sized
from typing import Any

Sums = tuple[float, float]
"""Sum and sum of squares, as `shards.Moments` has them; that module imports jax, this one none."""

MOST = 1e15  # of a time, a size, a number of operations; what passes it is damage
MOST_SHARDS = 10**6
ROOM = 1e-2  # of a mean cosine: float32 sums over a few hundred features are within 1e-5
SLACK = 1e-6  # of sums in float64, relative
HEX = "0123456789abcdef"


def holds(condition: Any) -> bool:
    """Return whether a comparison is true.

    Raises:
      ValueError: it is of arrays, and not true everywhere. Which row it is, and what it has, shows
        when rows are checked one by one.
    """
    if isinstance(condition, bool):
        return condition
    if condition.ndim and not condition.all():
        raise ValueError("a number of one of its rows does not fit the others")
    return bool(condition.all())


def check_within(name: str, value: float, least: float, most: float = MOST) -> None:
    """Check that a number lies in a range, both ends included."""
    if not holds((least <= value) & (value <= most)):
        reach = f"{least:g} or more" if most >= MOST else f"{least:g} to {most:g}"
        raise ValueError(f"field {name} must be {reach}, got {value}")


def check_all_within(values: Mapping[str, float], least: float, most: float = MOST) -> None:
    """Check several numbers by name."""
    for name, value in values.items():
        check_within(name, value, least, most)


def check_length(name: str, values: Sized, length: int) -> None:
    """Check how many values a field has."""
    if not holds(len(values) == length):
        raise ValueError(f"field {name} must have {length} values, got {len(values)}")


def check_different(name: str, values: Iterable[object]) -> None:
    """Check that no value is there twice, and one at least."""
    values = list(values)
    if not values or len(set(values)) != len(values):
        raise ValueError(f"field {name} must name different things, one at least, got {values}")


def check_flags(name: str, text: Any, count: Any) -> None:
    """Check one bit per puzzle in hex (shards.py: to_hex); bits beyond the last puzzle are 0."""
    if isinstance(text, str):
        _check_flags(name, text, len(text), count)
        return
    for each in set(count.tolist()):
        whole = text[count == each].tobytes().decode("latin-1")
        _check_flags(name, whole, text.itemsize, each)


def _check_flags(name: str, texts: str, length: int, count: int) -> None:
    """Check flags that follow each other, `length` digits each."""
    digits = 2 * -(-count // 8)
    if length == digits and flags_form(digits, -count % 8).fullmatch(texts):
        return
    if length == digits and flags_form(digits, 0).fullmatch(texts):
        raise ValueError(f"field {name} has bits beyond its {count} puzzles, got {texts[:40]!r}")
    raise ValueError(f"field {name} must be {digits} hexadecimal digits, got {texts[:40]!r}")


@functools.lru_cache
def flags_form(digits: int, spare: int) -> re.Pattern[str]:
    """Make the form of flags, one after the other, whose last so many bits are 0."""
    high, low = HEX[:: 1 << max(spare - 4, 0)], HEX[:: 1 << min(spare, 4)]
    return re.compile(f"(?:[{HEX}]{{{digits - 2}}}[{high}][{low}])+")


def check_moments(name: str, moments: Sums, count: int, least: float, most: float = MOST) -> None:
    """Check the sums of a shard: of `count` numbers, each from `least` to `most`.

    No sum of squares is less than the square of the sum over the count.
    """
    total, squares = moments
    check_within(f"{name}[0]", total / count, least, most)
    largest = max(abs(least), abs(most)) ** 2
    check_within(f"{name}[1]", squares / count, 0, largest * (1 + SLACK))
    if not holds(total * total <= count * squares * (1 + SLACK) + SLACK):
        raise ValueError(
            f"field {name} are no sums of {count} numbers and their squares: {moments}"
        )


def check_shard(start: int, stop: int, size: int | None = None) -> None:
    """Check that puzzles or tasks [start, stop) are a shard.

    Args:
      size: of a whole shard; None: any.
    """
    if not holds((start >= 0) & (start < stop) & (stop <= MOST)):
        raise ValueError(f"fields start and stop must be 0 <= start < stop, got {start}, {stop}")
    if size is not None and not holds((start % size == 0) & (stop - start <= size)):
        raise ValueError(f"fields start and stop are no shard of {size}, got {start}, {stop}")


def check_shards(total_name: str, total: int, size_name: str, size: int) -> None:
    """Check how many puzzles or tasks there are, and how many are a shard."""
    check_within(total_name, total, 1)
    check_within(size_name, size, 1)
    if total > MOST_SHARDS * size:
        raise ValueError(
            f"field {total_name} must be at most {MOST_SHARDS} times {size_name} ({size}), got"
            f" {total}; take larger shards"
        )
