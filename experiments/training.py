"""A training run: segments, rows of metrics, saved states, exact resuming.

Left out: the command line (train.py) and the update itself (trm_jax/train.py).
"""

import contextlib
import dataclasses
import json
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from experiments.curves import draw_curve
from experiments.training_data import augmentation, load_puzzles, split
from trm_jax import checkpoint
from trm_jax.config import Config, preset
from trm_jax.evaluate import Readout, measure, trajectory
from trm_jax.models import build
from trm_jax.reasoner import Reasoner
from trm_jax.train import (
    Recipe,
    TrainState,
    TrainStep,
    averaged,
    init_state,
    make_train_step,
)
from trm_jax.types import IGNORE_LABEL, Batch, Weights


@dataclass(frozen=True, kw_only=True)
class Spec:
    """A training run: what decides its result. Times and logging intervals do not belong here."""

    preset: str
    data: str
    augmentation: str
    valid: int
    start: str | None
    recipe: Recipe


def validate(reasoner: Reasoner, state: TrainState, valid: Batch) -> dict[str, float]:
    """Evaluate the averaged weights at 1, 4 and all supervision steps."""
    c = reasoner.config
    steps = sorted({1, min(4, c.halt_max_steps), c.halt_max_steps})
    weights = averaged(state)
    states = trajectory(reasoner, weights, valid, steps=c.halt_max_steps)
    depths = tuple(n * c.H_cycles for n in steps)
    read: Readout = measure(reasoner, weights, valid, states, states, depths=depths)
    exact = np.asarray(read.exact).mean(axis=1)
    cells = np.asarray(read.cell_correct).sum(axis=1) / np.sum(
        np.asarray(valid.labels) != IGNORE_LABEL
    )
    row = {f"valid_exact_n{n}": float(e) for n, e in zip(steps, exact, strict=True)}
    return row | {"valid_cell": float(cells[-1])}


def check_finite(state: TrainState, loss: float) -> None:
    """Stop a run that has left the numbers.

    Raises:
      FloatingPointError: names the step and the first tensor that is not finite.
    """
    if np.isfinite(loss):
        return
    for path, leaf in jax.tree_util.tree_leaves_with_path(state.weights):
        if not bool(jnp.all(jnp.isfinite(leaf))):
            name = jax.tree_util.keystr(path)
            raise FloatingPointError(f"step {int(state.step)}: {name} is not finite; lower --lr")
    raise FloatingPointError(f"step {int(state.step)}: the loss is {loss}; lower --lr")


class Window:
    """Sums of metrics since the last row."""

    def __init__(self) -> None:
        self.sums: dict[str, jax.Array] = {}
        self.steps = 0

    def add(self, metrics: dict[str, jax.Array]) -> None:
        """Add one step without waiting for the device."""
        self.steps += 1
        self.sums = {k: self.sums.get(k, jnp.zeros(())) + v for k, v in metrics.items()}

    def row(self) -> dict[str, float]:
        """Average: per halted puzzle where a metric counts those, per step otherwise."""
        sums = {k: float(v) for k, v in self.sums.items()}
        halted = max(sums.pop("count"), 1.0)
        per_puzzle = ("accuracy", "exact_accuracy", "q_halt_accuracy", "steps")
        return {k: v / (halted if k in per_puzzle else self.steps) for k, v in sums.items()}


def rows_until(path: Path, step: int) -> list[dict[str, float]]:
    """Read the rows up to a step; later ones, and a torn last line, will be written again."""
    rows = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            break
        if row["step"] <= step:
            rows.append(row)
    return rows


def open_run(spec: Spec, out: Path, resume: bool) -> checkpoint.TrainCheckpointer:
    """Make the folder of a new run, or check that an old one is of the same spec.

    Raises:
      ValueError: the folder holds a run and --resume is missing, or its spec differs.
    """
    said = json.loads(json.dumps(dataclasses.asdict(spec)))
    path = out / "spec.json"
    if path.exists():
        if not resume:
            raise ValueError(f"{out} holds a run; add --resume or choose another --out")
        found = json.loads(path.read_text())
        if found != said:
            raise ValueError(f"{path} differs from the options given: {found} against {said}")
    out.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(said, indent=1))
    return checkpoint.TrainCheckpointer(out / "state")


