"""From a command line to a checked search: a model, puzzles, a budget, and what a target stores."""

import argparse
import functools
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Integer

from experiments.measurement.choices import (
    BatchChoice,
    check_calibration,
    choose_batch_size,
    choose_limit,
)
from export.graph.ir import DType
from export.lowering.storage import ZeroPoints, matrix_plan
from export.targets import FileFormat, Target
from quant.packing import SCALE_BYTES, ZERO_POINT_BYTES, stored_bytes
from quant.ptq.calibrate import input_widths
from quant.ptq.weights import footprint
from quant.scheme import Activations, Arithmetic, Granularity, Scheme, WeightScheme, parse_weights
from trm_jax.config import Config, flops_per_step
from trm_jax.convert.hints import Hints
from trm_jax.data.batches import CALIBRATION_PUZZLES, batch_size_of
from trm_jax.data.calibration import read_calibration
from trm_jax.loading import LoadedModel, Puzzles, load_model, load_puzzles
from trm_jax.names import unknown_name
from trm_jax.tasks.calibration import CalibrationPuzzles, choose_calibration, image_names
from trm_jax.tasks.table import task_named

CANDIDATES = tuple(
    parse_weights(f"w{bits}{grid}-gptq-norm")
    for bits in (2, 3, 4, 5, 6, 8)
    for grid in ("t-auto", "t-sym", "c-auto", "c-sym")
    if bits < 8 or "sym" in grid  # 8 bits lose nothing that a zero point would save
)
ZERO_POINTS = 1.1  # factor on bytes up to which an asymmetric grid stands for the symmetric one
MOST_DECIDING = 500  # if 2 % of them change, the standard error of a drop is 0.6 pp
FEWEST_DECIDING = 100
DECIDING_GFLOPS = 1400  # of solving them once without --max-drop: 500 of a bundled 6x6 model
LOSS_BATCHES = 4  # of the calibration puzzles, that losses are measured on at most
LOSS_GFLOPS = 25  # of measuring one mix: LOSS_BATCHES of a bundled 6x6 model, one of 9x9
UNITS = {"MB": 1e6, "kB": 1e3}
TFLITE_SCALE_BYTES = SCALE_BYTES + 8  # the schema's zero points are int64, and always there
TABLE_BYTES = 16  # per output: what TFLite Micro's decoder turns a 4-bit code into
BIAS_BYTES = 4  # per output of a network of integers, which wants one where the model has none


@dataclass(frozen=True, kw_only=True, eq=False)
class RecipeJob:
    """A search, checked.

    Attributes:
      aside: puzzles that weights are rounded by; losses are measured on some of them.
      target: None counts densely packed integers.
      sites: the matrices.
      rest: bytes of everything that is not a matrix.
      budget: bytes of everything, None: any.
      max_drop: share of the deciding puzzles that may be lost, None: any.
      num_puzzles, batch: that are solved, and computed together.
      deciding: rows of the puzzles that decide whether a recipe loses too many, and between
        recipes at the end.
    """

    model: LoadedModel
    puzzles: Puzzles
    aside: CalibrationPuzzles
    target: Target | None
    sites: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    rest: int
    budget: int | None
    max_drop: float | None
    num_puzzles: int
    batch: BatchChoice
    deciding: np.ndarray
    out: Path

    @functools.cached_property
    def candidates(self) -> tuple[WeightScheme, ...]:
        """The weights that are worth a look: the target takes them, and none better is as small."""
        sizes = {
            weights: sum(matrix_bytes(shape, weights, self.target) for shape in self.shapes)
            for weights in CANDIDATES
            if refusal(weights, self.target) is None
        }
        return tuple(
            weights
            for weights, size in sizes.items()
            if not any(_undercuts(w, s, weights, size) for w, s in sizes.items())
        )

    @property
    def num_loss_puzzles(self) -> int:
        """Count the calibration puzzles that losses are measured on."""
        size = batch_size_of(self.aside.count)
        return min(size * most_loss_batches(self.model.config, size), self.aside.count)

    @property
    def num_weights(self) -> int:
        """Count the weights of all matrices."""
        return sum(inputs * outputs for inputs, outputs in self.shapes)

    def scheme(self, matrices: dict[str, WeightScheme]) -> Scheme:
        """Make the scheme of a mix: what most matrices have, and exceptions."""
        usual = max(matrices.values(), key=list(matrices.values()).count)
        return replace(deployed(usual, self.target), exceptions=tuple(matrices.items()))


