"""The training run of a decoder: the same folder, pace and draws as a recursive model's.

Rows have the metrics of the recursive ones as far as a decoder has them: `loss` in nats a token,
`accuracy` of a trace's tokens, `exact_accuracy` of whole traces, each predicted from the trace's
own earlier tokens; of validation `valid_loss` and `valid_accuracy` likewise, and `valid_exact` and
`valid_cell` of the cells that the decoder writes by itself, greedily.

Not here: batches (traces.py), the update (trm_jax/decoder/training.py).
"""

import argparse
import contextlib
import dataclasses
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.measurement.folders import TRAINING
from experiments.render.console import progress
from experiments.train.curves import draw_curve
from experiments.train.data import (
    augmentation,
    default_augmentation,
    fingerprint,
    load_training_arrays,
    split,
    training_facts,
)
from experiments.train.folder import RunFolder, read_decoder_spec
from experiments.train.job import DecoderSpec, Pace
from experiments.train.loop import report, stop_signals
from experiments.train.minimal_install import has
from experiments.train.traces import TraceStream, TraceWriting
from trm_jax.data.facts import PuzzleFacts, check_agreement
from trm_jax.decoder.config import DECODER_TASKS, TraceOrder, decoder_preset
from trm_jax.decoder.generate import generate
from trm_jax.decoder.model_folder import (
    PuzzleDecoder,
    check_vocabulary,
    load_puzzle_decoder,
    save_puzzle_decoder,
)
from trm_jax.decoder.training import (
    DecoderState,
    DecoderUpdate,
    TraceScores,
    decoder_watched_names,
    init_decoder_state,
    make_decoder_update,
    trace_scores,
)
from trm_jax.decoder.transformer import Decoder
from trm_jax.output.folder import writing
from trm_jax.tasks.table import agreed_task, need_task, task_named
from trm_jax.tasks.tokens.form import STOP, TokenRows
from trm_jax.training.recipe import Recipe
from trm_jax.training.running_metrics import Window
from trm_jax.types import Batch, Params

VALIDATED = 64
"""Sequences that are scored at once; a device holds their logits."""
SPARE = 1.25
"""Tokens that a decoder may write in validation, by the longest trace of these puzzles."""

ONLY_RECURSIVE = (
    "fit_data",
    "halt_max_steps",
    "halt_exploration",
    "q_weight",
    "compact_in",
    "compact_out",
    "attention",
    "puzzle_emb_lr",
    "puzzle_emb_weight_decay",
    "stagger",
    "accumulate",
)
"""Options that say nothing of a decoder."""


@dataclass(frozen=True, kw_only=True)
class Validation:
    """Puzzles that training does not see, as sequences and as cells."""

    decoder: Decoder
    writing: TraceWriting
    puzzles: Batch

    @cached_property
    def rows(self) -> tuple[TokenRows, np.ndarray]:
        """Prompts with their traces, and the length of each prompt."""
        return self.writing.write(self.puzzles)

    @cached_property
    def _scores(self) -> Callable[..., TraceScores]:
        return jax.jit(lambda params, batch: trace_scores(self.decoder, params, batch))

    def score(self, params: Params) -> dict[str, float]:
        """Measure weights."""
        (tokens, lengths), begins = self.rows
        sums = np.zeros(3)
        for first in range(0, len(begins), VALIDATED):
            part = np.arange(first, min(first + VALIDATED, len(begins)))
            batch = self.writing.batch(TokenRows(tokens[part], lengths[part]), begins[part])
            sums += [float(x.sum()) for x in jax.device_get(self._scores(params, batch))]
        nats, right, count = sums
        return {"valid_loss": nats / count, "valid_accuracy": right / count} | self._answers(params)

    def _answers(self, params: Params) -> dict[str, float]:
        """Let the decoder write, and score the cells."""
        (_, lengths), begins = self.rows
        inputs, labels = (np.asarray(a) for a in self.puzzles[:2])
        prompts = self.writing.form.prompts(inputs)
        longest = int(SPARE * int((lengths - begins).max()))
        room = min(longest, self.writing.positions - prompts.tokens.shape[1])
        written = generate(
            self.decoder,
            params,
            jnp.asarray(prompts.tokens),
            jnp.asarray(prompts.lengths),
            stop=STOP,
            max_new_tokens=room,
        )
        right = self.writing.form.answers(inputs, np.asarray(written.tokens)) == labels
        return {
            "valid_exact": float(right.all(axis=1).mean()),
            "valid_cell": float(right.mean()),
            "valid_tokens": float(np.asarray(written.lengths).mean()),
        }


