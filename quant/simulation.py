"""The way from a model and a precision plan to a model that computes like the device.

`simulate` compresses the weights, calibrates what is static, and builds the reasoner whose
products, carry and arithmetic are the plan's. Sweeps, ablations and the ARC program evaluate
what it returns, and an exported file is checked against it, so a row of a sweep is measured with
the arithmetic of the file (Sec. 3.4 and 4 of the paper).

    floats      products of dequantised kernels; inputs rounded where a scheme says so
    static      the output of a product is rounded too, as the kernel of a runtime does: onto the
                calibrated grid of the activations' type
    integers    `..._tflm`: TFLite Micro's arithmetic (quant/integer), bit for bit

Ranges are measured along whole trajectories on calibration puzzles, which should not be evaluated
afterwards, over as many supervision steps as will be run. Outputs are measured without bias,
which is added in float behind the rounding.

Not here: grids (affine.py), what happens to the input of a product (dot_general.py), other
statistics of a trajectory (ptq/calibrate.py), files (export).
"""

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from quant.affine import Range, fake_quantise, scale_zero_point
from quant.carry import carry_store
from quant.dot_general import STATIC_GRIDS, site_dot_general
from quant.integer.model import IntegerModel, calibrated_model
from quant.integer.reasoner import simulate_integers
from quant.precision_plan import PrecisionPlan
from quant.ptq.calibrate import (
    RANGE,
    Calibration,
    ProductRange,
    Statistic,
    check_headroom,
    collect_from,
    finite_ends,
    input_widths,
    own_start,
)
from quant.ptq.cells import RangedSite
from quant.ptq.fold import fold, fold_factors
from quant.ptq.methods import quantise_matrices
from quant.ptq.weights import (
    QuantisedParams,
    dequantise_params,
    round_floats,
)
from quant.scheme import Activations, Ranges, Scheme
from quant.sites import Role, role_of
from trm_jax.config import Config
from trm_jax.evaluators import Trajectory, step_readings, trajectory
from trm_jax.halting import StepReading
from trm_jax.models.act import predictions
from trm_jax.models.build import build
from trm_jax.models.layers import exact_dot_general
from trm_jax.models.reasoner import Reasoner
from trm_jax.sharding import device_mesh, replicate
from trm_jax.types import Batch, DotGeneral, Params, SiteDotGeneral, State, Tokens, Weights


@runtime_checkable
class ConfiguredWeights(Protocol):
    """What is simulated: anything that holds a configuration and its weights."""

    @property
    def config(self) -> Config: ...

    @property
    def weights(self) -> Weights: ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Simulation:
    """A model under a precision plan, ready to run: what a device computes.

    Attributes:
      weights: those that the reasoner reads, on every local device.
      ranges: of static products by site; integers have encodings of their own.
      quantised: what a device stores: a QTensor for every kernel of integers.
      integers: what TFLite Micro's arithmetic computes with; None under float arithmetic.
    """

    reasoner: Reasoner
    weights: Weights
    ranges: Mapping[str, ProductRange]
    quantised: QuantisedParams
    integers: IntegerModel | None = None

    @property
    def silent(self) -> tuple[str, ...]:
        """Sites of static products whose inputs are zero on every calibration puzzle.

        Their range is zero alone, so that whatever other puzzles bring there becomes zero.
        """
        return tuple(site for site, span in self.ranges.items() if span.input == (0.0, 0.0))

    def trajectory(self, batch: Batch, *, steps: int) -> Trajectory:
        """Roll out: z_H after every H-cycle of `steps` supervision steps."""
        return trajectory(self.reasoner, self.weights, batch, steps=steps)

    def readings(self, batch: Batch, *, steps: int) -> list[StepReading]:
        """Read out after every supervision step, for rules of halting."""
        states = self.trajectory(batch, steps=steps)
        return step_readings(self.reasoner, self.weights, states)

    def tokens(self, z_H: State) -> Tokens:
        """Read the answers out of a state."""
        return predictions(self.reasoner.read_out(self.weights.params, jnp.asarray(z_H)).logits)

    def answers(self, batch: Batch, *, steps: int) -> np.ndarray:
        """Answer puzzles after `steps` supervision steps."""
        return np.asarray(self.tokens(self.trajectory(batch, steps=steps)[-1]))


