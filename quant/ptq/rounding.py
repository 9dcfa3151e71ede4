"""Rounding and scales learned along trajectories, for all matrices of a model together.

GPTQ looks at one product at a time, and takes the inputs of full precision for granted. Here a
matrix starts from GPTQ's integers q and scale s and moves on with all others, so that the states of
the quantised model come near those of full precision. Of every weight a float v is kept, in steps
from the zero point z, and of every scale the logarithm t of a factor:

    w = (q - z) s e^t,    q = clip(round(v) + z)

At first v is the full-precision weight, held within INSIDE of a step of GPTQ's q. The
gradient goes through the rounding as if it were not there (straight-through), and through all calls
of CYCLES H-cycles; z stays. One update of Adam takes some puzzles at whatever depth of their
trajectories they are, runs both models from the same states and compares the ends:

    loss = |z_H' - z_H|^2 / |z_H|^2 + the same of z_L + KL of answers + KL of halting,

a mean over tokens, cells and puzzles. No label is read. A puzzle then goes on from the states of
full precision, which are to be followed, or of the quantised model, from where it is to come back.
After `steps` supervision steps a puzzle starts anew.

What is learned on few puzzles may fit them alone, and a rounded weight jumps. So a part of the
calibration puzzles is held out, the integers are scored there, at several depths, and those of the
least loss are kept, GPTQ's among them.

Source: straight-through estimation (arXiv 1308.3432), learned steps (LSQ, arXiv 1902.08153) and
distillation of a model into its own quantisation (LLM-QAT, arXiv 2305.17888). Not here: GPTQ
(gptq.py), and training with labels (trm_jax/training, dot_general.py).
"""

import functools
import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jax import Array
from jaxtyping import Bool, Float, Int

from quant.affine import Affine, QTensor, dequantise, quantise
from quant.ptq.calibrate import Calibration, PerSite
from quant.ptq.weights import QuantisedParams
from trm_jax.models.act import inject
from trm_jax.models.reasoner import Reasoner
from trm_jax.models.recursion import h_cycle, run_cycles
from trm_jax.training.optim import learning_rate, scale_by
from trm_jax.training.recipe import Optimizer
from trm_jax.types import Batch, Latents, Outputs, Params, State, Weights

CYCLES = 1
"""H-cycles that an update runs, and goes back through: many short updates do more than few long
ones in the same time (docs/numerics.md)."""
HELD_OUT = 4
"""One puzzle of so many is not learned from, and scored at so many depths."""
INSIDE = 0.3
"""Steps on either side of an integer within which a weight starts. GPTQ rounds many weights away
from the nearest integer; started close to .5, they would all fall back in the first updates,
whatever their gradients say (docs/numerics.md)."""
ANSWER_WEIGHT = 0.1
"""Of the divergence of answers: a few cells that are not decided yet make most of it."""
ADAM = scale_by(Optimizer.ADAMW, b1=0.9, b2=0.95, eps=1e-12)


@dataclass(frozen=True, kw_only=True)
class LearningSettings:
    """How rounding is learned.

    Attributes:
      updates: of all weights; learning rates warm up over WARMUP of them and fall to 0.
      tokens: positions that an update looks at; a puzzle has `num_positions`.
      lr: of weights, in steps of their grid.
      scale_lr: of logarithms of scales.
      own_states: probability of a puzzle to continue from the quantised model's states.
      score_every: updates between two scores of the integers on puzzles held out.
      seed: of the order of puzzles and of their depths.
    """

    updates: int = 800
    tokens: int = 600
    lr: float = 0.01
    scale_lr: float = 0.001
    own_states: float = 0.5
    score_every: int = 100
    seed: int = 0


WARMUP = 10
DEFAULT_SETTINGS = LearningSettings()


class LearnedMatrix(NamedTuple):
    """What is learned of one kernel.

    Attributes:
      steps: weights in steps of the scale, from the zero point.
      log_scale: logarithm of the factor on the scale.
    """

    steps: Float[Array, "inputs outputs"]
    log_scale: Float[Array, "1 scale_outputs"]


class LearningProblem(NamedTuple):
    """What stays as it is.

    Attributes:
      weights: of full precision.
      start: GPTQ's integers by site.
      others: leaves of the quantised model that are not learned, by name.
    """

    weights: Weights
    start: PerSite[QTensor]
    others: Mapping[str, Array]


class PuzzleStates(NamedTuple):
    """Where some puzzles are on their trajectories.

    Attributes:
      turns: how often CYCLES H-cycles were run.
    """

    puzzles: Batch
    latents: Latents
    turns: Int[Array, " batch"]


