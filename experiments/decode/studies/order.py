"""Orders of writing: one small decoder for each order, taught by equal updates on the same puzzles.

    reading, solver, scan    the three forms of a trace (docs/tokens.md)

The order is a choice, so it is compared on validation puzzles: the last --limit of the training
split, at most a quarter of it, and no training puzzle is an image of one. Held-out puzzles are not
read. Draws of puzzles and symmetries are equal for all orders; tokens are not, and the table says
how many each has learned from.

Without --train-data small puzzles are drawn (`SMALL`), and without --model the decoder has the
sizes of `maze-ar-micro`. Finished decoders are folders in OUT/decoders that every program takes.
With --models decoders that experiments.train left are compared instead, and none is taught: it
holds the same puzzles of a split back, where it is told no other --valid.
"""

import argparse
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Int
from rich.console import Console

from experiments.decode.studies.folder import AnswerRow, StudyFolder
from experiments.decode.studies.outcomes import (
    cap_figure,
    cap_table,
    order_table,
    pair_table,
    write_tables,
)
from experiments.decode.studies.subject import TRAIN_OPTION, StudyPuzzles, StudySubject, ask
from experiments.decode.studies.traces import WIDTH, TraceDraws, Work
from experiments.measurement.choices import choose_limit
from experiments.render.figures import save
from export.footprint.decoder import decoder_footprint
from quant.scheme import parse
from trm_jax.data.facts import settle_facts
from trm_jax.data.format import from_examples
from trm_jax.decoder.config import DecoderConfig, TraceOrder, decoder_preset, decoder_to_dict
from trm_jax.decoder.loading import NamedDecoder, load_named_decoder
from trm_jax.decoder.model_folder import PuzzleDecoder, save_puzzle_decoder
from trm_jax.decoder.training import (
    DecoderState,
    TraceBatch,
    init_decoder_state,
    make_decoder_update,
)
from trm_jax.decoder.transformer import Decoder
from trm_jax.loading import Puzzles, load_puzzles
from trm_jax.tasks.table import task_named
from trm_jax.tasks.task import Task
from trm_jax.tasks.tokens.form import join
from trm_jax.training.recipe import Optimizer, Recipe

SMALL: dict[str, tuple[int, dict[str, Any]]] = {
    # minimal 4x4 puzzles have 36 classes; those of more digits have hundreds
    "sudoku": (16, {"box": (2, 2), "num_clues": [5, 9]}),
    "maze": (
        25,
        {"height": 5, "width": 5, "min_path": 5, "wall_prob": [0.25, 0.45], "one_path": True},
    ),
}
"""Puzzles that are drawn where no data set is named: their cells, and options of the generator."""
DRAWN = 4000
SIZES = "maze-ar-micro"
"""Preset whose widths and layers a decoder has where none is named."""
SPARE = 1.25
"""Positions of that decoder, by the longest text of all orders."""
TAUGHT_BATCH = 32
"""Traces of an update where --batch-size says none."""
PART = 4
"""One in so many puzzles of a split validates at most."""
DECODERS = "decoders"


class OrderState(NamedTuple):
    """A training, and how many tokens of traces it has learned from."""

    learned: DecoderState
    taught: Int[Array, ""]


