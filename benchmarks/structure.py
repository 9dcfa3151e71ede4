"""Show how the source is divided: files, names, imports, and what each program loads to start.

    python -m benchmarks.structure
    python -m benchmarks.structure --root ../older-checkout --no-start-up

Prints Markdown: files of each package and of its fullest folders, the longest files, class names
that occur twice in a package, circles of imports, how often the formatter is told to leave lines
alone, and for each program the modules and the CPU seconds that `python -m PROGRAM --help` costs.
Any checkout can be measured, so that two can be compared; nothing of it is imported here, and
starting its programs with `--help` is all that is run.

tests/test_layering.py holds the limits and calls the functions of this file. Not here: which
folder may import which; that table is part of the test.
"""

import argparse
import ast
import functools
import io
import json
import statistics
import subprocess
import sys
import tokenize
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("trm_jax", "quant", "export", "experiments", "benchmarks")
MAIN_GUARD = 'if __name__ == "__main__":'
SKIP_MARK = "# fmt: skip"
SHOWN = 10
"""Rows of the tables of fullest folders and longest files."""

Modules = Mapping[str, Path]
"""Files by dotted module name; a package stands for its `__init__.py`."""


# Files


def find_modules(root: Path = ROOT, packages: Sequence[str] = PACKAGES) -> dict[str, Path]:
    """List every module of the packages that a checkout has."""
    modules = {}
    for package in packages:
        for file in sorted((root / package).rglob("*.py")):
            parts = file.relative_to(root).with_suffix("").parts
            modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return modules


def count_files(modules: Modules) -> Counter[Path]:
    """Count the Python files of each folder, `__init__.py` included."""
    return Counter(file.parent for file in modules.values())


def count_lines(file: Path) -> int:
    return len(read_text(file).splitlines())


def count_skips(file: Path) -> int:
    """Count the comments that tell the formatter to leave a statement as it is."""
    tokens = tokenize.generate_tokens(io.StringIO(read_text(file)).readline)
    return sum(t.type == tokenize.COMMENT and t.string.startswith(SKIP_MARK) for t in tokens)


@functools.cache
def read_text(file: Path) -> str:
    return file.read_text(encoding="utf-8")


@functools.cache
def parse_file(file: Path) -> ast.Module:
    return ast.parse(read_text(file))


# Names and imports


def find_classes(modules: Modules) -> dict[tuple[str, str], list[str]]:
    """List the modules that define a class, by package and class name."""
    places = defaultdict(list)
    for module, file in modules.items():
        for node in ast.walk(parse_file(file)):
            if isinstance(node, ast.ClassDef):
                places[module.split(".")[0], node.name].append(module)
    return dict(places)


def find_repeated_classes(modules: Modules) -> dict[tuple[str, str], list[str]]:
    """List the class names that one package defines more than once."""
    return {key: places for key, places in find_classes(modules).items() if len(places) > 1}


def find_imports(module: str, modules: Modules) -> set[str]:
    """List what a module imports, at any depth of its code, as dotted names.

    A name that is itself a module counts as that module: `from trm_jax import zoo` imports
    `trm_jax.zoo`.

    Raises:
      ValueError: for a relative import.
    """
    names = set()
    for node in ast.walk(parse_file(modules[module])):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            if node.level or not node.module:
                raise ValueError(f"{module}: relative import in line {node.lineno}")
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                names.add(full if full in modules else node.module)
    return names


def find_circles(modules: Modules) -> list[list[str]]:
    """Find groups of modules that import each other, directly or through others.

    An import inside a function counts, and so does a folder's face (`__init__.py`): a module that
    imports its own folder is part of a circle.
    """
    graph = {
        name: {other for other in find_imports(name, modules) if other in modules} - {name}
        for name in modules
    }
    reached = {name: _reachable(name, graph) for name in graph}
    circles = {
        tuple(sorted({name, *(other for other in reached[name] if name in reached.get(other, ()))}))
        for name in graph
        if name in reached[name]
    }
    return [list(circle) for circle in sorted(circles)]


def _reachable(start: str, graph: Mapping[str, set[str]]) -> set[str]:
    """Follow imports from a module; itself only if a circle leads back."""
    seen, todo = set(), list(graph[start])
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += graph.get(name, ())
    return seen


# Programs


HEAVY = frozenset(
    {
        "aqt",
        "ai_edge_litert",
        "flatbuffers",
        "flax",
        "huggingface_hub",
        "jax",
        "jaxlib",
        "litert_converter",
        "matplotlib",
        "onnx",
        "onnxruntime",
        "optax",
        "orbax",
        "pandas",
        "qai_hub",
        "requests",
        "rich",
        "scipy",
        "tensorflow",
        "tflite_micro",
        "tflite_runtime",
        "torch",
        "yaml",
    }
)
"""Packages that take long to import; no command line needs them."""

RUNNER = """
import contextlib, io, json, runpy, sys, time
program, *arguments = sys.argv[1:]
sys.path.insert(0, "")
sys.argv = [program, *arguments]
code = 0
try:
    with contextlib.redirect_stdout(io.StringIO()):
        runpy.run_module(program, run_name="__main__", alter_sys=True)
except SystemExit as end:
    code = end.code or 0
print(json.dumps([code, sorted(sys.modules), time.process_time()]))
"""


