"""The JAX twin of an export: what its graphs must compute, made from a model and a plan.

Left out: how a plan's products are simulated one by one (simulation.py), writing (pipeline.py).
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from export.lowering.storage import StoragePlan, quantise_for
from export.ranges import calibrated
from export.simulation import plan_dot_general
from quant.carry import CarryStore
from quant.integer.model import IntegerModel, calibrated_model
from quant.integer.reasoner import simulate_integers
from quant.ptq.calibrate import ProductRange
from quant.ptq.weights import QuantisedParams, dequantise_params, simulate
from quant.scheme import CarryPrecision
from trm_jax.config import Config
from trm_jax.evaluate import Trajectory, trajectory
from trm_jax.models.act import predictions
from trm_jax.models.build import build
from trm_jax.models.reasoner import Reasoner
from trm_jax.models.recursion import identity
from trm_jax.types import Batch, Weights


@dataclass(frozen=True)
class Source:
    """A model that is to be exported.

    Attributes:
      name: for headings; origin: what loads it again.
      task: sudoku, maze, or empty.
    """

    name: str
    origin: str
    task: str
    config: Config
    weights: Weights


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """The JAX twin of an export: what it must compute.

    Attributes:
      weights: those that the reasoner reads.
      ranges: of static products; integers have encodings of their own.
      integers: what a plan of integers computes with.
    """

    reasoner: Reasoner
    weights: Weights
    ranges: Mapping[str, ProductRange]
    quantised: QuantisedParams
    integers: IntegerModel | None = None


def simulation_of(
    source: Source, plan: StoragePlan, batches: list[Batch], steps: int
) -> Simulation:
    """Quantise a model under a plan and build its simulation.

    Args:
      batches: puzzles that static products are calibrated on; others read none.
      steps: supervision steps of their rollouts.

    Raises:
      ValueError: a static plan without puzzles.
    """
    config = dataclasses.replace(source.config, forward_dtype="float32")
    quantised = quantise_for(source.weights.params, plan)
    if plan.is_integer:
        return _integer_simulation(config, source.weights, plan, quantised, batches, steps)
    rest = simulate(source.weights, plan.mixer.scheme)
    weights = Weights(dequantise_params(quantised), rest.buffers, rest.puzzle_emb)
    store = identity if plan.carry is CarryPrecision.ARITHMETIC else CarryStore(plan.carry)
    ranges: Mapping[str, ProductRange] = {}
    if plan.needs_ranges:
        ranges = calibrated(build(config, store=store), weights, batches, steps=steps)
    reasoner = build(config, plan_dot_general(plan, ranges), store)
    return Simulation(reasoner=reasoner, weights=weights, ranges=ranges, quantised=quantised)


def _integer_simulation(
    config: Config,
    weights: Weights,
    plan: StoragePlan,
    quantised: QuantisedParams,
    batches: list[Batch],
    steps: int,
) -> Simulation:
    """Calibrate integers and simulate them."""
    scheme = plan.mixer.scheme
    integers = calibrated_model(config, weights, quantised, scheme, batches, steps=steps)
    reasoner, used = simulate_integers(integers)
    return Simulation(
        reasoner=reasoner, weights=used, ranges={}, quantised=quantised, integers=integers
    )


def answers(twin: Simulation, batch: Batch, steps: int) -> np.ndarray:
    """Answer puzzles by the simulation."""
    return np.asarray(tokens_of(twin, run(twin, batch, steps)[-1]))


def run(twin: Simulation, batch: Batch, steps: int) -> Trajectory:
    """Roll the simulation out: z_H after every H-cycle."""
    return trajectory(twin.reasoner, twin.weights, batch, steps=steps)


def tokens_of(twin: Simulation, z_H: jax.Array) -> jax.Array:
    """Read answers out of a state."""
    return predictions(twin.reasoner.read_out(twin.weights.params, jnp.asarray(z_H)).logits)
