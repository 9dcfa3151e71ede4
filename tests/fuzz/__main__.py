"""Fuzz everything that programs read, and count how the cases end.

    python -m tests.fuzz --n 1000
    python -m tests.fuzz --n 200 --kind model --kind dataset --seed 7
    python -m tests.fuzz --case model:12345

A case is a valid input with one mutation, read by the true reader in the frame of programs. It is
refused in one clear line, or read right, or it is a fault: refused unclearly, read wrong in
silence, a traceback, a hang. --n counts the cases of a kind; kinds that run whole programs take a
tenth or less (the table says how many). Faults are listed with the case that shows them again.

Exit code 0 if there is no traceback and no hang, 1 if there is one.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.fuzz.contract import CaseResult, Ending, InputKind
from tests.fuzz.kinds import KINDS
from tests.fuzz.worker import BrokenKind, Watched

FAULTS = (Ending.UNCLEAR, Ending.SILENT, Ending.TRACEBACK, Ending.HANG)
WORST = {Ending.TRACEBACK, Ending.HANG}


class Counted(NamedTuple):
    """The cases of a kind."""

    kind: InputKind
    endings: Counter[Ending]
    seconds: float


def parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    p = argparse.ArgumentParser(
        prog="python -m tests.fuzz",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--n", type=int, default=100, help="cases of a kind (%(default)s)")
    p.add_argument("--kind", action="append", choices=list(KINDS), help="only these kinds")
    p.add_argument("--seed", type=int, default=0, help="first seed (%(default)s)")
    p.add_argument("--case", metavar="KIND:SEED", help="run one case and say all about it")
    p.add_argument("--shown", type=int, default=5, help="faults listed of a kind and ending")
    return p


def cases_of(kind: InputKind, n: int, first: int) -> range:
    """List the seeds of a kind."""
    return range(first, first + max(1, round(n * kind.share)))


def run_kind(watched: Watched, kind: InputKind, seeds: range) -> Iterator[tuple[int, CaseResult]]:
    """Run the cases of a kind."""
    for seed in seeds:
        yield seed, watched.run(kind, seed)


def count_kind(watched: Watched, kind: InputKind, seeds: range, shown: int) -> Counted:
    """Run the cases of a kind, list its faults and count."""
    endings: Counter[Ending] = Counter()
    start = time.monotonic()
    for seed, result in run_kind(watched, kind, seeds):
        endings[result.ending] += 1
        if result.ending in FAULTS and endings[result.ending] <= shown:
            sys.stdout.write(show_fault(kind.name, seed, result))
            sys.stdout.flush()
    return Counted(kind, endings, time.monotonic() - start)


def show_fault(name: str, seed: int, result: CaseResult) -> str:
    """Write what a case did, and how it is run again."""
    said = " / ".join(result.said.strip().splitlines())[:400]
    return f"{result.ending.value:<9} {name}:{seed}  [{result.change}]\n          {said}\n"


def table(counted: Sequence[Counted]) -> str:
    """Write the counts, a line per kind."""
    heads = ("kind", "cases", *(ending.value for ending in Ending), "seconds")
    rows = [
        (c.kind.name, c.endings.total(), *(c.endings[e] for e in Ending), f"{c.seconds:.0f}")
        for c in counted
    ]
    sums = [sum(int(row[i]) for row in rows) for i in range(1, len(heads))]
    lines = [heads, *rows, ("all", *sums)]
    widths = [max(len(str(line[i])) for line in lines) for i in range(len(heads))]
    return "".join(
        "  ".join(
            str(cell).rjust(width) if i else str(cell).ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        + "\n"
        for line in lines
    )


def replay(watched: Watched, case: str) -> int:
    """Run one case and say all about it."""
    name, _, seed = case.partition(":")
    if name not in KINDS or not seed.isdecimal():
        sys.stderr.write(f"error: --case takes KIND:SEED of {', '.join(KINDS)}, got {case!r}\n")
        return 2
    result = watched.run(KINDS[name], int(seed))
    sys.stdout.write(
        f"{result.ending.value}\nchange: {result.change}\nright if: {KINDS[name].right}\n"
        f"{result.said}\n"
    )
    return int(result.ending in WORST)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = parser().parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as root:
        watched = Watched(Path(root))
        try:
            if args.case:
                return replay(watched, args.case)
            counted, broken = [], False
            for kind in [KINDS[name] for name in args.kind or KINDS]:
                if reason := kind.missing():
                    sys.stdout.write(f"left out: {kind.name}: {reason}\n")
                    continue
                seeds = cases_of(kind, args.n, args.seed)
                try:
                    counted.append(count_kind(watched, kind, seeds, args.shown))
                except BrokenKind as error:
                    broken = True
                    sys.stdout.write(f"broken: {error}\n")
        finally:
            watched.end()
    sys.stdout.write("\n" + table(counted))
    return int(broken or any(c.endings[ending] for c in counted for ending in WORST))


if __name__ == "__main__":
    sys.exit(main())
