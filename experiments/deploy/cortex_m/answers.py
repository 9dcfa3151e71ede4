"""What a board would answer: its integers simulated on puzzles, at full depth and with halting.

The simulation is the board's arithmetic bit for bit (quant/integer), so that neither a board nor an
emulator has to solve hundreds of puzzles. Fidelity is to the model in full precision.

Not here: what is measured of memory and time (job.py), the columns (tables.py).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import jax
import numpy as np

from experiments.deploy.cortex_m.rows import BoardAnswers
from experiments.measurement.halting import halt_shard, join_halted
from experiments.measurement.shards import mark_exact, moments, to_hex
from quant.ptq.calibrate import Calibration
from quant.scheme import Scheme
from quant.simulation import Simulation, calibrate_on, simulate
from trm_jax import metrics
from trm_jax.command_line import progress_bar
from trm_jax.evaluators import step_readings
from trm_jax.halting import Halting
from trm_jax.loading import LoadedModel, Puzzles, gather_batch
from trm_jax.tasks.calibration import CalibrationPuzzles
from trm_jax.types import Batch, State

CHUNK = 50  # puzzles of a rollout


@dataclass(frozen=True, kw_only=True)
class BoardQuestions:
    """The first puzzles of a data set, asked under one scheme after the other.

    Attributes:
      limit: how many.
      halting: the rule that the board begins with.
    """

    source: LoadedModel
    puzzles: Puzzles
    limit: int
    halting: Halting

    @property
    def _steps(self) -> int:
        return self.source.config.halt_max_steps

    @property
    def _chunks(self) -> Iterator[Batch]:
        dataset = self.puzzles.ordered
        for start in range(0, self.limit, CHUNK):
            yield gather_batch(dataset, np.arange(start, min(start + CHUNK, self.limit)))

    @cached_property
    def _reference(self) -> list[State]:
        """Full precision's last state of every chunk: the same beside every scheme."""
        full = simulate(self.source, Scheme())
        return [full.trajectory(batch, steps=self._steps)[-1] for batch in self._chunks]

    def answer(self, simulation: Simulation) -> BoardAnswers:
        """Solve them as a board does."""
        rules = self.puzzles.task.rules(self.puzzles.facts)
        exact, halted, lost = [], [], []
        with progress_bar("answering", self.limit) as advance:
            for batch, reference in zip(self._chunks, self._reference, strict=True):
                advance(len(exact) * CHUNK)
                states = simulation.trajectory(batch, steps=self._steps)
                cosine = metrics.token_cosine(states[-1], reference)
                readings = step_readings(simulation.reasoner, simulation.weights, states)
                inputs, labels = np.asarray(batch.inputs), np.asarray(batch.labels)
                exact.append(mark_exact(readings[-1].tokens, labels))
                halted.append(halt_shard(self.halting, inputs, labels, readings, rules))
                lost.append(1 - np.asarray(jax.device_get(cosine), np.float64))
        outcome = join_halted(halted)
        return BoardAnswers(
            puzzles=self.limit,
            exact=to_hex(np.concatenate(exact)[None])[0],
            halted=to_hex(outcome.solved[None])[0],
            steps=tuple(int(step) for step in outcome.steps),
            infidelity=moments(np.concatenate(lost)[None])[0],
        )


class AskedModel:
    """What a job of a board calibrates on and is asked, from its fields.

    Attributes:
      source: the model.
      aside: puzzles to calibrate on, beside those to answer; None: weights are random.
      limit: how many are answered; halting: how the board ends them.
    """

    source: LoadedModel
    aside: CalibrationPuzzles | None
    limit: int
    halting: Halting

    @cached_property
    def calibration(self) -> Calibration:
        """What schemes are calibrated on, measured once for all; of random weights, nothing."""
        return calibrate_on(self.source, () if self.aside is None else self.aside.batches())

    @cached_property
    def questions(self) -> BoardQuestions:
        """What trained models are asked under every scheme.

        Raises:
          ValueError: weights are random.
        """
        if self.aside is None:
            raise ValueError(f"{self.source.name} has random weights and is asked nothing")
        return BoardQuestions(
            source=self.source,
            puzzles=self.aside.evaluated,
            limit=self.limit,
            halting=self.halting,
        )