def learn_rounding(
    quantised: QuantisedParams,
    sites: Collection[str],
    calibration: Calibration,
    settings: LearningSettings = DEFAULT_SETTINGS,
) -> QuantisedParams:
    """Learn integers and scales of some matrices; everything else stays as it is.

    Args:
      quantised: the tree to start from; matrices that are not learned are seen quantised.
      sites: names of the QTensors to learn.

    Raises:
      ValueError: fewer than two calibration puzzles, so that none can be held out.
    """
    leaves: dict[str, Any] = dict(
        flatten_dict(quantised, sep="/", is_leaf=lambda _, leaf: isinstance(leaf, QTensor))
    )
    start = {site: leaves.pop(f"{site}/kernel") for site in sites}
    others = {
        name: dequantise(leaf) if isinstance(leaf, QTensor) else leaf
        for name, leaf in leaves.items()
    }
    problem = LearningProblem(calibration.weights, start, others)
    learned = _learn(calibration.reasoner, problem, calibration, settings)
    kernels = {f"{site}/kernel": round_learned(start[site], m) for site, m in learned.items()}
    return unflatten_dict({**leaves, **kernels}, sep="/")


def round_learned(start: QTensor, matrix: LearnedMatrix) -> QTensor:
    """Round what was learned of a kernel onto the grid it started from, with its new scale."""
    in_steps = Affine(jnp.ones_like(start.scale), start.zero_point)
    rounded = quantise(matrix.steps, in_steps, start.grid)
    scale = start.scale * jnp.exp(matrix.log_scale)
    return QTensor(rounded.qvalue, scale, start.zero_point, start.grid)


def first_matrix(start: QTensor, kernel: Float[Array, "inputs outputs"]) -> LearnedMatrix:
    """Take the weights of full precision, as far as they round to the integers of a start."""
    centre = _steps_of(start)
    steps = jnp.clip(kernel.astype(jnp.float32) / start.scale, centre - INSIDE, centre + INSIDE)
    return LearnedMatrix(_on_grid(start, steps), jnp.zeros_like(start.scale))


def _steps_of(q: QTensor) -> Float[Array, "inputs outputs"]:
    """Count the steps of every integer from the zero point."""
    return (q.qvalue.astype(jnp.int32) - q.zero_point).astype(jnp.float32)


def _on_grid(start: QTensor, steps: Array) -> Array:
    """Hold weights where they round to an integer of the grid, so that none is out of reach."""
    ends = (start.grid.q_min - start.zero_point, start.grid.q_max - start.zero_point)
    return jnp.clip(steps, *(end.astype(jnp.float32) for end in ends))


def _kernel(start: QTensor, matrix: LearnedMatrix) -> Float[Array, "inputs outputs"]:
    """Make the real kernel, whose gradient passes the rounding."""
    rounded = round_learned(start, matrix)
    jump = jax.lax.stop_gradient(_steps_of(rounded) - matrix.steps)
    return (matrix.steps + jump) * rounded.scale


def learned_weights(problem: LearningProblem, matrices: PerSite[LearnedMatrix]) -> Weights:
    kernels = {f"{s}/kernel": _kernel(problem.start[s], m) for s, m in matrices.items()}
    params: Params = unflatten_dict({**problem.others, **kernels}, sep="/")
    return problem.weights._replace(params=params)


def follow(reasoner: Reasoner, weights: Weights, states: PuzzleStates) -> tuple[Latents, Outputs]:
    """Run CYCLES H-cycles, laid out for a gradient, and read the end out."""
    e, latents = inject(reasoner, weights, states.puzzles), states.latents
    for _ in range(CYCLES):
        latents = h_cycle(
            reasoner.networks, weights.params, latents, e, reasoner.config.L_cycles, unroll=True
        )
    return latents, reasoner.read_out(weights.params, latents.z_H)


def lead(reasoner: Reasoner, weights: Weights, states: PuzzleStates) -> tuple[Latents, Outputs]:
    """Do the same without a gradient, for which cycles need not be laid out."""
    latents, _ = run_cycles(
        reasoner.networks,
        weights.params,
        states.latents,
        inject(reasoner, weights, states.puzzles),
        H_cycles=CYCLES,
        L_cycles=reasoner.config.L_cycles,
        observe=lambda _: None,
    )
    return latents, reasoner.read_out(weights.params, latents.z_H)


