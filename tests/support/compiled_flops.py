"""Floating point operations of a compiled program, read off its HLO text: products, loops unrolled.

XLA's own cost analysis counts the body of a loop once. Here a loop whose trip count the compiler
knows counts as often as it runs; a loop with products in it and no known count is an error.
"""

import re

NAME = r"%?([\w.\-]+)"
SHAPE = re.compile(r"^\s*(?:ROOT )?%?([\w.\-]+) = \w+\[([\d,]*)\]")
HEAD = re.compile(rf"^(?:ENTRY )?{NAME} \(.*\{{$")
CALLS = re.compile(rf"(?:calls|to_apply|body|condition)={NAME}")
BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")
TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
DOT = re.compile(rf" dot\((?:\w+\[[\d,]*\](?:\{{[\d,]*\}})? )?{NAME}, ")
CONTRACTED = re.compile(r"lhs_contracting_dims=\{([\d,]*)\}")


def count_flops(hlo: str) -> int:
    """Count 2 M N K for every product of a module, as often as it runs."""
    bodies: dict[str, list[str]] = {}
    entry = current = ""
    for line in hlo.splitlines():
        if head := HEAD.match(line):
            current = head[1]
            bodies[current] = [line]
            entry = current if line.startswith("ENTRY") else entry
        elif current:
            bodies[current].append(line)
    return _count(entry, bodies, {})


def _count(name: str, bodies: dict[str, list[str]], known: dict[str, int]) -> int:
    if name not in known:
        shapes = _shapes(bodies[name])
        known[name] = sum(
            _product(line, shapes) + _called(line, bodies, known) for line in bodies[name][1:]
        )
    return known[name]


def _shapes(lines: list[str]) -> dict[str, list[int]]:
    parameters = re.findall(r"([\w.\-]+): \w+\[([\d,]*)\]", lines[0])
    results = [match.groups() for line in lines[1:] if (match := SHAPE.match(line))]
    return {name: _numbers(text) for name, text in [*parameters, *results]}


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",") if part]


def _size(shape: list[int]) -> int:
    size = 1
    for side in shape:
        size *= side
    return size


def _product(line: str, shapes: dict[str, list[int]]) -> int:
    if not (match := DOT.search(line)):
        return 0
    left, contracted = shapes[match[1]], CONTRACTED.search(line)
    assert contracted, line
    inner = _size([left[axis] for axis in _numbers(contracted[1])])
    return 2 * _size(shapes[SHAPE.match(line)[1]]) * inner  # type: ignore[index]


def _called(line: str, bodies: dict[str, list[str]], known: dict[str, int]) -> int:
    names = CALLS.findall(line)
    for branch in BRANCHES.findall(line):
        names += [name.strip().lstrip("%") for name in branch.split(",")]
    flops = sum(_count(name, bodies, known) for name in names)
    if " while(" not in line or not flops:
        return flops
    trips = TRIPS.search(line)
    assert trips, f"a loop with products whose trips are not known: {line[:200]}"
    return flops * int(trips[1])
