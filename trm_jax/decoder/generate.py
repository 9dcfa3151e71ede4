"""Writing tokens: one prefill of the prompts, then one token a turn until every stream stopped.

Prompts are padded on the right and every stream goes on at its own length, so that a stream's
tokens do not depend on its neighbours. A stream ends with the stop token or at its budget; the
loop ends when all have.

Draws are functions of (key, stream, turn): splitting a batch changes nothing if each stream keeps
its number.

Not here: what tokens mean (trm_jax/tasks), and rewards (policy_gradient.py).
"""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float, Int

from trm_jax.decoder.kv_cache import KVCache, repeat_streams
from trm_jax.decoder.lora import AdaptedRows
from trm_jax.decoder.transformer import Decoder, Hidden, token_positions
from trm_jax.types import Params, Tokens

PAD = 0
"""Token behind the end of a stream; no vocabulary uses it for anything else."""

Lengths = Int[Array, " batch"]
NextLogits = Float[Array, "batch vocab"]
Stop = int | tuple[int, ...]
"""A token that ends a stream, or all that do."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How the next token is chosen.

    Attributes:
      temperature: 0 takes the likeliest token (greedy).
      top_p: draws among the likeliest tokens that together have this probability.

    Raises:
      ValueError: a negative temperature, or top_p outside (0, 1].
    """

    temperature: float = 0.0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if not self.temperature >= 0:
            raise ValueError(f"temperature must be 0 or more, got {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must lie in (0, 1], got top_p={self.top_p}")


GREEDY = Sampling()


class Prefilled(NamedTuple):
    """Prompts that were read, ready to be continued, several times if need be.

    Attributes:
      last: the last state of each prompt's last token, which the first logits are read from.
      hidden: the last states of all prompt tokens; those behind a prompt's end mean nothing.
    """

    cache: KVCache
    lengths: Lengths
    last: Float[Array, "batch emb"]
    hidden: Hidden

    def repeat(self, times: int) -> "Prefilled":
        """Continue every prompt `times` times, side by side."""
        rest = (jnp.repeat(x, times, axis=0) for x in (self.lengths, self.last, self.hidden))
        return Prefilled(repeat_streams(self.cache, times), *rest)


class Generation(NamedTuple):
    """What was written.

    Attributes:
      tokens: the stop token included, `PAD` behind it.
      lengths: tokens written, the stop token included.
      stopped: whether the stop token came within the budget.
      log_probs: of each token under the model (temperature 1), 0 behind the end.
      last: the last state of each stream's last token; a verifier of answers reads it.
    """

    tokens: Int[Array, "batch new"]
    lengths: Lengths
    stopped: Bool[Array, " batch"]
    log_probs: Float[Array, "batch new"]
    last: Float[Array, "batch emb"]


def prefill(
    decoder: Decoder,
    params: Params,
    prompts: Tokens,
    lengths: Lengths,
    *,
    room: int,
    adapted: AdaptedRows | None = None,
) -> Prefilled:
    """Read prompts.

    Args:
      prompts: padded on the right.
      lengths: tokens of each prompt, at least 1.
      room: tokens that will be written behind the longest prompt.
      adapted: adapters that act in the prompt; None is the base model, whose cache serves both.

    Raises:
      ValueError: prompt and room together have more positions than the model.
    """
    batch, width = prompts.shape
    cache = decoder.empty_cache(batch_size=batch, positions=width + room)
    at = token_positions(prompts)
    hidden, cache = decoder.extend(params, prompts, at, cache, adapted=adapted)
    last = jnp.take_along_axis(hidden, (lengths - 1)[:, None, None], axis=1)[:, 0]
    return Prefilled(cache, lengths, last, hidden)


def _nothing_written(prefilled: Prefilled, room: int) -> Generation:
    """Make the state before the first token."""
    batch = prefilled.last.shape[0]
    return Generation(
        jnp.full((batch, room), PAD, jnp.int32),
        jnp.zeros((batch,), jnp.int32),
        jnp.zeros((batch,), bool),
        jnp.zeros((batch, room), jnp.float32),
        prefilled.last,
    )


class _Turn(NamedTuple):
    """The state of the loop."""

    turn: Int[Array, ""]
    cache: KVCache
    written: Generation