def distance(exact: tuple[Latents, Outputs], other: tuple[Latents, Outputs]) -> Float[Array, ""]:
    """Compare the end of some cycles with full precision's (module docstring)."""
    (latents, out), (other_latents, other_out) = exact, other
    states = zip(latents, other_latents, strict=True)
    halting = jax.nn.log_sigmoid(jnp.stack((out.q_halt, -out.q_halt), axis=-1))
    other_halting = jax.nn.log_sigmoid(jnp.stack((other_out.q_halt, -other_out.q_halt), axis=-1))
    answers, other_answers = (
        jax.nn.log_softmax(each.logits.astype(jnp.float32)) for each in (out, other_out)
    )
    return (
        sum(_relative_error(*pair) for pair in states)
        + ANSWER_WEIGHT * _divergence(answers, other_answers)
        + _divergence(halting, other_halting)
    )


def _relative_error(exact: State, other: State) -> Float[Array, ""]:
    error = jnp.sum(jnp.square(other - exact), axis=-1)
    size = jnp.sum(jnp.square(exact), axis=-1)
    return jnp.mean(error / jnp.maximum(size, jnp.finfo(jnp.float32).tiny))


def _divergence(
    log_p: Float[Array, "*lead choices"], log_q: Float[Array, "*lead choices"]
) -> Float[Array, ""]:
    """KL of q from p in nats, a mean over all but the choices."""
    return jnp.mean(jnp.sum(jnp.exp(log_p) * (log_p - log_q), axis=-1))


class LearningState(NamedTuple):
    """What an update changes: matrices, Adam's moments of them, and the puzzles' states."""

    matrices: PerSite[LearnedMatrix]
    moments: Any
    training: PuzzleStates


