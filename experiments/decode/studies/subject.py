"""A decoder and its puzzles: loaded, checked, and answered greedily or in samples."""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.decode.studies.folder import AnswerRow
from experiments.measurement.choices import choose_limit
from experiments.measurement.shards import mark_exact
from quant.decoder import simulate_decoder
from quant.scheme import parse
from trm_jax.decoder.generate import GREEDY, Generation, Prefilled, Sampling, continue_streams
from trm_jax.decoder.generate import prefill as read_prompts
from trm_jax.decoder.loading import NamedDecoder, load_named_decoder
from trm_jax.decoder.lora import AdaptedRows
from trm_jax.decoder.model_folder import PuzzleDecoder
from trm_jax.decoder.transformer import Decoder
from trm_jax.loading import Puzzles, load_puzzles
from trm_jax.tasks.table import task_named
from trm_jax.tasks.tokens.form import STOP, TokenForm, TokenRows
from trm_jax.types import Params

BATCH = 50
TRAIN_OPTION = "--train-data"

_prefill = jax.jit(read_prompts, static_argnames=("decoder", "room"))


class StudyPuzzles(NamedTuple):
    """Puzzles and answers as tokens of the recursive models."""

    inputs: np.ndarray
    labels: np.ndarray

    def first(self, count: int) -> "StudyPuzzles":
        """Take the first so many."""
        return StudyPuzzles(self.inputs[:count], self.labels[:count])


@dataclass(frozen=True, eq=False, kw_only=True)
class StudySubject:
    """A decoder under a scheme, and puzzles.

    Attributes:
      name: of the decoder, for headings; sha256: of its weights.
      evaluated: puzzles that are answered for the tables.
      training: puzzles to learn from, none an image of an evaluated one.
      network, params: of the scheme.
    """

    name: str
    sha256: str
    model: PuzzleDecoder
    puzzles: Puzzles
    evaluated: StudyPuzzles
    training: StudyPuzzles
    network: Decoder
    params: Params

    @property
    def form(self) -> TokenForm:
        """What tokens mean."""
        return self.model.form

    def prompts(self, puzzles: StudyPuzzles) -> TokenRows:
        """Write prompts, as wide as the widest of all."""
        rows = self.form.prompts(puzzles.inputs)
        return rows.widened(self.prompt_width)._replace(lengths=rows.lengths.astype(np.int32))

    @cached_property
    def prompt_width(self) -> int:
        """Tokens of the longest prompt."""
        both = (self.evaluated, self.training)
        return max(int(self.form.prompts(each.inputs).lengths.max()) for each in both)

    @property
    def room(self) -> int:
        """Tokens that an answer may have."""
        return self.model.config.max_positions - self.prompt_width

    def is_right(self, puzzles: StudyPuzzles, tokens: np.ndarray) -> np.ndarray:
        """Mark answers without a wrong cell."""
        return mark_exact(self.form.answers(puzzles.inputs, tokens), puzzles.labels)

    def under(self, scheme: str) -> "StudySubject":
        """Quantise the decoder.

        Raises:
          ValueError: unknown, or a scheme that is calibrated on texts.
        """
        parsed = parse(scheme)
        if parsed.needs_puzzles:
            raise ValueError(f"--scheme {scheme} is calibrated on texts; studies take none that is")
        made = simulate_decoder(self.model.config, self.model.params, parsed)
        return replace(self, network=made.decoder, params=made.params)


class Asked(NamedTuple):
    """Answers to puzzles, one or more samples of each.

    Attributes:
      right, lengths: of every sample.
      cells: its answer, and `ended` whether the stop token came.
      last: state of its last token; `prompt`: average state of each prompt's tokens.
    """

    right: np.ndarray
    lengths: np.ndarray
    cells: np.ndarray
    ended: np.ndarray
    last: np.ndarray
    prompt: np.ndarray

    def row(self, stage: str, **values: float) -> AnswerRow:
        """Keep the first sample of each puzzle."""
        return AnswerRow(
            stage=stage,
            right=tuple(map(int, self.right[:, 0])),
            tokens=tuple(map(int, self.lengths[:, 0])),
            values=values,
        )


def _batches(count: int, size: int) -> Iterator[tuple[np.ndarray, int]]:
    """Number puzzles batch by batch; the last is filled up with its first. Also how many count."""
    for begin in range(0, count, size):
        real = min(size, count - begin)
        numbers = np.arange(begin, begin + size)
        yield np.where(numbers < count, numbers, begin), real


