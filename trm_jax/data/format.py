"""Read and write puzzles in the released layout (REFERENCE 1.6).

    ROOT/identifiers.json                  list of names, index = puzzle identifier
    ROOT/SPLIT/dataset.json                the fields of `Metadata`, and "puzzles": what the
                                           puzzles are (facts.py); written last
    ROOT/SPLIT/SET__inputs.npy             (examples, seq_len) tokens, any integer type
    ROOT/SPLIT/SET__labels.npy             (examples, seq_len) tokens, any integer type
    ROOT/SPLIT/SET__puzzle_identifiers.npy (puzzles,) int32
    ROOT/SPLIT/SET__puzzle_indices.npy     (puzzles + 1,) int32, first example of each puzzle
    ROOT/SPLIT/SET__group_indices.npy      (groups + 1,) int32, first puzzle of each group

SPLIT is train or test and SET is "all". A group is a puzzle with its augmentations; a puzzle is
a run of examples (one for Sudoku and Maze, several for ARC). Arrays are memory-mapped and keep
the tokens of the file; `IGNORE_LABEL` enters when batches are cut (`batches.py`).
"""

import dataclasses
import json
import tokenize
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Integer

from trm_jax.data.facts import (
    BLANK_IDENTIFIER,
    PuzzleFacts,
    RowsColumns,
    by,
    hash_identifiers,
    settle_facts,
)
from trm_jax.typed_json import parse_json, read_fields, read_json

Examples = Integer[np.ndarray, "examples seq"]


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """The content of dataset.json, field by field.

    Attributes:
      seq_len: cells of a puzzle.
      vocab_size: token alphabet, pad included.
      pad_id: token of padding rows.
      ignore_label_id: label token that is not scored, or None.
      blank_identifier_id: identifier of padding rows.
      num_puzzle_identifiers: rows that the puzzle embedding table needs.
      total_groups: groups in all sets.
      mean_puzzle_examples: examples per puzzle.
      total_puzzles: puzzles as the released builders count them (groups for Sudoku and Maze).
      sets: names of the sets.
      puzzles: what the puzzles are; None: the file does not say (the release, older files).

    Raises:
      ValueError: a number out of its range, or puzzles of another size.
    """

    seq_len: int
    vocab_size: int
    pad_id: int = 0
    ignore_label_id: int | None = 0
    blank_identifier_id: int = 0
    num_puzzle_identifiers: int = 1
    total_groups: int
    mean_puzzle_examples: float
    total_puzzles: int
    sets: tuple[str, ...] = ("all",)
    puzzles: PuzzleFacts | None = None

    def __post_init__(self) -> None:
        for name in ("seq_len", "vocab_size", "num_puzzle_identifiers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name, limit in (
            ("pad_id", self.vocab_size),
            ("blank_identifier_id", self.num_puzzle_identifiers),
        ):
            if not 0 <= getattr(self, name) < limit:
                raise ValueError(f"{name} must be 0 to {limit - 1}, got {getattr(self, name)}")
        if self.puzzles is not None and self.puzzles.cells != self.seq_len:
            raise ValueError(
                f"puzzles.grid must have seq_len={self.seq_len} cells, got"
                f" {list(self.puzzles.grid)}"
            )

    def to_json(self) -> dict[str, Any]:
        """Give the content of dataset.json; what nobody said is left out."""
        values = dataclasses.asdict(self)
        if self.puzzles is None:
            del values["puzzles"]
        return values


@dataclass(frozen=True, kw_only=True)
class PuzzleDataset:
    """One set of one split, with the invariants that `load_dataset` checks."""

    inputs: Examples
    labels: Examples
    puzzle_identifiers: Integer[np.ndarray, " puzzles"]
    puzzle_indices: Integer[np.ndarray, " puzzle_bounds"]
    group_indices: Integer[np.ndarray, " group_bounds"]
    metadata: Metadata

    def __len__(self) -> int:
        """Count the examples."""
        return len(self.inputs)


IDENTIFIERS = "identifiers.json"
ARRAYS = ("inputs", "labels", "puzzle_identifiers", "puzzle_indices", "group_indices")


def from_examples(
    inputs: Examples,
    labels: Examples,
    *,
    vocab_size: int,
    group_size: int = 1,
    puzzles: PuzzleFacts | None = None,
) -> PuzzleDataset:
    """Make a data set in which every example is a puzzle of its own, without identifiers.

    Args:
      inputs: tokens; consecutive runs of `group_size` rows are augmentations of one puzzle.
      labels: tokens of the answers.
      vocab_size: token alphabet, pad included.
      group_size: rows per group.
      puzzles: what they are, for dataset.json; None: it will not say.

    Raises:
      ValueError: the rows do not fill whole groups, or an invariant is hurt.
    """
    num = len(inputs)
    if group_size < 1 or num % group_size:
        raise ValueError(f"{num} examples do not fill groups of {group_size}")
    groups = num // group_size
    arrays = {
        "inputs": inputs,
        "labels": labels,
        "puzzle_identifiers": np.zeros(num, np.int32),
        "puzzle_indices": np.arange(num + 1, dtype=np.int32),
        "group_indices": np.arange(0, num + 1, group_size, dtype=np.int32),
    }
    metadata = Metadata(
        seq_len=inputs.shape[1],
        vocab_size=vocab_size,
        total_groups=groups,
        mean_puzzle_examples=1.0,
        total_puzzles=groups,
        puzzles=puzzles,
    )
    validate(arrays, metadata, "")
    return PuzzleDataset(**arrays, metadata=metadata)


