"""The folder of a training run: what it is, its rows of metrics, its states.

spec.json        {"kind": "training run", what decides the result, "data_sha256"}, all in one
rows.jsonl       one row of metrics every --log-every steps
state/           the last two states (Orbax)
windows/N.json   sums of metrics since the last row, at step N: the state's other half, so
                 that the first row after a resumption is that of an uninterrupted run

Files are replaced in one piece, rows appended in one piece: a kill loses the rows after the newest
state, which come again. A damaged line is refused before anything is written; only a last line
without its newline, cut off by a kill, goes by itself (measurement/row_files.py).
"""

import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from experiments.measurement.row_files import append_row, drop_torn_line, line_of
from experiments.train.job import DecoderSpec, TrainSpec
from experiments.train.metric_rows import MetricRow, MetricRows, read_rows
from trm_jax.checkpoints.training_state import TrainCheckpointer
from trm_jax.config import preset
from trm_jax.output.staging import replace_text
from trm_jax.training.recipe import RELEASED_Q_WEIGHT
from trm_jax.training.running_metrics import Window
from trm_jax.typed_json import parse_json, read_fields

Document = dict[str, Any]
RunState = TypeVar("RunState")
"""All that a resumed run needs: a pytree of arrays."""

KIND = "training run"


def with_defaults(said: Document) -> Document:
    """Add what earlier versions did not write into spec.json."""
    recipe = {
        "stagger": False,
        "accumulate": 1,
        "optimizer": "adam_atan2",
        "adam_eps": 1e-8,
        "q_weight": RELEASED_Q_WEIGHT,
    }
    said = {
        "dtype": preset(said["preset"]).forward_dtype,
        "halt_max_steps": None,
        "halt_exploration": None,
        "sizes": None,
        **said,
    }
    return said | {"recipe": recipe | said["recipe"]}


def differences(stored: Document, given: Document, ignore: tuple[str, ...] = ()) -> list[str]:
    """List what differs between two runs. Their length does not, at a constant learning rate."""
    flat = [{**x, **{f"recipe {k}": v for k, v in x["recipe"].items()}} for x in (stored, given)]
    skip = {"recipe", *ignore}
    if all(x["recipe lr_min_ratio"] == 1.0 for x in flat):
        skip.add("recipe total_steps")
    names = sorted((flat[0].keys() & flat[1].keys()) - skip)
    return [
        f"{name}: {flat[0][name]!r} there, {flat[1][name]!r} now"
        for name in names
        if flat[0][name] != flat[1][name]
    ]


def read_spec(text: str | bytes) -> Document:
    """Read what decides a run's result, typed and checked, with what earlier versions left out.

    Raises:
      ValueError: not the document of a training run, or a field of it is wrong.
    """
    stored = _read_stored(text)
    if "order" in stored:
        raise ValueError("it is of a decoder's training; name its preset")
    return _checked(TrainSpec, with_defaults(stored))


def read_decoder_spec(text: str | bytes) -> Document:
    """Read what decides the result of a decoder's run, typed and checked.

    Raises:
      ValueError: as `read_spec`.
    """
    stored = _read_stored(text)
    if "order" not in stored:
        raise ValueError("it is of a recursive model's training; name its preset")
    return _checked(DecoderSpec, stored)


def _read_stored(text: str | bytes) -> Document:
    stored = read_fields(dict[str, Any], parse_json(text))
    if (kind := stored.pop("kind", KIND)) != KIND or "runs" in stored:
        raise ValueError(f"it is of a {'folder of rows' if kind == KIND else kind}")
    if not isinstance(stored.get("recipe"), dict) or not isinstance(stored.get("preset"), str):
        raise ValueError("it needs `preset`, a text, and `recipe`, an object")
    return stored


def _checked(spec: type, stored: Document) -> Document:
    read_fields(spec, {k: v for k, v in stored.items() if k != "data_sha256"})
    if not isinstance(stored.get("data_sha256", ""), str):
        raise ValueError(f"field data_sha256 must be a text, got {stored['data_sha256']!r}")
    return stored


@dataclass(frozen=True, kw_only=True)
class SavedWindow:
    """A file of windows/: how many steps were summed, and their sums by metric."""

    steps: int
    sums: dict[str, float]

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise ValueError(f"field steps must be 0 or more, got {self.steps}")