def ask(
    subject: StudySubject,
    puzzles: StudyPuzzles,
    *,
    params: Params | None = None,
    adapted: AdaptedRows | None = None,
    sampling: Sampling = GREEDY,
    samples: int = 1,
    seed: int = 0,
) -> Asked:
    """Answer puzzles; every prompt is read once for all its samples.

    Args:
      params: other than the subject's.
      adapted: adapters that act on the answers, not in the prompts.
      seed: of the draws, which are functions of (seed, number of the puzzle, sample).
    """
    from trm_jax.decoder.judges import chunked_average

    used = subject.params if params is None else params
    prompts, parts = subject.prompts(puzzles), []
    size = max(1, BATCH // samples)
    average = jax.jit(chunked_average)
    for numbers, real in _batches(len(puzzles.inputs), size):
        tokens, lengths = (jnp.asarray(x[numbers]) for x in prompts)
        read: Prefilled = _prefill(subject.network, used, tokens, lengths, room=subject.room)
        written = continue_streams(
            subject.network,
            used,
            read.repeat(samples),
            jax.random.key(seed),
            stop=STOP,
            max_new_tokens=subject.room,
            sampling=sampling,
            adapted=adapted,
            streams=jnp.asarray((numbers[:, None] * samples + np.arange(samples)).ravel()),
        )
        asked = _read(subject, puzzles, np.repeat(numbers, samples), written)
        shaped = [x.reshape(size, samples, *x.shape[1:])[:real] for x in asked]
        parts.append((*shaped, np.asarray(average(read.hidden, lengths))[:real]))
    return Asked(*(np.concatenate(each) for each in zip(*parts, strict=True)))


def _read(
    subject: StudySubject, puzzles: StudyPuzzles, numbers: np.ndarray, written: Generation
) -> tuple[np.ndarray, ...]:
    tokens, ended = np.asarray(written.tokens), np.asarray(written.stopped)
    asked = StudyPuzzles(puzzles.inputs[numbers], puzzles.labels[numbers])
    right = subject.is_right(asked, tokens) & ended
    cells = subject.form.answers(asked.inputs, tokens)
    return right, np.asarray(written.lengths), cells, ended, np.asarray(written.last)


def prepare_subject(args: argparse.Namespace) -> StudySubject:
    """Load and check what a command line names.

    Raises:
      ValueError: unknown names, or parts that do not fit.
      OSError: missing files.
    """
    task = task_named(args.task)
    named = load_named_decoder(args.model, task=task)
    puzzles = load_puzzles(task, args.data, cells=named.facts.cells)
    named.check_fit(puzzles)
    limit = choose_limit(args.limit, len(puzzles))
    ordered = puzzles.ordered
    evaluated = StudyPuzzles(np.asarray(ordered.inputs), np.asarray(ordered.labels))
    subject = StudySubject(
        name=named.name,
        sha256=named.sha256,
        model=named.model,
        puzzles=puzzles,
        evaluated=evaluated.first(limit),
        training=_training_puzzles(args, named, puzzles),
        network=named.model.decoder,
        params=named.params,
    )
    return subject.under(args.scheme)


def _training_puzzles(
    args: argparse.Namespace, named: NamedDecoder, puzzles: Puzzles
) -> StudyPuzzles:
    """Load the training split of --train-data, without images of evaluated puzzles.

    Raises:
      ValueError: other puzzles, or none that is not evaluated.
    """
    if args.train_data is None:
        raise ValueError(
            f"a study learns from puzzles: name a data set with {TRAIN_OPTION}, which"
            f" python -m {puzzles.task.data_command} makes"
        )
    source = load_puzzles(puzzles.task, args.train_data / "train", option=TRAIN_OPTION)
    named.check_fit(source, TRAIN_OPTION)
    assert puzzles.task.generator is not None  # tasks with tokens have one
    inputs, labels = (np.asarray(x) for x in (source.dataset.inputs, source.dataset.labels))
    new = puzzles.task.generator(puzzles.facts).new_classes(inputs, puzzles.dataset.inputs)
    if not new.any():
        raise ValueError(f"every puzzle of {args.train_data} is evaluated too")
    return StudyPuzzles(inputs[new], labels[new])
