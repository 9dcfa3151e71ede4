"""Activations and states in few bits (section 4.2), and the carry in memory (App. M).

    weights   int8 weights alone (where the paper's operator exclusion ends for Sudoku)
    dynamic   inputs of products in int8 too, one range per row at run time
    static    inputs and outputs of products on calibrated grids: everything between products
              stays in float, or every state is static int8 too (the paper's naive static)
    carry     z_H and z_L are rounded between H-cycles only (host-side compression)

The first three come with one weight scale per channel and per tensor. Static ranges are
calibrated on the last puzzles of the data, which are not evaluated, along whole trajectories.

Not here: how a scheme is computed (quant/simulation.py) and static states (quant/carry.py).
"""

import functools
from collections.abc import Callable

from experiments.ablate.interventions import (
    AblatedModel,
    Context,
    Effort,
    Intervention,
    NotApplicable,
    compressed,
    sizes,
)
from experiments.ablate.rows import Facts
from experiments.measurement.choices import check_calibration
from quant.carry import static_states
from quant.ptq.calibrate import input_and_state_ranges
from quant.scheme import Scheme, parse
from quant.simulation import Simulation, simulate
from trm_jax.data.batches import batch_size_of
from trm_jax.models.build import build
from trm_jax.models.reasoner import Reasoner
from trm_jax.types import Batch

WEIGHTS = ("w8c-sym", "w8t-sym")
DYNAMIC = ("w8c-sym_a8d", "w8t-sym_a8d")
STATIC = ("w8c-sym_a8s", "w8t-sym_a8s")
CARRY = ("fp32_carryfp16", "fp32_carry16", "fp32_carry8")

Simulate = Callable[[Scheme], Simulation]
"""Calibrates and compresses the model under a static scheme, once."""


def interventions(context: Context) -> tuple[Intervention, ...]:
    """List full precision, then weights alone, dynamic, static and carry variants.

    Raises:
      NotApplicable: no puzzles would be left to calibrate on.
    """
    static_schemes = [parse(name) for name in STATIC]
    try:
        check_calibration(static_schemes, context.num_puzzles, context.aside)
    except ValueError as error:
        raise NotApplicable(str(error)) from error
    simulate_once = functools.cache(functools.partial(calibrate, context))
    return (
        context.full(),
        *(compressed(context, scheme) for scheme in (*WEIGHTS, *DYNAMIC)),
        *(static(context, scheme, simulate_once, states=False) for scheme in static_schemes),
        *(static(context, scheme, simulate_once, states=True) for scheme in static_schemes),
        *(compressed(context, scheme) for scheme in CARRY),
    )


def calibrate(context: Context, scheme: Scheme) -> Simulation:
    """Put the model under a static scheme, calibrated over whole trajectories."""
    context.announce(f"calibrating {scheme.name}")
    if context.effort is Effort.QUICK:
        quick = batches(context)
        return simulate(context.model, scheme, quick, steps=context.steps, dtype=context.dtype)
    return simulate(context.model, scheme, context.calibration, dtype=context.dtype)


def batches(context: Context) -> tuple[Batch, ...]:
    """Gather the puzzles to calibrate on: all, or one batch when quick."""
    return context.calibration.batches[: 1 if context.effort is Effort.QUICK else None]


def static(
    context: Context, scheme: Scheme, simulate_once: Simulate, *, states: bool
) -> Intervention:
    """Put inputs and outputs of products on static grids, and the states too if asked to."""
    few: Facts = {"calibrated_on": batch_size_of(context.aside.count)}
    quick: Facts = few if context.effort is Effort.QUICK else {}

    def make() -> AblatedModel:
        simulation = simulate_once(scheme)
        reasoner = static_reasoner(context, simulation) if states else simulation.reasoner
        return AblatedModel(
            reasoner=reasoner,
            weights=simulation.weights,
            steps=context.steps,
            facts={**sizes(context.model.weights, scheme)},
        )

    return Intervention(
        name=f"{scheme.name}, states too" if states else scheme.name,
        make=make,
        settings={
            "scheme": scheme.name,
            "states": "a8s" if states else "float",
            "outputs": "a8s",
            **quick,
            **context.calibrated_on(scheme),
        },
    )


def static_reasoner(context: Context, simulation: Simulation) -> Reasoner:
    """Put every state between the operators of a static scheme on a grid of its own."""
    exact, weights = build(context.config), simulation.weights
    _, between = input_and_state_ranges(exact, weights, batches(context), steps=context.steps)
    products = simulation.reasoner.module.dot_general
    return build(context.config, products, on_state=static_states(between))
