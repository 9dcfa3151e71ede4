"""Loss curves of training runs, and how two runs differ.

    python -m experiments.train.curves runs/mlp
    python -m experiments.train.curves runs/whole runs/carried --after 200 --out runs/compare.png
    python -m experiments.train.curves runs/recipes/* --table

One run's curve goes to RUN/curve.png. Of several runs the first is the reference: the others'
losses are compared with it over the rows after step --after that both have. --table draws
nothing: runs that differ in their seed alone become one line, which says what is different from
the recipe of the first run, and how the last validation came out over the seeds.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trm_jax.command_line import exit_code, make_parser, natural_int, user_path

if TYPE_CHECKING:
    from experiments.render.tables import Table

VALIDATED = "valid_exact"
"""How metrics of exact match in validation begin; `_n16` follows: after 16 supervision steps."""
VALIDATED_CELLS = "valid_cell"
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


def flat_recipe(spec: dict[str, Any]) -> dict[str, Any]:
    """List what decides a run but its seed; of the model it starts from, only that there is one."""
    fields = {k: v for k, v in spec.items() if k not in ("recipe", "data_sha256", "kind")}
    fields |= {k: v for k, v in spec["recipe"].items() if k != "seed"}
    return fields | {"start": spec["start"] and "a model"}


def changes(reference: dict[str, Any], recipe: dict[str, Any]) -> str:
    """Say in which fields a recipe differs from the reference, and what it has there."""
    return ", ".join(
        f"{name} {value}" for name, value in sorted(recipe.items()) if reference.get(name) != value
    )


def spread(values: list[float]) -> str:
    """Write a mean with the least and the greatest of its values."""
    mean = sum(values) / len(values)
    return f"{mean:.3f} ({min(values):.3f} to {max(values):.3f})"


def recipe_table(runs: list[tuple[dict[str, Any], Rows]]) -> "Table":
    """Put runs that differ in their seed alone into one line each.

    Args:
      runs: spec and rows, with a validation; the first run's recipe is the reference.
    """
    from experiments.render.tables import Table

    reference = flat_recipe(runs[0][0])
    groups: dict[str, list[tuple[dict[str, Any], Rows]]] = {}
    for spec, rows in runs:
        groups.setdefault(changes(reference, flat_recipe(spec)), []).append((spec, rows))
    lines = []
    for said, members in groups.items():
        last = [_last_validation(rows) for _, rows in members]
        deepest = [row[_validated([row])[-1]] for row in last]
        cells = [row[VALIDATED_CELLS] for row in last]
        steps = "/".join(sorted({str(int(row["step"])) for row in last}))
        seeds = ", ".join(str(spec["recipe"]["seed"]) for spec, _ in members)
        lines.append((said or "(reference)", seeds, steps, spread(deepest), spread(cells)))
    header = ("recipe", "seeds", "updates", "exact, mean (least to most)", "right cells")
    return Table("Recipes by their last validation", header, tuple(lines), frozenset())


def _last_validation(rows: Rows) -> dict[str, float]:
    return next(row for row in reversed(rows) if _validated([row]))


def print_recipes(runs: list[Path]) -> None:
    """Print the table of recipes in Markdown.

    Raises:
      ValueError, OSError: a run is damaged, a decoder's, or not validated yet.
    """
    from experiments.render.tables import to_markdown
    from experiments.train.folder import read_spec

    read = []
    for run in runs:
        rows = load_rows(run)
        if not _validated(rows):
            raise ValueError(f"{run} has not been validated yet; go on with it, or leave it out")
        read.append((read_spec((run / "spec.json").read_bytes()), rows))
    sys.stdout.write(to_markdown(recipe_table(read)))


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
    p.add_argument(
        "--table", action="store_true", help="print a table of recipes over seeds, draw nothing"
    )
    args = p.parse_args(argv)

    def action() -> None:
        if args.table:
            if args.out is not None or args.after:
                raise ValueError(
                    "--table draws and compares no curves; leave --out and --after out"
                )
            print_recipes(args.runs)
            return
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