def save_dataset(
    dataset: PuzzleDataset, folder: Path, *, identifiers: Sequence[str] = (BLANK_IDENTIFIER,)
) -> None:
    """Write one split.

    dataset.json comes last: a split whose writing was cut off does not load.

    Args:
      dataset: what to write; its metadata must name one set.
      folder: ROOT/SPLIT.
      identifiers: names of the puzzle identifiers, for ROOT/identifiers.json.

    Raises:
      ValueError: an invariant is hurt, or the metadata speak of other identifiers.
    """
    facts = dataset.metadata.puzzles
    if facts is not None and facts.identifiers_sha256 != hash_identifiers(identifiers):
        raise ValueError(f"{folder}: the data set's facts speak of other puzzle identifiers")
    arrays = {array: getattr(dataset, array) for array in ARRAYS}
    validate(arrays, dataset.metadata, "")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset.json").unlink(missing_ok=True)
    (name,) = dataset.metadata.sets
    for array, values in arrays.items():
        np.save(folder / f"{name}__{array}.npy", values)
    (folder.parent / IDENTIFIERS).write_text(json.dumps(list(identifiers)))
    (folder / "dataset.json").write_text(json.dumps(dataset.metadata.to_json()))


def load_identifiers(root: Path) -> list[str]:
    """Read the names of the puzzle identifiers.

    Raises:
      FileNotFoundError: identifiers.json is missing.
      ValueError: it is no list of names, or a name comes twice.
    """
    return read_names(root / IDENTIFIERS)


def read_names(path: Path) -> list[str]:
    """Read a list of the names of puzzle identifiers.

    Raises:
      FileNotFoundError: the file is missing.
      ValueError: it is no list of names, or a name comes twice.
    """
    names = read_json(_existing(path))
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{path} must list the names of the puzzle identifiers")
    if len(set(names)) != len(names):
        twice = next(name for at, name in enumerate(names) if name in names[:at])
        raise ValueError(f"{path}: the identifier {twice[:80]!r} is there twice")
    return names


def load_dataset(folder: Path, *, set_name: str = "all") -> PuzzleDataset:
    """Read and check one set of one split; the arrays are memory-mapped.

    Args:
      folder: ROOT/SPLIT, as in data/sudoku/test.
      set_name: which of the sets named in dataset.json.

    Raises:
      FileNotFoundError: a file of the layout is missing.
      ValueError: a file is no JSON or .npy, or its values hurt an invariant; the message names
        file and value.
    """
    metadata = read_metadata(folder / "dataset.json")
    if set_name not in metadata.sets:
        raise ValueError(f"{folder} has the sets {list(metadata.sets)}, not {set_name!r}")
    arrays = {array: _read_array(folder / f"{set_name}__{array}.npy") for array in ARRAYS}
    validate(arrays, metadata, f"{folder}/{set_name}__")
    return PuzzleDataset(**arrays, metadata=metadata)


def facts_of_split(
    metadata: Metadata, split: Path, task: str, *, box: RowsColumns | None = None
) -> PuzzleFacts:
    """Return what the puzzles of a split are: what its file says, else what leaves no choice.

    Args:
      split: where dataset.json is; identifiers.json, if there, is in the folder above.
      task: what they are to be.
      box: of a Sudoku, as the user says it.

    Raises:
      ValueError: they are of another task or box, identifiers.json is another data set's, or
        something must be said.
    """
    where, facts, names = f"data {split}", metadata.puzzles, None
    if metadata.num_puzzle_identifiers > 1 and (split.parent / IDENTIFIERS).is_file():
        names = load_identifiers(split.parent)
        if len(names) != metadata.num_puzzle_identifiers:
            raise ValueError(
                f"{split.parent / IDENTIFIERS} lists {len(names)} names, {split} has"
                f" num_puzzle_identifiers={metadata.num_puzzle_identifiers}"
            )
    if facts is None:
        return settle_facts(
            task,
            metadata.seq_len,
            where,
            num_identifiers=metadata.num_puzzle_identifiers,
            identifiers=names,
            box=box,
        )
    if facts.task != task:
        raise ValueError(f"{where} is {facts.task} data, not {task}")
    if box is not None and box != facts.box:
        raise ValueError(f"{where} is {facts.title}, not with boxes {by(box)}")
    if names is not None and hash_identifiers(names) != facts.identifiers_sha256:
        raise ValueError(f"{split.parent / IDENTIFIERS} lists other names than {split} was made of")
    return facts


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing; a data set is a folder with dataset.json and the arrays"
            f" {', '.join(f'all__{array}.npy' for array in ARRAYS)}"
        )
    return path