@dataclass(frozen=True, eq=False, kw_only=True)
class OrderJob:
    """What is compared.

    Attributes:
      subjects: a decoder for every order by its name, each with all puzzles; `evaluated` are those
        of validation.
      config: of the decoders that are taught; None: `subjects` are taught already.
    """

    subjects: Mapping[str, StudySubject]
    config: DecoderConfig | None

    @property
    def first(self) -> StudySubject:
        """Any of them: all have the same puzzles."""
        return next(iter(self.subjects.values()))

    @property
    def header(self) -> str:
        """Say what is compared, and on what."""
        named = ", ".join(
            f"{name} ({subject.model.num_parameters:,} weights)"
            for name, subject in self.subjects.items()
        )
        first = self.first
        learns = f", learns from {len(first.training.inputs)}" if self.config else ""
        validation = f"{len(first.evaluated.inputs)} validation puzzles"
        return f"{named}; {first.puzzles.facts.title}, {validation}{learns}"

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the numbers beside the options."""
        return {
            "config": self.config and decoder_to_dict(self.config),
            "models": {name: each.sha256 for name, each in self.subjects.items()},
            "data_sha256": self.first.puzzles.sha256,
            "validation_sha256": self.first.evaluated.sha256,
            "training_sha256": self.first.training.sha256,
        }


def prepare_orders(args: argparse.Namespace) -> OrderJob:
    """Load, draw and check what a command line names.

    Raises:
      ValueError: unknown names, or parts that do not fit.
      OSError: missing files.
    """
    task = task_named(args.task)
    task.need_tokens()
    if args.data is not None:
        raise ValueError(
            "--study order compares on validation puzzles and reads no held-out ones: name the"
            f" data set with {TRAIN_OPTION}"
        )
    if args.train_data is None and (args.model or args.models):
        raise ValueError(f"decoders that are named need their puzzles: name them by {TRAIN_OPTION}")
    puzzles = _training_split(args, task)
    learned, validation = _split(puzzles, args.limit)
    if args.models:
        named = [load_named_decoder(name.strip(), task=task) for name in args.models.split(",")]
        return OrderJob(subjects=_taught(named, puzzles, learned, validation), config=None)
    config = _sizes(args, task, puzzles)
    params = Decoder(config).init(jax.random.key(args.seed))
    subjects = {}
    for order in TraceOrder:
        model = PuzzleDecoder(
            config=config, params=params, order=order, puzzles=puzzles.facts, metadata={}
        )
        subjects[order.value] = _subject(order.value, "", model, puzzles, learned, validation)
    return OrderJob(subjects=_with_one_training_set(subjects), config=config)


def _training_split(args: argparse.Namespace, task: Task) -> Puzzles:
    """Load the training split, or draw small puzzles, no two of them images of each other."""
    if args.train_data is not None:
        return load_puzzles(task, args.train_data / "train", option=TRAIN_OPTION)
    cells, options = SMALL[task.name]
    facts = settle_facts(task.name, cells, "drawn puzzles", box=options.get("box"))
    assert task.generator is not None  # tasks with tokens have one
    generator = task.generator(facts)
    inputs, labels = generator.generate(DRAWN, seed=args.seed, **options)
    new = generator.new_classes(inputs, inputs[:0])
    dataset = from_examples(
        inputs[new], labels[new], vocab_size=task.vocab_size(facts), puzzles=facts
    )
    name = f"drawn {facts.title}"
    return Puzzles(task=task, name=name, folder=Path(name), dataset=dataset, facts=facts)


def _split(puzzles: Puzzles, limit: int) -> tuple[StudyPuzzles, StudyPuzzles]:
    """Cut a training split into what is learned and what validates.

    Raises:
      ValueError: too few puzzles.
    """
    dataset = puzzles.dataset
    every = StudyPuzzles(np.asarray(dataset.inputs), np.asarray(dataset.labels))
    count = min(choose_limit(limit, len(puzzles)), len(puzzles) // PART)
    if not count:
        raise ValueError(f"{puzzles.folder} holds {len(puzzles)} puzzles, orders need {PART}")
    first, validation = (
        every.first(-count),
        every.where(np.arange(len(puzzles)) >= len(puzzles) - count),
    )
    assert puzzles.task.generator is not None
    new = puzzles.task.generator(puzzles.facts).new_classes(first.inputs, validation.inputs)
    return first.where(new), validation


def _sizes(args: argparse.Namespace, task: Task, puzzles: Puzzles) -> DecoderConfig:
    """Choose the sizes of the decoders: those of --model, or small ones that fit the puzzles."""
    if args.model:
        named = load_named_decoder(args.model, task=task)
        named.check_fit(puzzles, TRAIN_OPTION)
        return replace(named.config, forward_dtype="float32")
    form, dataset = task.token_form(puzzles.facts), puzzles.dataset
    inputs, labels = np.asarray(dataset.inputs), np.asarray(dataset.labels)
    prompts = form.prompts(inputs)
    longest = max(int(form.traces(inputs, labels, o).lengths.max()) for o in TraceOrder)
    positions = _rounded(int(SPARE * longest) + int(prompts.lengths.max()))
    return replace(decoder_preset(SIZES), vocab_size=len(form.vocabulary), max_positions=positions)


def _rounded(width: int) -> int:
    return -(-width // WIDTH) * WIDTH


def _subject(
    name: str,
    sha256: str,
    model: PuzzleDecoder,
    puzzles: Puzzles,
    learned: StudyPuzzles,
    validation: StudyPuzzles,
) -> StudySubject:
    return StudySubject(
        name=name,
        sha256=sha256,
        model=model,
        puzzles=puzzles,
        evaluated=validation,
        apart=validation.first(0),
        training=learned,
        network=model.decoder,
        params=model.params,
    )


def _taught(
    named: Sequence[NamedDecoder],
    puzzles: Puzzles,
    learned: StudyPuzzles,
    validation: StudyPuzzles,
) -> dict[str, StudySubject]:
    """Take decoders as they are.

    Raises:
      ValueError: for other puzzles, or two of one name and order.
    """
    subjects = {}
    for each in named:
        each.check_fit(puzzles, TRAIN_OPTION)
        name = f"{each.order.value}, {each.name}"
        if name in subjects:
            raise ValueError(f"--models names {each.name} ({each.order.value}) twice")
        subjects[name] = _subject(name, each.sha256, each.model, puzzles, learned, validation)
    return subjects


def _with_one_training_set(subjects: Mapping[str, StudySubject]) -> dict[str, StudySubject]:
    """Leave training puzzles out whose trace in any order does not fit.

    Raises:
      ValueError: none is left.
    """
    training = next(iter(subjects.values())).training
    fits = np.all([each.fits(each.traces(training)) for each in subjects.values()], axis=0)
    if not fits.any():
        raise ValueError("no training puzzle has traces of all orders that fit into the decoder")
    kept = training.where(fits)
    return {name: replace(each, training=kept) for name, each in subjects.items()}


def study_order(
    args: argparse.Namespace, job: OrderJob, folder: StudyFolder, console: Console
) -> None:
    """Run the study."""
    rows = [_answered(args, job, folder, name) for name in job.subjects]
    facts = job.first.puzzles.facts
    title = f"Orders of writing, {facts.title}, validation"
    table, records = order_table(title, rows)
    pairs = pair_table("Orders in pairs", list(itertools.combinations(rows, 2)))
    write_tables(folder.path, "order", [table, pairs, cap_table(rows)], records, console)
    save(cap_figure(title, rows), folder.path / "order")


def _answered(args: argparse.Namespace, job: OrderJob, folder: StudyFolder, name: str) -> AnswerRow:
    """Take the answers of an order's decoder, which is taught before where it must be."""
    subject, taught = job.subjects[name], 0
    if job.config is not None:
        state = teach(args, subject, folder)
        subject, taught = replace(subject, params=state.learned.ema), int(state.taught)
        model = replace(
            subject.model,
            params=subject.params,
            metadata={"updates": args.supervised_updates, "seed": args.seed},
        )
        save_puzzle_decoder(folder.path / DECODERS / name, model)
    return folder.answers(name, lambda: _row(name, subject, taught))


