"""One puzzle step by step in a terminal: the answer after every supervision step.

Beside it stands that of another scheme, simulated from the model that was exported.

Not here: a page with every H-cycle and curves (experiments/watch).
"""

from collections.abc import Callable, Sequence

import numpy as np

from export.artifact.open import Export
from export.lowering.model import parameters_sha256
from export.lowering.storage import plan_named
from quant.scheme import Scheme, short_name
from quant.simulation import quantise_for, simulate
from trm_jax.data.batches import PuzzleBatch
from trm_jax.halting import StepReading
from trm_jax.loading import LoadedModel, load_model, to_batch

Show = Callable[[np.ndarray], str]
"""Tokens of an answer -> lines of text."""
GAP = "    "


def simulate_steps(
    export: Export, scheme: Scheme, tokens: np.ndarray, identifier: int, steps: int
) -> list[StepReading]:
    """Answer a puzzle by the exported model under another scheme, in simulation.

    That the model is the exported one is checked by its parameters, and by its sizes alone where
    the export was rounded along puzzles.

    Raises:
      ValueError: the scheme is calibrated on puzzles, or the model is not the exported one.
      OSError: the model is missing.
    """
    if scheme.needs_puzzles:
        raise ValueError(
            f"--compare {short_name(scheme.name)} is calibrated on puzzles; compare it with"
            " python -m experiments.watch --schemes"
        )
    model = load_model(export.manifest.source, task=export.manifest.task or None)
    if model.config.seq_len != export.config.seq_len or type(model.config) is not type(
        export.config
    ):
        raise ValueError(f"the model {export.manifest.source} is not the one that was exported")
    _check_parameters(export, model)
    labels, rows = np.zeros_like(tokens[None]), np.asarray([identifier], np.int32)
    batch = to_batch(PuzzleBatch(tokens[None], labels, rows, 1))
    return simulate(model, scheme).readings(batch, steps=steps)


def _check_parameters(export: Export, model: LoadedModel) -> None:
    """Check that a model gives the parameters of an export, where no puzzles are needed for that.

    Raises:
      ValueError: it does not.
    """
    manifest = export.manifest
    plan = plan_named(manifest.scheme, manifest.target).precision
    if plan.rounds_with_puzzles:
        return
    if parameters_sha256(quantise_for(model.weights.params, plan)) != manifest.parameters_sha256:
        raise ValueError(
            f"the model {manifest.source} has other weights than the one that was exported as"
            f" {manifest.scheme}; export it again, or leave --compare out"
        )


def show_steps(
    readings: Sequence[StepReading], show: Show, others: Sequence[StepReading] = ()
) -> str:
    """Write the answer after every step, and beside it the other one's."""
    parts, before = [], None
    for step, reading in enumerate(readings, start=1):
        answer = reading.tokens[0]
        line = f"step {step}: q_halt {reading.q_halt[0]:+.2f}"
        if reading.residual is not None:
            line += f", residual {reading.residual[0]:.3f}"
        if before is not None:
            line += f", {np.count_nonzero(answer != before)} cells changed"
        board = show(answer)
        if others:
            other = others[step - 1].tokens[0]
            line += f", {np.count_nonzero(answer != other)} cells differ"
            board = beside(board, show(other))
        parts.append(f"{line}\n{board}")
        before = answer
    return "\n\n".join(parts)


def describe_difference(readings: Sequence[StepReading], others: Sequence[StepReading]) -> str:
    """Say in words how far two runs end from each other, and from which step on."""
    differ = [
        int(np.count_nonzero(mine.tokens[0] != other.tokens[0]))
        for mine, other in zip(readings, others, strict=False)
    ]
    if not differ[-1]:
        return "the same answer"
    last = max((i for i, count in enumerate(differ) if not count), default=-1)
    return f"{differ[-1]} cells differ, from step {last + 2} on"


def beside(left: str, right: str) -> str:
    """Put two blocks of lines beside each other."""
    rows = left.split("\n"), right.split("\n")
    height = max(map(len, rows))
    first, second = (lines + [""] * (height - len(lines)) for lines in rows)
    width = max(map(len, first))
    pairs = zip(first, second, strict=True)
    return "\n".join(f"{a.ljust(width)}{GAP}{b}".rstrip() for a, b in pairs)