def read_metadata(path: Path) -> Metadata:
    """Read dataset.json. Older files lack total_puzzles: there it is the number of groups.

    Raises:
      FileNotFoundError: no such file.
      ValueError: not JSON, or a field is unknown, missing, of another type or out of its range.
    """
    text = _existing(path).read_bytes()
    try:
        values = parse_json(text)
        if isinstance(values, dict) and "total_groups" in values:
            values = {"total_puzzles": values["total_groups"], **values}
        return read_fields(Metadata, values)
    except ValueError as error:
        raise ValueError(f"{path} is no dataset.json of the released layout: {error}") from error


BAD_HEADER = (ValueError, EOFError, SyntaxError, TypeError, OverflowError, tokenize.TokenError)
"""What NumPy raises for a damaged header, beside the errors of nesting and memory."""


def _read_array(path: Path) -> np.ndarray:
    """Map an .npy file whose header agrees with its size; bytes in the order of this machine."""
    _existing(path)
    try:
        dtype, shape, fortran, offset = _read_header(path)
        if dtype.kind not in "iuf":
            raise ValueError(f"holds {dtype}, not integers")
        needed, there = dtype.itemsize * int(np.prod(shape, dtype=object)), path.stat().st_size
        if offset + needed != there:
            raise ValueError(
                f"its header says {dtype} of shape {shape}, {offset + needed:,} bytes, the file has"
                f" {there:,}"
            )
        if not needed:
            return np.zeros(shape, dtype)
        order = "F" if fortran else "C"
        mapped = np.memmap(path, dtype, "r", offset, shape, order)
        plain = dtype.isnative and not (fortran and len(shape) > 1)
        return mapped if plain else np.ascontiguousarray(mapped, dtype.newbyteorder("="))
    except (*BAD_HEADER, RecursionError, MemoryError) as error:
        first = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise ValueError(f"{path} is no complete .npy file: {first}") from error


def _read_header(path: Path) -> tuple[np.dtype, tuple[int, ...], bool, int]:
    """Read element type, shape, order and where the data begin."""
    with path.open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of headers by Python 2
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        elif version == (2, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(file)
        else:
            raise ValueError(f"version {version} of the format is for names of fields")
        if any(size < 0 for size in shape):
            raise ValueError(f"a negative size in the shape {shape}")
        return dtype, shape, fortran, file.tell()


def validate(arrays: Mapping[str, np.ndarray], meta: Metadata, where: str) -> None:
    """Check every invariant of a data set.

    Args:
      arrays: the entries named in `ARRAYS`.
      meta: what they must agree with.
      where: start of the file names, for the messages.

    Raises:
      ValueError: the first invariant that does not hold.
    """
    for array, values in arrays.items():
        ndim = 2 if array in ("inputs", "labels") else 1
        if values.dtype.kind not in "iu" or values.ndim != ndim:
            raise ValueError(
                f"{where}{array} must hold integers in {ndim} dimensions,"
                f" got {values.dtype} of shape {values.shape}"
            )
    num, puzzles = len(arrays["inputs"]), len(arrays["puzzle_identifiers"])
    for array in ("inputs", "labels"):
        if arrays[array].shape != (num, meta.seq_len):
            shape = arrays[array].shape
            raise ValueError(f"{where}{array} must be {num, meta.seq_len}, got {shape}")
        _check_range(arrays[array], meta.vocab_size, f"{where}{array}", "vocab_size")
    groups = max(len(arrays["group_indices"]) - 1, 0)
    _check_offsets(arrays["puzzle_indices"], puzzles, num, f"{where}puzzle_indices")
    _check_offsets(arrays["group_indices"], groups, puzzles, f"{where}group_indices")
    identifiers = arrays["puzzle_identifiers"]
    rows = meta.num_puzzle_identifiers
    _check_range(identifiers, rows, f"{where}puzzle_identifiers", "num_puzzle_identifiers")


def _check_range(values: np.ndarray, limit: int, where: str, name: str) -> None:
    if values.size and (values.min() < 0 or values.max() >= limit):
        raise ValueError(
            f"{where} must hold 0 to {limit - 1} ({name}={limit}),"
            f" got values from {values.min()} to {values.max()}"
        )


def _check_offsets(offsets: np.ndarray, runs: int, end: int, where: str) -> None:
    """Check that offsets cut [0, end) into `runs` runs, none empty."""
    if len(offsets) != runs + 1:
        raise ValueError(f"{where} must have {runs + 1} entries, got {len(offsets)}")
    if offsets[0] != 0 or offsets[-1] != end:
        raise ValueError(f"{where} must run from 0 to {end}, got {offsets[0]} to {offsets[-1]}")
    steps = np.diff(offsets)
    if len(steps) and steps.min() < 1:
        at = int(np.argmin(steps))
        raise ValueError(
            f"{where} must increase, got {offsets[at]} before {offsets[at + 1]} at entry {at}"
        )
