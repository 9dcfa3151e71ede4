"""A decoder under a scheme: greedy text, and how far its states are from full precision's.

Fidelity is teacher-forced: the text of full precision is read under the scheme, and the cosines of
the last states that chose its tokens are averaged. Free-running, the scheme reads its own text, and
the states that chose the tokens at the same place of both texts are compared; `same` says whether
the texts are equal.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.decode.solvers import Answered
from export.footprint.decoder import DecoderFootprint, decoder_footprint
from quant.decoder import DecoderSimulation
from quant.scheme import Scheme
from trm_jax.data.batches import PuzzleBatch
from trm_jax.decoder.generate import continue_streams, prefill
from trm_jax.decoder.loading import NamedDecoder
from trm_jax.decoder.transformer import Decoder, token_positions
from trm_jax.metrics import cosine
from trm_jax.tasks.tokens.form import STOP, TokenForm, TokenRows, join
from trm_jax.types import Params

_prefill = jax.jit(prefill, static_argnames=("decoder", "room"))


class Written(NamedTuple):
    """Prompts of a shard, and what was written behind them (`Generation`, on the host)."""

    prompts: TokenRows
    tokens: np.ndarray
    lengths: np.ndarray
    stopped: np.ndarray

    @property
    def text(self) -> TokenRows:
        """Prompts and what was written as one."""
        return join(self.prompts, TokenRows(self.tokens, self.lengths))


@dataclass(frozen=True, eq=False)
class TokenSolver:
    """A decoder under a scheme.

    Attributes:
      form: how the puzzles are written.
      prompt_width: tokens of the longest prompt of all shards, so that they share a program.
      most: tokens that it may write, the stop token included.
    """

    model: NamedDecoder
    form: TokenForm
    scheme: Scheme
    simulation: DecoderSimulation
    prompt_width: int
    most: int

    @property
    def ends(self) -> tuple[str, ...]:
        """It ends by itself."""
        return (self.model.name,)

    @cached_property
    def footprint(self) -> DecoderFootprint:
        """Costs by shapes."""
        return decoder_footprint(self.model.config, self.scheme)

    def run(self, host: PuzzleBatch) -> Written:
        """Write greedily, to the stop token or as much as fits."""
        prompts = self.form.prompts(host.inputs).widened(self.prompt_width)
        decoder, params = self.simulation.decoder, self.simulation.params
        tokens, lengths = jnp.asarray(prompts.tokens), jnp.asarray(prompts.lengths, jnp.int32)
        read = _prefill(decoder, params, tokens, lengths, room=self.most)
        written = continue_streams(
            decoder, params, read, jax.random.key(0), stop=STOP, max_new_tokens=self.most
        )
        return Written(prompts, *map(np.asarray, jax.device_get(written[:3])))

    def answer_alone(self, host: PuzzleBatch) -> None:
        """Do what a device does for an answer: write it."""
        self.run(host)

    def states(self, text: TokenRows) -> jax.Array:
        """Compute the last states along a text, with the cache that the scheme keeps."""
        tokens = jnp.asarray(text.widened(self.prompt_width + self.most).tokens)
        return _last_states(self.simulation.decoder, self.simulation.params, tokens)

    def read(
        self, host: PuzzleBatch, ran: Written, reference: "ReferenceText"
    ) -> Mapping[str, Answered]:
        """Read the answers off the text, and compare with full precision along its text."""
        prompt, depth = ran.prompts.lengths, ran.lengths
        wanted = reference.written
        own = along = reference.states
        if ran is not wanted:
            along, own = self.states(wanted.text), self.states(ran.text)
        answered = Answered(
            cells=self.form.answers(host.inputs, ran.tokens),
            depth=depth,
            read=prompt,
            ended=ran.stopped,
            cosine=mean_cosine(reference.states, along, wanted),
            free_cosine=free_cosine(reference, own, ran),
            same=(ran.tokens == wanted.tokens).all(axis=1),
            gflops=self.footprint.gflops(prompt, depth),
            bytes_read=self.footprint.bytes_read(depth),
            state_bytes=self.footprint.state_bytes(prompt, depth),
        )
        return {self.model.name: answered}

    def reference(self, host: PuzzleBatch, ran: Written) -> "ReferenceText":
        """What other schemes are compared with, if this is full precision."""
        del host
        return ReferenceText(ran, self.states(ran.text))


class ReferenceText(NamedTuple):
    """The text of full precision, and its states along it."""

    written: Written
    states: jax.Array


@partial(jax.jit, static_argnums=0)
def _last_states(decoder: Decoder, params: Params, tokens: jax.Array) -> jax.Array:
    cache = decoder.empty_cache(batch_size=tokens.shape[0], positions=tokens.shape[1])
    return decoder.extend(params, tokens, token_positions(tokens), cache)[0]


def mean_cosine(reference: jax.Array, other: jax.Array, written: Written) -> np.ndarray:
    """Average the cosines of the states that chose the tokens of a text, puzzle by puzzle."""
    each = np.asarray(cosine(reference, other), np.float64)
    first = written.prompts.lengths[:, None] - 1  # the last of a prompt chooses the first token
    at = np.arange(each.shape[1])[None]
    chosen = (at >= first) & (at < first + written.lengths[:, None])
    return (each * chosen).sum(axis=1) / np.maximum(chosen.sum(axis=1), 1)


def free_cosine(reference: ReferenceText, own: jax.Array, written: Written) -> np.ndarray:
    """Average the cosines of the states that chose the tokens at the same place of two texts.

    Where one text has ended and the other goes on nothing is compared, which counts as 0.

    Args:
      own: states of the scheme along `written`, its own text.
    """
    each = np.asarray(cosine(reference.states, own), np.float64)
    first = written.prompts.lengths[:, None] - 1
    at = np.arange(each.shape[1])[None]
    lengths = np.stack([reference.written.lengths, written.lengths])
    both = (at >= first) & (at < first + lengths.min(axis=0)[:, None])
    return (each * both).sum(axis=1) / np.maximum(lengths.max(axis=0), 1)
