"""The host loop: puzzles in, answers out, over any runtime (sections 3.1 and 4.1).

The host embeds the puzzle, repeats the block graph as the recursion says, keeps the carry in
memory in its precision, runs the head graph and decides when to halt (trm_jax/halting). Only
matrix products are in the runtime, so that cycle counts and halting stay free. States are float32
or a device's integers (host_state.py). All of it is NumPy:

    one H-cycle:   z_L <- block_L(z_L, z_H + e), L_cycles times;   z_H <- block_H(z_H, z_L)

The graphs take a fixed number of puzzles; the last group is padded. `run_by_stages` makes a
runtime run a block by its stages, one after the other, as a board does (lowering/stages.py).

Not here: number formats (host_state.py), runtimes (export/runtimes), a board's loop
(firmware/loop.c).
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from export.artifact.host_state import States, Tokens, states_of
from export.artifact.open import Export
from export.graph.ir import GraphModel
from export.lowering.model import blocks_of
from export.lowering.stages import cut_graphs, run_stages, stages_of
from export.runtimes.contract import Arrays, Runtime
from trm_jax.config import Config
from trm_jax.halting import NEVER, HaltDecision, Halting, HaltRule, StepReading

BLOCK = "block"
Observe = Callable[[slice, int, np.ndarray], None]
"""(puzzles of the group, H-cycles done, their z_H), after every H-cycle."""
ReadStep = Callable[[StepReading], None]
"""What is known of the puzzles of a group, after every supervision step."""


@dataclass(frozen=True, kw_only=True)
class Solution:
    """Answers.

    Attributes:
      tokens: most likely token of every cell.
      q_halt, q_continue: halting logits at the last step of a puzzle.
      steps: supervision steps that a puzzle used.
      z_H, z_L: states after a puzzle's own last step, in the number format of the graphs.
    """

    tokens: Int[np.ndarray, "batch seq"]
    q_halt: Float[np.ndarray, " batch"]
    q_continue: Float[np.ndarray, " batch"]
    steps: Int[np.ndarray, " batch"]
    z_H: np.ndarray
    z_L: np.ndarray


class Solver:
    """An export on a runtime."""

    def __init__(self, export: Export, runtime: Runtime) -> None:
        self.config, self.batch = export.config, export.manifest.batch
        self.states, self._runtime, self._rules = states_of(export), runtime, export.rules

    def solve(
        self,
        inputs: Tokens,
        puzzle_identifiers: Int[np.ndarray, " batch"] | None = None,
        *,
        steps: int | None = None,
        H_cycles: int | None = None,
        L_cycles: int | None = None,
        halting: Halting = NEVER,
        observe: Observe | None = None,
        read: ReadStep | None = None,
    ) -> Solution:
        """Answer puzzles.

        Args:
          puzzle_identifiers: rows of the puzzle table; None: 0.
          steps: supervision steps, at most; None: the configuration's.
          H_cycles, L_cycles: None: the configuration's.
          halting: freeze a puzzle at the first step at which the rule is met.
          observe: sees z_H after every H-cycle.
          read: sees the answers after every supervision step; without it and a rule of halting,
            only the last states are read out.

        Raises:
          ValueError: puzzles of another size or alphabet, unknown identifiers, no steps, or
            halting by rules that are unknown.
        """
        c = self.config
        if puzzle_identifiers is None:
            puzzle_identifiers = np.zeros(len(inputs), np.int32)
        check_puzzles(inputs, puzzle_identifiers, c)
        pairs = ((steps, c.halt_max_steps), (H_cycles, c.H_cycles), (L_cycles, c.L_cycles))
        depth = tuple(configured if given is None else given for given, configured in pairs)
        if not len(inputs) or min(depth) < 1:
            raise ValueError(
                f"puzzles, steps and cycles must be at least 1, got {len(inputs)} and {depth}"
            )
        parts = [
            self._group(inputs, puzzle_identifiers, rows, depth, halting, observe, read)
            for rows in split_groups(len(inputs), self.batch)
        ]
        return join_solutions(parts)

    def _group(
        self,
        inputs: Tokens,
        identifiers: np.ndarray,
        rows: slice,
        depth: tuple[int, ...],
        halting: Halting,
        observe: Observe | None,
        read: ReadStep | None,
    ) -> Solution:
        """Answer at most `batch` puzzles."""
        num, (steps, H_cycles, L_cycles) = rows.stop - rows.start, depth
        decision = HaltDecision(halting, inputs[rows], self._rules)

        def see(cycle: int, z_H: np.ndarray) -> None:
            if observe is not None:
                observe(rows, cycle, self.states.real(z_H[:num]))

        e = self.states.embed(self._padded(inputs[rows]), self._padded(identifiers[rows]))
        z_H, z_L = self.states.start(self.batch)
        answers: Arrays = {}
        running, used = np.arange(self.batch) < num, np.zeros(self.batch, np.int32)
        for step in range(1, steps + 1):
            cycles = range((step - 1) * H_cycles + 1, step * H_cycles + 1)
            before, (z_H, z_L) = self._step((z_H, z_L), e, cycles, L_cycles, see)
            used[running] = step
            if halting.rule is not HaltRule.NEVER or read is not None or step == steps:
                out = self.states.outputs(self._runtime.run("head", {"z_H": z_H}))
                # a puzzle that has halted keeps the answer and states of its own last step
                out |= {"z_H": z_H, "z_L": z_L}
                answers = {
                    k: np.where(_like(running, v), v, answers.get(k, v)) for k, v in out.items()
                }
                reading = self._reading(out, before, num)
                if read is not None:
                    read(reading)
                running[:num] &= ~decision.step(reading)
            if not running.any():
                break
        return _solution({name: values[:num] for name, values in answers.items()}, used[:num])

    def _step(
        self,
        latents: tuple[np.ndarray, np.ndarray],
        e: np.ndarray,
        cycles: range,
        L_cycles: int,
        see: Callable[[int, np.ndarray], None],
    ) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
        """Run the H-cycles of a supervision step.

        Args:
          cycles: their numbers, counted from the first step's first; see: sees z_H after each.

        Returns:
          z_H before the last of them, and (z_H, z_L) after it.
        """
        before = latents[0]
        for cycle in cycles:
            before, latents = latents[0], self.h_cycle(*latents, e, L_cycles)
            see(cycle, latents[0])
        return before, latents

    def _reading(self, out: Arrays, before: np.ndarray, num: int) -> StepReading:
        """Collect what a rule of halting looks at."""
        real = self.states.real
        return StepReading(
            tokens=np.argmax(out["logits"][:num], axis=-1).astype(np.int32),
            q_halt=out["q"][:num, 0],
            q_continue=out["q"][:num, 1],
            residual=relative_change(real(out["z_H"][:num]), real(before[:num])),
        )

    def h_cycle(
        self, z_H: np.ndarray, z_L: np.ndarray, e: np.ndarray, L_cycles: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Run one H-cycle and round the carry to its format in memory."""
        return h_cycle(self._runtime, self.states, self.config, (z_H, z_L), e, L_cycles)

    def _padded(self, values: np.ndarray) -> np.ndarray:
        missing = self.batch - len(values)
        return np.concatenate([values, np.zeros((missing, *values.shape[1:]), values.dtype)])


