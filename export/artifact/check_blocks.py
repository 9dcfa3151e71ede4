"""One block on its runtime against the simulation, and how far apart they may be.

Two correct implementations differ by float rounding, and where a value falls on the border
between two integers, by a step. What that does to a block is measured on the simulation itself:
every product's output is perturbed by the error of its own arithmetic (check_operators.py):

    float, dynamic   2^-20 of the outputs' root mean square: thousands of float32 terms summed in
                     another order; dynamic products then also flip some of their rounded inputs
    static           one step of the output grid
    integers         nothing: both compute the same bits

The bound is FACTOR times the largest relative L2 change over DRAWS perturbed simulations; the
factor stands for further draws.

Not here: whole rollouts, where the recursion amplifies steps (check_rollouts.py).
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Int32

from export.lowering.model import blocks_of
from export.runtimes.contract import Runtime
from quant.affine import Range, scale_zero_point
from quant.dot_general import STATIC_GRIDS
from quant.integer.reasoner import IntegerReasoner
from quant.simulation import PlanDotGeneral, Simulation
from trm_jax.models.build import build
from trm_jax.types import DotGeneral, Injection, Params, SiteDotGeneral, State

FLOAT_ERROR = 2.0**-20
DRAWS, FACTOR = 3, 3.0

OutputSteps = tuple[tuple[str, float], ...]
Seed = Int32[Array, ""]


class BlockCheck(NamedTuple):
    """Relative L2 distance of one network's output, and its bound."""

    graph: str
    distance: float
    bound: float

    @property
    def passed(self) -> bool:
        return self.distance <= self.bound


@dataclass(frozen=True)
class PerturbedProducts:
    """The products of a plan, with perturbed outputs.

    Attributes:
      output_steps: (site, step of the output's grid) of static products.
      seed: of the draw; traced, so that one compiled program makes all draws.
    """

    exact: SiteDotGeneral
    output_steps: OutputSteps
    seed: Seed

    def __call__(self, site: str) -> DotGeneral:
        product, size = self.exact(site), dict(self.output_steps).get(site)
        site_seed = sum(site.encode()) * 1000 + self.seed

        def perturbed(*arguments: Any, **options: Any) -> Array:
            y = product(*arguments, **options)
            noise = jax.random.uniform(jax.random.key(site_seed), y.shape, y.dtype, -1.0, 1.0)
            if size is not None:  # whole steps: -1, 0 or 1
                return y + jnp.round(1.5 * noise) * jnp.asarray(size, y.dtype)
            return y + noise * (jnp.sqrt(jnp.mean(jnp.square(y))) * FLOAT_ERROR)

        return perturbed


def output_steps(products: SiteDotGeneral) -> OutputSteps:
    """List the output steps of the static products of a plan."""
    if not isinstance(products, PlanDotGeneral):
        return ()
    steps = []
    for site, (_, ends) in products.ranges:
        grid = STATIC_GRIDS.get(products.activations_of(site))
        if grid is not None:
            span = Range(*(jnp.float32(end) for end in ends))
            steps.append((site, float(scale_zero_point(span, grid).scale)))
    return tuple(steps)


def check_blocks(
    simulation: Simulation, runtime: Runtime, z: np.ndarray, injection: np.ndarray
) -> list[BlockCheck]:
    """Compare every network on one input.

    Args:
      z, injection: states of a trajectory, one group of the graphs' batch, in real numbers.
    """
    exact = simulation.reasoner
    if isinstance(exact, IntegerReasoner):
        return [_check_integers(exact, runtime, z, injection)]
    checks = []
    names = dict(zip(blocks_of(exact.config), ("update_L", "update_H"), strict=True))
    products = exact.module.dot_general
    steps = output_steps(products)
    for graph, update in names.items():
        expected = _apply(simulation, products, update, z, injection)
        draws = _perturbed(simulation, products, steps, update, z, injection)
        changes = [distance(draw, expected) for draw in draws]
        result = runtime.run(graph, {"z": z, "injection": injection})["z"]
        checks.append(BlockCheck(graph, distance(result, expected), FACTOR * max(changes)))
    return checks


def _check_integers(
    exact: IntegerReasoner, runtime: Runtime, z: np.ndarray, injection: np.ndarray
) -> BlockCheck:
    """Compare in integers; the bound is 0."""
    inputs = {
        name: np.asarray(exact.integers(jnp.asarray(x), name))
        for name, x in (("z", z), ("injection", injection))
    }
    update = jax.jit(exact.networks.update_L)
    state = update({}, jnp.asarray(z), jnp.asarray(injection))
    expected = np.asarray(exact.integers(state, "z"))
    return BlockCheck("block", distance(runtime.run("block", inputs)["z"], expected), 0.0)


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """Measure |a - b| / |b|."""
    return float(np.linalg.norm(a.astype(np.float64) - b) / np.linalg.norm(b))


def _apply(
    simulation: Simulation, products: SiteDotGeneral, update: str, z: np.ndarray, e: np.ndarray
) -> np.ndarray:
    network = jax.jit(_network(simulation, products, update))
    out = network(simulation.weights.params, jnp.asarray(z), jnp.asarray(e))
    return np.asarray(out, np.float64)


def _perturbed(
    simulation: Simulation,
    products: SiteDotGeneral,
    steps: OutputSteps,
    update: str,
    z: np.ndarray,
    e: np.ndarray,
) -> list[np.ndarray]:
    """Apply a network with perturbed products, once for each draw."""

    @jax.jit
    def draw(params: Params, z: State, e: Injection, seed: Seed) -> State:
        perturbed = PerturbedProducts(products, steps, seed)
        return _network(simulation, perturbed, update)(params, z, e)

    given = simulation.weights.params, jnp.asarray(z), jnp.asarray(e)
    return [np.asarray(draw(*given, jnp.int32(seed)), np.float64) for seed in range(DRAWS)]


def _network(
    simulation: Simulation, products: SiteDotGeneral, update: str
) -> Callable[[Params, State, Injection], State]:
    reasoner = build(simulation.reasoner.config, products)
    networks = dataclasses.replace(reasoner, store=simulation.reasoner.store).networks
    return getattr(networks, update)