@dataclass(frozen=True, kw_only=True)
class DecoderParts:
    """What a run is made of, built and checked before its folder is touched."""

    update: DecoderUpdate
    stream: TraceStream
    validation: Validation


def start_params(spec: DecoderSpec, facts: PuzzleFacts) -> Params | None:
    """Load the weights to start from; the dtype of their training does not matter.

    Raises:
      ValueError: the decoder is of another configuration, or for other puzzles.
    """
    if spec.start is None:
        return None
    stored = load_puzzle_decoder(Path(spec.start))
    if dataclasses.replace(stored.config, forward_dtype=spec.dtype) != spec.config:
        raise ValueError(
            f"--start {spec.start} is of another configuration: {stored.config} against"
            f" {spec.config}"
        )
    remedy = "start from another decoder"
    check_agreement(stored.puzzles, f"--start {spec.start}", facts, "the data", remedy=remedy)
    return stored.params


def decoder_spec_of(args: argparse.Namespace) -> DecoderSpec:
    """Read off a command line what decides the result.

    Raises:
      ValueError: an unknown task, or data that does not say what its puzzles are.
      FileNotFoundError: there is no such data set.
    """
    what = f"preset {args.preset}"
    task = need_task(agreed_task(args.task, DECODER_TASKS[args.preset], what), what)
    data = os.path.expanduser(args.data)  # as text: what spec.json says is compared
    facts = training_facts(Path(data), task, args.augmentation)
    return DecoderSpec(
        preset=args.preset,
        order=args.order or TraceOrder.SCAN,
        task=task.name,
        data=data,
        augmentation=args.augmentation or default_augmentation(facts),
        valid=args.valid,
        start=args.start and os.path.expanduser(args.start),
        dtype=args.dtype or decoder_preset(args.preset).forward_dtype,
        recipe=Recipe(**{f.name: getattr(args, f.name) for f in dataclasses.fields(Recipe)}),
    )


def make_parts(spec: DecoderSpec, everything: Batch, facts: PuzzleFacts) -> DecoderParts:
    """Build what a run is made of.

    Raises:
      ValueError: decoder, puzzles and options do not fit each other.
    """
    config, decoder = spec.config, Decoder(spec.config)
    form = task_named(spec.task).token_form(facts)
    check_vocabulary(form, config, f"preset {spec.preset}", facts.title)
    writing_of = TraceWriting(form=form, order=spec.order, positions=config.max_positions)
    puzzles, valid = split(everything, spec.valid)
    validation = Validation(decoder=decoder, writing=writing_of, puzzles=valid)
    validation.rows  # noqa: B018 - labels that are no answers are refused before anything is written
    stream = TraceStream(
        puzzles=puzzles,
        augment=augmentation(spec.augmentation, facts),
        writing=writing_of,
        batch_size=spec.recipe.batch_size,
        seed=spec.recipe.seed,
    )
    update = make_decoder_update(decoder, spec.recipe)
    return DecoderParts(update=update, stream=stream, validation=validation)


def run_decoder(spec: DecoderSpec, pace: Pace, out: Path) -> bool:
    """Train a segment in a folder that this process holds; returns whether the run is complete.

    Raises:
      ValueError: bad input.
      FloatingPointError: the parameters left the numbers.
    """
    everything = load_training_arrays(Path(spec.data))
    facts = training_facts(Path(spec.data), task_named(spec.task), spec.augmentation)
    parts = make_parts(spec, everything, facts)
    decoder = parts.validation.decoder
    state = init_decoder_state(decoder, spec.recipe, start_params(spec, facts))
    window = Window(decoder_watched_names(state))
    said: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(spec)))
    folder = RunFolder(out, read_decoder_spec)
    folder.open(said | {"data_sha256": fingerprint(everything)})
    with contextlib.closing(folder):
        state = folder.restore(state, window)
        folder.keep_rows(folder.rows_until(int(state.step)))
        announce_decoder(spec, state, len(everything.inputs))
        state = run_decoder_segment(parts, spec.recipe.total_steps, pace, state, folder, window)
    leave_decoder(spec, facts, folder, state)
    return int(state.step) >= spec.recipe.total_steps


