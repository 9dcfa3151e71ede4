"""A model under a scheme: compressed weights, quantised products, rounded carry, arithmetic.

Static activations need ranges. They are calibrated on the last puzzles of the data, which a
sweep then must not evaluate, over as many supervision steps as the sweep runs.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax.numpy as jnp

from experiments.models import Model
from experiments.puzzles import Puzzles
from quant.carry import carry_store
from quant.dot_general import Ranges, site_dot_general
from quant.integer.model import calibrated_model
from quant.integer.reasoner import simulate_integers
from quant.ptq import weights as ptq_weights
from quant.ptq.calibrate import activation_ranges
from quant.scheme import FloatDtype, Scheme, parse
from trm_jax.data.batches import CALIBRATION_PUZZLES, calibration_batches
from trm_jax.models.build import build
from trm_jax.models.reasoner import Reasoner
from trm_jax.sharding import device_mesh, replicate
from trm_jax.types import Batch, Weights


class Variant(NamedTuple):
    """A model under a scheme, ready to run."""

    reasoner: Reasoner
    weights: Weights


def make_variant(
    model: Model, puzzles: Puzzles | None, name: str, *, dtype: str, steps: int
) -> Variant:
    """Compress a model and lay its weights on every local device.

    Args:
      puzzles: where static activations find their calibration puzzles; None: nowhere.
      name: of the scheme.
      dtype: arithmetic of a scheme that names none.
      steps: supervision steps over which static activations are calibrated.

    Raises:
      ValueError: weights that the scheme's format cannot hold, static activations without
        puzzles, or a model without integers.
    """
    scheme = parse(name)
    if scheme.activations.is_static and puzzles is None:
        raise ValueError(f"{name} has static activations, and there are no puzzles for them")
    if scheme.is_integer and puzzles is not None:
        return integer_variant(model, puzzles, scheme, steps)
    inherits = scheme.float_dtype is FloatDtype.FP32
    arithmetic = dtype if inherits else scheme.float_dtype.dtype
    config = dataclasses.replace(model.config, forward_dtype=arithmetic)
    store = carry_store(scheme)
    weights = ptq_weights.simulate(model.weights, scheme)
    ranges = None
    if puzzles is not None and scheme.activations.is_static:
        exact = Variant(build(config, store=store), weights)
        ranges = calibrate(puzzles, exact, steps)
    reasoner = build(config, site_dot_general(scheme, ranges), store)
    return Variant(reasoner, on_every_device(weights))


def integer_variant(model: Model, puzzles: Puzzles, scheme: Scheme, steps: int) -> Variant:
    """Bring a model into a device's integers: those of `export.tflite` with as many steps.

    Raises:
      ValueError: the model has no integers: linear attention, learned positions.
    """
    config = dataclasses.replace(model.config, forward_dtype="float32")
    quantised = ptq_weights.quantise_params(model.weights.params, scheme)
    batches = calibration(puzzles)
    integers = calibrated_model(config, model.weights, quantised, scheme, batches, steps=steps)
    simulated = simulate_integers(integers)
    return Variant(simulated.reasoner, on_every_device(simulated.weights))


def on_every_device(weights: Weights) -> Weights:
    """Copy weights to all local devices."""
    return replicate(weights, device_mesh())


def check_calibration(schemes: Sequence[str], num_puzzles: int, total: int) -> None:
    """Demand that puzzles are left to calibrate static activations on.

    Raises:
      ValueError: the calibration puzzles would be evaluated too.
    """
    left = max(total - CALIBRATION_PUZZLES, 0)
    static = [name for name in schemes if parse(name).activations.is_static]
    if static and num_puzzles > left:
        raise ValueError(
            f"{static[0]} calibrates its activations on the last {CALIBRATION_PUZZLES} of the"
            f" {total} puzzles, so at most {left} can be evaluated, got {num_puzzles};"
            " lower --limit or leave the scheme out"
        )


def calibrate(puzzles: Puzzles, exact: Variant, steps: int) -> Ranges:
    """Measure the input ranges of a scheme's products along whole trajectories.

    Args:
      exact: the scheme without its static activations.
      steps: supervision steps.
    """
    return activation_ranges(*exact, calibration(puzzles), steps=steps)


def calibration(puzzles: Puzzles) -> Iterator[Batch]:
    """Gather the puzzles that static activations are calibrated on."""
    for host in calibration_batches(puzzles.dataset):
        yield Batch(*(jnp.asarray(x) for x in host[:3]))
