"""Activations and states in few bits (section 4.2), and the carry in memory (App. M).

    weights   int8 weights alone (where the paper's operator exclusion ends for Sudoku)
    dynamic   inputs of products in int8 too, one range per row at run time
    static    the same with calibrated ranges: everything between products stays in float, or
              every state is static int8 too (the paper's naive static)
    carry     z_H and z_L are rounded between H-cycles only (host-side compression)

The first three come with one weight scale per channel and per tensor. Static ranges are
calibrated on the last puzzles of the data, which are not evaluated, along whole trajectories.
"""

import functools
import itertools
from collections.abc import Callable

import jax.numpy as jnp

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
from experiments.variants import check_calibration, on_every_device
from quant.carry import static_states
from quant.dot_general import Ranges, site_dot_general
from quant.ptq import weights as ptq_weights
from quant.ptq.calibrate import input_and_state_ranges
from quant.scheme import parse
from trm_jax.data.batches import CALIBRATION_BATCH, CALIBRATION_PUZZLES, calibration_batches
from trm_jax.models.build import build
from trm_jax.models.layers import as_computed
from trm_jax.types import Batch

WEIGHTS = ("w8c-sym", "w8t-sym")
DYNAMIC = ("w8c-sym_a8d", "w8t-sym_a8d")
STATIC = ("w8c-sym_a8s", "w8t-sym_a8s")
CARRY = ("fp32_carryfp16", "fp32_carry16", "fp32_carry8")

Calibrated = Callable[[str], tuple[Ranges, Ranges]]
"""Scheme -> ranges of its products' inputs and of its states, measured once."""


def interventions(context: Context) -> tuple[Intervention, ...]:
    """List full precision, then weights alone, dynamic, static and carry variants.

    Raises:
      NotApplicable: no puzzles would be left to calibrate on.
    """
    try:
        check_calibration(STATIC, context.num_puzzles, len(context.puzzles.dataset))
    except ValueError as error:
        raise NotApplicable(str(error)) from error
    calibrated = functools.cache(functools.partial(calibrate, context))
    return (
        context.full(),
        *(compressed(context, scheme) for scheme in (*WEIGHTS, *DYNAMIC)),
        *(static(context, scheme, calibrated, states=False) for scheme in STATIC),
        *(static(context, scheme, calibrated, states=True) for scheme in STATIC),
        *(compressed(context, scheme) for scheme in CARRY),
    )


def calibrate(context: Context, scheme: str) -> tuple[Ranges, Ranges]:
    """Measure all ranges of a scheme's weights in one pass over whole trajectories."""
    context.announce(f"calibrating {scheme}")
    weights = ptq_weights.simulate(context.model.weights, parse(scheme))
    hosts = itertools.islice(calibration_batches(context.puzzles.dataset), num_batches(context))
    batches = (Batch(*(jnp.asarray(x) for x in host[:3])) for host in hosts)
    return input_and_state_ranges(build(context.config), weights, batches, steps=context.steps)


def num_batches(context: Context) -> int:
    """Count the batches to calibrate on: all, or one when quick."""
    return CALIBRATION_PUZZLES // CALIBRATION_BATCH if context.effort is Effort.DEFAULT else 1


def static(context: Context, name: str, calibrated: Calibrated, *, states: bool) -> Intervention:
    """Put the inputs of products on static grids, and the states too if asked to."""
    scheme = parse(name)
    few: Facts = {"calibrated_on": CALIBRATION_BATCH}
    quick: Facts = few if context.effort is Effort.QUICK else {}

    def make() -> AblatedModel:
        inputs, between = calibrated(name)
        on_state = static_states(between) if states else as_computed
        weights = ptq_weights.simulate(context.model.weights, scheme)
        return AblatedModel(
            reasoner=build(context.config, site_dot_general(scheme, inputs), on_state=on_state),
            weights=on_every_device(weights),
            steps=context.steps,
            facts={**sizes(context.model.weights, scheme)},
        )

    return Intervention(
        name=f"{name}, states too" if states else name,
        make=make,
        settings={"scheme": name, "states": "a8s" if states else "float", **quick},
    )
