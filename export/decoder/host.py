"""The host loop of decoders: prompt in, tokens out, over any runtime.

The host embeds tokens, keeps the cache between calls, takes the likeliest token and stops:

    prefill   all tokens of the prompt but the last, `prompt` at a time, the last call padded
    decode    the last token of the prompt, then every written one, until the stop token

Rows that padding wrote lie behind the tokens that were read, and are written again before a token
looks at them. Where a call would reach over the end of the cache it begins earlier instead and
writes some rows again, with the values that they have.

Not here: graphs (graphs.py), what tokens mean (trm_jax/tasks/tokens), sampling.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from export.decoder.graphs import DECODE, PREFILL, CacheTensor
from export.runtimes.contract import Arrays, Runtime
from trm_jax.decoder.config import DecoderConfig

PAD = 0

PromptTokens = Int[np.ndarray, " _"]


class WrittenTokens(NamedTuple):
    """What a decoder wrote after a prompt.

    Attributes:
      tokens: the stop token included.
      logits: that each of them was chosen from.
      stopped: whether the stop token came.
      first_seconds: time from the prompt to the first token; seconds: to the last.
    """

    tokens: Int[np.ndarray, " new"]
    logits: Float[np.ndarray, "new vocab"]
    stopped: bool
    first_seconds: float
    seconds: float

    @property
    def seconds_per_token(self) -> float:
        """Time of a token behind the first; 0 where there is none."""
        later = len(self.tokens) - 1
        return (self.seconds - self.first_seconds) / later if later else 0.0


@dataclass(frozen=True, kw_only=True, eq=False)
class DecoderHost:
    """The graphs of a decoder on a runtime, for one stream.

    Attributes:
      embeddings: a row per token.
      cache: shapes and types of keys, values and their scales, by their names in the signatures.
      prompt: tokens that prefill reads at once; positions: rows of the cache.
    """

    config: DecoderConfig
    runtime: Runtime
    embeddings: Float[np.ndarray, "vocab emb"]
    cache: Mapping[str, CacheTensor]
    prompt: int
    positions: int

    def write(
        self, prompt: PromptTokens, *, stop: int, max_new_tokens: int | None = None
    ) -> WrittenTokens:
        """Write the likeliest tokens after a prompt.

        Args:
          stop: token that ends the answer.
          max_new_tokens: the stop token included; None: what the cache has room for.

        Raises:
          ValueError: an empty prompt, unknown tokens, or more tokens than the cache has rows.
          RuntimeError: the runtime refuses a graph.
        """
        room = self.positions - len(prompt)
        budget = room if max_new_tokens is None else max_new_tokens
        self._check(prompt, budget, room)
        begun = time.perf_counter()
        first, tokens, logits = 0.0, [], []
        for row in self._logits(prompt, tokens):
            first = first or time.perf_counter() - begun
            logits.append(row)
            tokens.append(int(row.argmax()))
            if tokens[-1] == stop or len(tokens) == budget:
                break
        return WrittenTokens(
            tokens=np.asarray(tokens, np.int32),
            logits=np.stack(logits),
            stopped=tokens[-1] == stop,
            first_seconds=first,
            seconds=time.perf_counter() - begun,
        )

    def _logits(
        self, prompt: PromptTokens, written: list[int]
    ) -> Iterator[Float[np.ndarray, " vocab"]]:
        """Give logits of the next token, again and again; the caller appends what was written."""
        cache, token, at = self._read(prompt), int(prompt[-1]), len(prompt) - 1
        while True:
            out = self._run(DECODE, np.asarray([token]), at, cache)
            yield out.pop("logits")[0, 0]
            cache, token, at = out, written[-1], at + 1

    def _read(self, prompt: PromptTokens) -> Arrays:
        """Write all tokens of a prompt but the last into a new cache."""
        cache: Arrays = {
            name: np.zeros(tensor.shape, tensor.dtype.numpy) for name, tensor in self.cache.items()
        }
        before = prompt[:-1]
        for at in range(0, len(before), self.prompt):
            begin = min(at, self.positions - self.prompt)
            tokens = before[begin : begin + self.prompt]
            padded = np.pad(tokens, (0, self.prompt - len(tokens)), constant_values=PAD)
            cache = self._run(PREFILL, padded, begin, cache)
        return cache

    def _run(self, graph: str, tokens: np.ndarray, position: int, cache: Arrays) -> Arrays:
        x = self.embeddings[tokens][None].astype(np.float32)
        inputs = {"x": x, "position": np.asarray([position], np.int32), **cache}
        return self.runtime.run(graph, inputs)

    def _check(self, prompt: PromptTokens, budget: int, room: int) -> None:
        vocab = self.config.vocab_size
        if not len(prompt) or prompt.min() < 0 or prompt.max() >= vocab:
            raise ValueError(f"a prompt needs tokens from 0 to {vocab - 1}, got {prompt.tolist()}")
        if not 1 <= budget <= room:
            raise ValueError(
                f"a prompt of {len(prompt)} tokens and {budget} to write do not fit into"
                f" {self.positions} positions; export with more (--positions)"
            )
