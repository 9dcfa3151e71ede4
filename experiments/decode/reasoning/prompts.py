"""Items as tokens: prompts in the form of chats, right answers behind them.

Lengths are padded to multiples of `STEP`, so that batches share compiled code. Not here: what items
are (items.py).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.decode.reasoning.items import GymItem, GymTask
from trm_jax.decoder.files.loading import LoadedDecoder
from trm_jax.decoder.generate import PAD

STEP = 8


class TokenBatch(NamedTuple):
    """Prompts and right answers as tokens, padded on the right, and their lengths."""

    prompts: jax.Array
    lengths: jax.Array
    answers: jax.Array
    counts: jax.Array


class TextWidths(NamedTuple):
    """Tokens of the widest prompt and of the widest right answer, multiples of `STEP`."""

    prompt: int
    answer: int


@dataclass(frozen=True, kw_only=True, eq=False)
class TextForm:
    """How items become tokens.

    Attributes:
      instruction: behind every question.
    """

    loaded: LoadedDecoder
    instruction: str

    def prompt(self, item: GymItem) -> list[int]:
        """Write a question as the beginning of a chat."""
        text = f"{item.question}\n{self.instruction}" if self.instruction else item.question
        return self.loaded.tokenizer.chat(text)

    def answer(self, item: GymItem) -> list[int]:
        """Write the right answer, and the token that ends it."""
        return [*self.loaded.tokenizer.encode(item.answer), self.loaded.stops[0]]

    def widths(self, items: Iterable[GymItem]) -> TextWidths:
        """Measure the widest prompt and the widest right answer."""
        sizes = [(len(self.prompt(item)), len(self.answer(item))) for item in items]
        return TextWidths(*(_multiple(max(each)) for each in zip(*sizes, strict=True)))

    def batch(self, items: Sequence[GymItem], rows: int, widths: TextWidths) -> TokenBatch:
        """Write items as so many rows, the last one again where there are fewer items."""
        filled = [*items, *[items[-1]] * (rows - len(items))]
        return TokenBatch(
            *_padded([self.prompt(item) for item in filled], widths.prompt),
            *_padded([self.answer(item) for item in filled], widths.answer),
        )

    def check(self, tasks: Sequence[GymTask], new: int) -> None:
        """Check that questions and answers fit into the model.

        Raises:
          ValueError: no token ends an answer, or a text has too many tokens.
        """
        if not self.loaded.stops:
            raise ValueError(
                f"{self.loaded.origin} names no token that ends an answer (eos_token_id)"
            )
        most = self.loaded.config.max_positions
        for task in tasks:
            prompt, answer = self.widths(task.items)
            if prompt + max(new, answer) > most:
                raise ValueError(
                    f"a question of {task.name} and its answer take up to"
                    f" {prompt + max(new, answer)} tokens, and {self.loaded.name} has {most}"
                    " positions; lower --max-new-tokens, or leave the task out"
                )


def _multiple(count: int) -> int:
    return -(-count // STEP) * STEP


def _padded(rows: Sequence[Sequence[int]], width: int) -> tuple[jax.Array, jax.Array]:
    tokens = np.full((len(rows), width), PAD, np.int32)
    for row, given in zip(tokens, rows, strict=True):
        row[: len(given)] = given
    return jnp.asarray(tokens), jnp.asarray([len(row) for row in rows], jnp.int32)
