"""The trained model under every scheme and at every depth, as a sweep that ends with the time.

The rows are a sweep's (experiments/sweep/rows.py): `experiments.report OUT/sweep` reads them, and
`experiments.sweep --resume` goes on with them. Shards are the outer loop, so a sweep that is cut
off has compared all schemes on fewer puzzles.
"""

import time
from pathlib import Path

from experiments.full_size.job import FullSizeJob
from experiments.measurement.choices import environment
from experiments.measurement.shards import matmul_precision
from experiments.measurement.spec import finished_shards
from experiments.sweep.__main__ import parser
from experiments.sweep.job import SweepJob, prepare
from experiments.sweep.outcomes import Sweep, compare, outcomes
from experiments.sweep.rows import sweep_folder
from experiments.sweep.runner import make_runner
from experiments.train.minimal_install import has
from quant.scheme import label
from trm_jax.data.batches import CALIBRATION_PUZZLES
from trm_jax.data.format import load_dataset
from trm_jax.intervals import Interval, mcnemar


def plan(job: FullSizeJob, model: Path, data: Path, out: Path) -> SweepJob:
    """Plan the sweep of a model folder.

    Raises:
      FileNotFoundError: training saved no model.
      ValueError, OSError: the model or the puzzles cannot be evaluated.
    """
    if not (model / "config.json").is_file():
        raise FileNotFoundError("training saved no model to evaluate")
    held_out = len(load_dataset(data / "test").inputs)
    limit = min(job.limit, held_out - CALIBRATION_PUZZLES)
    if limit < 1:
        raise ValueError(
            f"{data} has {held_out} held-out puzzles; {CALIBRATION_PUZZLES} are calibrated on, and"
            " none is left to evaluate: hold out more"
        )
    words = ["--task", "sudoku", "--model", str(model), "--data", str(data), "--out", str(out)]
    words += ["--schemes", ",".join(job.schemes), "--limit", str(limit), "--seed", str(job.seed)]
    return prepare(parser().parse_args(words))


def evaluate(sweep: SweepJob, out: Path, deadline: float) -> Sweep:
    """Measure shard by shard until all are done or the time is up.

    Raises:
      ValueError: no shard was finished under every scheme.
    """
    folder, spec = sweep_folder(out), sweep.spec
    with matmul_precision(spec.dtype):
        keys = spec.work_keys()
        runner = make_runner(sweep, keys)
        folder.open(spec, environment())
        for row in runner.rows(keys):
            folder.append(row)
            if time.monotonic() > deadline:
                break
    rows = folder.read_rows(spec)
    done = {row.key for row in rows}
    if not finished_shards(spec.shards, [(scheme,) for scheme in spec.schemes], done):
        raise ValueError(
            "the time was over before a shard was finished under every scheme; give more --minutes,"
            " or evaluate the model with experiments.sweep"
        )
    return Sweep(spec, outcomes(spec, rows))


def describe(sweep: Sweep) -> list[str]:
    """Write a Markdown table of the schemes at full depth."""
    deepest = sweep.spec.grid.deepest
    lines = [
        f"| scheme | bytes | exact, n = {sweep.reference.num_puzzles:,} | against fp32 | p |"
        " fidelity |",
        "|---|---|---|---|---|---|",
    ]
    for outcome, size in zip(sweep.outcomes, sweep.spec.bytes, strict=True):
        pairs = compare(sweep.reference, outcome, deepest)
        change, p = sweep.change(outcome, deepest), mcnemar(pairs)
        own = outcome is sweep.reference
        lines.append(
            f"| {label(outcome.scheme, sweep.spec.dtype)} | {size:,} |"
            f" {_share(outcome.exact(deepest))} | {'' if own else _points(change)} |"
            f" {'' if own else f'{p:.3g}'} | {_share(outcome.fidelity(deepest), 4)} |"
        )
    return lines


def _share(value: Interval, digits: int = 3) -> str:
    return f"{value.value:.{digits}f} [{value.low:.{digits}f}, {value.high:.{digits}f}]"


def _points(change: Interval) -> str:
    return f"{100 * change.value:+.1f} pp [{100 * change.low:+.1f}, {100 * change.high:+.1f}]"


def draw(sweep: Sweep, out: Path) -> bool:
    """Write the sweep's own tables and figures where their packages are installed."""
    if not has("matplotlib"):
        return False
    from experiments.render.console import make_console
    from experiments.sweep.tables import write_report

    write_report(sweep.spec, sweep_folder(out).iter_rows(sweep.spec), out, make_console())
    return True
