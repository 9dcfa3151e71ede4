"""Quantisation-aware training from naive low-bit weights: done right, and as the paper did it.

    straight-through   kernels are float masters, the model's own, rounded at every use, so that
                       the first update sees the naive weights; the gradient passes through the
                       rounding (quant/dot_general.py)
    no gradient        the paper's (section 3.7; its authors' notebooks round without a
                       straight-through estimator): the rounding is flat, so no kernel ever
                       moves; only embeddings, the halting bias and the puzzle row learn. 100
                       updates of 4 puzzles

Both train with the released loss; what is evaluated is the model as it would ship, its kernels on
the naive grid. At 4 bits the small models lose little; 3 bits show what training can repair.

Masters that begin on the grid must travel half a step before anything changes: of 300 fresh
updates at the same rate .51 came back of Sudoku's fp32 .91 (naive .46), from float masters .80
(256 training-generator puzzles that are not evaluated).
"""

import dataclasses
from collections.abc import Callable

import jax

from experiments.ablate.interventions import (
    AblatedModel,
    Context,
    Effort,
    Intervention,
    compressed,
    put_under,
)
from experiments.ablate.retraining import Setup, Training, brief, fresh_batch, retrained
from quant.dot_general import qat_dot_general
from quant.ptq import weights as ptq_weights
from quant.scheme import parse
from trm_jax.models.build import build
from trm_jax.training.recipe import Recipe
from trm_jax.types import DotGeneral, SiteDotGeneral, Weights

SCHEMES = ("int4_naive", "int3_naive")
STEPS, BATCH, LR, PUZZLES = 300, 32, 1e-3, 2048
PAPER_STEPS, PAPER_BATCH, PAPER_LR = 100, 4, 1e-4  # its learning rate is not known: the released


def interventions(context: Context) -> tuple[Intervention, ...]:
    """List full precision, then naive weights and both trainings at each width.

    Raises:
      NotApplicable: there is nothing to train on.
    """
    effort, seed = context.effort, context.seed
    right = brief(effort.of(STEPS), BATCH, LR, seed)
    paper = brief(effort.of(PAPER_STEPS), PAPER_BATCH, PAPER_LR, seed, weight_decay=0.0)
    rows = [context.full()]
    for scheme in SCHEMES if effort is Effort.DEFAULT else SCHEMES[:1]:
        rows += [
            compressed(context, scheme),
            straight_through(context, scheme, right),
            without_gradient(context, scheme, paper),
        ]
    return tuple(rows)


def straight_through(context: Context, scheme: str, recipe: Recipe) -> Intervention:
    """Train float masters through the rounding of every use."""
    product = qat_dot_general(parse(scheme))
    return trained(
        context, scheme, "straight-through", recipe, product, lambda: context.model.weights
    )


def without_gradient(context: Context, scheme: str, recipe: Recipe) -> Intervention:
    """Train what is no kernel, from the naive weights on."""
    return trained(
        context,
        scheme,
        "no gradient",
        recipe,
        frozen,
        lambda: ptq_weights.round_weights(context.model.weights, parse(scheme)),
    )


def frozen(site: str) -> DotGeneral:
    """Multiply by kernels that are on their grid already and get no gradient."""
    del site
    return _frozen_product


def _frozen_product(lhs: jax.Array, rhs: jax.Array, *rest: object, **more: object) -> jax.Array:
    product: Callable[..., jax.Array] = jax.lax.dot_general
    return product(lhs, jax.lax.stop_gradient(rhs), *rest, **more)


def trained(
    context: Context,
    scheme: str,
    how: str,
    recipe: Recipe,
    dot_general: SiteDotGeneral,
    start: Callable[[], Weights],
) -> Intervention:
    """Train, and put the result onto the naive grid."""
    training = Training(recipe=recipe, puzzles=context.effort.of(PUZZLES))

    def setup() -> Setup:
        puzzles = fresh_batch(context, training.puzzles)
        return Setup(build(context.config, dot_general), puzzles, start())

    def make() -> AblatedModel:
        name = f"qat-{scheme}-{how.replace(' ', '-')}"
        weights, facts = retrained(context, name, training, setup)
        intervention = put_under(
            context, parse(scheme), dataclasses.replace(context.model, weights=weights)
        )
        return dataclasses.replace(intervention, facts=intervention.facts | facts)

    return Intervention(
        name=f"{scheme}, QAT {how}",
        make=make,
        settings={"scheme": scheme, **training.settings(context)},
        made_once=f"{scheme}, {how}",
    )
