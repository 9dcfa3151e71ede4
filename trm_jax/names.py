"""Names that a user types: what to say about one that nothing has, with the nearest that exist.

Models, presets, tasks, schemes, targets, devices, studies, options and commands all say it the same
way. Standard library only, so that every module may ask. Not here: what the names mean.
"""

import difflib
from collections.abc import Iterable

MOST_SUGGESTED = 2
CUTOFF = 0.6  # difflib's own: about three letters of five in order


def nearest_names(name: str, known: Iterable[str]) -> list[str]:
    """Find the known names that a name was most likely meant as, the nearest first.

    Capitals, and - against _, make no difference.
    """
    plain = {_plain(each): each for each in known}
    near = difflib.get_close_matches(_plain(name), plain, MOST_SUGGESTED, CUTOFF)
    return [plain[each] for each in near]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Ask for the nearest names: ` did you mean 'int8'?`, or nothing where none is near."""
    near = nearest_names(name, known)
    return f" did you mean {' or '.join(map(repr, near))}?" if near else ""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """Say that a name is unknown, what it may have meant, and which there are.

    Args:
      kind: what it should name, as in "preset".
      name: as the user typed it.
      known: all that exist, in the order in which they are listed.
    """
    known = list(known)
    listed = ", ".join(known) or "none"
    return f"unknown {kind} {name!r};{did_you_mean(name, known)} known: {listed}"


def _plain(name: str) -> str:
    return name.lower().replace("_", "-").strip("-")