def _row(name: str, subject: StudySubject, taught: int) -> AnswerRow:
    puzzles, model = subject.evaluated, subject.model
    asked = ask(subject, puzzles)
    written, prompts = asked.lengths[:, 0], subject.form.prompts(puzzles.inputs).lengths
    costs = decoder_footprint(model.config, parse("fp32"))
    return asked.row(
        name,
        cells=float((asked.cells[:, 0] == puzzles.labels).mean()),
        gflops=float(costs.gflops(prompts, written).mean()),
        bytes_read=float(costs.bytes_read(written).mean()),
        taught=taught,
    )


def teach(args: argparse.Namespace, subject: StudySubject, folder: StudyFolder) -> OrderState:
    """Teach a decoder whole traces from drawn weights, as experiments.train does.

    Raises:
      ValueError: the loss left the numbers.
    """
    updates, batch = args.supervised_updates, args.batch_size or TAUGHT_BATCH
    recipe = Recipe(
        total_steps=updates,
        batch_size=batch,
        lr=args.supervised_lr,
        weight_decay=0.1,
        warmup_steps=min(100, max(1, updates // 10)),
        lr_min_ratio=0.02,
        b2=0.98,
        ema=0.99,
        seed=args.seed,
        optimizer=Optimizer.ADAMW,
    )
    step = make_decoder_update(subject.network, recipe)
    draws = TraceDraws(subject, Work.WHOLE, batch, args.seed)

    def update(state: OrderState, number: int) -> tuple[OrderState, Callable[[], str]]:
        learned, seen = step(state.learned, trace_batch(draws, number))
        taught = state.taught + seen["tokens"].astype(jnp.int32)
        return OrderState(learned, taught), lambda: said(float(seen["loss"]))

    def said(loss: float) -> str:
        if not math.isfinite(loss):
            raise ValueError(f"order {subject.name}: the loss is {loss}; lower --supervised-lr")
        return f"{loss:.3f} nats a token"

    start = OrderState(
        init_decoder_state(subject.network, recipe, jax.tree.map(jnp.copy, subject.params)),
        jnp.int32(0),
    )
    return folder.trained(f"order-{subject.name}", start, updates, update)


def trace_batch(draws: TraceDraws, number: int) -> TraceBatch:
    """Write the traces of an update behind their prompts."""
    prompts, traces = draws.rows_at(number)
    both = join(prompts, traces)
    tokens = both.widened(_rounded(both.tokens.shape[1])).tokens
    return TraceBatch(*(jnp.asarray(x, jnp.int32) for x in (tokens, prompts.lengths, both.lengths)))