def h_cycle(
    runtime: Runtime,
    states: States,
    config: Config,
    latents: tuple[np.ndarray, np.ndarray],
    e: np.ndarray,
    L_cycles: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Run one H-cycle on (z_H, z_L) and round the carry to its format in memory."""
    update_L, update_H = blocks_of(config)
    z_H, z_L = latents
    injection = states.inject_L(z_H, e)
    for _ in range(L_cycles):
        z_L = runtime.run(update_L, {"z": z_L, "injection": injection})["z"]
    z_H = runtime.run(update_H, {"z": z_H, "injection": states.inject_H(z_L)})["z"]
    return states.store(z_H), states.store(z_L)


def join_solutions(parts: Sequence[Solution]) -> Solution:
    """Put the answers of groups one after the other."""
    names = [field.name for field in dataclasses.fields(Solution)]
    return Solution(**{n: np.concatenate([getattr(part, n) for part in parts]) for n in names})


def split_groups(total: int, size: int) -> Iterator[slice]:
    """Cut a range into groups."""
    for start in range(0, total, size):
        yield slice(start, min(start + size, total))


def relative_change(now: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Compute |now - before| / |now| of every state, as trm_jax/metrics.py:residual does."""
    now32, before32 = now.astype(np.float32), before.astype(np.float32)
    change = np.sqrt(np.square(now32 - before32).sum((1, 2)))
    return change / np.sqrt(np.square(now32).sum((1, 2)))


def check_puzzles(inputs: np.ndarray, identifiers: np.ndarray, config: Config) -> None:
    """Check that a model can read puzzles.

    Raises:
      ValueError: another size or alphabet, or unknown identifiers; the message shows the value.
    """
    if inputs.ndim != 2 or inputs.shape[1] != config.seq_len:
        raise ValueError(
            f"the model reads puzzles of {config.seq_len} cells, got an array of {inputs.shape}"
        )
    for name, values, stop in (
        ("tokens", inputs, config.vocab_size),
        ("puzzle identifiers", identifiers, config.num_puzzle_identifiers),
    ):
        if not np.issubdtype(values.dtype, np.integer):
            raise ValueError(f"{name} must be integers, got {values.dtype}")
        if values.size and (values.min() < 0 or values.max() >= stop):
            raise ValueError(
                f"{name} must lie in 0..{stop - 1}, got {values.min()} to {values.max()}"
            )
    if len(identifiers) != len(inputs):
        raise ValueError(f"{len(inputs)} puzzles need as many identifiers, got {len(identifiers)}")


def _like(flags: np.ndarray, x: np.ndarray) -> np.ndarray:
    return flags.reshape(flags.shape + (1,) * (x.ndim - 1))


def _solution(answers: Arrays, steps: np.ndarray) -> Solution:
    """Collect what the real puzzles of a group ended with."""
    return Solution(
        tokens=np.argmax(answers["logits"], axis=-1).astype(np.int32),
        q_halt=answers["q"][:, 0],
        q_continue=answers["q"][:, 1],
        steps=steps,
        z_H=answers["z_H"],
        z_L=answers["z_L"],
    )


class StagedRuntime:
    """A runtime whose block is run by its stages, one puzzle per call."""

    def __init__(self, runtime: Runtime, model: GraphModel) -> None:
        self._runtime, self._stages = runtime, stages_of(cut_graphs(model))

    def run(self, signature: str, inputs: Mapping[str, np.ndarray]) -> Arrays:
        if signature != BLOCK:
            return self._runtime.run(signature, inputs)
        (z,), (injection,) = inputs["z"], inputs["injection"]
        return {"z": run_stages(self._runtime.run, z, injection, self._stages)[None]}

    def close(self) -> None:
        self._runtime.close()


def run_by_stages(runtime: Runtime, model: GraphModel) -> Runtime:
    """Run the stages of a model in place of its block, if it has any."""
    return StagedRuntime(runtime, model) if cut_graphs(model) else runtime
