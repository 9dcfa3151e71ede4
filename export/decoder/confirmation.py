"""What a runtime wrote against the simulation in JAX, token by token.

The simulation reads prompt and written tokens in one pass through the cache that the scheme keeps,
so that every token is compared, and one
that parts does not make all later ones part. Two correct implementations differ by float rounding:
every product's output of the simulation is perturbed by the error of its own arithmetic
(artifact/check_blocks.py), and the bound of a logit is FACTOR times the largest change over DRAWS
such simulations. A token that the simulation would not have written must be as likely there as its
own, within twice that bound: a tie.
"""

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from export.artifact.check_blocks import (
    DRAWS,
    FACTOR,
    OutputSteps,
    PerturbedProducts,
    Seed,
    output_steps,
)
from export.decoder.host import PAD, PromptTokens, WrittenTokens
from quant.decoder import DecoderSimulation
from trm_jax.decoder.transformer import Decoder, token_positions
from trm_jax.types import Params


class TokenComparison(NamedTuple):
    """How a runtime's tokens and logits compare with the simulation's.

    Attributes:
      total: written tokens; equal: those that the simulation writes there too.
      margin: largest amount by which the simulation prefers another token to the written one.
      difference: largest difference of a logit; bound: what rounding explains.
    """

    total: int
    equal: int
    margin: float
    difference: float
    bound: float

    @property
    def passed(self) -> bool:
        return self.difference <= self.bound and self.margin <= 2 * self.bound

    @property
    def text(self) -> str:
        """Say what was found."""
        parted = self.total - self.equal
        ties = f"; {parted} part, at a margin of {self.margin:.1e} at most" if parted else ""
        return (
            f"{self.equal:,} of {self.total:,} tokens are the simulation's{ties}; worst logit"
            f" difference {self.difference:.1e}, bound {self.bound:.1e}"
        )


def compare_tokens(
    simulation: DecoderSimulation,
    prompts: Sequence[PromptTokens],
    written: Sequence[WrittenTokens],
) -> TokenComparison:
    """Compare what was written after prompts."""
    wholes = [np.concatenate([p, w.tokens]) for p, w in zip(prompts, written, strict=True)]
    tokens = pad_rows(wholes)
    begins = [len(prompt) - 1 for prompt in prompts]  # this position says the first token
    ends = [begin + len(w.tokens) for begin, w in zip(begins, written, strict=True)]

    def rows(logits: jax.Array) -> Float[np.ndarray, "tokens vocab"]:
        spans = zip(np.asarray(logits), begins, ends, strict=True)
        return np.concatenate([each[begin:end] for each, begin, end in spans])

    expected = rows(cached_logits(simulation.decoder, simulation.params, tokens))
    changes = [np.abs(rows(logits) - expected).max() for logits in perturbed(simulation, tokens)]
    got = np.concatenate([w.logits for w in written])
    chosen = np.concatenate([w.tokens for w in written])
    margins = expected.max(axis=1) - expected[np.arange(len(chosen)), chosen]
    return TokenComparison(
        total=len(chosen),
        equal=int((expected.argmax(axis=1) == chosen).sum()),
        margin=float(margins.max()),
        difference=float(np.abs(got - expected).max()),
        bound=FACTOR * float(max(changes)),
    )


def _logits(
    decoder: Decoder, params: Params, tokens: Int[jax.Array, "batch seq"]
) -> Float[jax.Array, "batch seq vocab"]:
    cache = decoder.empty_cache(batch_size=tokens.shape[0], positions=tokens.shape[1])
    hidden, _ = decoder.extend(params, tokens, token_positions(tokens), cache)
    return decoder.read_out(params, hidden)


@functools.partial(jax.jit, static_argnums=0)
def cached_logits(
    decoder: Decoder, params: Params, tokens: Int[jax.Array, "batch seq"]
) -> Float[jax.Array, "batch seq vocab"]:
    """Compute the logits behind every token, from keys and values as memory keeps them."""
    return _logits(decoder, params, tokens)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _perturbed_logits(
    decoder: Decoder,
    steps: OutputSteps,
    params: Params,
    tokens: Int[jax.Array, "batch seq"],
    seed: Seed,
) -> Float[jax.Array, "batch seq vocab"]:
    products = PerturbedProducts(decoder.dot_general, steps, seed)
    return _logits(dataclasses.replace(decoder, dot_general=products), params, tokens)


def perturbed(
    simulation: DecoderSimulation, tokens: Int[jax.Array, "batch seq"]
) -> Iterator[Float[jax.Array, "batch seq vocab"]]:
    """Compute the same with products that are off by the error of their arithmetic."""
    decoder = simulation.decoder
    steps = output_steps(decoder.dot_general)
    for seed in range(DRAWS):
        yield _perturbed_logits(decoder, steps, simulation.params, tokens, jnp.int32(seed))


def pad_rows(rows: Sequence[np.ndarray]) -> Int[jax.Array, "batch seq"]:
    """Pad sequences on the right to the longest."""
    tokens = np.full((len(rows), max(map(len, rows))), PAD, np.int32)
    for row, values in zip(tokens, rows, strict=True):
        row[: len(values)] = values
    return jnp.asarray(tokens)
