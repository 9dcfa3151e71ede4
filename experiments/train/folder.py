"""The folder of a training run: what it is, its rows of metrics, its states.

spec.json        what decides the result, data hash included
rows.jsonl       one row of metrics every --log-every steps
state/           the last two states (Orbax)
windows/N.json   sums of metrics since the last row, at step N: the state's other half, so
                 that the first row after a resumption is that of an uninterrupted run
"""

import json
from pathlib import Path
from typing import Any

from trm_jax.checkpoints.training_state import TrainCheckpointer
from trm_jax.config import preset
from trm_jax.training.running_metrics import Window
from trm_jax.training.step import TrainState

Document = dict[str, Any]


def with_defaults(said: Document) -> Document:
    """Add what earlier versions did not write into spec.json."""
    recipe = {"stagger": False, "accumulate": 1, "optimizer": "adam_atan2", "adam_eps": 1e-8}
    said = {"dtype": preset(said["preset"]).forward_dtype, "halt_max_steps": None, **said}
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


class RunFolder:
    """Reads and writes the files of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows_file = path / "rows.jsonl"
        self.spec_file = path / "spec.json"

    def open(self, said: Document, *, resume: bool) -> None:
        """Make the folder of a new run, or check that an old one is of the same spec.

        Raises:
          ValueError: the folder holds a run and `resume` is missing, or its spec differs.
        """
        if self.spec_file.exists():
            if not resume:
                raise ValueError(f"{self.path} holds a run; add --resume or choose another --out")
            self._check(said)
        self.path.mkdir(parents=True, exist_ok=True)
        self.states = TrainCheckpointer(self.path / "state")

    def _check(self, said: Document) -> None:
        try:
            stored = with_defaults(json.loads(self.spec_file.read_text()))
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{self.spec_file} is no spec of a run: {error!r}") from error
        if differs := differences(stored, said):
            listed = "\n  ".join(differs)
            raise ValueError(f"{self.spec_file} differs from the options given:\n  {listed}")

    def write_spec(self, said: Document) -> None:
        """Say what the run is."""
        self.spec_file.write_text(json.dumps(said, indent=1))

    def rows_until(self, step: int) -> list[dict[str, float]]:
        """Read the rows up to a step; later ones, and a torn last line, will come again."""
        text = self.rows_file.read_text() if self.rows_file.exists() else ""
        return parse_rows(text, step)

    def write_rows(self, rows: list[dict[str, float]]) -> None:
        """Replace all rows."""
        self.rows_file.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def add_row(self, row: dict[str, float]) -> None:
        """Append a row."""
        with self.rows_file.open("a") as file:
            file.write(json.dumps(row) + "\n")

    def save(self, state: TrainState, step: int, window: Window) -> None:
        """Write a state and its window, the window first: a state without one is not whole."""
        if self.states.latest() == step:
            return
        windows = self.path / "windows"
        windows.mkdir(exist_ok=True)
        (windows / f"{step}.json").write_text(json.dumps(window.to_json()))
        self.states.save(step, state)
        names = {f"{saved}.json" for saved in self.states.steps()}
        for file in windows.iterdir():
            if file.name not in names:
                file.unlink()

    def restore(self, like: TrainState, window: Window) -> TrainState:
        """Read the newest state and its window; `like` itself where there is none yet."""
        step = self.states.latest()
        if step is None:
            return like
        file = self.path / "windows" / f"{step}.json"
        if file.exists():  # earlier versions wrote none
            window.from_json(json.loads(file.read_text()))
        return self.states.restore(like)

    def close(self) -> None:
        """Release the states."""
        self.states.close()


def parse_rows(text: str, step: int) -> list[dict[str, float]]:
    """Read rows up to a step; a torn line ends them."""
    rows = []
    for line in text.splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            break
        if row["step"] <= step:
            rows.append(row)
    return rows