def simulate(
    model: ConfiguredWeights,
    plan: PrecisionPlan | Scheme,
    batches: Iterable[Batch] | Calibration = (),
    *,
    steps: int | None = None,
    dtype: str = "float32",
) -> Simulation:
    """Compress a model and build the reasoner that computes like the device.

    Args:
      plan: a scheme stands for a plan that gives it to every role.
      batches: calibration puzzles of one shape, without padding; read only by plans that need
        them, for static activations or for weights rounded by what goes through the model. A
        Calibration of the model is measured once for several schemes.
      steps: supervision steps of a calibration (the model's halt_max_steps).
      dtype: arithmetic of a plan that names none.

    Raises:
      ValueError: weights that the plan's format cannot hold, no puzzles where the plan needs some
        or none that leave a model's values finite, or a model without integers (linear attention,
        learned positions) under tflm.
    """
    plan = PrecisionPlan.uniform(plan) if isinstance(plan, Scheme) else plan
    calibration = (
        batches if isinstance(batches, Calibration) else calibrate_on(model, batches, steps)
    )
    puzzles = calibration.batches if plan.needs_puzzles else ()
    if plan.needs_puzzles and not puzzles:
        raise ValueError(f"{plan.name} is calibrated on puzzles, and there are none")
    config = dataclasses.replace(model.config, forward_dtype=plan.forward_dtype(dtype))
    steps = calibration.steps
    weights = model.weights
    if any(scheme.ranges is Ranges.FOLDED_CELLS for scheme in plan.schemes):
        calibration = _folded(calibration, plan)
        weights = calibration.weights
    quantised = quantise_for(weights.params, plan, calibration)
    if plan.is_integer:
        return _simulate_tflm(config, weights, plan, quantised, puzzles, steps)
    buffers, puzzle_emb = round_floats(weights, plan.mixer.float_dtype)
    weights = Weights(dequantise_params(quantised), buffers, puzzle_emb)
    store = carry_store(plan.mixer)  # the roles share it
    ranges: Mapping[str, ProductRange] = {}
    if plan.needs_ranges:
        ranges = product_ranges(
            build(config, store=store), weights, puzzles, steps=steps, plan=plan
        )
    return Simulation(
        reasoner=build(config, plan_dot_general(plan, ranges), store),
        weights=replicate(weights, device_mesh()),
        ranges=ranges,
        quantised=quantised,
    )


def _folded(calibration: Calibration, plan: PrecisionPlan) -> Calibration:
    """Calibrate the same network with the MLPs folded that a plan names, once for all plans."""
    weights, batches, steps = calibration.weights, calibration.batches, calibration.steps
    factors = calibration.once(
        "fold factors",
        lambda: fold_factors(calibration.reasoner, weights, batches, steps=steps),
    )
    sites = frozenset(filter(plan.folds, factors))

    def folded() -> Calibration:
        params = fold(weights.params, factors, sites.__contains__)
        config = calibration.reasoner.config
        return Calibration(config, weights._replace(params=params), batches, steps=steps)

    return calibration.once(("folded", sites), folded)


def calibrate_on(
    model: ConfiguredWeights, batches: Iterable[Batch], steps: int | None = None
) -> Calibration:
    """Make the calibration of a model, to simulate several schemes with.

    Args:
      batches: of one shape, without padding puzzles; gathered when a scheme needs them.
      steps: supervision steps of a rollout (the model's halt_max_steps).
    """
    steps = model.config.halt_max_steps if steps is None else steps
    return Calibration(model.config, model.weights, batches, steps=steps)


def _simulate_tflm(
    config: Config,
    weights: Weights,
    plan: PrecisionPlan,
    quantised: QuantisedParams,
    puzzles: Sequence[Batch],
    steps: int,
) -> Simulation:
    """Calibrate a device's integers and simulate them."""
    integers = calibrated_model(config, weights, quantised, plan.mixer, puzzles, steps=steps)
    reasoner, used = simulate_integers(integers)
    return Simulation(
        reasoner=reasoner,
        weights=replicate(used, device_mesh()),
        ranges={},
        quantised=quantised,
        integers=integers,
    )


def quantise_for(
    params: Params, plan: PrecisionPlan, calibration: Calibration | None = None
) -> QuantisedParams:
    """Quantise every matrix by its own scheme, everything else by the mixer's.

    Args:
      calibration: needed by schemes that round by what goes through the model.

    Raises:
      ValueError: as `quantise_weights`, or a plan names a matrix that the model lacks.
    """
    sites = input_widths(params)
    for scheme in plan.schemes:
        scheme.check_sites(sites)
    return quantise_matrices(params, plan.of, plan.mixer.float_dtype, calibration)


