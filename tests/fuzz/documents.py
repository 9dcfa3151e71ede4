"""Mutations that know what they change: JSON, lines of JSON, YAML, texts; and whole folders.

A document is parsed, one place of it changed, and written again. What a writer of JSON does not
write (NaN, a name twice, nesting without end) gets a mark in its place, which is replaced in the
text.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.fuzz.damage import (
    Draw,
    choose,
    damage_file,
    exchange_files,
    files_of,
    replace_file,
)

RAW, TWIN = "@@raw@@", "@@twin@@"
DEEP = "[" * 100_000 + "]" * 100_000
VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    "",
    "6",
    "false",
    "x" * 2000,
    "\u202e\u0660\u00e9",
    "a\nb",
    "../../elsewhere",
    [],
    [[]],
    {},
    {"a": 1},
    0,
    1,
    -1,
    2.5,
    -0.5,
    1e-300,
    1e300,
    10**12,
    2**31 - 1,
    2**31,
    2**63,
    10**30,
)
RAW_VALUES = ("NaN", "Infinity", "-Infinity", "1e999", "01", DEEP, "9" * 5000, "'", "\\u0000")


def places_of(value: Any, path: tuple = ()) -> Iterator[tuple]:
    """List the paths of all values below a document's root."""
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, item in items:
        yield (*path, key)
        yield from places_of(item, (*path, key))


def change_document(document: Any, rng: Draw) -> tuple[str, str]:
    """Change one place of a document; returns its text and what was done."""
    paths = list(places_of(document))
    if not paths:
        return json.dumps(choose(rng, VALUES)), "another root"
    depths = sorted({len(path) for path in paths})
    path = choose(rng, [p for p in paths if len(p) == choose(rng, depths)] or paths)
    parent = document
    for key in path[:-1]:
        parent = parent[key]
    way, raw = _change(parent, path[-1], rng)
    text = json.dumps(document, indent=1 if rng.random() < 0.5 else None)
    text = text.replace(f'"{RAW}"', raw).replace(json.dumps(TWIN), json.dumps(str(path[-1])))
    return text, f"{'.'.join(map(str, path))[:80]}: {way}"


def _change(parent: Any, key: Any, rng: Draw) -> tuple[str, str]:
    """Change an item of a table or list; returns the way and the raw text of the mark."""
    value, raw = choose(rng, VALUES), choose(rng, RAW_VALUES)
    old = parent[key]
    ways: list[tuple[str, Callable[[], object]]] = [
        ("dropped", lambda: parent.pop(key)),
        (f"becomes {str(value)[:30]!r}", lambda: _put(parent, key, value)),
        (f"becomes {str(value)[:30]!r}", lambda: _put(parent, key, value)),
        (f"becomes {raw[:12]}", lambda: _put(parent, key, RAW)),
        ("becomes a list of itself", lambda: _put(parent, key, [old])),
        ("becomes a text", lambda: _put(parent, key, str(old))),
    ]
    if isinstance(old, int | float) and not isinstance(old, bool):
        for what, number in (
            ("+1", old + 1),
            ("-1", old - 1),
            ("*-1", -old),
            ("*1000", old * 1000),
        ):
            ways.append((what, lambda number=number: _put(parent, key, number)))
        ways.append(("becomes a float", lambda: _put(parent, key, float(old) + 0.5)))
    if isinstance(parent, dict):
        ways.append(("given twice", lambda: _put(parent, TWIN, value)))
        ways.append(("renamed", lambda: _put(parent, f"{key}x", parent.pop(key))))
        ways.append(("beside something new", lambda: _put(parent, "new", value)))
    else:
        ways.append(("repeated", lambda: parent.insert(key, old)))
        ways.append(("repeated 1000 times", lambda: parent.extend([old] * 1000)))
    way, act = choose(rng, ways)
    act()
    return way, raw


def _put(parent: Any, key: Any, value: Any) -> None:
    parent[key] = value


def change_json(file: Path, rng: Draw) -> str:
    """Change one place of a file of JSON, or all of it."""
    text, what = change_document(json.loads(file.read_text()), rng)
    file.write_text(text)
    return f"{file.name}: {what}"


def change_lines(file: Path, rng: Draw) -> str:
    """Change a row of a file of rows: what it says, or where it stands."""
    lines = file.read_text().splitlines(keepends=True)
    at, other = (int(i) for i in rng.integers(0, len(lines), 2))
    line = lines[at]
    if rng.random() < 0.6:
        text, what = change_document(json.loads(line), rng)
        lines[at] = text.replace("\n", " ") + "\n"
    else:
        lines, what = _move_line(lines, at, other, rng)
    file.write_text("".join(lines))
    return f"{file.name}: line {at + 1}: {what}"


