"""Train a reasoner from scratch by the released recipe, in segments that resume exactly.

    python -m experiments.train --preset sudoku-trm-mlp-mini --data data/sudoku-6x6 \\
        --total-steps 1500 --batch-size 64 --lr 1e-3 --weight-decay 0.1 --out runs/mlp
    ... the same command with --resume --max-minutes 30 goes on for half an hour

DATA is a folder in the released .npy layout (`python -m trm_jax.data.sudoku generate ...`).
OUT gets spec.json, rows.jsonl (one row of metrics every --log-every steps), state/ (to resume
from; written every --save-every steps and at the end of a segment), model/ (EMA weights, what
`experiments.sweep --model` takes) and curve.png. The last --valid training puzzles are not
trained on; the test split is never read.

Every draw is a function of (seed, step): a run that was stopped or killed and resumed passes
through the same states as one that was not. Ctrl-C and SIGTERM end a segment like --max-minutes:
the state is saved. --start MODEL begins from the weights of an earlier run (a curriculum).
"""

import argparse
import contextlib
import dataclasses
import json
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from experiments.curves import draw_curve
from trm_jax import checkpoint
from trm_jax.augment import Augment, maze_augmentation, no_augmentation, sudoku_augmentation
from trm_jax.config import Config, preset, to_dict
from trm_jax.data.format import load_dataset
from trm_jax.evaluate import Readout, measure, trajectory
from trm_jax.models import build
from trm_jax.reasoner import Reasoner
from trm_jax.train import Recipe, TrainState, averaged, init_state, make_train_step
from trm_jax.types import Batch, Weights


@dataclass(frozen=True, kw_only=True)
class Spec:
    """A training run: what decides its result. Times and logging intervals do not belong here."""

    preset: str
    data: str
    augmentation: str
    valid: int
    start: str | None
    recipe: Recipe


AUGMENTATIONS: dict[str, Augment] = {
    "none": no_augmentation,
    "sudoku-2x2": sudoku_augmentation(2, 2),
    "sudoku-2x3": sudoku_augmentation(2, 3),
    "sudoku-3x3": sudoku_augmentation(3, 3),
}


def augmentation(name: str, seq_len: int) -> Augment:
    """Look an augmentation up by name; `maze` fits any square.

    Raises:
      ValueError: unknown name, or a maze that is not square.
    """
    if name == "maze":
        side = round(seq_len**0.5)
        if side * side != seq_len:
            raise ValueError(f"maze augmentation needs square mazes, got {seq_len} cells")
        return maze_augmentation(side)
    if name not in AUGMENTATIONS:
        known = ", ".join(["maze", *AUGMENTATIONS])
        raise ValueError(f"unknown augmentation {name!r}; known: {known}")
    return AUGMENTATIONS[name]


def load_puzzles(folder: Path, config: Config) -> Batch:
    """Read the training split as one batch of int16 arrays for the device.

    Raises:
      ValueError: the puzzles do not fit the configuration.
      FileNotFoundError: there is no such data set.
    """
    data = load_dataset(folder / "train")
    meta = data.metadata
    wanted = (config.seq_len, config.vocab_size)
    if (meta.seq_len, meta.vocab_size) != wanted:
        raise ValueError(
            f"{folder} has seq_len={meta.seq_len} vocab_size={meta.vocab_size}; the preset needs"
            f" seq_len={wanted[0]} vocab_size={wanted[1]}"
        )
    if meta.num_puzzle_identifiers > config.num_puzzle_identifiers:
        raise ValueError(
            f"{folder} has {meta.num_puzzle_identifiers} puzzle identifiers; the preset's table"
            f" has {config.num_puzzle_identifiers} rows"
        )
    labels = np.asarray(data.labels, np.int16)
    if meta.ignore_label_id is not None:
        labels = np.where(labels == meta.ignore_label_id, np.int16(-100), labels)
    identifiers = np.repeat(data.puzzle_identifiers, np.diff(data.puzzle_indices))
    return Batch(jnp.asarray(data.inputs, jnp.int16), jnp.asarray(labels), jnp.asarray(identifiers))


def split(puzzles: Batch, valid: int) -> tuple[Batch, Batch]:
    """Cut the last puzzles off for validation.

    Raises:
      ValueError: nothing would be left on one side.
    """
    total = puzzles.inputs.shape[0]
    if not 0 < valid < total:
        raise ValueError(f"--valid must lie between 1 and {total - 1} puzzles, got {valid}")
    train = jax.tree.map(lambda a: a[:-valid], puzzles)
    return train, jax.tree.map(lambda a: a[-valid:].astype(jnp.int32), puzzles)


def validate(reasoner: Reasoner, state: TrainState, valid: Batch) -> dict[str, float]:
    """Evaluate the averaged weights at 1, 4 and all supervision steps."""
    c = reasoner.config
    steps = sorted({1, min(4, c.halt_max_steps), c.halt_max_steps})
    weights = averaged(state)
    states = trajectory(reasoner, weights, valid, steps=c.halt_max_steps)
    depths = tuple(n * c.H_cycles for n in steps)
    read: Readout = measure(reasoner, weights, valid, states, states, depths=depths)
    exact = np.asarray(read.exact).mean(axis=1)
    cells = np.asarray(read.cell_correct).sum(axis=1) / np.sum(np.asarray(valid.labels) != -100)
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


