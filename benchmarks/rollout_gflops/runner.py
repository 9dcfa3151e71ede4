"""A rollout and every matrix product in it, timed within the same repeats."""

import argparse
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from rich.console import Console
from rich.table import Table

from benchmarks import subject as subjects
from benchmarks.subject import Subject
from benchmarks.timing import Spread, seconds, spread
from trm_jax.command_line import usable_processors
from trm_jax.config import Config, Mixer, blocks_per_step, flops_per_step
from trm_jax.evaluators import trajectory

SAMPLE_SECONDS = 0.1  # a product repeats until it fills this; one call of a small one is all noise


class Product(NamedTuple):
    """A matrix product of a block: `stack` products of (rows, inputs) and (inputs, outputs)."""

    name: str
    stack: int
    rows: int
    inputs: int
    outputs: int

    @property
    def gflops(self) -> float:
        """Work of one call in GFLOPs."""
        return 2e-9 * self.stack * self.rows * self.inputs * self.outputs


def products(config: Config, batch: int) -> list[Product]:
    """List what one block multiplies.

    Raises:
      ValueError: linear attention, whose products `flops_per_step` does not count.
    """
    c, s, d = config, config.num_positions, config.hidden_size
    channel = _swiglu("mlp", batch * s, d, c.swiglu_size(d))
    if c.mixer is Mixer.MLP:
        return _swiglu("mlp_t", batch * d, s, c.swiglu_size(s)) + channel
    if c.mixer is not Mixer.ATTENTION:
        raise ValueError(f"products of mixer={c.mixer.value} are not counted; attention or mlp")
    heads = batch * c.num_heads
    return [
        Product("qkv_proj", 1, batch * s, d, 3 * d),
        Product("scores", heads, s, c.head_dim, s),
        Product("share x v", heads, s, s, c.head_dim),
        Product("o_proj", 1, batch * s, d, d),
        *channel,
    ]


def _swiglu(name: str, rows: int, width: int, inner: int) -> list[Product]:
    return [
        Product(f"{name}.gate_up_proj", 1, rows, width, 2 * inner),
        Product(f"{name}.down_proj", 1, rows, inner, width),
    ]


class Matmul:
    """A product that can be timed: operands in memory, code compiled, warm."""

    def __init__(self, product: Product) -> None:
        p = self.product = product
        left, right = jax.random.split(jax.random.key(0))
        stack = (p.stack,) if p.stack > 1 else ()
        self.a = jax.random.normal(left, (*stack, p.rows, p.inputs))
        self.b = jax.random.normal(right, (*stack, p.inputs, p.outputs))
        self.multiply = jax.jit(jnp.matmul).lower(self.a, self.b).compile()
        seconds(lambda: self.multiply(self.a, self.b))
        once = seconds(lambda: self.multiply(self.a, self.b))
        self.calls = max(1, round(SAMPLE_SECONDS / once))

    def seconds(self) -> float:
        """Time one call, averaged over enough of them to fill a sample."""

        def sample() -> jax.Array:
            for _ in range(self.calls - 1):
                self.multiply(self.a, self.b)
            return self.multiply(self.a, self.b)

        return seconds(sample) / self.calls


def measure(subject: Subject, steps: int, repeats: int) -> list[dict[str, Any]]:
    """Time the rollout and its products; returns a row for each and one for the rollout."""
    c = subject.config
    matmuls = [Matmul(product) for product in products(c, subject.num_puzzles)]
    program = trajectory.lower(subject.reasoner, subject.weights, subject.batch, steps=steps)
    rollout = program.compile()
    calls = steps * blocks_per_step(c)
    work = 1e-9 * flops_per_step(c) * steps * subject.num_puzzles
    assert abs(calls * sum(m.product.gflops for m in matmuls) / work - 1) < 1e-9

    def once() -> tuple[float, list[float]]:
        whole = seconds(lambda: rollout(subject.weights, subject.batch))
        return whole, [matmul.seconds() for matmul in matmuls]

    once()
    timed = [once() for _ in range(repeats)]
    rows = [
        {
            "what": m.product.name,
            **m.product._asdict(),
            "gflops": _rates(m.product.gflops, [parts[i] for _, parts in timed]),
        }
        for i, m in enumerate(matmuls)
    ]
    wholes, sums = [whole for whole, _ in timed], [calls * sum(parts) for _, parts in timed]
    facts = {
        "model": subject.name,
        "puzzles": subject.num_puzzles,
        "steps": steps,
        "dtype": "float32",
        "threads": usable_processors(),
        "repeats": repeats,
    }
    return rows + [{**row, **facts} for row in _sum_rows(work, wholes, sums)]


def _sum_rows(
    work: float, wholes: Sequence[float], sums: Sequence[float]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Compare the rollout with its products.

    Args:
      work: GFLOPs of either.
      wholes, sums: seconds of the rollout and of all its products, repeat by repeat.
    """
    shares = [part / whole for part, whole in zip(sums, wholes, strict=True)]
    return (
        {"what": "all products", "gflops": _rates(work, sums)},
        {"what": "rollout", "gflops": _rates(work, wholes), "share": spread(shares)._asdict()},
    )


def _rates(gflops: float, times: Sequence[float]) -> dict[str, float]:
    return spread([gflops / t for t in times])._asdict()


def show(rows: Sequence[dict[str, Any]], console: Console) -> None:
    """Print rows as a table."""
    table = Table(title="GFLOP/s: median (least to greatest)")
    for heading in ("what", "stack x rows x inputs x outputs", "GFLOP/s", "share"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    for row in rows:
        sizes = [str(row[key]) for key in ("stack", "rows", "inputs", "outputs") if key in row]
        share = str(Spread(**row["share"])) if "share" in row else ""
        table.add_row(row["what"], " x ".join(sizes), str(Spread(**row["gflops"])), share)
    console.print(table)


def run(args: argparse.Namespace, console: Console) -> list[dict[str, Any]]:
    """Load what the options name and time it.

    Raises:
      ValueError: options that do not fit.
    """
    subject = subjects.load(args)
    steps = subject.config.halt_max_steps if args.steps is None else args.steps
    if min(steps, args.repeats) < 1:
        raise ValueError(f"--steps {steps} and --repeats {args.repeats} must be at least 1")
    console.print(
        f"{subject.name}: {subject.num_puzzles} puzzles, {steps} supervision steps, float32,"
        f" {usable_processors()} threads, {args.repeats} repeats"
    )
    return measure(subject, steps, args.repeats)
