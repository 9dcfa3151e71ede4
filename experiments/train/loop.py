"""One segment of a training run: updates until the end, a limit or a signal.

Validation happens inside a run: the averaged weights at 1, 4 and all supervision steps.

Not here: what a run is and where it begins (runner.py), its files (folder.py).
"""

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh

from experiments.render.console import Show, progress
from experiments.train.folder import RunFolder
from experiments.train.job import Pace
from trm_jax.metrics import correct_cells, puzzle_exact
from trm_jax.models.act import predictions, rollout
from trm_jax.models.reasoner import Reasoner
from trm_jax.sharding import over_batch
from trm_jax.training.running_metrics import Window
from trm_jax.training.step import TrainState, averaged
from trm_jax.types import IGNORE_LABEL, Batch, Latents, Weights

CHUNK = 256  # puzzles per device and rollout: attention scores of 30x30 mazes then take 7 GB


@partial(jax.jit, static_argnames="reasoner")
def answers(reasoner: Reasoner, weights: Weights, batch: Batch) -> tuple[Array, Array]:
    """Run to the end; give exactness and right cells after each supervision step."""

    def read(latents: Latents) -> tuple[Array, Array]:
        predicted = predictions(reasoner.read_out(weights.params, latents.z_H).logits)
        return puzzle_exact(predicted, batch.labels), correct_cells(predicted, batch.labels)

    steps = reasoner.config.halt_max_steps
    _, (exact, cells) = rollout(reasoner, weights, batch, steps=steps, observe=read)
    return exact[:, -1], cells[:, -1]  # after the last H-cycle of each step


def validate(reasoner: Reasoner, weights: Weights, valid: Batch, mesh: Mesh) -> dict[str, float]:
    """Measure weights on puzzles that training does not see.

    Returns:
      `valid_exact_n1`, ...: share of puzzles without a wrong cell after n supervision steps;
      `valid_cell`: share of right cells after all of them.
    """
    size = valid.inputs.shape[0]
    chunk = min(CHUNK, -(-size // mesh.size)) * mesh.size
    parts = []
    for begin in range(0, size, chunk):
        # the last chunk wraps around, so that all have one shape; what is surplus is cut off
        index = jnp.arange(begin, begin + chunk) % size
        part = jax.device_put(jax.tree.map(lambda a, i=index: a[i], valid), over_batch(mesh))
        seen = answers(reasoner, weights, part)
        parts.append([np.asarray(a)[:, : size - begin] for a in seen])
    exact, cells = (np.concatenate(arrays, axis=1) for arrays in zip(*parts, strict=True))
    last = reasoner.config.halt_max_steps
    row = {f"valid_exact_n{n}": float(exact[n - 1].mean()) for n in sorted({1, min(4, last), last})}
    scored = int(np.sum(np.asarray(valid.labels) != IGNORE_LABEL))
    return row | {"valid_cell": float(cells[-1].sum() / scored)}


class Parts(NamedTuple):
    """What a run is made of, built and checked before its folder is touched."""

    reasoner: Reasoner
    update: Callable[[TrainState, Batch], tuple[TrainState, dict[str, jax.Array]]]
    puzzles: Batch
    valid: Batch
    mesh: Mesh


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


def compile_timed(function: Any, *arguments: Any) -> tuple[Any, float]:
    """Compile a jitted function ahead of time; gives the program and the seconds it took."""
    began = time.monotonic()
    program = function.lower(*arguments).compile()
    return program, time.monotonic() - began


def compiled(parts: Parts, state: TrainState) -> tuple[Parts, float]:
    """Compile the update ahead of time; gives the parts with it and the seconds it took."""
    update, seconds = compile_timed(parts.update, state, parts.puzzles)
    return parts._replace(update=update), seconds


def train(
    parts: Parts, total: int, pace: Pace, state: TrainState, window: Window
) -> Iterator[tuple[TrainState, int, dict[str, float] | None]]:
    """Run updates up to step `total`; yields every state, with a row of metrics when due.

    Raises:
      FloatingPointError: a tensor or the loss is not finite.
    """
    step, slots = int(state.step), state.carry.halted.shape[0]
    began, busy, measured = time.monotonic(), 0.0, 0
    while step < total:
        start = time.monotonic()
        state, metrics = parts.update(state, parts.puzzles)
        step, row = step + 1, None
        window.add(step, metrics)
        due = step % pace.log_every == 0 or step == total
        if due:
            window.settle()
        busy, measured = busy + time.monotonic() - start, measured + 1
        if due:
            row = {"step": step, "seconds": time.monotonic() - began} | window.row()
            row["samples_per_second"] = measured * slots / busy
            window.clear()
            busy, measured = 0.0, 0
            if step % pace.valid_every == 0 or step == total:
                row |= validate(parts.reasoner, averaged(state), parts.valid, parts.mesh)
        yield state, step, row


def run_segment(
    parts: Parts, total: int, pace: Pace, state: TrainState, folder: RunFolder, window: Window
) -> TrainState:
    """Train until the end, a limit or a signal; rows and states go to files on the way.

    Returns:
      The last state, which is also saved.

    Raises:
      FloatingPointError: a tensor is not finite. No such state is saved: the newest one in the
        folder is from before.
    """
    began, step = time.monotonic(), int(state.step)
    last = total if pace.max_steps is None else min(total, step + pace.max_steps)
    if step >= last:
        return state
    parts, seconds = compiled(parts, state)
    sys.stderr.write(f"compiled in {seconds:.1f} s\n")
    rows = folder.rows_until(step)
    earlier, once = (rows[-1]["seconds"] if rows else 0.0), {"compile_seconds": seconds}
    deadline = began + 60 * pace.max_minutes  # who has a machine for so long pays compiling too
    with progress("training", total, step) as show, stop_signals() as stop:
        for now, step, row in train(parts, total, pace, state, window):
            state = now
            if row is not None:
                row["seconds"] += earlier
                folder.add_row(row | once)
                once = {}
            report(show, step, row)
            if step % pace.save_every == 0:
                window.settle()
                folder.save(state, step, window)
            if step >= last or stop.is_set() or time.monotonic() > deadline:
                break
    window.settle()
    folder.save(state, step, window)
    return state


def report(show: Show, step: int, row: dict[str, float] | None) -> None:
    """Move the progress, with a few numbers where there are any."""
    if row is None:
        show(step, "")
        return
    valid = [f"{k} {v:.3f}" for k, v in row.items() if k.startswith("valid_exact")]
    loss = f"loss {row['loss']:.3f} exact {row['exact_accuracy']:.3f}"
    show(step, "  ".join([loss, f"{row['samples_per_second']:.0f} samples/s", *valid]))
