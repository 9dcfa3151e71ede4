"""What a manifest says about integers: encodings, headroom, room of accumulators, saturation."""

import dataclasses
from typing import Any

import jax
import numpy as np

from export.manifest import IntegerFacts
from quant.integer.model import IntegerModel
from quant.integer.network import mlp_level, read_out
from quant.integer.operators import NamedValue, largest_sum
from quant.integer.reasoner import Simulated
from quant.integer.saturation import count_rollout
from trm_jax.types import Batch


def integer_facts(model: IntegerModel) -> IntegerFacts:
    """Collect the facts of a model; saturation is not counted yet."""
    sources = inputs_of(model)
    return IntegerFacts(
        bits=model.bits,
        headroom=model.headroom,
        encodings={n: (e.scale, e.zero_point) for n, e in sorted(model.encodings.items())},
        accumulator_bits={
            site: largest_sum(model.products[site], model.encodings[source]).bit_length() + 1
            for site, source in sorted(sources.items())
        },
    )


def with_saturation(
    facts: IntegerFacts, simulated: Simulated, tried: Batch, steps: int
) -> IntegerFacts:
    """Add what saturates while puzzles are solved, over `steps` supervision steps."""
    counts = count_rollout(simulated, tried, steps=steps)
    return dataclasses.replace(
        facts,
        saturated={name: count for name, count in sorted(counts.items()) if count},
        saturated_puzzles=len(tried.inputs),
    )


def inputs_of(model: IntegerModel) -> dict[str, str]:
    """Name what every product multiplies, by the product's site."""
    c = model.config
    ops = model.ops()

    def walk(z: Any) -> Any:
        state = NamedValue(z, "z")
        out = mlp_level(state, NamedValue(z, "injection"), c, ops)
        return out.value, read_out(state, c, ops)[0].value

    shape = (1, c.num_positions, c.hidden_size)
    jax.eval_shape(walk, jax.ShapeDtypeStruct(shape, np.dtype(f"int{model.bits}")))
    return ops.inputs
