"""What goes through a model along whole trajectories: ranges and Hessians.

A recursive network meets its own outputs, so one forward pass says little: the statistics here
run over every L-cycle, H-cycle and supervision step, over both roles of a shared network (z_L
and z_H), and over a read-out after every H-cycle, as the depth grid needs. Dense sows its
input, blocks their states; a statistic is folded into the carry of the scan, so no trajectory
is stored.

Serves static activations (dot_general.py, simulation.py) and error-compensating rounding.

Not here: the ranges of outputs, which need kernels (simulation.py); and percentiles: a saturated
carry stays wrong for all later cycles, so ranges get headroom instead.
"""

import dataclasses
import enum
import functools
import math
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Any, NamedTuple, NoReturn, TypeVar

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from quant.affine import Range
from quant.ptq.weights import is_kernel, leaf_name, site_of
from trm_jax.config import Config
from trm_jax.models.act import inject
from trm_jax.models.build import build
from trm_jax.models.reasoner import Reasoner
from trm_jax.types import Batch, Latents, Params, Weights

Value = TypeVar("Value")
PerSite = dict[str, Value]
Inputs = Float[Array, "*lead inputs"]


class ProductRange(NamedTuple):
    """Calibrated ends of the input and the output of one site."""

    input: tuple[float, float]
    output: tuple[float, float]


class Calibration:
    """A full-precision model and the puzzles that are driven through it, once for many schemes.

    Args:
      batches: of one shape, without padding puzzles; they are gathered when first asked for.
      steps: supervision steps of a rollout.
    """

    def __init__(
        self, config: Config, weights: Weights, batches: Iterable[Batch], *, steps: int
    ) -> None:
        self.reasoner = build(dataclasses.replace(config, forward_dtype="float32"))
        self.weights = weights
        self.steps = steps
        self._batches = batches
        self._measured: dict[Hashable, Any] = {}

    @functools.cached_property
    def batches(self) -> tuple[Batch, ...]:
        """The puzzles.

        Raises:
          ValueError: a batch without puzzles.
        """
        return tuple(_with_puzzles(self._batches))

    def once(self, name: Hashable, measure: Callable[[], Value]) -> Value:
        """Return what was measured under a name; it is measured when first asked for."""
        if name not in self._measured:
            self._measured[name] = measure()
        return self._measured[name]

    @functools.cached_property
    def hessians(self) -> PerSite[Float[Array, "inputs inputs"]]:
        """Hessians of every Dense, over all cycles.

        Raises:
          ValueError: no batch.
        """
        return hessians(self.reasoner, self.weights, self.batches, steps=self.steps)

    @functools.cached_property
    def first_call_hessians(self) -> PerSite[Float[Array, "inputs inputs"]]:
        """Hessians of every Dense, over the first call of each role.

        Raises:
          ValueError: no batch.
        """
        return first_call_hessians(self.reasoner, self.weights, self.batches)

    @functools.cached_property
    def normed_hessians(self) -> PerSite[Float[Array, "inputs inputs"]]:
        """Hessians of every Dense over all cycles, large outputs weighing less.

        Raises:
          ValueError: no batch.
        """
        return normed_hessians(self.reasoner, self.weights, self.batches, steps=self.steps)


class Seen(enum.Enum):
    """What a statistic looks at; the value is the Flax collection that it is sown into."""

    INPUTS = "intermediates"  # of every Dense
    STATES = "states"  # between the operators of every block (`layers.at_site`)


class Statistic(NamedTuple):
    """How inputs are summarised and summaries merged.

    Attributes:
      empty: summary of no input, from the width of a site's input.
      add: (summary, inputs) -> summary; associative over batches.
      seen: what it summarises.
    """

    empty: Callable[[int], Any]
    add: Callable[[Any, Inputs], Any]
    seen: tuple[Seen, ...] = (Seen.INPUTS,)


