"""One supervision step in JAX and in PyTorch, compared and then timed in turn."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import subject as subjects
from benchmarks.subject import Subject
from benchmarks.timing import Spread, spread, wall_and_cpu
from benchmarks.torch_reasoner import TorchReasoner, kernels, puzzle_tensors
from trm_jax.command_line import split_names
from trm_jax.models.act import rollout
from trm_jax.models.reasoner import Reasoner
from trm_jax.types import Batch, Logits, Weights

TOLERANCE = 1e-3
"""Largest difference of logits after the step, relative to the largest logit.

A step chains up to some hundred products and norms; each rounds by about 2^-24 times the root of
its length (up to 1536 terms): 100 x 40 x 6e-8 = 2.4e-4, and four times that for unlucky weights. A
wrong formula differs in the first digit.
"""

Contestants = Mapping[str, Callable[[], Any]]
"""What computes the logits of a step, by name: `JAX` and `PyTorch`."""
Seconds = Mapping[str, tuple[float, float]]
"""Of one repeat, by name: on the clock, and of all threads."""
OURS, RIVAL = "JAX", "PyTorch"


@partial(jax.jit, static_argnames=("reasoner",))
def step(reasoner: Reasoner, weights: Weights, batch: Batch) -> Logits:
    """Embed, run one supervision step from the initial states, decode."""
    latents, _ = rollout(reasoner, weights, batch, steps=1, observe=lambda _: None)
    return reasoner.read_out(weights.params, latents.z_H).logits


def make_contestants(subject: Subject, threads: int) -> Contestants:
    """Make both; JAX's program is compiled."""
    given = (subject.weights, subject.batch)
    program = step.lower(subject.reasoner, *given).compile()
    rival = TorchReasoner.of(subject.config, subject.weights, threads)
    inputs, _, identifiers = puzzle_tensors(subject.batch)
    return {
        OURS: partial(program, *given),
        RIVAL: partial(rival.logits, inputs, identifiers, subject.config.H_cycles),
    }


def compare_logits(contestants: Contestants) -> float:
    """Run each once, which also warms it up; returns how far the rival's logits are, relatively.

    Raises:
      ValueError: they differ by more than rounding.
    """
    mine, theirs = (np.asarray(contestants[name]()) for name in (OURS, RIVAL))
    difference = float(np.max(np.abs(mine - theirs)) / np.max(np.abs(mine)))
    if not difference <= TOLERANCE:
        raise ValueError(
            f"{RIVAL} computes another model: logits after a step differ by {difference:.2g} of"
            f" the largest, rounding explains {TOLERANCE:g}"
        )
    return difference


def time_in_turn(contestants: Contestants, repeats: int) -> list[Seconds]:
    """Time everybody once a repeat; who begins changes from repeat to repeat."""
    names = list(contestants)
    orders = (names, names[::-1])
    return [
        {name: wall_and_cpu(contestants[name]) for name in orders[i % 2]} for i in range(repeats)
    ]


def make_row(timed: Sequence[Seconds]) -> dict[str, Any]:
    """Summarise the repeats of one measurement; ratios are taken within a repeat."""

    def milliseconds(name: str) -> dict[str, float]:
        return spread([1e3 * times[name][1] for times in timed])._asdict()

    def ratio(clock: int) -> dict[str, float]:
        return spread([times[OURS][clock] / times[RIVAL][clock] for times in timed])._asdict()

    return {
        "jax_cpu_ms": milliseconds(OURS),
        "torch_cpu_ms": milliseconds(RIVAL),
        "cpu_ratio": ratio(1),
        "wall_ratio": ratio(0),
        "repeats": len(timed),
        "coverage": coverage(len(timed)),
    }


def coverage(repeats: int) -> float:
    """How probable it is that the true median lies between the least and the greatest value.

    It does not if all repeats fall on one side of it, of which each has a probability of a half.
    """
    return 1 - 2.0 ** (1 - repeats)


def show(rows: Sequence[dict[str, Any]], console: Console) -> None:
    """Print rows as a table."""
    first = rows[0]
    table = Table(
        title=f"One supervision step, {first['threads']} thread(s), CPU time: medians of"
        f" {first['repeats']} repeats\nand, of the ratio, least to greatest, which covers"
        f" {first['coverage']:.0%}"
    )
    for heading in ("model", "puzzles", "JAX, ms", "PyTorch, ms", "JAX : PyTorch"):
        table.add_column(heading, justify="left" if heading == "model" else "right", no_wrap=True)
    for row in rows:
        times = (f"{row[key]['median']:,.0f}" for key in ("jax_cpu_ms", "torch_cpu_ms"))
        table.add_row(row["preset"], str(row["puzzles"]), *times, str(Spread(**row["cpu_ratio"])))
    console.print(table)
    worst = max(row["difference"] for row in rows)
    console.print(
        f"logits after the step differ by at most {worst:.1g} of the largest; PyTorch"
        f" {first['torch']} with {first['torch_kernels']} kernels, jax {jax.__version__}",
        highlight=False,
    )


def measure(args: argparse.Namespace, console: Console) -> list[dict[str, Any]]:
    """Draw what the options name, compare and time it: a row for each preset and batch size.

    Raises:
      ValueError: options that do not fit, or a rival with another model.
    """
    rows = []
    for preset in split_names(args.presets):
        for puzzles in args.batch_sizes:
            subject = subjects.draw(preset, puzzles)
            contestants = make_contestants(subject, args.threads)
            facts = {"preset": preset, "puzzles": puzzles, "threads": args.threads, **kernels()}
            facts["difference"] = compare_logits(contestants)
            rows.append({**make_row(time_in_turn(contestants, args.repeats)), **facts})
            console.print(f"{preset}, {puzzles} together: done", highlight=False)
    return rows