def _undercuts(better: WeightScheme, stored: int, weights: WeightScheme, size: int) -> bool:
    """Return whether weights with a finer grid take as few bytes, or hardly more a zero point."""
    coarser = better.granularity is Granularity.PER_TENSOR
    if better == weights or (weights.granularity is Granularity.PER_CHANNEL and coarser):
        return False
    if better.bits == weights.bits and better.granularity is weights.granularity:
        return better.adaptive and stored <= ZERO_POINTS * size
    return better.bits >= weights.bits and stored <= size


def prepare(args: argparse.Namespace) -> RecipeJob:
    """Load and check everything that a command line names.

    Raises:
      ValueError: unknown names or sizes, or parts that do not fit.
      OSError: missing files.
    """
    options = read_calibration(args)
    target, max_drop = _read_limits(args)
    task = task_named(args.task)
    model = load_model(args.model, Hints(), task=task)
    puzzles = load_puzzles(model, args.data)
    num_puzzles = choose_limit(args.limit, len(puzzles.dataset))
    aside = choose_calibration(model, puzzles, options)
    check_calibration([Scheme(weights=CANDIDATES[0])], num_puzzles, aside)
    stored = footprint(model.weights, Scheme())
    sites = tuple(input_widths(model.weights.params))
    shapes = {t.name.removesuffix("/kernel"): t.shape for t in stored.backbone}
    weights = [int(4 * shapes[s][0] * shapes[s][1]) for s in sites]
    rest = stored.total - sum(weights)
    job = RecipeJob(
        model=model,
        puzzles=puzzles,
        aside=aside,
        target=target,
        sites=sites,
        shapes=tuple(shapes[site] for site in sites),
        rest=rest,
        budget=args.budget and read_budget(args.budget, sum(weights) // 4, len(sites), rest),
        max_drop=max_drop,
        num_puzzles=num_puzzles,
        batch=choose_batch_size(args.batch_size, model.config, model.config.halt_max_steps),
        deciding=choose_deciding(aside, num_puzzles, most_deciding(model.config, max_drop)),
        out=args.out or Path("runs") / f"recipe-{task.name}-{model.name}",
    )
    _check_budget(job)
    if max_drop is not None and not job.deciding.size:
        raise ValueError(
            f"no puzzle of {puzzles.folder} is left to decide about --max-drop: all are images of"
            f" the {num_puzzles} that are solved; lower --limit, or give --budget instead"
        )
    return job


def _read_limits(args: argparse.Namespace) -> tuple[Target | None, float | None]:
    """Read what a recipe is for and what it may lose; a mistyped budget is refused here too.

    Raises:
      ValueError: unknown, mistyped, or neither --budget nor --max-drop.
    """
    target = read_target(args.target)
    max_drop = read_drop(args.max_drop)
    if args.budget is None and max_drop is None:
        raise ValueError("give --budget SIZE, --max-drop POINTS, or both")
    if args.budget is not None:
        read_budget(args.budget, 1, 1)  # before a model is loaded
    return target, max_drop


def most_deciding(config: Config, max_drop: float | None) -> int:
    """Choose how many puzzles decide: fewer of a large model, unless a drop is to be estimated."""
    if max_drop is not None:
        return MOST_DECIDING
    gflops = config.halt_max_steps * flops_per_step(config) / 1e9
    return min(MOST_DECIDING, max(FEWEST_DECIDING, int(DECIDING_GFLOPS / gflops)))


def most_loss_batches(config: Config, size: int) -> int:
    """Choose how many batches of a size measure losses: fewer of a large model."""
    gflops = size * flops_per_step(config) / 1e9
    return min(LOSS_BATCHES, max(1, int(LOSS_GFLOPS / gflops)))


def choose_deciding(
    aside: CalibrationPuzzles, num_puzzles: int, most: int
) -> Integer[np.ndarray, " puzzles"]:
    """Choose the puzzles that decide about a drop: neither solved for the report nor calibrated on.

    Images of those that are solved are left out. Where fewer than the calibration puzzles are
    left, these decide too.

    Args:
      aside: puzzles that are calibrated on.
      num_puzzles: that are solved for the report, the first in their order.
      most: of the puzzles before those that are calibrated on.

    Returns:
      Rows of the data set.
    """
    puzzles, stop = aside.evaluated, aside.left
    if stop - num_puzzles < CALIBRATION_PUZZLES:
        stop = len(puzzles)
    first = max(num_puzzles, stop - most)
    solved, rows = puzzles.order[:num_puzzles], puzzles.order[first:stop]
    seen = set(image_names(puzzles, solved))
    new = [name not in seen for name in image_names(puzzles, rows)]
    return rows[new]


def _check_budget(job: RecipeJob) -> None:
    """Refuse a budget below the smallest model, before anything is measured."""
    if job.budget is None:
        return
    each = (min(matrix_bytes(s, w, job.target) for w in job.candidates) for s in job.shapes)
    least = job.rest + sum(each)
    if least > job.budget:
        stored = f"as {job.target.value} stores it" if job.target else "densely packed"
        raise ValueError(
            f"--budget leaves {job.budget:,} bytes for the whole model, which takes at least"
            f" {least:,} {stored}; raise it"
        )


def read_budget(text: str, count: int, matrices: int, rest: int = 0) -> int:
    """Read a size as bytes of the whole model.

    Args:
      text: 0.15MB, 150kB, or 3.5bits.
      count, matrices: weights of all matrices, and how many these are.
      rest: bytes of everything else.

    Raises:
      ValueError: not a size.
    """
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?(MB|kB|bits)", text)
    if match is None or not float(match[1]) > 0:
        raise ValueError(f"--budget is a size such as 0.15MB, 150kB or 3.5bits, got {text[:24]!r}")
    number = float(match[1])
    if match[2] == "bits":
        return int(number * count / 8) + matrices * (SCALE_BYTES + ZERO_POINT_BYTES) + rest
    return int(number * UNITS[match[2]])


def read_drop(text: str | None) -> float | None:
    """Read a difference of rates in percentage points, `0.5pp`, as a share.

    Raises:
      ValueError: not one.
    """
    if text is None:
        return None
    match = re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]{1,9})?) ?pp", text)
    if match is None or float(match[1]) > 100:
        raise ValueError(f"--max-drop is in percentage points, 0.5pp, 0 to 100; got {text[:24]!r}")
    return float(match[1]) / 100


