"""Data sets, ARC task files, CSV files of puzzles."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.fuzz import oracles
from tests.fuzz.contract import InputKind, Unreadable, run_program
from tests.fuzz.damage import Draw, choose, damage_file, replace_file
from tests.fuzz.documents import mutate_folder

ROOT = Path(__file__).resolve().parents[3]
ZOO = ROOT / "trm_jax" / "zoo" / "puzzles"
ARC_AGI = ROOT / "tests" / "trm_jax" / "data" / "arc" / "arc_agi_1"
ARRAYS = ("inputs", "labels", "puzzle_identifiers", "puzzle_indices", "group_indices")


# data sets


def make_dataset(folder: Path) -> None:
    """Copy bundled puzzles, cut to a few so that a case takes milliseconds."""
    shutil.copytree(ZOO / "arc-6x6", folder / "data")


NPY_HEADERS = (
    b"{'descr': '<i4', 'fortran_order': False, 'shape': (1000000000000,), }",
    b"{'descr': '<i4', 'fortran_order': True, 'shape': (640,), }",
    b"{'descr': '>i4', 'fortran_order': False, 'shape': (640,), }",
    b"{'descr': '|O', 'fortran_order': False, 'shape': (640,), }",
    b"{'descr': '<f8', 'fortran_order': False, 'shape': (320,), }",
    b"{'descr': '<i4', 'fortran_order': False, 'shape': (-1,), }",
    b"{'descr': [('a', '<i4')], 'fortran_order': False, 'shape': (640,), }",
    b"{'descr': '<i4', 'fortran_order': False, 'shape': (640L,), }",
    b"{'descr': '<i4', 'fortran_order': False, 'shape': 640, }",
    b"(((((((((",
    b"{'descr': '<M8[s]', 'fortran_order': False, 'shape': (320,), }",
    b"[" * 9000,
    b"'''",
    b"{" + b"-" * 5000 + b"1: 2}",
)


def mutate_dataset(folder: Path, rng: Draw) -> str:
    """Mutate a data set; headers of arrays by content too."""
    if rng.random() < 0.2:
        file = folder / "data" / "test" / f"all__{choose(rng, ARRAYS)}.npy"
        header = choose(rng, NPY_HEADERS)
        data = file.read_bytes()
        size = len(header).to_bytes(2, "little")
        file.write_bytes(
            data[:8] + size + header + data[10 + int.from_bytes(data[8:10], "little") :]
        )
        return f"{file.name}: header {header[:60]!r}"
    return mutate_folder(folder / "data", rng, documents=0.8)


def read_dataset(folder: Path) -> Any:
    """Load puzzles, identifiers and tasks as the vote does."""
    from trm_jax.data.arc.voting import load_test_tasks
    from trm_jax.data.format import load_identifiers
    from trm_jax.loading import load_puzzles

    puzzles = load_puzzles("arc", folder / "data")
    tasks = [task_values(task) for task in load_test_tasks(folder / "data")]
    arrays = {name: getattr(puzzles.dataset, name) for name in ARRAYS}
    meta = {name: getattr(puzzles.dataset.metadata, name) for name in FIELDS}
    return meta, oracles.digests(arrays, np.int64), load_identifiers(folder / "data"), tasks


FIELDS = ("seq_len", "vocab_size", "ignore_label_id", "num_puzzle_identifiers", "pad_id")


def dataset_says(folder: Path) -> Any:
    document = oracles.document(folder, "data/test/dataset.json")
    names = oracles.document(folder, "data/identifiers.json")
    tasks = oracles.document(folder, "data/test_puzzles.json")
    arrays = {name: oracles.npy(folder / "data" / "test" / f"all__{name}.npy") for name in ARRAYS}
    try:
        meta = {name: document[name] for name in FIELDS}
        asked = [task_says(name, task) for name, task in tasks.items()]
        return meta, oracles.digests(arrays, np.int64), names, asked
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise Unreadable(str(error)) from error


def task_values(task: Any) -> Any:
    """Write a task that was read as plain lists."""
    pairs = [
        (p.kind, grid(p.input), None if p.output is None else grid(p.output)) for p in task.pairs
    ]
    return task.name, pairs


def grid(values: Any) -> Any:
    return np.asarray(values).tolist()


def task_says(name: str, values: Any) -> Any:
    """Write a task of a document as plain lists; sides and colours as the task files allow."""
    kinds = [kind for kind in values if kind in ("train", "test")]
    pairs = [(k, p["input"], p.get("output")) for k in kinds for p in values[k]]
    for grids in ((p[1], p[2]) for p in pairs):
        for cells in grids:
            if cells is not None:
                flat = [c for row in cells for c in row]
                if {type(c) for c in flat} != {int} or not 0 <= min(flat) <= max(flat) <= 9:
                    raise Unreadable("colours are integers from 0 to 9")
                if len({len(row) for row in cells}) != 1 or max(len(cells), len(cells[0])) > 30:
                    raise Unreadable("grids are rectangles of 30x30 at most")
    return name, pairs


# ARC task files


def make_tasks(folder: Path) -> None:
    """Copy public tasks, and write some of them as Kaggle does."""
    shutil.copytree(ARC_AGI / "training", folder / "training")
    challenges, solutions = {}, {}
    for file in sorted((ARC_AGI / "evaluation").glob("*.json")):
        values = json.loads(file.read_text())
        solutions[file.stem] = [pair.pop("output") for pair in values["test"]]
        challenges[file.stem] = values
    (folder / "kaggle_evaluation_challenges.json").write_text(json.dumps(challenges))
    (folder / "kaggle_evaluation_solutions.json").write_text(json.dumps(solutions))


def read_tasks(folder: Path) -> Any:
    from trm_jax.data.arc.task_files import read_subset

    tasks = (*read_subset(folder, "training"), *read_subset(folder / "kaggle", "evaluation"))
    return [task_values(task) for task in tasks]


def tasks_say(folder: Path) -> Any:
    said = []
    try:
        for file in sorted((folder / "training").glob("*.json")):
            name = f"training/{file.name}"
            said.append(task_says(file.stem, oracles.document(folder, name, types=False)))
        name = "kaggle_evaluation_{}.json"
        asked = oracles.document(folder, name.format("challenges"), types=False)
        file = folder / name.format("solutions")
        answers = oracles.document(folder, file.name, types=False) if file.exists() else None
        for key, values in asked.items():
            if answers is not None:
                for pair, output in zip(values["test"], answers[key], strict=True):
                    pair["output"] = output
            said.append(task_says(key, values))
        return said
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise Unreadable(str(error)) from error


# CSV files

HEADERS = {
    "sudoku": ("question,answer", "quizzes,solutions", "Puzzle,Solution", "source,question,answer"),
    "maze": ("question,answer", "puzzle,solution"),
}
ROWS = 12
SIDE = 4


def make_sudoku(folder: Path) -> None:
    """Write generated 4x4 Sudoku as a CSV file."""
    from trm_jax.data.sudoku.generator import generate_sudoku

    puzzles, answers = generate_sudoku(ROWS, box=(2, 2), seed=1)
    write_table(
        folder,
        ["".join(map(str, p)) for p in puzzles.reshape(ROWS, -1)],
        ["".join(map(str, a)) for a in answers.reshape(ROWS, -1)],
    )


def make_maze(folder: Path) -> None:
    """Write generated 4x4 mazes as a CSV file."""
    from trm_jax.data.maze.generator import generate_mazes
    from trm_jax.data.maze.symmetry import SYMBOLS

    symbols = {token: symbol for symbol, token in SYMBOLS.items()}
    inputs, labels = generate_mazes(ROWS, height=SIDE, width=SIDE, min_path=3)
    texts = [["".join(symbols[t] for t in row) for row in rows] for rows in (inputs, labels)]
    write_table(folder, *texts)


def write_table(folder: Path, questions: list[str], answers: list[str]) -> None:
    lines = [f"{q},{a}\n" for q, a in zip(questions, answers, strict=True)]
    (folder / "puzzles.csv").write_text("question,answer\n" + "".join(lines))


def mutate_table(folder: Path, rng: Draw) -> str:
    """Damage a table, or write it as people do: quotes, tabs, other blanks, other line ends."""
    file = folder / "puzzles.csv"
    roll = rng.random()
    if roll < 0.1:
        return replace_file(file, [file], rng)
    if roll < 0.35:
        return damage_file(file, rng)
    text = file.read_text()
    lines = text.splitlines(keepends=True)
    at = int(rng.integers(1, len(lines)))
    said = []
    for _ in range(int(rng.integers(1, 3))):
        ways = table_ways(text, lines, at, rng)
        way = choose(rng, list(ways))
        text = ways[way]()
        lines = text.splitlines(keepends=True) or ["\n", "\n"]
        at = min(at, len(lines) - 1)
        said.append(way)
    data = text.encode(choose(rng, ("utf-8",) * 9 + ("utf-16", "utf-8-sig")), "replace")
    file.write_bytes(data)
    return f"{file.name}: line {at + 1}: {', '.join(said)}"


def table_ways(text: str, lines: list[str], at: int, rng: Draw) -> dict[str, Callable[[], str]]:
    """List what can happen to a table."""
    line = lines[at]
    head, body = lines[0], "".join(lines[1:])
    question, _, answer = line.rstrip("\n").partition(",")

    def put(new: str) -> str:
        return "".join([*lines[:at], new, *lines[at + 1 :]])

    return {
        "blanks as dots": lambda: head + body.replace("0", "."),
        "blanks as bars": lambda: head + body.replace("0", "_"),
        "semicolons": lambda: text.replace(",", ";"),
        "tabs": lambda: text.replace(",", "\t"),
        "one semicolon": lambda: put(line.replace(",", ";")),
        "capitals": lambda: head.upper() + body,
        "another header": lambda: choose(rng, HEADERS["sudoku"]) + "\n" + body,
        "no header": lambda: body,
        "a header twice": lambda: head + text,
        "question twice": lambda: "question,question,answer\n" + body,
        "columns exchanged": lambda: "answer,question\n" + body,
        "quoted": lambda: put(f'"{question}","{answer}"\n'),
        "a line break in quotes": lambda: put(f'"{question}\n",{answer}\n'),
        "a quote that stays open": lambda: put(f'"{question},{answer}\n'),
        "a quote inside": lambda: put(f'{question[:3]}"{question[3:]},{answer}\n'),
        "spaces": lambda: put(f" {question} , {answer} \n"),
        "a blank line": lambda: put("\n" + line),
        "blank lines at the end": lambda: text + "\n\n  \n",
        "a comment": lambda: put("# " + line),
        "a long field": lambda: put(f"{question * 20_000},{answer}\n"),
        "a NUL": lambda: put(line[:4] + "\0" + line[4:]),
        "one column": lambda: put(question + "\n"),
        "three columns": lambda: put(f"{question},{answer},{answer}\n"),
        "a row twice": lambda: put(line + line),
        "windows": lambda: text.replace("\n", "\r\n"),
        "old mac": lambda: text.replace("\n", "\r"),
        "no last line break": lambda: text.rstrip("\n"),
        "arabic digits": lambda: put(line.replace("1", "\u0661")),
        "a given changed": lambda: put(f"{change_digit(question, rng)},{answer}\n"),
        "an answer changed": lambda: put(f"{question},{change_digit(answer, rng)}\n"),
        "shorter": lambda: put(f"{question[1:]},{answer}\n"),
        "exchanged": lambda: put(f"{answer},{question}\n"),
        "a form feed": lambda: put(question + "\x0c," + answer + "\n"),
        "a line separator": lambda: put(question + "," + answer + "\u2028\n"),
    }


def change_digit(text: str, rng: Draw) -> str:
    at = int(rng.integers(max(len(text), 1)))
    return text[:at] + str(rng.integers(0, 5)) + text[at + 1 :]


def table_reader(task: str) -> Callable[[Path], Any]:
    """Make the reader: the program that builds a data set, and the arrays that it writes."""

    def read(folder: Path) -> Any:
        shape = ("--box", "2x2") if task == "sudoku" else ("--shape", f"{SIDE}x{SIDE}")
        out = folder / "out"
        run_program(build_main(task), ["build", out, "--train", folder / "puzzles.csv", *shape])
        arrays = [np.load(out / "train" / f"all__{name}.npy") for name in ("inputs", "labels")]
        return [sorted(map(tuple, zip(*(a.tolist() for a in arrays), strict=True)))]

    return read


def build_main(task: str) -> Callable[..., int]:
    import importlib

    return importlib.import_module(f"trm_jax.data.{task}.__main__").main


def table_says(task: str) -> Callable[[Path], Any]:
    """Make the oracle: every line that is not blank is a puzzle of two cells of 16 symbols."""
    tokens = {"sudoku": dict(zip("0.1234", (1, 1, 2, 3, 4, 5), strict=True)) | {"_": 1}}
    tokens["maze"] = dict(zip("# SGo", range(1, 6), strict=True))

    def says(folder: Path) -> Any:
        try:
            text = (folder / "puzzles.csv").read_bytes().decode("utf-8-sig")
        except (OSError, ValueError) as error:
            raise Unreadable(str(error)) from error
        lines = [line for line in re.split(r"\r\n|\n|\r", text) if line.strip()]
        if not lines:
            raise Unreadable("nothing")
        names = [n.strip().strip('"').lower() for n in re.split("[,;\t]", lines[0])]
        asked = [n for n in names if n in ("question", "quizzes", "puzzle", "quiz")]
        answered = [n for n in names if n in ("answer", "solutions", "solution")]
        if len(asked) != 1 or len(answered) != 1:
            raise Unreadable("no header")
        places = [names.index(asked[0]), names.index(answered[0])]
        rows = [row_says(line, places, tokens[task]) for line in lines[1:]]
        return [sorted(rows)]

    return says


def row_says(line: str, places: list[int], tokens: dict[str, int]) -> Any:
    cells = [cell.strip('"') for cell in re.split("[,;\t]", line)]
    if len(cells) <= max(places):
        raise Unreadable(line)
    texts = [cells[i] if len(cells[i]) == SIDE * SIDE else cells[i].strip(" ") for i in places]
    if any(len(t) != SIDE * SIDE or set(t) - set(tokens) for t in texts):
        raise Unreadable(line)
    return tuple([tokens[symbol] for symbol in text] for text in texts)


WORDS = ("line ", "task ", *FIELDS)

DATA = (
    InputKind(
        name="dataset",
        right="dataset.json, arrays, identifiers and tasks, read by json and numpy, say the same",
        make=make_dataset,
        mutate=mutate_dataset,
        read=read_dataset,
        says=dataset_says,
        names=WORDS,
    ),
    InputKind(
        name="arc-tasks",
        right="the files, read by json, hold the same grids of colours",
        make=make_tasks,
        mutate=mutate_folder,
        read=read_tasks,
        says=tasks_say,
        names=WORDS,
    ),
    *(
        InputKind(
            name=f"csv-{task}",
            right="every line that is not blank is one puzzle of the data set, symbol by symbol",
            make=make,
            mutate=mutate_table,
            read=table_reader(task),
            says=table_says(task),
            names=("line ", "column"),
            share=0.5,
        )
        for task, make in (("sudoku", make_sudoku), ("maze", make_maze))
    ),
)