def announce_decoder(spec: DecoderSpec, state: DecoderState, puzzles: int) -> None:
    """Say what the run computes."""
    count = sum(leaf.size for leaf in jax.tree.leaves(state.ema))
    sys.stderr.write(
        f"{spec.preset}: {count:,} parameters, order {spec.order.value}, {puzzles:,} puzzles, step"
        f" {int(state.step)} of {spec.recipe.total_steps}; {jax.devices()[0].device_kind}, forward"
        f" {spec.dtype}, parameters float32, {spec.recipe.optimizer.value}\n"
    )


def run_decoder_segment(
    parts: DecoderParts,
    total: int,
    pace: Pace,
    state: DecoderState,
    folder: RunFolder,
    window: Window,
) -> DecoderState:
    """Train until the end, a limit or a signal; rows and states go to files on the way.

    Returns:
      The last state, which is also saved.

    Raises:
      FloatingPointError: a tensor is not finite. No such state is saved.
    """
    began, step = time.monotonic(), int(state.step)
    last = total if pace.max_steps is None else min(total, step + pace.max_steps)
    rows = folder.rows_until(step)
    earlier, since, busy = (rows[-1]["seconds"] if rows else 0.0), step, time.monotonic()
    with progress("training", total, step) as show, stop_signals() as stop:
        while step < last:
            state, metrics = parts.update(state, parts.stream.at(step + 1))
            step, row = step + 1, None
            window.add(step, metrics)
            if step % pace.log_every == 0 or step == total:
                window.settle()
                row = window.row()
                window.clear()
                speed = (step - since) * parts.stream.batch_size / (time.monotonic() - busy)
                if step % pace.valid_every == 0 or step == total:
                    row |= parts.validation.score(state.ema)
                seconds = earlier + time.monotonic() - began
                row = {"step": step, "seconds": seconds, "samples_per_second": speed, **row}
                folder.add_row(row)
                since, busy = step, time.monotonic()
            report(show, step, row)
            if step % pace.save_every == 0:
                window.settle()
                folder.save(state, step, window)
            if stop.is_set() or time.monotonic() > began + 60 * pace.max_minutes:
                break
    window.settle()
    folder.save(state, step, window)
    return state


def leave_decoder(
    spec: DecoderSpec, facts: PuzzleFacts, folder: RunFolder, state: DecoderState
) -> None:
    """Write the model and the curve."""
    model = PuzzleDecoder(
        config=spec.config,
        params=state.ema,
        order=spec.order,
        puzzles=facts,
        metadata={
            "spec": json.loads(json.dumps(dataclasses.asdict(spec))),
            "step": int(state.step),
        },
    )
    save_puzzle_decoder(folder.path / "model", model)
    if has("matplotlib"):
        draw_curve({spec.preset: folder.rows_until(int(state.step))}, folder.path / "curve.png")


def train_decoder(args: argparse.Namespace, defaults: Callable[[str], Any]) -> bool:
    """Train the segment of a decoder that a command line asks for.

    Args:
      defaults: gives an option's default by its name.

    Returns:
      Whether the run is complete.

    Raises:
      ValueError, OSError: bad input.
      FloatingPointError: the parameters left the numbers.
    """
    for name in ONLY_RECURSIVE:
        if getattr(args, name) != defaults(name):
            flag = "--" + name.replace("_", "-")
            raise ValueError(f"{flag} is for recursive models; {args.preset} is a decoder")
    pace = Pace(**{field.name: getattr(args, field.name) for field in dataclasses.fields(Pace)})
    with writing(args.out, TRAINING, resume=args.resume):
        return run_decoder(decoder_spec_of(args), pace, args.out)
