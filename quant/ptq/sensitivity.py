"""What quantising one matrix costs: the change of supervision steps on calibration puzzles.

    loss = (1 - fidelity of z_H) + (1 - fidelity of z_L) + (1 - fidelity of logits) + KL of halting

It is the mean over the ends of the first supervision steps, and over puzzles.

A fidelity is the mean cosine to full precision (Eq. 4 of the paper), of a state or of a cell's
logits minus their mean. The states do not see the heads, which read them out: without the last two
terms a search by states would give lm_head and q_head the fewest bits there are. Halting is one
number, so it has no cosine: KL of its full-precision distribution to the quantised one, in nats.

Why no KL of the answers: it is a matter of a few cells. On the bundled Sudoku TRM-MLP at 3 bits
per channel its mean over cells is 0.53 nats, its median 1e-13 and its largest 23, so that the
fidelity of states (0.98) would count for nothing.

Weights are arguments of one compiled step, so a search compiles once. What static activations cost
is measured alike (`state_losses`): each input of a product, and each state between operators, is
rounded alone.

Not here: the choice under a budget (mixed_precision.py).
"""

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict
from jax import Array
from jaxtyping import Float

from quant.affine import Affine, Grid, Range, dequantise, fake_quantise, scale_zero_point
from quant.dot_general import STATIC_GRIDS
from quant.ptq.calibrate import (
    RANGE,
    Calibration,
    Seen,
    Statistic,
    collect_from,
    input_widths,
    own_start,
    state_widths,
)
from quant.ptq.cells import RangedSite
from quant.ptq.methods import by_method
from quant.scheme import Activations, Ranges, WeightScheme
from trm_jax.config import Config
from trm_jax.metrics import token_cosine
from trm_jax.models.act import rollout
from trm_jax.models.build import build
from trm_jax.models.reasoner import Reasoner
from trm_jax.types import Batch, DotGeneral, Latents, Outputs, Weights


class Sensitivity:
    """Measures mixes of quantised matrices against full precision; every kernel is rounded once.

    Args:
      calibration: its model is the reference, its puzzles are what is measured on, and its
        Hessians serve all methods.
      steps: supervision steps that are compared.
      batches: of the calibration, the first so many.

    Raises:
      ValueError: no batch.
    """

    def __init__(self, calibration: Calibration, *, steps: int = 1, batches: int = 1) -> None:
        if not calibration.batches:
            raise ValueError("sensitivities are measured on calibration puzzles, got none")
        self._calibration = calibration
        self._batches = calibration.batches[:batches]
        self._steps = steps
        self._kernels: dict[str, Any] = dict(flatten_dict(calibration.weights.params, sep="/"))
        self._rounded: dict[tuple[str, WeightScheme], Array] = {}
        self._reference = list(self._run(calibration.weights))

    def shape(self, site: str) -> tuple[int, ...]:
        """Return the shape of a kernel."""
        return self._kernels[f"{site}/kernel"].shape

    def weights_of(self, matrices: Mapping[str, WeightScheme]) -> Weights:
        """Make the weights of a mix; matrices that are not named stay in full precision."""
        kernels = {f"{s}/kernel": self._kernel(s, weights) for s, weights in matrices.items()}
        params: Any = unflatten_dict({**self._kernels, **kernels}, sep="/")
        return self._calibration.weights._replace(params=params)

    def loss(self, matrices: Mapping[str, WeightScheme]) -> float:
        """Measure what a mix costs; matrices that are not named stay in full precision."""
        pairs = zip(self._reference, self._run(self.weights_of(matrices)), strict=True)
        total = sum(float(step_loss(exact, steps)) for exact, steps in pairs)
        # 1 - cosine is rounded to 6e-8, below which the sign says nothing
        return max(total / len(self._batches), 0.0)

    def losses(
        self, sites: Iterable[str], choices: Sequence[WeightScheme]
    ) -> Iterable[tuple[str, WeightScheme, float]]:
        """Measure every matrix alone under every choice."""
        for site in sites:
            for weights in choices:
                yield site, weights, self.loss({site: weights})

    def _run(self, weights: Weights) -> Iterable[tuple[Latents, Outputs]]:
        for batch in self._batches:
            yield read_steps(self._calibration.reasoner, weights, batch, self._steps)

    def _kernel(self, site: str, weights: WeightScheme) -> Array:
        key = site, weights
        if key not in self._rounded:
            kernel = self._kernels[f"{site}/kernel"]
            self._rounded[key] = dequantise(by_method(self._calibration)(site, kernel, weights))
        return self._rounded[key]


class StateLoss(NamedTuple):
    """What rounding one state costs.

    Attributes:
      int8_cells: over the range of the cells, where the puzzle prefix saturates.
      int8, int16: over the range of all positions.
    """

    int8_cells: float
    int8: float
    int16: float