def start_weights(model: str | None, config: Config) -> Weights | None:
    """Load the weights to start from.

    Raises:
      ValueError: the model is of another configuration.
    """
    if model is None:
        return None
    found, weights = checkpoint.load_model(Path(model))
    if found != config:
        raise ValueError(f"--start {model} is of another configuration: {found} against {config}")
    return weights


@contextlib.contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """Turn Ctrl-C and SIGTERM into an event while the block runs, so that nothing is lost."""
    stop = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: stop.set()) for number in numbers]
    try:
        yield stop
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


@dataclass(frozen=True, kw_only=True)
class Pace:
    """When to write and when to stop; none of it changes the result."""

    log_every: int = 50
    valid_every: int = 200
    save_every: int = 200
    max_minutes: float = float("inf")


class Parts(NamedTuple):
    """What a run is made of, built and checked before its folder is touched."""

    reasoner: Reasoner
    update: TrainStep
    puzzles: Batch
    valid: Batch


def train(
    parts: Parts, total: int, pace: Pace, state: TrainState
) -> Iterator[tuple[TrainState, dict[str, float] | None]]:
    """Run updates up to step `total`; yields every state, with a row of metrics when due."""
    window, began = Window(), time.monotonic()
    while int(state.step) < total:
        state, metrics = parts.update(state, parts.puzzles)
        window.add(metrics)
        step, row = int(state.step), None
        if step % pace.log_every == 0 or step == total:
            row = {"step": step, "seconds": time.monotonic() - began} | window.row()
            check_finite(state, row["loss"])
            window = Window()
            if step % pace.valid_every == 0 or step == total:
                row |= validate(parts.reasoner, state, parts.valid)
        yield state, row


def run(spec: Spec, pace: Pace, out: Path, *, resume: bool) -> bool:
    """Train a segment.

    Returns:
      Whether the run is complete.
    """
    config = preset(spec.preset)
    reasoner = build(config)
    puzzles, valid = split(load_puzzles(Path(spec.data), config), spec.valid)
    update = make_train_step(reasoner, spec.recipe, augmentation(spec.augmentation, config.seq_len))
    parts = Parts(reasoner, update, puzzles, valid)
    began_with = start_weights(spec.start, config)
    state = init_state(reasoner, spec.recipe, puzzles, began_with)
    with contextlib.closing(open_run(spec, out, resume)) as keeper:
        if resume and keeper.latest() is not None:
            state = keeper.restore(state)
        state = run_segment(parts, spec.recipe.total_steps, pace, state, out, keeper)
    facts = {"spec": dataclasses.asdict(spec), "step": int(state.step)}
    checkpoint.save_model(out / "model", config, averaged(state), metadata=facts)
    draw_curve(rows_until(out / "rows.jsonl", int(state.step)), out / "curve.png", spec.preset)
    return int(state.step) >= spec.recipe.total_steps


def run_segment(
    parts: Parts,
    total: int,
    pace: Pace,
    state: TrainState,
    out: Path,
    keeper: checkpoint.TrainCheckpointer,
) -> TrainState:
    """Train until the end, the deadline or a signal; rows and states go to files on the way.

    Returns:
      The last state, which is also saved.
    """
    rows = rows_until(out / "rows.jsonl", int(state.step))
    (out / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    earlier = rows[-1]["seconds"] if rows else 0.0
    deadline = time.monotonic() + 60 * pace.max_minutes
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    progress = Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True))
    with progress as bar, stop_signals() as stop:
        task = bar.add_task("training", total=total, completed=int(state.step))
        for now, row in train(parts, total, pace, state):
            state, step = now, int(now.step)
            if row is not None:
                row["seconds"] += earlier
                with (out / "rows.jsonl").open("a") as file:
                    file.write(json.dumps(row) + "\n")
                said = f"loss {row['loss']:.3f} exact {row['exact_accuracy']:.3f}"
                bar.update(task, completed=step, description=said)
            if step % pace.save_every == 0:
                keeper.save(step, state)
            if stop.is_set() or time.monotonic() > deadline:
                break
    if keeper.latest() != int(state.step):
        keeper.save(int(state.step), state)
    return state
