"""Marks for cases of a parametrised test: the quick run keeps a few, the whole run has all.

`python -m pytest -m "not slow"` leaves out what is marked.
"""

from collections.abc import Iterable
from typing import Any

import pytest


def slow_except(cases: Iterable[Any], *quick: Any) -> list[Any]:
    """Mark all cases slow but the quick ones; a tuple is a case of several arguments.

    Raises:
      ValueError: if a quick case is none of the cases.
    """
    cases = list(cases)
    if missing := [case for case in quick if case not in cases]:
        raise ValueError(f"quick must be among {cases}, got {missing}")
    return [case if case in quick else slow(case) for case in cases]


def slow(case: Any) -> Any:
    """Mark one case slow."""
    values = case if isinstance(case, tuple) else (case,)
    return pytest.param(*values, marks=pytest.mark.slow)
