"""Context truncation: tokens beyond a share of the puzzle are zeroed (App. I, Table 12).

The paper's baselines are those of one supervision step (n = 1); full depth is measured as well.
What a model sees is cut, what it must answer is not: with half of a puzzle hidden the rest has
many answers, of which the label is one.
"""

import dataclasses
import functools
import math

import jax.numpy as jnp

from experiments.ablate.interventions import AblatedModel, Context, Intervention
from trm_jax.types import Batch

SHARES = (1.0, 0.5, 0.25)


def interventions(context: Context) -> tuple[Intervention, ...]:
    """List the shares of the context at one supervision step and at full depth."""
    depths = dict.fromkeys((1, context.steps))
    return tuple(truncated(context, share, n) for n in depths for share in SHARES)


def truncated(context: Context, share: float, steps: int) -> Intervention:
    """Show the first share of the cells, in reading order."""

    def make() -> AblatedModel:
        whole = context.original
        if share == 1.0 and steps == whole.steps:
            return whole
        show = whole.show if share == 1.0 else functools.partial(truncate, share=share)
        return dataclasses.replace(whole, steps=steps, show=show)

    return Intervention(
        name=name(share, steps),
        make=make,
        reference=name(1.0, steps),
        settings={"share": share, "steps": steps},
    )


def name(share: float, steps: int) -> str:
    """Name a variant: `50% context, n=1`."""
    return f"{share:.0%} context, n={steps}"


def truncate(batch: Batch, *, share: float) -> Batch:
    """Zero (pad) the tokens beyond a share of the cells, rounded up."""
    seq = batch.inputs.shape[1]
    seen = jnp.arange(seq) < math.ceil(seq * share)
    return batch._replace(inputs=jnp.where(seen[None], batch.inputs, 0))
