"""What a board would answer: its integers simulated on puzzles, at full depth and with halting.

The simulation is the board's arithmetic bit for bit (quant/integer), so that neither a board nor an
emulator has to solve hundreds of puzzles. Fidelity is to the model in full precision.

Not here: what is measured of memory and time (job.py), the columns (tables.py).
"""

from collections.abc import Iterator

import jax
import numpy as np

from experiments.deploy.cortex_m.rows import BoardAnswers
from experiments.measurement.shards import mark_exact, moments, to_hex
from quant.scheme import Scheme
from quant.simulation import Simulation, simulate
from trm_jax import metrics
from trm_jax.command_line import progress_bar
from trm_jax.data.format import PuzzleDataset
from trm_jax.evaluators import step_readings
from trm_jax.halting import Halting, halted_tokens, halting_steps
from trm_jax.halting.rules import Rules
from trm_jax.loading import LoadedModel, gather_batch
from trm_jax.types import Batch

CHUNK = 50  # puzzles of a rollout


def measure_answers(
    source: LoadedModel,
    simulation: Simulation,
    dataset: PuzzleDataset,
    limit: int,
    halting: Halting,
    rules: Rules | None,
) -> BoardAnswers:
    """Solve the first puzzles of a data set as a board does.

    Args:
      halting: the rule that the board begins with; rules: what it may check answers against.
    """
    reference, steps = simulate(source, Scheme()), source.config.halt_max_steps
    exact, halted, used, lost = [], [], [], []
    with progress_bar("answering", limit) as advance:
        for batch in _chunks(dataset, limit):
            advance(len(exact) * CHUNK)
            states = simulation.trajectory(batch, steps=steps)
            cosine = metrics.token_cosine(states[-1], reference.trajectory(batch, steps=steps)[-1])
            readings = step_readings(simulation.reasoner, simulation.weights, states)
            inputs, labels = np.asarray(batch.inputs), np.asarray(batch.labels)
            ends = halting_steps(halting, inputs, readings, rules)
            tokens = halted_tokens(readings, ends)
            exact.append(mark_exact(readings[-1].tokens, labels))
            halted.append(mark_exact(tokens, labels))
            used.append(ends)
            lost.append(1 - np.asarray(jax.device_get(cosine), np.float64))
    return BoardAnswers(
        puzzles=limit,
        exact=to_hex(np.concatenate(exact)[None])[0],
        halted=to_hex(np.concatenate(halted)[None])[0],
        steps=tuple(int(step) for step in np.concatenate(used)),
        infidelity=moments(np.concatenate(lost)[None])[0],
    )


def _chunks(dataset: PuzzleDataset, limit: int) -> Iterator[Batch]:
    for start in range(0, limit, CHUNK):
        yield gather_batch(dataset, np.arange(start, min(start + CHUNK, limit)))