@partial(jax.jit, static_argnames=("decoder", "stop", "max_new_tokens", "sampling"))
def continue_streams(
    decoder: Decoder,
    params: Params,
    prefilled: Prefilled,
    key: Array,
    *,
    stop: Stop,
    max_new_tokens: int,
    sampling: Sampling = GREEDY,
    adapted: AdaptedRows | None = None,
    budgets: Lengths | None = None,
    streams: Lengths | None = None,
) -> Generation:
    """Write tokens behind prompts that were read.

    Args:
      stop: token that ends a stream, or several that do.
      max_new_tokens: of every stream, the stop token included.
      adapted: adapters that act on the written tokens.
      budgets: tokens that each stream may write, at most max_new_tokens; None: all of them.
      streams: numbers of the streams, which their draws depend on; None: 0, 1, ...
    """
    batch = len(prefilled.lengths)
    keys = _stream_keys(key, jnp.arange(batch) if streams is None else streams)
    allowed = jnp.full((batch,), max_new_tokens) if budgets is None else budgets
    stops = jnp.atleast_1d(jnp.asarray(stop, jnp.int32))
    read_out = partial(decoder.read_out, params, adapted=adapted)
    extend = partial(decoder.extend, params, adapted=adapted)

    def write(now: _Turn) -> _Turn:
        live, logits = _going(now.written, allowed), read_out(now.written.last[:, None])[:, 0]
        token, log_prob = choose_tokens(logits, keys, now.turn, sampling)
        written = _append(now.written, now.turn, live, token, log_prob, stops)
        at = (prefilled.lengths + now.turn)[:, None]
        hidden, cache = extend(jnp.where(live, token, PAD)[:, None], at, now.cache)
        last = jnp.where(live[:, None], hidden[:, 0], now.written.last)
        return _Turn(now.turn + 1, cache, written._replace(last=last))

    start = _Turn(jnp.int32(0), prefilled.cache, _nothing_written(prefilled, max_new_tokens))
    return jax.lax.while_loop(lambda now: _going(now.written, allowed).any(), write, start).written


def _stream_keys(key: Array, numbers: Lengths) -> Array:
    return jax.vmap(partial(jax.random.fold_in, key))(numbers)


def _going(written: Generation, allowed: Lengths) -> Bool[Array, " batch"]:
    """Mark streams that are not at their end."""
    return ~written.stopped & (written.lengths < allowed)


def _append(
    written: Generation,
    turn: Int[Array, ""],
    live: Bool[Array, " batch"],
    token: Int[Array, " batch"],
    log_prob: Float[Array, " batch"],
    stops: Int[Array, " stops"],
) -> Generation:
    ends = (token[:, None] == stops[None]).any(axis=1)
    return Generation(
        written.tokens.at[:, turn].set(jnp.where(live, token, PAD)),
        written.lengths + live.astype(jnp.int32),
        written.stopped | (live & ends),
        written.log_probs.at[:, turn].set(jnp.where(live, log_prob, jnp.zeros_like(log_prob))),
        written.last,
    )


def choose_tokens(
    logits: NextLogits, keys: Array, turn: Int[Array, ""], sampling: Sampling
) -> tuple[Int[Array, " batch"], Float[Array, " batch"]]:
    """Choose the next token of every stream, and tell its log-probability at temperature 1."""
    logits = logits.astype(jnp.float32)
    if sampling.temperature == 0:
        token = jnp.argmax(logits, axis=-1).astype(jnp.int32)
    else:
        tempered = _nucleus(logits / sampling.temperature, sampling.top_p)
        drawn = jax.vmap(lambda key, row: jax.random.categorical(key, row))
        token = drawn(jax.vmap(lambda key: jax.random.fold_in(key, turn))(keys), tempered)
        token = token.astype(jnp.int32)
    log_probs = jax.nn.log_softmax(logits, axis=-1)
    return token, jnp.take_along_axis(log_probs, token[:, None], axis=-1)[:, 0]


def _nucleus(logits: NextLogits, top_p: float) -> NextLogits:
    """Leave the likeliest tokens whose probabilities reach top_p, always the first of them."""
    if top_p == 1.0:
        return logits
    ordered = jnp.sort(logits, axis=-1)[:, ::-1]
    share = jax.nn.softmax(ordered, axis=-1)
    kept = jnp.cumsum(share, axis=-1) - share < top_p
    least = jnp.min(jnp.where(kept, ordered, jnp.full_like(ordered, jnp.inf)), axis=-1)
    return jnp.where(logits >= least[:, None], logits, jnp.full_like(logits, -jnp.inf))


def generate(
    decoder: Decoder,
    params: Params,
    prompts: Tokens,
    lengths: Lengths,
    *,
    stop: Stop,
    max_new_tokens: int,
    sampling: Sampling = GREEDY,
    key: Array | None = None,
    adapted: AdaptedRows | None = None,
) -> Generation:
    """Read prompts and write their continuations.

    Args:
      prompts: padded on the right; lengths: tokens of each.
      key: of the draws; needed unless sampling is greedy.
      adapted: adapters that act on the written tokens, not in the prompt.

    Raises:
      ValueError: more tokens than the model has positions, or sampling without a key.
    """
    if sampling.temperature > 0 and key is None:
        raise ValueError("sampling draws tokens and needs a key, got key=None")
    drawn = jax.random.key(0) if key is None else key
    read = jax.jit(prefill, static_argnames=("decoder", "room"))
    prefilled = read(decoder, params, prompts, lengths, room=max_new_tokens)
    return continue_streams(
        decoder,
        params,
        prefilled,
        drawn,
        stop=stop,
        max_new_tokens=max_new_tokens,
        sampling=sampling,
        adapted=adapted,
    )
