"""Loss curves of training runs, and how two runs differ.

    python -m experiments.train.curves runs/mlp
    python -m experiments.train.curves runs/whole runs/carried --after 200 --out runs/compare.png

One run's curve goes to RUN/curve.png. Of several runs the first is the reference: the others'
losses are compared with it over the rows after step --after that both have.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from trm_jax.command_line import exit_code, make_parser, natural_int, user_path

VALIDATED = "valid_exact"
"""How metrics of exact match in validation begin; `_n16` follows: after 16 supervision steps."""
Rows = list[dict[str, float]]
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")  # Okabe and Ito


def draw_curve(runs: dict[str, Rows], path: Path) -> None:
    """Draw loss and exact match over steps; nothing is drawn without rows.

    Args:
      runs: rows by the name of the run. The exact match in training and at every validated
        depth is drawn of a single run, the deepest validation alone of several.
    """
    runs = {name: rows for name, rows in runs.items() if rows}
    if not runs:
        return
    import matplotlib  # late: a training machine may not have it

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (top, bottom) = plt.subplots(2, 1, sharex=True, figsize=(7, 6), facecolor="white")
    for (name, rows), colour in zip(runs.items(), COLOURS * len(runs), strict=False):
        top.plot(_steps(rows), [row["loss"] for row in rows], color=colour, label=name)
    if len(runs) == 1:
        _draw_depths(bottom, next(iter(runs.values())))
    else:
        _draw_runs(bottom, runs)
        top.legend(loc="upper right")
    top.set_ylabel("loss per puzzle")
    top.set_title("training: " + ", ".join(runs))
    bottom.set_ylabel("puzzle exact")
    bottom.set_xlabel("step")
    bottom.set_ylim(0, 1)
    bottom.legend(loc="upper left")
    for axes in (top, bottom):
        axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _steps(rows: Rows) -> list[float]:
    return [row["step"] for row in rows]


def _validated(rows: Rows) -> list[str]:
    """List the validated depths, the shallowest first."""
    names = {key for row in rows for key in row if key.startswith(VALIDATED)}
    return sorted(names, key=lambda name: int(name.removeprefix(VALIDATED).removeprefix("_n") or 0))


def _depth(name: str) -> str:
    """Say at which depth was validated; a decoder has no depths."""
    return "validation" + name.removeprefix(VALIDATED).replace("_n", ", n=")


def _points(axes: Any, rows: Rows, name: str, **style: Any) -> None:
    points = [(row["step"], row[name]) for row in rows if name in row]
    axes.plot(*zip(*points, strict=True), marker="o", markersize=3, **style)


def _draw_depths(axes: Any, rows: Rows) -> None:
    axes.plot(
        _steps(rows),
        [r["exact_accuracy"] for r in rows],
        color=COLOURS[0],
        label="training, at halt",
    )
    for name, colour in zip(_validated(rows), COLOURS[1:], strict=False):
        label = _depth(name)
        _points(axes, rows, name, color=colour, label=label)


def _draw_runs(axes: Any, runs: dict[str, Rows]) -> None:
    for (run, rows), colour in zip(runs.items(), COLOURS * len(runs), strict=False):
        if names := _validated(rows):
            label = f"{run}, {_depth(names[-1])}"
            _points(axes, rows, names[-1], color=colour, label=label)


def compare(reference: Rows, rows: Rows, after: int) -> str:
    """Describe how the losses of a run differ from those of another at the same steps.

    Raises:
      ValueError: no row after that step is in both.
    """
    losses = [
        {int(row["step"]): row["loss"] for row in run if row["step"] > after}
        for run in (reference, rows)
    ]
    common = sorted(losses[0].keys() & losses[1].keys())
    if not common:
        raise ValueError(f"the runs have no row after step {after} in common")
    first, second = (np.array([loss[s] for s in common]) for loss in losses)
    gap = second - first
    return (
        f"{len(common)} rows, mean loss {second.mean():.4f} against {first.mean():.4f}:"
        f" difference {gap.mean():+.4f}, largest {np.abs(gap).max():.4f} at step"
        f" {common[int(np.abs(gap).argmax())]}"
    )


def load_rows(run: Path) -> Rows:
    """Read the rows of a run folder.

    Raises:
      FileNotFoundError: it has none.
      ValueError: a line is damaged.
    """
    from experiments.train.metric_rows import read_rows

    file = run / "rows.jsonl"
    if not file.is_file():
        raise FileNotFoundError(f"{run} is no run of experiments.train: it has no rows.jsonl")
    return read_rows(file)


def main(argv: list[str] | None = None) -> int:
    """Run the program; 0 when done, 2 on bad input."""
    p = make_parser("experiments.train.curves", __doc__)
    p.add_argument("runs", nargs="+", type=user_path, metavar="RUN", help="folder of a run")
    p.add_argument(
        "--out", type=user_path, metavar="PATH", help="the figure (RUN/curve.png of the first run)"
    )
    p.add_argument(
        "--after",
        type=natural_int,
        default=0,
        metavar="N",
        help="step after which runs are compared",
    )
    args = p.parse_args(argv)

    def action() -> None:
        runs = {str(run): load_rows(run) for run in args.runs}
        path = args.out or args.runs[0] / "curve.png"
        draw_curve(runs, path)
        (name, reference), *others = runs.items()
        for other, rows in others:
            sys.stdout.write(f"{other} against {name}: {compare(reference, rows, args.after)}\n")
        sys.stdout.write(f"{path}\n")

    return exit_code(action, (ValueError, OSError))


if __name__ == "__main__":
    sys.exit(main())