def with_nan_as_infinity(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Turn what is not a number into infinity, which XLA's minimum and maximum do not pass over."""
    x = x.astype(jnp.float32)
    return jnp.where(jnp.isnan(x), jnp.inf, x)


def _widen(span: Range, x: Inputs) -> Range:
    x = with_nan_as_infinity(x)
    return Range(jnp.minimum(span.low, jnp.min(x)), jnp.maximum(span.high, jnp.max(x)))


ROWS_AT_ONCE = 64
"""Rows of a block of a Hessian: at 128 the sums were the same for 1 to 64 threads, at 256 not."""


def _add_products(sums: Float[Array, "inputs inputs"], x: Inputs) -> Float[Array, "inputs inputs"]:
    """Add x^T x in blocks of rows, one after the other.

    A product over many rows XLA divides among the threads of a CPU and adds up what they found, so
    that its last bits follow their number; a block is too small for that. Rounding by Hessians
    turns last bits into other integers, which then differed from machine to machine.
    """
    rows = x.astype(jnp.float32).reshape(-1, x.shape[-1])
    blocks = jnp.pad(rows, ((0, -len(rows) % ROWS_AT_ONCE), (0, 0)))

    def add(sums: Array, block: Array) -> tuple[Array, None]:
        product = jnp.einsum("ri,rj->ij", block, block, precision=jax.lax.Precision.HIGHEST)
        return sums + product, None

    return jax.lax.scan(add, sums, blocks.reshape(-1, ROWS_AT_ONCE, x.shape[-1]))[0]


class NormedSums(NamedTuple):
    """Weighted products of inputs so far, and the kernel whose outputs weigh them."""

    kernel: Float[Array, "inputs outputs"]
    sums: Float[Array, "inputs inputs"]


def _add_normed_products(summary: NormedSums, x: Inputs) -> NormedSums:
    rows = x.astype(jnp.float32).reshape(-1, x.shape[-1])
    y = jnp.einsum("ri,io->ro", rows, summary.kernel)
    weighted = rows / jnp.sqrt(1.0 + jnp.mean(jnp.square(y), axis=-1, keepdims=True))
    return summary._replace(sums=_add_products(summary.sums, weighted))


def own_start(width: int) -> NoReturn:
    """Stand for the start of a statistic whose summaries hold more than a width tells.

    Raises:
      ValueError: always; such a statistic is folded by `collect_from`.
    """
    raise ValueError(f"this statistic starts from summaries, not from a width ({width})")


RANGE = Statistic(lambda _: Range(jnp.float32(jnp.inf), jnp.float32(-jnp.inf)), _widen)
EVERY_RANGE = RANGE._replace(seen=(Seen.INPUTS, Seen.STATES))
HESSIAN = Statistic(lambda width: jnp.zeros((width, width), jnp.float32), _add_products)
NORMED_HESSIAN = Statistic(own_start, _add_normed_products)


def activation_ranges(
    reasoner: Reasoner,
    weights: Weights,
    batches: Iterable[Batch],
    *,
    steps: int,
    headroom: float = 1.0,
) -> PerSite[tuple[float, float]]:
    """Measure the smallest and largest input of every Dense.

    Args:
      reasoner: with exact products; what it stores its carry in is taken into account.
      weights: of the scheme that will be deployed, simulated.
      batches: of one shape, without padding puzzles.
      steps: supervision steps of a rollout.
      headroom: factor on both ends of every range.

    Raises:
      ValueError: no batch, or headroom not positive.
    """
    check_headroom(headroom)
    spans = collect(reasoner, weights, batches, steps=steps, statistic=RANGE)
    return {site: finite_ends(site, span, headroom) for site, span in spans.items()}


def finite_ends(
    site: str, span: Range, headroom: float = 1.0, what: str = "inputs"
) -> tuple[float, float]:
    """Read off what was measured at a site.

    Args:
      headroom: factor on both ends.
      what: was measured, for the message.

    Raises:
      ValueError: nothing was seen, or what is not finite; the message names the site.
    """
    low, high = float(span.low), float(span.high)
    if low > high:  # the summary of no input
        raise ValueError(
            f"{site}: no calibration puzzle reaches it, so that its {what} have no range; repair"
            " the model, or leave its activations in float"
        )
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(not_finite(site, what))
    return low * headroom, high * headroom


def not_finite(site: str, what: str = "inputs") -> str:
    """Say that calibration puzzles drive what a site reads or gives beyond float32."""
    return (
        f"{site}: the calibration puzzles drive its {what} beyond float32; repair the checkpoint,"
        " or take a scheme that is calibrated on no puzzles (int8, int4_calibrated)"
    )


def check_headroom(headroom: float) -> None:
    """Check the factor that both ends of a range are multiplied by.

    Raises:
      ValueError: it is not positive.
    """
    if not headroom > 0:
        raise ValueError(f"headroom must be positive, got headroom={headroom}")


def input_and_state_ranges(
    reasoner: Reasoner, weights: Weights, batches: Iterable[Batch], *, steps: int
) -> tuple[PerSite[tuple[float, float]], PerSite[tuple[float, float]]]:
    """Measure the smallest and largest input of every Dense, and state between operators.

    Args:
      reasoner, weights, batches, steps: as for `activation_ranges`.

    Raises:
      ValueError: no batch.
    """
    spans = collect(reasoner, weights, batches, steps=steps, statistic=EVERY_RANGE)
    inputs = {site: finite_ends(site, spans.pop(site)) for site in input_widths(weights.params)}
    return inputs, {site: finite_ends(site, span, what="values") for site, span in spans.items()}


def hessians(
    reasoner: Reasoner, weights: Weights, batches: Iterable[Batch], *, steps: int
) -> PerSite[Float[Array, "inputs inputs"]]:
    """Sum x x^T over the inputs x of every Dense (per token, not normalised).

    Args:
      reasoner, weights, batches, steps: as for `activation_ranges`.

    Raises:
      ValueError: no batch.
    """
    return collect(reasoner, weights, batches, steps=steps, statistic=HESSIAN)


def first_call_hessians(
    reasoner: Reasoner, weights: Weights, batches: Iterable[Batch]
) -> PerSite[Float[Array, "inputs inputs"]]:
    """Sum x x^T over the inputs x of every Dense in the first call of each role alone.

    This is what calibration of one forward pass sees: the first update of z_L, the first update
    of z_H and the first read-out. `hessians` sees all cycles; the difference is what a recursion
    needs.

    Args:
      reasoner, weights, batches: as for `activation_ranges`.

    Raises:
      ValueError: no batch.
    """

    def observe(batch: Batch, summary: PerSite) -> PerSite:
        return observed_first_calls(reasoner, weights, batch, summary, HESSIAN)

    empty = {site: HESSIAN.empty(width) for site, width in input_widths(weights.params).items()}
    return _fold_batches(batches, empty, observe)


def normed_hessians(
    reasoner: Reasoner, weights: Weights, batches: Iterable[Batch], *, steps: int
) -> PerSite[Float[Array, "inputs inputs"]]:
    """Sum x x^T / (1 + mean(y^2)) over the inputs x of every Dense with outputs y.

    A block adds y to a state of unit mean square and normalises the sum, which divides what
    rounding does to y by about sqrt(1 + mean(y^2)).

    Args:
      reasoner, weights, batches, steps: as for `activation_ranges`.

    Raises:
      ValueError: no batch.
    """
    start = {
        site_of(path): NormedSums(kernel, HESSIAN.empty(len(kernel)))
        for path, kernel in jax.tree_util.tree_leaves_with_path(weights.params)
        if is_kernel(path)
    }
    sums = collect_from(start, reasoner, weights, batches, steps=steps, statistic=NORMED_HESSIAN)
    return {site: each.sums for site, each in sums.items()}


def collect(
    reasoner: Reasoner,
    weights: Weights,
    batches: Iterable[Batch],
    *,
    steps: int,
    statistic: Statistic,
) -> PerSite:
    """Fold a statistic over the trajectories of all batches.

    Raises:
      ValueError: no batch.
    """
    widths = (WIDTHS[seen](reasoner, weights.params) for seen in statistic.seen)
    start = {site: statistic.empty(n) for sites in widths for site, n in sites.items()}
    return collect_from(start, reasoner, weights, batches, steps=steps, statistic=statistic)


def collect_from(
    start: PerSite,
    reasoner: Reasoner,
    weights: Weights,
    batches: Iterable[Batch],
    *,
    steps: int,
    statistic: Statistic,
) -> PerSite:
    """Fold a statistic over the trajectories of all batches, from summaries of no input.

    Raises:
      ValueError: no batch.
    """

    def observe(batch: Batch, summary: PerSite) -> PerSite:
        return observed_rollout(reasoner, weights, batch, summary, steps, statistic)[1]

    return _fold_batches(batches, start, observe)


def _fold_batches(
    batches: Iterable[Batch], start: PerSite, observe: Callable[[Batch, PerSite], PerSite]
) -> PerSite:
    """Add every batch to a summary; no batch is an error, and one without puzzles too."""
    summary = None
    for batch in _with_puzzles(batches):
        summary = observe(batch, start if summary is None else summary)
    if summary is None:
        raise ValueError("calibration needs at least one batch, got none")
    return summary


def _with_puzzles(batches: Iterable[Batch]) -> Iterator[Batch]:
    """Pass batches on; one without puzzles is an error."""
    for number, batch in enumerate(batches):
        if not len(batch.inputs):
            raise ValueError(f"batch {number} of the calibration holds no puzzles; leave it out")
        yield batch


def input_widths(params: Params) -> PerSite[int]:
    """List the sites of a parameter tree and the widths of their inputs."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    return {site_of(path): kernel.shape[0] for path, kernel in leaves if is_kernel(path)}


def state_widths(reasoner: Reasoner, params: Params) -> PerSite[int]:
    """List the sites of states and the widths of their last axes, computing nothing."""
    c = reasoner.config
    shape = (1, c.num_positions, c.hidden_size)
    z = jax.ShapeDtypeStruct(shape, jnp.dtype(c.forward_dtype))

    def sown(params: Params, z: Array) -> list[Any]:
        apply = functools.partial(reasoner.module.apply, {"params": params}, z, z)
        return [apply(method=m, mutable=["states"])[1] for m in ("update_L", "update_H")]

    leaves = jax.tree_util.tree_leaves_with_path(jax.eval_shape(sown, params, z))
    # a path begins with the number of the method and the name of the collection
    return {_site(path[2:]): leaf.shape[-1] for path, leaf in leaves}


WIDTHS: dict[Seen, Callable[[Reasoner, Params], PerSite[int]]] = {
    Seen.INPUTS: lambda reasoner, params: input_widths(params),
    Seen.STATES: state_widths,
}


@functools.partial(jax.jit, static_argnums=(0, 4, 5))
def observed_rollout(
    reasoner: Reasoner,
    weights: Weights,
    batch: Batch,
    summary: PerSite,
    steps: int,
    statistic: Statistic,
) -> tuple[Latents, PerSite]:
    """Run `act.rollout` with a read-out after every H-cycle and summarise all inputs.

    Returns:
      The last latents (those of `act.rollout`) and the summaries.
    """
    c, e = reasoner.config, inject(reasoner, weights, batch)
    apply = _observer(reasoner, weights.params, statistic)

    def l_cycle(carry: tuple, _: None) -> tuple[tuple, None]:
        (z_H, z_L), summary = carry
        z_L, summary = apply(summary, "update_L", z_L, z_H + e)
        return (Latents(z_H, z_L), summary), None

    def h_cycle(carry: tuple, _: None) -> tuple[tuple, None]:
        ((z_H, z_L), summary), _ = jax.lax.scan(l_cycle, carry, length=c.L_cycles)
        z_H, summary = apply(summary, "update_H", z_H, z_L)
        latents = reasoner.store(Latents(z_H, z_L))
        _, summary = apply(summary, "read_out", latents.z_H)
        return (latents, summary), None

    start = reasoner.start(weights.buffers, batch.inputs.shape[0])
    carry, _ = jax.lax.scan(h_cycle, (start, summary), length=steps * c.H_cycles)
    return carry


@functools.partial(jax.jit, static_argnums=(0, 4))
def observed_first_calls(
    reasoner: Reasoner, weights: Weights, batch: Batch, summary: PerSite, statistic: Statistic
) -> PerSite:
    """Run the first H-cycle and summarise the inputs of the first call of each role."""
    e = inject(reasoner, weights, batch)
    apply = _observer(reasoner, weights.params, statistic)
    z_H, z_L = reasoner.start(weights.buffers, batch.inputs.shape[0])
    z_L, summary = apply(summary, "update_L", z_L, z_H + e)

    def l_cycle(z_L: Array, _: None) -> tuple[Array, None]:
        variables = {"params": weights.params}
        return jnp.asarray(reasoner.module.apply(variables, z_L, z_H + e, method="update_L")), None

    z_L, _ = jax.lax.scan(l_cycle, z_L, length=reasoner.config.L_cycles - 1)
    z_H, summary = apply(summary, "update_H", z_H, z_L)
    _, summary = apply(summary, "read_out", reasoner.store(Latents(z_H, z_L)).z_H)
    return summary


def _observer(reasoner: Reasoner, params: Params, statistic: Statistic) -> Callable[..., tuple]:
    """Make (summary, method, arguments) -> (result, summary with what the method has sown)."""
    collections = [seen.value for seen in statistic.seen]

    def apply(summary: PerSite, method: str, *args: Array) -> tuple:
        out, state = reasoner.module.apply(
            {"params": params}, *args, method=method, mutable=collections
        )
        for name in collections:
            summary = _fold(summary, state.get(name, {}), statistic)
        return out, summary

    return apply


def _fold(summary: PerSite, sown: Any, statistic: Statistic) -> PerSite:
    """Add what one application of a method has sown."""
    summary = dict(summary)
    for path, x in jax.tree_util.tree_leaves_with_path(sown):
        site = _site(path)
        summary[site] = statistic.add(summary[site], x)
    return summary


def _site(path: tuple) -> str:
    """Name the site of what was sown: `<Dense>/input/<call>` or `<state>/<call>`."""
    return leaf_name(path).rsplit("/", 1)[0].removesuffix("/input")
