"""What the numbers of a row can be: checks that rows and specs make when they are built or read.

A row that was damaged on the disk (another length, a count beyond its total, a rate above 1) is
refused by name where it is read, not somewhere in a table. A check passes whatever a program can
write: sums of float32 numbers have room for rounding.

Types are checked before (trm_jax/typed_json.py). All functions raise ValueError and name the field.
"""

import re
from collections.abc import Iterable, Mapping, Sized

Sums = tuple[float, float]
"""Sum and sum of squares, as `shards.Moments` has them; that module imports jax, this one none."""

MOST = 1e15  # of a time, a size, a number of operations; what passes it is damage
MOST_SHARDS = 10**6
ROOM = 1e-2  # of a mean cosine: float32 sums over a few hundred features are within 1e-5
SLACK = 1e-6  # of sums in float64, relative
HEX = re.compile(r"(?:[0-9a-f]{2})*")


def check_within(name: str, value: float, least: float, most: float = MOST) -> None:
    """Check that a number lies in a range, both ends included."""
    if not least <= value <= most:
        reach = f"{least:g} or more" if most >= MOST else f"{least:g} to {most:g}"
        raise ValueError(f"field {name} must be {reach}, got {value}")


def check_all_within(values: Mapping[str, float], least: float, most: float = MOST) -> None:
    """Check several numbers by name."""
    for name, value in values.items():
        check_within(name, value, least, most)


def check_length(name: str, values: Sized, length: int) -> None:
    """Check how many values a field has."""
    if len(values) != length:
        raise ValueError(f"field {name} must have {length} values, got {len(values)}")


def check_different(name: str, values: Iterable[object]) -> None:
    """Check that no value is there twice, and one at least."""
    values = list(values)
    if not values or len(set(values)) != len(values):
        raise ValueError(f"field {name} must name different things, one at least, got {values}")


def check_flags(name: str, text: str, count: int) -> None:
    """Check one bit per puzzle in hex (shards.py: to_hex); bits beyond the last puzzle are 0."""
    digits = 2 * -(-count // 8)
    if len(text) != digits or not HEX.fullmatch(text):
        raise ValueError(f"field {name} must be {digits} hexadecimal digits, got {text[:40]!r}")
    if int(text or "0", 16) & ((1 << (4 * digits - count)) - 1):
        raise ValueError(f"field {name} has bits beyond its {count} puzzles, got {text[:40]!r}")


def check_moments(name: str, moments: Sums, count: int, least: float, most: float = MOST) -> None:
    """Check the sums of a shard: of `count` numbers, each from `least` to `most`.

    No sum of squares is less than the square of the sum over the count.
    """
    total, squares = moments
    check_within(f"{name}[0]", total / count, least, most)
    largest = max(abs(least), abs(most)) ** 2
    check_within(f"{name}[1]", squares / count, 0, largest * (1 + SLACK))
    if total * total > count * squares * (1 + SLACK) + SLACK:
        raise ValueError(
            f"field {name} are no sums of {count} numbers and their squares: {moments}"
        )


def check_shard(start: int, stop: int, size: int | None = None) -> None:
    """Check that puzzles or tasks [start, stop) are a shard.

    Args:
      size: of a whole shard; None: any.
    """
    if not 0 <= start < stop <= MOST:
        raise ValueError(f"fields start and stop must be 0 <= start < stop, got {start}, {stop}")
    if size is not None and (start % size or stop - start > size):
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
