"""A group of rows as one row of arrays, and the way back.

It has the fields of a row. Every number in them is an array over the rows of the group, every text
in a list such an array of bytes, and every other text a list. Checks that are written for numbers
take arrays too (row_checks.py), so that a group is checked as a row is.

No pyarrow here: rows.py of a program may import this. Not here: files (row_groups.py).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

CURE = "restore it from a copy, or delete it and --resume, which computes its rows again"
"""What to do about a damaged file."""


class RowGroup(NamedTuple):
    """Some rows of a file.

    Attributes:
      first: number of the first one, from 1.
      size: how many.
      fields: those of one row of arrays.
    """

    first: int
    size: int
    fields: dict[str, Any]

    def rows(self) -> list[dict[str, Any]]:
        """Take the rows apart: the fields of each, as a dataclass holds them."""
        columns = [unstack(values, self.size) for values in self.fields.values()]
        return [
            dict(zip(self.fields, values, strict=True)) for values in zip(*columns, strict=True)
        ]


def take_every(values: Any, at: int, step: int) -> Any:
    """Take what stands at one place of lists that follow each other."""
    if not isinstance(values, tuple):
        return values[at::step]
    parts = [take_every(part, at, step) for part in values]
    return type(values)(*parts) if hasattr(values, "_fields") else tuple(parts)


def unstack(values: Any, size: int) -> list[Any]:
    """Take the field of a row of arrays apart: its value in each of `size` rows."""
    if isinstance(values, tuple):
        make = getattr(values, "_make", tuple)
        parts = [unstack(part, size) for part in values]
        return [make(row) for row in zip(*parts, strict=True)] if parts else [make(())] * size
    if isinstance(values, list):
        return values
    items = values.tolist()
    return [item.decode(errors="replace") for item in items] if values.dtype.kind == "S" else items


def join_texts(texts: Sequence[Any], size: int) -> list[str]:
    """Join the texts of each row, which are hex or ASCII of any other kind."""
    joined = np.stack(texts, axis=1).tobytes().decode("ascii")
    length = len(joined) // size
    return [joined[at : at + length] for at in range(0, len(joined), length)]