def _move_line(lines: list[str], at: int, other: int, rng: Draw) -> tuple[list[str], str]:
    line = lines[at]
    ways = {
        "twice": [*lines[:at], line, line, *lines[at + 1 :]],
        "dropped": lines[:at] + lines[at + 1 :],
        "copied to another place": [*lines[:other], line, *lines[other:]],
        "cut in its middle": [*lines[:at], line[: len(line) // 2] + "\n", *lines[at + 1 :]],
        "the last, without its end": [*lines[:at], line[: len(line) // 2]],
        "blank": [*lines[:at], "\n", *lines[at + 1 :]],
        "without its line break": [*lines[:at], line.rstrip("\n"), *lines[at + 1 :]],
    }
    way = choose(rng, list(ways))
    return ways[way], way


BOMBS = (
    "a: &a [x,x,x,x,x,x,x,x,x]\n"
    + "".join(
        f"{c}: &{c} [{','.join([f'*{p}'] * 9)}]\n"
        for p, c in zip("abcdefgh", "bcdefghi", strict=True)
    ),
    "a: &a [*a]\n",
    "- " * 20_000 + "x\n",
    "{" * 20_000,
    "arch: !!python/object/apply:os.system ['true']\n",
    "arch: 2026-13-45\n",
    "? [complex, key]\n: 1\n",
    "a: 1\na: 2\n",
    "arch: !!binary x\n",
    "\ta: 1\n",
)


def change_yaml(file: Path, rng: Draw) -> str:
    """Change a file of YAML: one place, a line, or all of it."""
    import yaml

    text = file.read_text()
    lines = text.splitlines(keepends=True)
    roll = rng.random()
    if roll < 0.6:
        text, what = change_document(yaml.safe_load(text), rng)
        text = text.replace("Infinity", ".inf").replace("NaN", ".nan")
    elif roll < 0.8:
        at = int(rng.integers(len(lines)))
        text, what = "".join(lines[:at] + lines[at + 1 :]), f"line {at + 1} dropped"
    else:
        bomb = choose(rng, BOMBS)
        text, what = bomb if rng.random() < 0.5 else text + bomb, f"a bomb: {bomb[:20]!r}"
    file.write_text(text)
    return f"{file.name}: {what}"


CHANGES = {".json": change_json, ".jsonl": change_lines, ".yaml": change_yaml}


def mutate_folder(
    folder: Path, rng: Draw, files: Sequence[str] = (), documents: float = 0.6
) -> str:
    """Mutate a folder: a document by its content, bytes of a file, or files as wholes.

    Args:
      files: names of those that may change; none: all.
      documents: share of the mutations of a document that know its content.
    """
    listed = [f for f in files_of(folder) if not files or f.name in files]
    file = choose(rng, listed)
    roll = rng.random()
    if roll < 0.12:
        return replace_file(file, files_of(folder), rng)
    if roll < 0.15 and len(listed) > 1:
        return exchange_files(listed, rng)
    if file.suffix in CHANGES and file.stat().st_size and rng.random() < documents:
        return CHANGES[file.suffix](file, rng)
    return damage_file(file, rng)


def mutate_text(text: str, words: Sequence[str], rng: Draw) -> str:
    """Mutate a short text such as a name or an option's value.

    Args:
      words: pieces that belong to texts of this kind.
    """
    for _ in range(int(rng.integers(1, 4))):
        at, to = sorted(int(i) for i in rng.integers(0, len(text) + 1, 2))
        word = choose(rng, (*words, *ODD_WORDS))
        ways = (
            text[:at] + text[to:],
            text[:at] + word + text[at:],
            text[:at] + word + text[to:],
            text[:to] + text[at:to] + text[to:],
            text.upper(),
            text[:at] + text[at:to][::-1] + text[to:],
            word,
            text + text,
        )
        text = choose(rng, ways)
    return text


ODD_WORDS = (
    "",
    " ",
    "0",
    "-1",
    "9" * 30,
    "9" * 5000,
    "1_0",
    "+2",
    "1e3",
    "nan",
    "\u0663",
    "\u00b2",
    "\n",
    "\t",
    "=",
    ",",
    ",,",
    "x",
    "_",
    "-",
    "\u200b",
    "\U0001f642",
    "a" * 300,
)


def number(rng: Draw) -> str:
    """Draw a number as text, borders among them."""
    numbers = ("0", "1", "2", "-1", "2.5", "1e9", "1e999", "nan", "inf", "-0", "10" * 12, "٣", "")
    return str(choose(rng, numbers))
