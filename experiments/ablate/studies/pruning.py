"""Structured magnitude pruning at 25 and 50 % (App. K, Table 13), with and without the heads.

The paper prunes every linear layer, its answer head too: with 25 % of the head's neurons two
tokens of a small alphabet can never be answered. The second pair spares the heads and shows what
the reasoning itself loses.
"""

import dataclasses

from experiments.ablate.interventions import AblatedModel, Context, Intervention, sizes
from experiments.ablate.rows import Facts
from quant.prune import Sites, blocks_only, every_linear, kept_weights, prune
from quant.scheme import Scheme
from trm_jax.sharding import device_mesh, replicate

SHARES = (0.25, 0.5)
BYTES = 4  # of a float32 weight
WHERE: dict[str, Sites] = {"all linears": every_linear, "blocks only": blocks_only}


def interventions(context: Context) -> tuple[Intervention, ...]:
    """List the dense model and the pruned ones."""
    pruned = [pruned_model(context, share, where) for where in WHERE for share in SHARES]
    return (context.full(), *pruned)


def pruned_model(context: Context, share: float, where: str) -> Intervention:
    """Prune a share of the output neurons of some layers."""

    def make() -> AblatedModel:
        whole = context.original
        weights = whole.weights._replace(params=prune(whole.weights.params, share, WHERE[where]))
        gone = kept_weights(whole.weights.params) - kept_weights(weights.params)
        full = sizes(whole.weights, Scheme())
        facts: Facts = {
            "bytes": full["bytes"] - gone * BYTES,
            "parameters": full["parameters"] - gone,
        }
        return dataclasses.replace(whole, weights=replicate(weights, device_mesh()), facts=facts)

    return Intervention(
        name=f"{share:.0%} of {where}", make=make, settings={"share": share, "where": where}
    )
