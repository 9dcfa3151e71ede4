"""Quantisation-aware training from naive low-bit weights: done right, and as the paper did it.

    straight-through   kernels are float masters, rounded at every use; the gradient passes
                       through the rounding (quant/dot_general.py)
    no gradient        the paper's (section 3.7; its authors' notebooks round without a
                       straight-through estimator): the rounding is flat, so no kernel ever
                       moves; only embeddings, the halting bias and the puzzle row learn. 100
                       updates of 4 puzzles

Both start from the naive weights and train with the released loss; what is evaluated is the
model as it would ship, its kernels on the naive grid. At 4 bits the small models lose little;
3 bits show what training can repair.
"""

import dataclasses
from collections.abc import Callable

import jax

from experiments.ablation import Context, Effort, Intervention, Subject, compressed, subject
from experiments.retraining import Setup, Training, brief, fresh_batch, retrained
from quant import ptq
from quant.dot_general import qat_dot_general
from quant.scheme import parse
from trm_jax.models import build
from trm_jax.recipe import Recipe
from trm_jax.types import DotGeneral, SiteDotGeneral

SCHEMES = ("int4_naive", "int3_naive")
STEPS, BATCH, LR, PUZZLES = 150, 32, 3e-4, 2048
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
            trained(context, scheme, "straight-through", right, straight_through(scheme)),
            trained(context, scheme, "no gradient", paper, without_gradient),
        ]
    return tuple(rows)


def straight_through(scheme: str) -> SiteDotGeneral:
    """Round kernels at every use, with a straight-through gradient."""
    return qat_dot_general(parse(scheme))


def without_gradient(site: str) -> DotGeneral:
    """Multiply by kernels that are on their grid already and get no gradient."""
    del site
    return _frozen_product


def _frozen_product(lhs: jax.Array, rhs: jax.Array, *rest: object, **more: object) -> jax.Array:
    product: Callable[..., jax.Array] = jax.lax.dot_general
    return product(lhs, jax.lax.stop_gradient(rhs), *rest, **more)


def trained(
    context: Context, scheme: str, how: str, recipe: Recipe, dot_general: SiteDotGeneral
) -> Intervention:
    """Train from the naive weights and put the result onto the naive grid."""
    training = Training(recipe=recipe, puzzles=context.effort.of(PUZZLES))

    def setup() -> Setup:
        puzzles = fresh_batch(context, training.puzzles)
        start = ptq.simulate(context.model.weights, parse(scheme))
        return Setup(build(context.config, dot_general), puzzles, start)

    def make() -> Subject:
        name = f"qat-{scheme}-{how.replace(' ', '-')}"
        weights, facts = retrained(context, name, training, setup)
        made = subject(context, scheme, context.model._replace(weights=weights))
        return dataclasses.replace(made, facts=made.facts | facts)

    return Intervention(
        name=f"{scheme}, QAT {how}", make=make,
        settings={"scheme": scheme, **training.settings(context)},
    )  # fmt: skip
