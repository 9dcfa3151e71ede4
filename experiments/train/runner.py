"""A training run: what decides it, where it begins, what it leaves behind.

Not here: the command line (__main__.py), the loop (loop.py), the files (folder.py) and the
update itself (trm_jax/training/step.py).
"""

import argparse
import contextlib
import dataclasses
import json
import os
import shlex
import sys
from pathlib import Path
from typing import NamedTuple

import jax

from experiments.measurement.folders import TRAINING
from experiments.measurement.row_files import line_of
from experiments.train.curves import draw_curve
from experiments.train.data import (
    augmentation,
    data_sizes,
    default_augmentation,
    fingerprint,
    load_training_puzzles,
    split,
    training_facts,
)
from experiments.train.folder import Document, RunFolder, differences, with_defaults
from experiments.train.job import Compact, Pace, TrainSpec
from experiments.train.loop import Parts, run_segment
from experiments.train.metric_rows import MetricRows, parse_rows
from experiments.train.minimal_install import has
from trm_jax.checkpoints import model_files
from trm_jax.checkpoints.compact_state import load_compact, read_facts, save_compact
from trm_jax.checkpoints.file_parts import MIB
from trm_jax.config import PRESET_TASKS, AttentionKernel, Config, Mixer, preset
from trm_jax.data.facts import PuzzleFacts, check_agreement
from trm_jax.models.attention import KERNELS, check_kernel, why_not
from trm_jax.models.build import build
from trm_jax.output.folder import writing
from trm_jax.sharding import check_divides, device_mesh, replicate
from trm_jax.tasks.table import agreed_task, need_task, task_named
from trm_jax.training.recipe import Recipe
from trm_jax.training.running_metrics import Window
from trm_jax.training.step import (
    TrainState,
    averaged,
    init_state,
    make_train_step,
    place,
    watched_names,
)
from trm_jax.types import Weights

OUT_OF_MEMORY = "RESOURCE_EXHAUSTED"  # how XLA's message begins


FREE = ("forward_dtype", "halt_max_steps", "halt_exploration_prob")
"""Fields of a configuration in which a model may differ from the run that starts from it."""


def default_dtype() -> str:
    """Choose what the network computes in: float32 on CPU, bfloat16 on accelerators."""
    return "float32" if jax.default_backend() == "cpu" else "bfloat16"


def start_weights(model: str | None, config: Config, puzzles: PuzzleFacts) -> Weights | None:
    """Load the weights to start from; dtype and halting of their training do not matter.

    Args:
      puzzles: what is trained on.

    Raises:
      ValueError: the model is of another configuration, or says that it is for other puzzles.
    """
    if model is None:
        return None
    stored, weights = model_files.load_model(Path(model))
    free = {name: getattr(config, name) for name in FREE}
    if dataclasses.replace(stored, **free) != config:
        raise ValueError(f"--start {model} is of another configuration: {stored} against {config}")
    said = model_files.load_facts(Path(model))
    if said is not None:
        remedy = "start from another model"
        check_agreement(said, f"--start {model}", puzzles, "the data", remedy=remedy)
    return weights


class CarriedState(NamedTuple):
    """A compact state to begin with, and the rows that came along."""

    state: TrainState
    rows: MetricRows


def take_compact(path: Path, said: Document, fresh: TrainState) -> CarriedState:
    """Read a compact state of this run; nothing is written.

    Raises:
      ValueError, OSError: it is missing, damaged or of another run.
    """
    differs = differences(with_defaults(read_facts(path)), said, ("data", "start"))
    if differs:
        raise ValueError(f"{path} differs from the options given: {'; '.join(differs)}")
    state, log = load_compact(path, fresh)
    return CarriedState(place(state, device_mesh()), parse_rows(log, str(path)))


def begin(
    folder: RunFolder, fresh: TrainState, window: Window, carried: CarriedState | None
) -> TrainState:
    """Find the state to go on from: the folder's, a carried one, or a fresh one.

    Raises:
      ValueError: the folder's newest state is damaged.
    """
    if carried is None:
        state = folder.restore(fresh, window)
        folder.keep_rows(folder.rows_until(int(state.step)))
        return state
    folder.keep_rows(carried.rows)
    folder.save(carried.state, int(carried.state.step), window)  # now --resume suffices
    return carried.state


def attention_text(config: Config, kernel: AttentionKernel) -> str:
    """Say what computes softmax attention, and what could but was not asked for."""
    if config.mixer is not Mixer.ATTENTION:
        return "no softmax attention"
    others = [k for k in AttentionKernel if k is not kernel and why_not(k, config) is None]
    offered = [f"--attention {other.value}" for other in others if other is not AttentionKernel.XLA]
    return f"attention {kernel.value}" + "".join(f" ({flag} can be had)" for flag in offered)


def announce(parts: Parts, state: TrainState, spec: TrainSpec, attention: AttentionKernel) -> None:
    """Say what the run computes on and in."""
    kind, size = parts.mesh.devices.flat[0].device_kind, parts.mesh.size
    count = sum(x.size for x in jax.tree.leaves(state.ema))
    sys.stderr.write(
        f"{spec.preset}: {count:,} parameters, {parts.puzzles.inputs.shape[0]:,} puzzles, step"
        f" {int(state.step)} of {spec.recipe.total_steps}; {size} x {kind}, forward {spec.dtype},"
        f" parameters float32, {spec.recipe.optimizer.value},"
        f" {attention_text(spec.config, attention)}\n"
    )