def _learn(
    reasoner: Reasoner,
    problem: LearningProblem,
    calibration: Calibration,
    settings: LearningSettings,
) -> PerSite[LearnedMatrix]:
    """Return the best iterate on the puzzles held out, the start among them."""
    rng = np.random.default_rng(settings.seed)
    turns = -(-calibration.steps * reasoner.config.H_cycles // CYCLES)
    training, held_out = split_puzzles(reasoner, problem.weights, calibration.batches, turns, rng)
    kernels: dict[str, Any] = dict(flatten_dict(problem.weights.params, sep="/"))
    matrices = {
        site: first_matrix(start, kernels[f"{site}/kernel"])
        for site, start in problem.start.items()
    }
    state = LearningState(matrices, ADAM.init(matrices), training)
    best, least = matrices, score_matrices(reasoner, problem, matrices, held_out)
    size = max(1, min(settings.tokens // reasoner.config.num_positions, len(training.turns)))
    draws = draw_puzzles(rng, len(training.turns), size)
    for update, chosen in enumerate(itertools.islice(draws, settings.updates), 1):
        own = jnp.asarray(rng.random(size) < settings.own_states)
        rates = rates_of(settings, update)
        state = _update(reasoner, rates, jnp.int32(turns), problem, state, chosen, own)
        if update % settings.score_every == 0 or update == settings.updates:
            score = score_matrices(reasoner, problem, state.matrices, held_out)
            if score < least:
                best, least = state.matrices, score
    return best


def split_puzzles(
    reasoner: Reasoner,
    weights: Weights,
    batches: Sequence[Batch],
    turns: int,
    rng: np.random.Generator,
) -> tuple[PuzzleStates, list[PuzzleStates]]:
    """Hold puzzles out, and send all along their trajectories in full precision.

    Returns:
      The puzzles to learn from, each at a depth of its own; and those held out, HELD_OUT times:
      at the start, and at random depths.
    """
    puzzles = jax.tree.map(lambda *parts: jnp.concatenate(parts), *batches)
    size = len(puzzles.inputs)
    if size < 2:
        raise ValueError(f"rounding is learned on two calibration puzzles or more, got {size}")
    held = max(1, size // HELD_OUT)
    aside, rest = (jax.tree.map(lambda x, s=s: x[s], puzzles) for s in (np.s_[:held], np.s_[held:]))
    place = functools.partial(_place, reasoner, weights, turns=jnp.int32(turns))
    depths = [np.zeros(held, np.int64), *rng.integers(turns, size=(HELD_OUT - 1, held))]
    training = place(rest, jnp.asarray(rng.integers(turns, size=size - held), jnp.int32))
    return training, [place(aside, jnp.asarray(depth, jnp.int32)) for depth in depths]


@functools.partial(jax.jit, static_argnums=0)
def _place(
    reasoner: Reasoner,
    weights: Weights,
    puzzles: Batch,
    depths: Int[Array, " batch"],
    turns: Int[Array, ""],
) -> PuzzleStates:
    """Run full precision and keep every puzzle's states after its own number of turns."""
    start = reasoner.start(weights.buffers, len(depths))

    def turn(count: Int[Array, ""], carry: tuple[Latents, Latents]) -> tuple[Latents, Latents]:
        latents, kept = carry
        kept = _where(depths == count, latents, kept)
        end, _ = lead(reasoner, weights, PuzzleStates(puzzles, latents, depths))
        return end, kept

    _, kept = jax.lax.fori_loop(0, turns, turn, (start, start))
    return PuzzleStates(puzzles, kept, depths)


def draw_puzzles(
    rng: np.random.Generator, total: int, size: int
) -> Iterator[Int[Array, " chosen"]]:
    """Take `size` of `total` puzzles at a time without end, none twice in one shuffled order.

    What is left of an order, fewer than `size`, is passed over.
    """
    while True:
        order = rng.permutation(total)
        for first in range(0, total - size + 1, size):
            yield jnp.asarray(order[first : first + size], jnp.int32)


class LearningRates(NamedTuple):
    """Those of one update."""

    steps: Float[Array, ""]
    log_scale: Float[Array, ""]


def rates_of(settings: LearningSettings, update: int) -> LearningRates:
    """Warm up, then follow a cosine down to nothing.

    Args:
      update: counted from 1.
    """
    rate = learning_rate(
        jnp.int32(update),
        base=1.0,
        warmup_steps=WARMUP,
        total_steps=settings.updates,
        min_ratio=0.0,
    )
    return LearningRates(rate * settings.lr, rate * settings.scale_lr)


@functools.partial(jax.jit, static_argnums=0)
def _update(
    reasoner: Reasoner,
    rates: LearningRates,
    turns: Int[Array, ""],
    problem: LearningProblem,
    state: LearningState,
    chosen: Int[Array, " chosen"],
    own: Bool[Array, " chosen"],
) -> LearningState:
    """Move all matrices by the gradient of some puzzles, and those puzzles on.

    Args:
      turns: after which a puzzle starts anew.
      own: which of the puzzles continue from the quantised model's states.
    """
    states: PuzzleStates = jax.tree.map(lambda x: x[chosen], state.training)
    exact = lead(reasoner, problem.weights, states)

    def loss(matrices: PerSite[LearnedMatrix]) -> tuple[Array, Latents]:
        end = follow(reasoner, learned_weights(problem, matrices), states)
        return distance(exact, end), end[0]

    gradients, latents = jax.grad(loss, has_aux=True)(state.matrices)
    direction, moments = ADAM.update(gradients, state.moments)
    matrices = _move(problem, rates, state.matrices, direction)
    moved = _go_on(reasoner, problem.weights, turns, states, _where(own, latents, exact[0]))
    training = jax.tree.map(lambda all_, new: all_.at[chosen].set(new), state.training, moved)
    return LearningState(matrices, moments, training)


def _move(
    problem: LearningProblem,
    rates: LearningRates,
    matrices: PerSite[LearnedMatrix],
    direction: Any,
) -> PerSite[LearnedMatrix]:
    """Take one step of Adam, each kind of number at its own rate."""

    def move(site: str, old: LearnedMatrix) -> LearnedMatrix:
        steps = old.steps - rates.steps * direction[site].steps
        log_scale = old.log_scale - rates.log_scale * direction[site].log_scale
        return LearnedMatrix(_on_grid(problem.start[site], steps), log_scale)

    return {site: move(site, old) for site, old in matrices.items()}


def _go_on(
    reasoner: Reasoner,
    weights: Weights,
    turns: Int[Array, ""],
    states: PuzzleStates,
    latents: Latents,
) -> PuzzleStates:
    """Let puzzles continue from new states, or from the start at the end of their trajectories."""
    count = states.turns + 1
    fresh = reasoner.start(weights.buffers, len(count))
    latents = _where(count >= turns, fresh, latents)
    return PuzzleStates(states.puzzles, latents, jnp.where(count >= turns, 0, count))


def _where(flags: Bool[Array, " batch"], new: Latents, old: Latents) -> Latents:
    """Choose between states puzzle by puzzle."""
    return jax.tree.map(lambda a, b: jnp.where(flags[:, None, None], a, b), new, old)


def score_matrices(
    reasoner: Reasoner,
    problem: LearningProblem,
    matrices: PerSite[LearnedMatrix],
    held_out: Sequence[PuzzleStates],
) -> float:
    """Measure the loss of rounded matrices on puzzles held out, a mean over their depths."""
    losses = [float(_loss(reasoner, problem, matrices, states)) for states in held_out]
    return sum(losses) / len(losses)


@functools.partial(jax.jit, static_argnums=0)
def _loss(
    reasoner: Reasoner,
    problem: LearningProblem,
    matrices: PerSite[LearnedMatrix],
    states: PuzzleStates,
) -> Float[Array, ""]:
    exact = lead(reasoner, problem.weights, states)
    return distance(exact, follow(reasoner, learned_weights(problem, matrices), states))
