"""From a command line to what a page will hold: models with their puzzles, and schemes."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from experiments.measurement.choices import parse_names
from export.decoder.job import find_decoder
from export.lowering.storage import plan_for
from export.targets import Target
from quant.precision_plan import parse_plan
from quant.scheme import CarryPrecision
from trm_jax.command_line import split_names
from trm_jax.loading import LoadedModel, Puzzles, load_model, load_puzzles


@dataclass(frozen=True, kw_only=True, eq=False)
class DemoModel:
    """A model of the page, and the puzzles that its examples and its calibration come from."""

    model: LoadedModel
    puzzles: Puzzles


@dataclass(frozen=True, kw_only=True, eq=False)
class DemoJob:
    """What a page is made of, checked.

    Attributes:
      schemes: long names.
      examples: puzzles of each model to choose from, at most.
      runtime: files of ONNX Runtime for browsers.
    """

    models: tuple[DemoModel, ...]
    schemes: tuple[str, ...]
    examples: int
    runtime: Mapping[str, bytes]


def prepare(args: argparse.Namespace, runtime: Mapping[str, bytes]) -> DemoJob:
    """Load and check what a command line names.

    Raises:
      ValueError: unknown names, or models and schemes that a page cannot run.
      OSError: missing files.
    """
    schemes = parse_names(args.schemes)
    for name in schemes:
        check_scheme(name)
    models = tuple(take_model(name, args.data) for name in read_models(args.models))
    taken = [each.model.name for each in models]
    if twice := sorted({name for name in taken if taken.count(name) > 1}):
        raise ValueError(f"--models names two models called {twice[0]}; rename one's folder")
    return DemoJob(models=models, schemes=schemes, examples=args.count, runtime=runtime)


def read_models(text: str) -> tuple[str, ...]:
    """Read names joined by commas, none twice.

    Raises:
      ValueError: an empty name.
    """
    names = split_names(text)
    if not all(names):
        raise ValueError(f"--models reads names joined by commas, got {text!r}")
    return names


def check_scheme(name: str) -> None:
    """Refuse a scheme that has no ONNX form, or that keeps the carry in other than float32.

    Raises:
      ValueError: says which.
    """
    precision = parse_plan(name)
    if precision.carry is not CarryPrecision.ARITHMETIC:
        raise ValueError(
            f"the page keeps the carry in float32, so {name} cannot run there; leave"
            f" _{precision.carry.value} out"
        )
    plan_for(precision, Target.ONNX)


def take_model(name: str, data: Path | None) -> DemoModel:
    """Load a model with its puzzles.

    Args:
      data: folder of the puzzles; None: the bundled ones of its size.

    Raises:
      ValueError: unknown, without rules that a page could judge by, or puzzles of another size.
      OSError: missing files.
    """
    if find_decoder(name) is not None:
        raise ValueError(
            f"{name} is a decoder, which writes tokens; the page runs recursive models"
        )
    model = load_model(name)
    if model.task is None or model.task.text is None:
        solves = "unknown puzzles" if model.task is None else model.task.name
        raise ValueError(f"the page shows Sudoku and mazes; {name} solves {solves}")
    return DemoModel(model=model, puzzles=load_puzzles(model, data))