def leave_behind(
    spec: TrainSpec,
    puzzles: PuzzleFacts,
    folder: RunFolder,
    said: Document,
    state: TrainState,
    compact: Compact,
) -> None:
    """Write the model, the curve and, where asked for, the compact state."""
    step = int(state.step)
    rows = folder.rows_until(step)
    facts = {"spec": dataclasses.asdict(spec), "step": step}
    model_files.save_model(
        folder.path / "model", spec.config, averaged(state), facts, puzzles=puzzles
    )
    if has("matplotlib"):
        draw_curve({spec.preset: rows}, folder.path / "curve.png")
    else:
        sys.stderr.write(
            f"no curve.png: matplotlib is not installed here; where it is,"
            f" `python -m experiments.train.curves {shlex.quote(str(folder.path))}` draws it\n"
        )
    if compact.leave is not None:
        log = "".join(line_of(row) + "\n" for row in rows)
        size = save_compact(compact.leave, state, said, log=log, limit=compact.limit)
        sys.stderr.write(f"{compact.leave}: {size / 2**20:.1f} MiB\n")


def run(
    spec: TrainSpec,
    pace: Pace,
    out: Path,
    *,
    compact: Compact,
    attention: AttentionKernel = AttentionKernel.XLA,
) -> bool:
    """Train a segment.

    Args:
      attention: computes softmax attention. No part of the spec: like the devices, it may change
        between two segments, and changes the result by roundings alone.

    Returns:
      Whether the run is complete.

    Raises:
      ValueError: bad input, or this process cannot attend so.
    """
    config, mesh = spec.config, device_mesh()
    check_divides(spec.recipe.batch_size // spec.recipe.accumulate, mesh, "batch_size/accumulate")
    check_kernel(attention, config)
    reasoner = build(config, attend=KERNELS[attention])
    everything = load_training_puzzles(Path(spec.data), config)
    said = json.loads(json.dumps(dataclasses.asdict(spec)))
    said["data_sha256"] = fingerprint(everything)
    puzzles, valid = split(everything, spec.valid)
    facts = training_facts(Path(spec.data), task_named(spec.task), spec.augmentation)
    symmetry = augmentation(spec.augmentation, facts)
    update = make_train_step(reasoner, spec.recipe, symmetry, mesh)
    parts = Parts(reasoner, update, replicate(puzzles, mesh), valid, mesh)
    began_with = start_weights(spec.start, config, facts)
    state = place(init_state(reasoner, spec.recipe, puzzles, began_with), mesh)
    window = Window(watched_names(state.weights, state.optimiser))
    carried = None if compact.take is None else take_compact(compact.take, said, state)
    folder = RunFolder(out)
    folder.open(said)
    with contextlib.closing(folder):
        state = begin(folder, state, window, carried)
        announce(parts, state, spec, attention)
        state = run_segment(parts, spec.recipe.total_steps, pace, state, folder, window)
    leave_behind(spec, facts, folder, said, state, compact)
    return int(state.step) >= spec.recipe.total_steps


def train(args: argparse.Namespace) -> bool:
    """Train the segment that a command line asks for.

    Returns:
      Whether the run is complete.

    Raises:
      ValueError, OSError: bad input.
      FloatingPointError: the parameters left the numbers.
      MemoryError: the device has too little memory for the slots.
    """
    if args.resume and args.compact_in:
        raise ValueError("--compact-in begins a new run and --resume goes on with one: not both")
    with writing(args.out, TRAINING, resume=args.resume):
        return train_held(args)


def train_held(args: argparse.Namespace) -> bool:
    """Train in a folder that this process holds; returns and raises as `train`."""
    try:
        return run(
            spec_of(args),
            Pace(**{field.name: getattr(args, field.name) for field in dataclasses.fields(Pace)}),
            args.out,
            compact=Compact(
                take=args.compact_in, leave=args.compact_out, limit=round(args.compact_limit * MIB)
            ),
            attention=args.attention,
        )
    except FloatingPointError as error:
        raise FloatingPointError(
            f"{error}\nThe newest state in {args.out / 'state'} is from before; resumed, the"
            " run would come here again: begin anew with a lower --lr, or --start from its model"
        ) from error
    except jax.errors.JaxRuntimeError as error:
        if OUT_OF_MEMORY not in str(error):
            raise
        raise MemoryError(
            f"{error}\nThe slots do not fit into the device's memory: --accumulate"
            f" {2 * args.accumulate} takes half as many at a time; begin anew with it"
        ) from error


def spec_of(args: argparse.Namespace) -> TrainSpec:
    """Read off a command line what decides the result.

    Raises:
      ValueError: an unknown preset or task, a recipe that contradicts itself, or data that does
        not say what its puzzles are.
      FileNotFoundError: there is no such data set.
    """
    recipe = Recipe(**{f.name: getattr(args, f.name) for f in dataclasses.fields(Recipe)})
    preset(args.preset)
    what = f"preset {args.preset}"
    task = need_task(agreed_task(args.task, PRESET_TASKS.get(args.preset), what), what)
    data = os.path.expanduser(args.data)  # as text: what spec.json says is compared
    facts = training_facts(Path(data), task, args.augmentation)
    return TrainSpec(
        preset=args.preset,
        task=task.name,
        data=data,
        augmentation=args.augmentation or default_augmentation(facts),
        valid=args.valid,
        start=args.start and os.path.expanduser(args.start),
        dtype=args.dtype or default_dtype(),
        recipe=recipe,
        halt_max_steps=args.halt_max_steps,
        halt_exploration=args.halt_exploration,
        sizes=data_sizes(Path(data)) if args.fit_data else None,
    )
