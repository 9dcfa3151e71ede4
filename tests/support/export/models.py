"""Tiny models of every kind, lowered and run in LiteRT, and how far float32 runs may differ."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from jax import Array

from export.graph.ir import Graph
from export.targets import Target
from tests.support.rounding import one_ulp_away, rms
from tests.support.samples import small
from trm_jax.config import HRMConfig, Mixer, Positions, TRMConfig

CONFIGS = {  # odd numbers of positions where the mixer multiplies over them
    "mlp": TRMConfig(
        **small(
            seq_len=6, hidden_size=16, puzzle_emb_len=1, mixer=Mixer.MLP, positions=Positions.NONE
        )
    ),
    "attention": TRMConfig(**small(hidden_size=16, puzzle_emb_len=1, L_layers=1)),
    "linear": TRMConfig(
        **small(hidden_size=16, puzzle_emb_len=2, L_layers=1, mixer=Mixer.LINEAR_ATTENTION)
    ),
    "hrm": HRMConfig(
        **small(
            hidden_size=16, H_layers=1, L_layers=2, puzzle_emb_ndim=16, positions=Positions.LEARNED
        )
    ),
}

RESOLVERS = {
    Target.LITERT: OpResolverType.AUTO,
    Target.LITERT_BUILTIN: OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
}


def run(
    data: bytes, signature: str, target: Target = Target.LITERT, **inputs: Array | np.ndarray
) -> dict[str, np.ndarray]:
    """Call one graph of a file."""
    interpreter = Interpreter(model_content=data, experimental_op_resolver_type=RESOLVERS[target])
    fed = {name: np.asarray(value) for name, value in inputs.items()}
    return interpreter.get_signature_runner(signature)(**fed)


def states(config: TRMConfig | HRMConfig, batch: int, count: int, seed: int = 1) -> list[Array]:
    """Draw latent states."""
    rng = np.random.default_rng(seed)
    shape = (batch, config.num_positions, config.hidden_size)
    return [jnp.asarray(rng.normal(size=shape), jnp.float32) for _ in range(count)]


def float_drift(function: Callable[[Array], Array], z: Array, graph: Graph) -> float:
    """Bound the rms difference of two float32 runs of one graph (as tests/support/rounding.py
    does).

    The yardstick is what a move of every entry of z by one ulp becomes. Every operator rounds
    its result: one such injection each, and a sum of K products about K/2 (partial sums of k
    random terms grow as sqrt(k), so their roundings add up to sqrt(K/2) of the result's). The
    injections are independent: sqrt of their number. Two runs: twice as many.
    """
    plain = np.asarray(function(z))
    moved = [np.asarray(function(one_ulp_away(z, seed))) for seed in range(3)]
    injections = 0.0
    for op in graph.ops:
        summed = {"FULLY_CONNECTED", "BATCH_MATMUL", "MEAN", "SUM"}
        source = graph.tensor(op.inputs[0] or "").shape
        injections += max(1.0, source[-1] / 2) if op.code in summed and source else 1.0
    return float(np.sqrt(2 * injections) * np.mean([rms(plain - m) for m in moved]))