def plan_dot_general(
    plan: PrecisionPlan, ranges: Mapping[str, ProductRange] | None = None
) -> SiteDotGeneral:
    """Choose the products of a plan; kernels are dequantised QTensors of its schemes.

    Plans that only change weights share one function, so that they share compiled code.

    Args:
      ranges: needed by static activations.

    Raises:
      ValueError: static activations without ranges.
    """
    if plan.needs_ranges and not ranges:
        raise ValueError(
            f"plan {plan.name} is static and needs calibrated ranges, got none;"
            " pass ranges= from quant.simulation.product_ranges"
        )
    activations = tuple(scheme.activations for scheme in plan.schemes)
    if set(activations) == {Activations.NONE}:
        return exact_dot_general
    return PlanDotGeneral(activations, tuple(sorted((ranges or {}).items())))


@dataclass(frozen=True)
class PlanDotGeneral:
    """Site -> `dot_general`; hashable, so that equal plans share a compiled model.

    Attributes:
      activations: what happens to the inputs (and, if static, the outputs), by role in the
        order of `Role`.
      ranges: (site, ranges) of static products.
    """

    activations: tuple[Activations, ...]
    ranges: tuple[tuple[str, ProductRange], ...]

    def __call__(self, site: str) -> DotGeneral:
        activations = self.activations_of(site)
        scheme = Scheme(activations=activations)  # kernels are rounded already
        if not activations.is_static:
            return site_dot_general(scheme)(site)
        product = site_dot_general(scheme, {site: self.range_of(site).input})(site)
        return functools.partial(_round_output, self, site, product)

    def activations_of(self, site: str) -> Activations:
        """Look up what happens to the input of a Dense."""
        return self.activations[list(Role).index(role_of(site))]

    def range_of(self, site: str) -> ProductRange:
        """Look up the calibrated ranges of a Dense.

        Raises:
          ValueError: the site was not calibrated.
        """
        ranges = dict(self.ranges)
        if site not in ranges:
            names = ", ".join(ranges)
            raise ValueError(f"no calibrated range for {site!r}; calibrated sites: {names}")
        return ranges[site]


def _round_output(
    products: PlanDotGeneral, site: str, product: DotGeneral, *arguments: Any, **options: Any
) -> Array:
    """Multiply and round the result onto the calibrated grid of the outputs."""
    y = product(*arguments, **options)
    grid = STATIC_GRIDS[products.activations_of(site)]
    low, high = products.range_of(site).output
    affine = scale_zero_point(Range(jnp.float32(low), jnp.float32(high)), grid)
    return jnp.asarray(fake_quantise(y.astype(jnp.float32), affine, grid), y.dtype)


class ProductSummary(NamedTuple):
    """The ranges of inputs and of inputs @ kernel so far."""

    site: RangedSite
    kernel: Float[Array, "inputs outputs"]
    input: Range
    output: Range


def _add_product(summary: ProductSummary, x: Float[Array, "*lead inputs"]) -> ProductSummary:
    x = x.astype(jnp.float32)
    y = jnp.einsum("...i,io->...o", x, summary.kernel)
    return summary._replace(
        input=RANGE.add(summary.input, summary.site.input(x)),
        output=RANGE.add(summary.output, summary.site.output(y)),
    )


PRODUCT_RANGE = Statistic(own_start, _add_product)


def product_ranges(
    reasoner: Reasoner,
    weights: Weights,
    batches: Iterable[Batch],
    *,
    steps: int,
    headroom: float = 1.0,
    plan: PrecisionPlan | None = None,
) -> dict[str, ProductRange]:
    """Measure the smallest and largest input and output of every Dense.

    Args:
      reasoner, weights, batches, steps, headroom: as for `quant.ptq.calibrate.activation_ranges`.
      plan: says what the ranges of a site cover; None: all positions.

    Raises:
      ValueError: no batch, or headroom not positive.
    """
    check_headroom(headroom)
    start = {
        site: ProductSummary(
            _ranged_site(site, plan, reasoner.config),
            _kernel_of(weights, site),
            RANGE.empty(width),
            RANGE.empty(width),
        )
        for site, width in input_widths(weights.params).items()
    }
    products = collect_from(start, reasoner, weights, batches, steps=steps, statistic=PRODUCT_RANGE)
    return {
        site: ProductRange(
            finite_ends(site, each.input, headroom),
            finite_ends(site, each.output, headroom, "outputs"),
        )
        for site, each in products.items()
    }


def _ranged_site(site: str, plan: PrecisionPlan | None, config: Config) -> RangedSite:
    return RangedSite(site, plan.of(site).ranges if plan else Ranges.ALL, config.prefix_len)


def _kernel_of(weights: Weights, site: str) -> Array:
    node = weights.params
    for key in site.split("/"):
        node = node[key]
    return node["kernel"]
