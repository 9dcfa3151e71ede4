"""A decoder and its puzzles: loaded, checked, and answered greedily or in samples."""

import argparse
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

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
from trm_jax.decoder.judges import chunked_average
from trm_jax.decoder.loading import (
    NamedAdapter,
    NamedDecoder,
    load_named_adapter,
    load_named_decoder,
)
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
_average = jax.jit(chunked_average)


class StudyPuzzles(NamedTuple):
    """Puzzles and answers as tokens of the recursive models."""

    inputs: np.ndarray
    labels: np.ndarray

    @property
    def sha256(self) -> str:
        """Hash of all puzzles and answers, in their order."""
        digest = hashlib.sha256()
        for name, values in self._asdict().items():
            digest.update(f"{name}{values.shape}".encode())
            digest.update(np.ascontiguousarray(values, np.int32).tobytes())
        return digest.hexdigest()

    def where(self, marks: np.ndarray) -> "StudyPuzzles":
        """Take the marked ones."""
        return StudyPuzzles(self.inputs[marks], self.labels[marks])

    def first(self, count: int) -> "StudyPuzzles":
        """Take the first so many."""
        return StudyPuzzles(self.inputs[:count], self.labels[:count])


@dataclass(frozen=True, eq=False, kw_only=True)
class StudySubject:
    """A decoder under a scheme, and puzzles.

    Attributes:
      name: of the decoder, for headings; sha256: of its weights.
      evaluated: puzzles that are answered for the tables.
      apart: held-out puzzles that are not evaluated, and no images of those: what is chosen, and
        what judges learn from, since a decoder answers puzzles that it was trained on too well.
      training: puzzles to learn from, none an image of a held-out one, whose traces fit.
      left_out: puzzles of the training split whose traces do not.
      network, params: of the scheme, which `scheme` names.
      adapter: taken instead of training one; None: none was named.
    """

    name: str
    sha256: str
    model: PuzzleDecoder
    puzzles: Puzzles
    evaluated: StudyPuzzles
    apart: StudyPuzzles
    training: StudyPuzzles
    left_out: int = 0
    network: Decoder
    params: Params
    scheme: str = "fp32"
    adapter: NamedAdapter | None = None

    @property
    def header(self) -> str:
        """Say what is studied, and on what."""
        if self.adapter is not None:
            return (
                f"{self.name} ({self.model.num_parameters:,} weights) under {self.scheme} with the"
                f" adapter {self.adapter.name} ({self.adapter.num_parameters:,} weights),"
                f" {len(self.evaluated.inputs)} puzzles"
            )
        left = f", {self.left_out} left out whose traces do not fit" if self.left_out else ""
        return (
            f"{self.name} ({self.model.num_parameters:,} weights) under {self.scheme},"
            f" {len(self.evaluated.inputs)} puzzles; {len(self.apart.inputs)} to choose and judge"
            f" on; learns from {len(self.training.inputs)}{left}"
        )

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the numbers of a study beside its options."""
        identity = {
            "model_sha256": self.sha256,
            "data_sha256": self.puzzles.sha256,
            "puzzles": len(self.evaluated.inputs),
            "apart_sha256": self.apart.sha256,
            "training_sha256": self.training.sha256,
        }
        return identity if self.adapter is None else identity | {"adapter": self.adapter.sha256}

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
        every = (self.evaluated, self.apart, self.training)
        return max(int(self.form.prompts(each.inputs).lengths.max(initial=0)) for each in every)

    @property
    def room(self) -> int:
        """Tokens that an answer may have."""
        return self.model.config.max_positions - self.prompt_width

    def traces(self, puzzles: StudyPuzzles) -> TokenRows:
        """Write whole traces in the decoder's order."""
        return self.form.traces(puzzles.inputs, puzzles.labels, self.model.order)

    def fits(self, whole: TokenRows) -> np.ndarray:
        """Mark whole traces that have no more tokens than an answer may have."""
        return whole.lengths <= self.room

    def need_apart(self, count: int) -> StudyPuzzles:
        """Take the first so many of the puzzles to choose and to judge on, or all there are.

        Raises:
          ValueError: there are none.
        """
        if not len(self.apart.inputs):
            raise ValueError(
                f"all {len(self.puzzles)} puzzles of {self.puzzles.folder} are evaluated, and this"
                " study chooses or judges on others that no decoder was trained on; lower --limit,"
                " or name a larger --data"
            )
        return self.apart.first(count)

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
        return replace(self, network=made.decoder, params=made.params, scheme=scheme)


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
    used = subject.params if params is None else params
    prompts, parts = subject.prompts(puzzles), []
    size = max(1, BATCH // samples)
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
        parts.append((*shaped, np.asarray(_average(read.hidden, lengths))[:real]))
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
    task.need_tokens()
    named = load_named_decoder(args.model, task=task)
    puzzles = load_puzzles(task, args.data, cells=named.facts.cells)
    named.check_fit(puzzles)
    limit = choose_limit(args.limit, len(puzzles))
    evaluated, apart = _held_out_puzzles(puzzles, limit)
    if args.adapter_traces == "whole" and args.scheme == "fp32":
        raise ValueError(
            "--adapter-traces whole mends what a scheme broke, and fp32 breaks nothing: name a"
            " scheme with --scheme"
        )
    adapter = None if args.adapter is None else _named_adapter(args, named)
    subject = StudySubject(
        name=named.name,
        sha256=named.sha256,
        model=named.model,
        puzzles=puzzles,
        evaluated=evaluated,
        apart=apart,
        training=evaluated.first(0) if adapter else _training_puzzles(args, named, puzzles),
        network=named.model.decoder,
        params=named.params,
        adapter=adapter,
    )
    return (subject if adapter else _with_fitting_traces(subject)).under(args.scheme)


def _named_adapter(args: argparse.Namespace, named: NamedDecoder) -> NamedAdapter:
    """Load the adapter that a command line names; nothing is learned then.

    Raises:
      ValueError: unknown, of another decoder or scheme, or named beside options of training.
      OSError: missing files.
    """
    options = (("train_data", None), ("adapter_traces", "direct"))
    if given := [name for name, silent in options if getattr(args, name) != silent]:
        option = given[0].replace("_", "-")
        raise ValueError(
            f"--adapter takes an adapter as it is and trains none: leave --{option} out"
        )
    adapter = load_named_adapter(args.adapter, named)
    if adapter.scheme not in ("", parse(args.scheme).name):
        raise ValueError(
            f"adapter {adapter.name} was trained on weights under {adapter.scheme}, got --scheme"
            f" {args.scheme}; name that scheme"
        )
    return adapter


def _held_out_puzzles(puzzles: Puzzles, limit: int) -> tuple[StudyPuzzles, StudyPuzzles]:
    """Cut held-out puzzles into the evaluated ones, and others that are no images of those."""
    ordered = puzzles.ordered
    both = StudyPuzzles(np.asarray(ordered.inputs), np.asarray(ordered.labels))
    evaluated, rest = both.first(limit), StudyPuzzles(both.inputs[limit:], both.labels[limit:])
    return evaluated, rest.where(_new_classes(puzzles, rest.inputs, evaluated.inputs))


def _new_classes(puzzles: Puzzles, inputs: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Mark puzzles that are no images of known ones under the task's symmetries."""
    assert puzzles.task.generator is not None  # tasks with tokens have one
    return puzzles.task.generator(puzzles.facts).new_classes(inputs, known)


def _with_fitting_traces(subject: StudySubject) -> StudySubject:
    """Leave training puzzles out whose traces do not fit.

    Raises:
      ValueError: none fits.
    """
    fits = subject.fits(subject.traces(subject.training))
    if not fits.any():
        raise ValueError(
            f"no trace of the training puzzles fits into the {subject.room} tokens that"
            f" {subject.name} may write"
        )
    left_out = int((~fits).sum())
    return replace(subject, training=subject.training.where(fits), left_out=left_out)


def _training_puzzles(
    args: argparse.Namespace, named: NamedDecoder, puzzles: Puzzles
) -> StudyPuzzles:
    """Load the training split of --train-data, without images of held-out puzzles.

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
    given = StudyPuzzles(*map(np.asarray, (source.dataset.inputs, source.dataset.labels)))
    new = _new_classes(puzzles, given.inputs, np.asarray(puzzles.dataset.inputs))
    if not new.any():
        raise ValueError(f"every puzzle of {args.train_data} is held out too")
    return given.where(new)