def read_window(file: Path, window: Window) -> None:
    """Take up the sums of a file of windows/.

    Raises:
      ValueError: it is damaged; the message names it.
    """
    try:
        saved = read_fields(SavedWindow, parse_json(file.read_bytes()))
    except ValueError as error:
        raise ValueError(
            f"{file} is damaged ({error}); delete it, and the first row averages fewer steps"
        ) from error
    window.from_json(asdict(saved))


class RunFolder:
    """Reads and writes the files of one run, whose folder this process holds.

    Args:
      read: reads spec.json; a decoder's is `read_decoder_spec`.
    """

    def __init__(self, path: Path, read: Callable[[str | bytes], Document] = read_spec) -> None:
        self.path = path
        self._read = read
        self.rows_file = path / "rows.jsonl"
        self.spec_file = path / "spec.json"

    def open(self, said: Document) -> None:
        """Make the folder of a new run, or check that an old one is of the same spec.

        Raises:
          ValueError: the folder's spec differs, or its spec or a row is damaged.
        """
        if self.spec_file.exists():
            self._check(said)
        self.read_rows()  # damage is refused before anything is written
        self._check_torn_line()
        self.path.mkdir(parents=True, exist_ok=True)
        drop_torn_line(self.rows_file)
        self.write_spec(said)  # first: by it the folder is known for a run's
        self.states = TrainCheckpointer(self.path / "state")

    def _check(self, said: Document) -> None:
        try:
            stored = self._read(self.spec_file.read_bytes())
        except ValueError as error:
            raise ValueError(f"{self.spec_file} is no spec of a training run: {error}") from error
        if differs := differences(stored, said):
            listed = "; ".join(differs)
            raise ValueError(f"{self.spec_file} differs from the options given: {listed}")

    def write_spec(self, said: Document) -> None:
        """Say what the run is."""
        replace_text(self.spec_file, json.dumps({"kind": KIND, **said}, indent=1) + "\n")

    def read_rows(self) -> MetricRows:
        """Read all rows, a cut-off last line left out.

        Raises:
          ValueError: a line is damaged; the message names it.
        """
        return read_rows(self.rows_file)

    def _check_torn_line(self) -> None:
        """Let a cut-off last line go only where its row will come again, after the newest state.

        Raises:
          ValueError: a state is as far as the row: a kill leaves no such file, damage does.
        """
        if not self.rows_file.is_file():
            return
        torn = self.rows_file.read_bytes().rpartition(b"\n")[2]
        match = re.match(rb'\{"step": ?([0-9]+)[,.}]', torn)
        saved = [int(f.name) for f in self.path.glob("state/*") if f.name.isdecimal()]
        if match and int(match[1]) <= max(saved, default=0):
            raise ValueError(
                f"{self.rows_file}: the last line, of step {int(match[1])}, is cut off, and the"
                f" state of step {max(saved)} is past it: the row would not come again; restore the"
                " file, or delete that line to go on without its row"
            )

    def rows_until(self, step: int) -> MetricRows:
        """Read the rows up to a step; later ones will come again.

        Raises:
          ValueError: a line is damaged.
        """
        return [row for row in self.read_rows() if row["step"] <= step]

    def keep_rows(self, rows: MetricRows) -> None:
        """Make these all rows of the run, in one piece; nothing is written where they are."""
        if rows != self.read_rows():
            replace_text(self.rows_file, "".join(line_of(row) + "\n" for row in rows))

    def add_row(self, row: MetricRow) -> None:
        """Append a row and wait until it is on the disk."""
        append_row(self.rows_file, row)

    def save(self, state: object, step: int, window: Window) -> None:
        """Write a state and its window, the window first: a state without one is not whole."""
        if self.states.latest() == step:
            return
        windows = self.path / "windows"
        windows.mkdir(exist_ok=True)
        replace_text(windows / f"{step}.json", json.dumps(window.to_json()))
        self.states.save(step, state)
        names = {f"{saved}.json" for saved in self.states.steps()}
        for file in windows.iterdir():
            if file.name not in names:
                file.unlink()

    def restore(self, like: RunState, window: Window) -> RunState:
        """Read the newest state and its window; `like` itself where there is none yet."""
        step = self.states.latest()
        if step is None:
            return like
        file = self.path / "windows" / f"{step}.json"
        if file.exists():  # earlier versions wrote none
            read_window(file, window)
        return self.states.restore(like)

    def close(self) -> None:
        """Release the states."""
        self.states.close()