def train(
    reasoner: Reasoner, spec: Spec, pace: Pace, state: TrainState, puzzles: Batch, valid: Batch
) -> Iterator[tuple[TrainState, dict[str, float] | None]]:
    """Run updates; yields every state, with a row of metrics where one is due."""
    step_function = make_train_step(
        reasoner, spec.recipe, augmentation(spec.augmentation, reasoner.config.seq_len)
    )
    window, began = Window(), time.monotonic()
    total = spec.recipe.total_steps
    while int(state.step) < total:
        state, metrics = step_function(state, puzzles)
        window.add(metrics)
        step, row = int(state.step), None
        if step % pace.log_every == 0 or step == total:
            row = {"step": step, "seconds": time.monotonic() - began} | window.row()
            check_finite(state, row["loss"])
            window = Window()
            if step % pace.valid_every == 0 or step == total:
                row |= validate(reasoner, state, valid)
        yield state, row


def run(spec: Spec, pace: Pace, out: Path, *, resume: bool) -> bool:
    """Train a segment.

    Returns:
      Whether the run is complete.
    """
    config = preset(spec.preset)
    reasoner = build(config)
    puzzles, valid = split(load_puzzles(Path(spec.data), config), spec.valid)
    keeper = open_run(spec, out, resume)
    state = init_state(reasoner, spec.recipe, puzzles, start_weights(spec.start, config))
    if resume and keeper.latest() is not None:
        state = keeper.restore(state)
    rows = rows_until(out / "rows.jsonl", int(state.step))
    (out / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    earlier = rows[-1]["seconds"] if rows else 0.0
    deadline = time.monotonic() + 60 * pace.max_minutes
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console) as bar, stop_signals() as stop:
        task = bar.add_task("training", total=spec.recipe.total_steps, completed=int(state.step))
        for now, row in train(reasoner, spec, pace, state, puzzles, valid):
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
    done = int(state.step) >= spec.recipe.total_steps
    if keeper.latest() != int(state.step):
        keeper.save(int(state.step), state)
    keeper.close()
    facts = {"spec": dataclasses.asdict(spec), "config": to_dict(config), "step": int(state.step)}
    checkpoint.save_model(out / "model", config, averaged(state), metadata=facts)
    draw_curve(rows_until(out / "rows.jsonl", int(state.step)), out / "curve.png", spec.preset)
    return done


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = argparse.ArgumentParser(
        prog="python -m experiments.train", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    p.add_argument("--preset", required=True, help="model configuration (trm_jax/config.py)")
    p.add_argument("--data", required=True, help="folder with a train split")
    p.add_argument("--out", required=True, type=Path, help="folder of the run")
    p.add_argument("--resume", action="store_true", help="go on with the run in OUT")
    p.add_argument("--augmentation", help="none, maze, sudoku-2x3, ... (default: by the preset)")
    p.add_argument("--valid", type=int, default=256, help="puzzles held back (%(default)s)")
    p.add_argument("--start", metavar="MODEL", help="weights to start from (a model folder)")
    p.add_argument("--max-minutes", type=float, default=float("inf"), help="end of the segment")
    for name in ("log_every", "valid_every", "save_every"):
        p.add_argument("--" + name.replace("_", "-"), type=int, default=getattr(Pace, name))
    for field in dataclasses.fields(Recipe):
        flag = "--" + field.name.replace("_", "-")
        if isinstance(field.default, bool):
            p.add_argument(flag, action="store_true", help="see trm_jax/train.py")
            continue
        kind = float if isinstance(field.default, float) else int
        required = field.default is dataclasses.MISSING
        default = None if required else field.default
        p.add_argument(flag, type=kind, required=required, default=default)
    return p


def default_augmentation(config: Config) -> str:
    """Choose the symmetries by the size of the puzzle."""
    return {16: "sudoku-2x2", 36: "sudoku-2x3", 81: "sudoku-3x3"}.get(config.seq_len, "maze")


def main(argv: list[str] | None = None) -> int:
    """Run the program; 0 when the run is complete or the segment ended, 2 on bad input."""
    args = parser().parse_args(argv)
    try:
        recipe = Recipe(**{f.name: getattr(args, f.name) for f in dataclasses.fields(Recipe)})
        named = args.augmentation or default_augmentation(preset(args.preset))
        spec = Spec(
            preset=args.preset, data=args.data, augmentation=named, valid=args.valid,
            start=args.start, recipe=recipe,
        )  # fmt: skip
        pace = Pace(
            log_every=args.log_every, valid_every=args.valid_every, save_every=args.save_every,
            max_minutes=args.max_minutes,
        )  # fmt: skip
        done = run(spec, pace, args.out, resume=args.resume)
    except (ValueError, FileNotFoundError, FloatingPointError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    if not done:
        sys.stderr.write("segment ended; the same command with --resume goes on\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