def state_losses(calibration: Calibration) -> dict[str, StateLoss]:
    """Measure what rounding each input of a product, and each state between operators, costs alone.

    Weights stay in full precision; ranges are those of whole trajectories. What lies inside
    attention and SwiGLU is not rounded.

    Returns:
      By site, `L_level/layers_0/mlp/down_proj` for its input, `.../mlp_sum` for a state.

    Raises:
      ValueError: no batch.
    """
    spans = _state_spans(calibration)

    def losses(activations: Activations, ends: Mapping[str, Range]) -> list[float]:
        reasoner, grid = calibration.reasoner, STATIC_GRIDS[activations]
        affines = {site: scale_zero_point(span, grid) for site, span in ends.items()}
        same = reasoner.config, grid, calibration.weights, calibration.batches[0], affines
        exact, *rounded = (_rounded_step(*same, jnp.int32(i)) for i in range(-1, len(ends)))
        return [max(float(step_loss(exact, step)), 0.0) for step in rounded]

    cells = {site: each.cells for site, each in spans.items()}
    every = {site: each.every for site, each in spans.items()}
    columns = zip(
        losses(Activations.STATIC_INT8, cells),
        losses(Activations.STATIC_INT8, every),
        losses(Activations.STATIC_INT16, every),
        strict=True,
    )
    return {site: StateLoss(*row) for site, row in zip(spans, columns, strict=True)}


class StateSpan(NamedTuple):
    """The ranges of a state so far: of the cells, and of all positions."""

    site: RangedSite
    cells: Range
    every: Range


def _add_state(summary: StateSpan, x: Array) -> StateSpan:
    cells = RANGE.add(summary.cells, summary.site.seen(x))
    return StateSpan(summary.site, cells, RANGE.add(summary.every, x))


STATE_SPAN = Statistic(own_start, _add_state, (Seen.INPUTS, Seen.STATES))


def _state_spans(calibration: Calibration) -> dict[str, StateSpan]:
    """Measure the ranges of every state, in order of their names."""
    reasoner, weights = calibration.reasoner, calibration.weights
    sites = [*input_widths(weights.params), *state_widths(reasoner, weights.params)]
    prefix, none = reasoner.config.prefix_len, RANGE.empty(0)
    spans = collect_from(
        {site: StateSpan(RangedSite(site, Ranges.CELLS, prefix), none, none) for site in sites},
        reasoner,
        weights,
        calibration.batches,
        steps=calibration.steps,
        statistic=STATE_SPAN,
    )
    return dict(sorted(spans.items()))


@functools.partial(jax.jit, static_argnums=(0, 1))
def _rounded_step(
    config: Config,
    grid: Grid,
    weights: Weights,
    batch: Batch,
    affines: dict[str, Affine],
    chosen: Array,
) -> tuple[Latents, Outputs]:
    """Run a supervision step in which one state is rounded: that of a number in sorted order."""
    number = {site: i for i, site in enumerate(sorted(affines))}

    def rounded(site: str, x: Array) -> Array:
        y = fake_quantise(x.astype(jnp.float32), affines[site], grid)
        return jnp.where(chosen == number[site], jnp.asarray(y, x.dtype), x)

    def product(site: str) -> DotGeneral:
        return lambda x, kernel, *more, **options: jax.lax.dot_general(
            rounded(site, x), kernel, *more, **options
        )

    return _read_out_steps(build(config, product, on_state=rounded), weights, batch, 1)


@functools.partial(jax.jit, static_argnums=(0, 3))
def read_steps(
    reasoner: Reasoner, weights: Weights, batch: Batch, steps: int
) -> tuple[Latents, Outputs]:
    """Run supervision steps and read every one out: a batch of all steps, one after the other."""
    return _read_out_steps(reasoner, weights, batch, steps)


def _read_out_steps(
    reasoner: Reasoner, weights: Weights, batch: Batch, steps: int
) -> tuple[Latents, Outputs]:
    def observe(latents: Latents) -> tuple[Latents, Outputs]:
        return latents, reasoner.read_out(weights.params, latents.z_H)

    _, cycles = rollout(reasoner, weights, batch, steps=steps, observe=observe)
    return jax.tree.map(lambda x: x[:, -1].reshape(-1, *x.shape[3:]), cycles)


def step_loss(
    reference: tuple[Latents, Outputs], step: tuple[Latents, Outputs]
) -> Float[Array, ""]:
    """Compare steps with full-precision ones; not compiled, so that equal ones give 0."""
    (exact, exact_out), (latents, out) = reference, step
    pairs = [*zip(latents, exact, strict=True), (_centred(out), _centred(exact_out))]
    distances = sum(1 - jnp.mean(token_cosine(a, b)) for a, b in pairs)
    return distances + _halting_divergence(exact_out.q_halt, out.q_halt)


def _centred(out: Outputs) -> Float[Array, "batch seq vocab"]:
    """Take off what all tokens have in common, which no answer depends on."""
    logits = out.logits.astype(jnp.float32)
    return logits - jnp.mean(logits, axis=-1, keepdims=True)


def _halting_divergence(
    exact: Float[Array, " batch"], other: Float[Array, " batch"]
) -> Float[Array, ""]:
    p = jax.nn.sigmoid(exact)
    yes = jax.nn.log_sigmoid(exact) - jax.nn.log_sigmoid(other)
    no = jax.nn.log_sigmoid(-exact) - jax.nn.log_sigmoid(-other)
    return jnp.mean(p * yes + (1 - p) * no)