def read_target(name: str | None) -> Target | None:
    """Read a target that stores some of the candidates.

    Raises:
      ValueError: unknown, or it leaves nothing to choose.
    """
    if name is None:
        return None
    known = {target.value: target for target in Target}
    if name == "ethos-u":
        raise ValueError(
            "no recipe for target ethos-u: Ethos-U multiplies by int8 weights alone, so there is"
            " nothing to choose; use w8c-sym_a8s-cells-fold_tflm, or --target tflm, whose kernels"
            " run on the core beside it"
        )
    if name not in known:
        raise ValueError(unknown_name("target", name[:24], known))
    target = known[name]
    refused = [refusal(weights, target) for weights in CANDIDATES]
    if target.facts.w8a8_only or all(refused):
        reason = "" if target.facts.w8a8_only else f": {next(filter(None, refused))}"
        raise ValueError(
            f"no recipe for target {name}, there is nothing to choose{reason}; beside float32 it"
            " takes int8 weights with int8 inputs alone: use w8c-sym_a8s-cells-fold, or --target"
            " litert, which runs on phones too"
        )
    return target


def deployed(weights: WeightScheme, target: Target | None) -> Scheme:
    """Make the scheme that a target computes with such weights: integers of int16 on TFLM."""
    scheme = Scheme(weights=weights)
    if target is None or not target.facts.integer_graphs:
        return scheme
    return replace(scheme, activations=Activations.STATIC_INT16, arithmetic=Arithmetic.TFLM)


def refusal(weights: WeightScheme, target: Target | None) -> str | None:
    """Say why a target does not take weights; None if it does."""
    try:
        if target is not None:
            matrix_plan(deployed(weights, target), target)
    except ValueError as error:
        return str(error)
    return None


def matrix_bytes(shape: tuple[int, ...], weights: WeightScheme, target: Target | None) -> int:
    """Count what a matrix takes: densely packed, or as the file of a target holds it.

    Left out are the 16 bytes before every table of TFLite Micro's decoder, and the other half of a
    bias of 64 bits.
    """
    packed = stored_bytes(shape, weights.grid)
    if target is None:
        return packed.total
    plan = matrix_plan(deployed(weights, target), target)
    inputs, outputs = shape
    integers = -(-inputs * outputs * plan.carrier.bits // 8)
    scales = packed.scales // SCALE_BYTES
    if target.facts.file_format is FileFormat.ONNX:  # zero points of the weights' type
        return integers + SCALE_BYTES * scales + -(-scales * plan.carrier.bits // 8)
    if not target.facts.integer_graphs:
        return integers + TFLITE_SCALE_BYTES * scales
    # a scale per output, whatever the scheme, and another of its bias
    tables = TABLE_BYTES * outputs if plan.zero_points is ZeroPoints.TABLE else 0
    return integers + (2 * TFLITE_SCALE_BYTES + BIAS_BYTES) * outputs + tables


def carrier(weights: WeightScheme, target: Target | None) -> str:
    """Name the type that weights are stored in."""
    if target is None:
        return f"{weights.bits} bits"
    stored: DType = matrix_plan(deployed(weights, target), target).carrier
    return stored.value.lower()
