"""From a command line to what a vote asks, everything loaded and checked."""

import argparse
import dataclasses
import hashlib
import json
import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from experiments.arc.puzzle_rows import NewRows
from experiments.arc.rows import VoteSpec
from experiments.measurement.choices import choose_dtype, choose_limit, parse_schemes
from experiments.measurement.options import read_common
from quant.ptq import weights
from quant.scheme import parse
from trm_jax import zoo
from trm_jax.checkpoints.model_files import map_model
from trm_jax.config import Config, flops_per_step
from trm_jax.convert.hints import Hints
from trm_jax.data.arc import canvas
from trm_jax.data.arc.task_files import ArcTask, task_json
from trm_jax.data.arc.test_time import TestTime, plan_test_time
from trm_jax.data.arc.voting import load_test_tasks
from trm_jax.data.facts import check_identifiers, hash_identifiers
from trm_jax.data.format import load_identifiers
from trm_jax.loading import LoadedModel, load_model
from trm_jax.models.build import build
from trm_jax.tasks.arc import ARC
from trm_jax.types import Weights

CPU_BATCH, DEVICE_BATCH = 64, 512
SHARD_QUESTIONS = 500  # augmented questions in a shard, roughly: half a minute of a small model


class ArcJob(NamedTuple):
    """A spec and what it speaks of, loaded."""

    spec: VoteSpec
    models: tuple[LoadedModel, ...]
    plan: TestTime
    batch_size: int
    side: int
    new_rows: NewRows


def prepare(args: argparse.Namespace) -> ArcJob:
    """Load and check everything that a command line names.

    Raises:
      ValueError: parts that do not fit, numbers out of range, or nothing to ask.
      OSError: missing files.
    """
    common = read_common(args)
    schemes = parse_schemes(args.schemes)
    if calibrated := [name for name in schemes if parse(name).needs_puzzles]:
        raise ValueError(
            f"{calibrated[0]} needs calibration puzzles, which a vote does not set apart;"
            " measure it with `python -m experiments.sweep --task arc`"
        )
    for name in ("num_aug", "row_steps", "seed"):
        if getattr(args, name) < 0:
            option = "--" + name.replace("_", "-")
            raise ValueError(f"{option} must be 0 or more, got {getattr(args, name)}")
    data = common.data or zoo.puzzles(ARC.name)
    identifiers = load_identifiers(data)
    tasks = load_test_tasks(args.tasks or data)
    if args.new_only:
        tasks = tuple(task for task in tasks if task.name not in set(identifiers))
    tasks = tasks[: choose_limit(common.limit or 0, len(tasks))] if tasks else tasks
    if not tasks:
        raise ValueError(f"{args.tasks or data} has no tasks to ask; give --tasks others")
    hints = Hints(preset=common.preset)
    models = tuple(load_model(name, hints, task=ARC, read=map_model) for name in args.models)
    side = common_side(models, identifiers)
    plan = plan_test_time(tasks, identifiers, args.num_aug, np.random.RandomState(common.seed))
    new_rows = NewRows(steps=args.row_steps, seed=common.seed)
    spec = make_spec(args, schemes, models, tasks, identifiers, new_rows)
    return ArcJob(spec, models, plan, choose_batch(common.batch_size), side, new_rows)


def common_side(models: Sequence[LoadedModel], identifiers: Sequence[str]) -> int:
    """Check that models read ARC and have the rows that are named; gives the canvas's side.

    Raises:
      ValueError: they do not.
    """
    first = models[0].config
    for model in models:
        c = model.config
        if (c.seq_len, c.halt_max_steps) != (first.seq_len, first.halt_max_steps):
            raise ValueError(f"{model.name} and {models[0].name} do not vote together: other sizes")
        if c.vocab_size != canvas.VOCAB_SIZE or math.isqrt(c.seq_len) ** 2 != c.seq_len:
            raise ValueError(
                f"{model.name} reads no ARC: {c.seq_len} cells of {c.vocab_size} tokens; ARC has a"
                f" square canvas of {canvas.VOCAB_SIZE} tokens"
            )
        if c.num_puzzle_identifiers != len(identifiers):
            raise ValueError(
                f"{model.name} has {c.num_puzzle_identifiers} puzzle rows, the data set names"
                f" {len(identifiers)}: --data must be the one the model was trained on"
            )
        named = dataclasses.replace(
            model.need_facts(), identifiers_sha256=hash_identifiers(identifiers)
        )
        check_identifiers(
            model.need_facts(),
            f"model {model.name}",
            named,
            "the data set",
            remedy="--data must be the one the model was trained on",
        )
    return math.isqrt(first.seq_len)


def make_spec(
    args: argparse.Namespace,
    schemes: tuple[str, ...],
    models: Sequence[LoadedModel],
    tasks: Sequence[ArcTask],
    identifiers: Sequence[str],
    new_rows: NewRows,
) -> VoteSpec:
    """Write down what will be asked.

    Raises:
      ValueError: no supervision steps.
    """
    config = models[0].config
    steps = config.halt_max_steps if args.steps is None else args.steps
    if steps < 1:
        raise ValueError(f"--steps must be at least 1, got {steps}")
    every = load_test_tasks(args.tasks or args.data or zoo.puzzles(ARC.name))
    content = json.dumps([list(identifiers), [(task.name, task_json(task)) for task in every]])
    each = max(1, sum(len(task.questions) for task in tasks) // len(tasks)) * (args.num_aug + 1)
    shapes = weight_struct(config)
    stored = [weights.footprint(shapes, parse(name)).backbone_bytes.total for name in schemes]
    return VoteSpec(
        models=tuple(model.name for model in models),
        models_sha256=tuple(model.sha256 for model in models),
        tasks=str(args.tasks or args.data or "bundled") + (" (new)" if args.new_only else ""),
        tasks_sha256=hashlib.sha256(f"{args.new_only}{content}".encode()).hexdigest(),
        num_tasks=len(tasks),
        num_aug=args.num_aug,
        new_rows=new_rows.name,
        schemes=schemes,
        bytes=tuple(stored),
        steps=steps,
        gflops=steps * flops_per_step(config) / 1e9,
        tasks_per_shard=max(1, SHARD_QUESTIONS // each),
        dtype=choose_dtype(args.dtype),
        seed=args.seed,
    )


def weight_struct(config: Config) -> Weights:
    """Name the shapes of a model's weights."""
    return jax.eval_shape(build(config).init, jax.random.key(0))


def choose_batch(size: int | None) -> int:
    """Choose how many questions are asked at a time; all local devices share them.

    Raises:
      ValueError: none.
    """
    devices = jax.local_device_count()
    if size is not None and size < 1:
        raise ValueError(f"--batch-size must be at least 1, got {size}")
    default = CPU_BATCH if jax.default_backend() == "cpu" else DEVICE_BATCH * devices
    return -(-(size or default) // devices) * devices


def header(job: ArcJob) -> str:
    """Say what is about to be asked of what."""
    spec, model = job.spec, job.models[0]
    new = len(job.plan.identifiers) - model.config.num_puzzle_identifiers
    return (
        f"{', '.join(spec.models)}: {model.architecture}, {model.num_parameters:,} weights and"
        f" {model.config.num_puzzle_identifiers:,} puzzle rows, {spec.gflops:.3g} GFLOPs a"
        f" rollout\ntasks: {spec.tasks}, {spec.num_tasks}, with {spec.num_aug} augmentations;"
        f" {new} rows are new ({spec.new_rows}); {spec.dtype}, seed {spec.seed}"
    )