class StartUp(NamedTuple):
    """What a program does when it is started.

    Attributes:
      code: the exit code.
      modules: everything that it imported, Python's own library included.
      seconds: CPU seconds of all threads, the start of Python included.
    """

    code: int
    modules: tuple[str, ...]
    seconds: float

    @property
    def heavy(self) -> set[str]:
        """Which of `HEAVY` are among the modules."""
        return {name.partition(".")[0] for name in self.modules} & HEAVY


def find_programs(modules: Modules) -> list[str]:
    """List the modules that `python -m` runs, a folder's `__main__` by the folder's name."""
    return [
        name.removesuffix(".__main__")
        for name, file in modules.items()
        if MAIN_GUARD in read_text(file)
    ]


def start_program(program: str, *arguments: str, root: Path = ROOT) -> StartUp:
    """Run a program in a process of its own, as `python -m` does, and see what it imports.

    Raises:
      RuntimeError: it ended with an error; the message is what it wrote.
    """
    result = subprocess.run(
        [sys.executable, "-c", RUNNER, program, *arguments],
        cwd=root,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if result.returncode != 0 or not result.stdout:
        raise RuntimeError(f"{program} failed:\n{result.stderr}")
    code, modules, seconds = json.loads(result.stdout.splitlines()[-1])
    return StartUp(code, tuple(modules), seconds)


# Markdown


def to_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Lay rows out as a table; the first column is text, the others are numbers."""
    cells = [[str(cell) for cell in row] for row in rows]
    rule = ["---", *["---:"] * (len(header) - 1)]
    return [f"| {' | '.join(row)} |" for row in ([*header], rule, *cells)] + [""]


def show_packages(root: Path, modules: Modules) -> list[str]:
    """Lay out the sizes of each package."""
    rows = []
    for package in dict.fromkeys(name.split(".")[0] for name in modules):
        own = {name: file for name, file in modules.items() if name.split(".")[0] == package}
        folders, lines = count_files(own), [count_lines(file) for file in own.values()]
        sizes = (len(own), len(folders), max(folders.values()), max(lines))
        rows.append((package, *sizes, round(statistics.median(lines))))
    header = ("package", "files", "folders", "most in a folder", "longest file", "median file")
    return ["### Packages (lengths in lines)", "", *to_table(header, rows)]


def show_largest(root: Path, modules: Modules) -> list[str]:
    """Lay out the fullest folders and the longest files."""
    folders = count_files(modules).most_common(SHOWN)
    lines = Counter({file: count_lines(file) for file in modules.values()}).most_common(SHOWN)
    return [
        *("### Fullest folders", ""),
        *to_table(("folder", "files"), ((f.relative_to(root), n) for f, n in folders)),
        *("### Longest files", ""),
        *to_table(("file", "lines"), ((f.relative_to(root), n) for f, n in lines)),
    ]


def show_names(root: Path, modules: Modules) -> list[str]:
    """Lay out repeated class names, circles and formatter exceptions."""
    repeated = find_repeated_classes(modules)
    names = [f"{package}: {name} ({len(at)})" for (package, name), at in sorted(repeated.items())]
    circles = [" ".join(circle) for circle in find_circles(modules)]
    tree = [*modules.values(), *find_modules(root, ("tests",)).values()]
    return [
        *("### Names, imports, layout", ""),
        f"- class names that occur twice or more in a package: {len(repeated)}",
        *(f"    - {name}" for name in names),
        f"- circles of modules: {len(circles)}",
        *(f"    - {circle}" for circle in circles),
        f"- `{SKIP_MARK}` in the packages and in tests: {sum(map(count_skips, tree))}",
        "",
    ]


def show_programs(root: Path, modules: Modules) -> list[str]:
    """Lay out what each program costs to start; one that has no help is left out."""
    rows = []
    for program in find_programs(modules):
        try:
            started = start_program(program, "--help", root=root)
        except RuntimeError:
            continue
        if started.code == 0:
            heavy = ", ".join(sorted(started.heavy)) or "none"
            rows.append((f"`{program}`", len(started.modules), f"{started.seconds:.2f}", heavy))
    header = ("program, with `--help`", "modules imported", "CPU seconds", "heavy packages")
    return ["### Start-up of the programs", "", *to_table(header, rows)]


def parser() -> argparse.ArgumentParser:
    """Declare the options."""
    from trm_jax.command_line import make_parser, user_path  # what reads checkouts needs none

    p = make_parser("benchmarks.structure", __doc__)
    p.add_argument(
        "--root",
        type=user_path,
        default=ROOT,
        metavar="DIR",
        help="checkout to measure (default: this)",
    )
    p.add_argument("--no-start-up", action="store_true", help="start no programs (it takes long)")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Print the tables."""
    args = parser().parse_args(argv)
    root = args.root.resolve()
    modules = find_modules(root)
    if not modules:
        sys.stderr.write(f"error: none of {', '.join(PACKAGES)} in {root}\n")
        return 2
    parts = [show_packages, show_largest, show_names]
    for show in parts if args.no_start_up else [*parts, show_programs]:
        print("\n".join(show(root, modules)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
