"""Tables, files and the figure of a finished search."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from experiments.recipe.job import RecipeJob
from experiments.recipe.outcomes import FrontMeasurement, RecipeOutcome
from experiments.render import figures
from experiments.render.tables import (
    Record,
    Table,
    points_text,
    size_text,
    to_csv,
    to_markdown,
    with_interval,
)
from quant.recipe import write_recipe
from trm_jax.data.calibration import describe_calibration


def header(job: RecipeJob) -> str:
    """Say what is about to be searched."""
    stored = f"as {job.target.value} stores them" if job.target else "densely packed"
    return (
        f"{job.model.name}: {len(job.sites)} matrices, {len(job.candidates)} kinds of weights each,"
        f" {stored}; {_limits(job)}; {size_text(job.rest)} are no matrix; {job.puzzles.name}: first"
        f" {job.num_puzzles} puzzles are solved, {job.batch}, {_calibrating(job)},"
        f" {_deciding(job)}"
    )


def _deciding(job: RecipeJob) -> str:
    """Say how many puzzles choose between recipes at the end."""
    if not len(job.deciding):
        return "none is left to decide: the recipe of least loss is taken"
    return f"{len(job.deciding)} others decide"


def _calibrating(job: RecipeJob) -> str:
    """Say what weights are rounded by, and whether losses are measured on fewer puzzles."""
    count, fewer = job.aside.count, job.num_loss_puzzles
    own = f"the last {count}" if job.aside.own is None else f"{count} others"
    return f"{own} calibrate" + (f" ({fewer} of them measure losses)" if fewer < count else "")


def _limits(job: RecipeJob) -> str:
    """Say how large a recipe may be, and how many puzzles it may lose."""
    parts = [f"{size_text(job.budget)} for the whole model"] if job.budget else []
    if job.max_drop is not None:
        parts.append(
            f"the smallest that loses at most {100 * job.max_drop:g} pp of the puzzles that decide"
        )
    return ", ".join(parts)


def notes(job: RecipeJob, outcome: RecipeOutcome) -> dict[str, Any]:
    """Collect what a recipe's file says for people."""
    return {
        "model": job.model.name,
        "model_sha256": job.model.sha256,
        "target": job.target.value if job.target else None,
        "bytes": outcome.chosen.stored,
        "budget": outcome.budget,
        "predicted_loss": outcome.chosen.predicted,
        "measured_loss": outcome.chosen.measured,
        "puzzles": job.num_puzzles,
        "calibration": describe_calibration(job.aside.recorded),
        "loss_puzzles": job.num_loss_puzzles,
        "deciding_puzzles": len(job.deciding),
        "exact": {each.name: each.rate.value for each in outcome.solved},
    }


def write_files(job: RecipeJob, outcome: RecipeOutcome, said: dict[str, Any], folder: Path) -> None:
    """Write everything into a folder."""
    write_recipe(folder / "recipe.json", outcome.solved[1].scheme, said)
    text = "\n".join(map(to_markdown, all_tables(outcome)))
    (folder / "recipe.md").write_text(text, encoding="utf-8")
    (folder / "front.csv").write_text(to_csv(front_records(job, outcome)), encoding="utf-8")
    with mpl.rc_context(figures.STYLE):
        figures.save(front_figure(job, outcome), folder / "recipe")


def all_tables(outcome: RecipeOutcome) -> list[Table]:
    """Make the tables in the order in which they are printed."""
    states = [states_table(outcome)] if outcome.states else []
    decided = [decided_table(outcome)] if outcome.tried else []
    final = [finalists_table(outcome)] if outcome.final else []
    return [
        *(matrices_table(outcome), *states, front_table(outcome), *decided, *final),
        solved_table(outcome),
    ]


def states_table(outcome: RecipeOutcome) -> Table:
    """Lay out what static activations cost, the dearest first."""
    dearest = sorted(outcome.states.items(), key=lambda state: -state[1].int8_cells)
    body = tuple((site, *(f"{loss:.5f}" for loss in of)) for site, of in dearest)
    title = (
        "Inputs of products (named after their matrix) and states between operators, each rounded"
        " alone: loss of one supervision step of the first batch of calibration puzzles"
    )
    header = (
        "Site",
        "int8, range\nof the cells",
        "int8, range of\nall positions",
        "int16, likewise",
    )
    return Table(title, header, body, frozenset())


def decided_table(outcome: RecipeOutcome) -> Table:
    """Lay out the sizes that the deciding puzzles were asked about."""
    body = tuple((size_text(each.stored), points_text(each.difference)) for each in outcome.tried)
    title = "Deciding puzzles, before the recipe was refined"
    return Table(title, ("Size", "Solved - full precision,\npp, in pairs"), body, frozenset())


def finalists_table(outcome: RecipeOutcome) -> Table:
    """Lay out the recipes at the end, and which of them is taken."""
    body = tuple(
        (each.name, size_text(each.stored), points_text(each.difference)) for each in outcome.final
    )
    title = "The last choice: that which solves most deciding puzzles, else that of least loss"
    header = ("", "Size", "Solved - full precision,\npp, in pairs")
    return Table(title, header, body, frozenset())


def matrices_table(outcome: RecipeOutcome) -> Table:
    """Lay out what every matrix gets."""
    rows = tuple(
        (site, name, stored_in, f"{stored:,}", f"{loss:.5f}")
        for site, name, stored_in, stored, loss in outcome.matrices
    )
    header = ("Matrix", "Weights", "Stored in", "Bytes", "Loss alone")
    return Table("The recipe", header, rows, frozenset())


def front_table(outcome: RecipeOutcome) -> Table:
    """Lay out mixes and single schemes: bytes, the sum of losses, and the loss of all together."""
    rows = [*outcome.front, *sorted(outcome.uniform, key=lambda point: point.stored)]
    body = tuple(
        (
            point.name or ("the recipe" if point is outcome.chosen else "mix"),
            size_text(point.stored),
            f"{point.predicted:.5f}",
            f"{point.measured:.5f}",
        )
        for point in rows
    )
    title = (
        "Loss of one supervision step: 1 - fidelity of z_H, of z_L and of logits, and KL of halting"
    )
    header = ("", "Size", "Sum of\nlosses alone", "Measured")
    return Table(title, header, body, frozenset({len(outcome.front)}))


def solved_table(outcome: RecipeOutcome) -> Table:
    """Lay out puzzles solved at full depth."""
    reference, recipe, *_ = outcome.solved
    body = tuple(
        (
            each.name,
            size_text(each.stored),
            with_interval(each.rate),
            points_text(each.difference(reference)) if each is not reference else "",
            points_text(recipe.difference(each)) if each is not recipe else "",
        )
        for each in outcome.solved
    )
    title = f"Puzzles solved of {len(reference.exact)} that did not calibrate"
    header = (
        *("", "Size", "PExact"),
        *("- full precision,\npp, in pairs", "Recipe - it,\npp, in pairs"),
    )
    return Table(title, header, body, frozenset())


def front_records(job: RecipeJob, outcome: RecipeOutcome) -> list[Record]:
    """Flatten the whole front, the smallest first."""
    measured = {point.stored: point.measured for point in outcome.front}
    return [
        {
            "bytes": point.stored + job.rest,
            "predicted_loss": point.loss,
            "measured_loss": measured.get(point.stored + job.rest, ""),
        }
        for point in outcome.every
    ]


def front_figure(job: RecipeJob, outcome: RecipeOutcome) -> Figure:
    """Draw losses over bytes: the front, what was measured of it, and single schemes."""
    figure = figures.figure_of(7, 4.2)
    ax = figure.add_subplot()
    sizes = [(point.stored + job.rest) / 1e3 for point in outcome.every]
    ax.plot(
        *(sizes, [max(point.loss, figures.FLOOR) for point in outcome.every]),
        color=figures.colour(5),
        label="mixes, sum of losses alone",
    )
    _points(ax, outcome.front, 4, "mixes, measured")
    _points(ax, outcome.uniform, 7, "one scheme for all, measured")
    _points(ax, (outcome.chosen,), 0, "the recipe")
    for point in outcome.uniform:
        name = point.name.partition("-")[0]  # w3t: longer ones run into their neighbours
        at = (point.stored / 1e3, max(point.measured, figures.FLOOR))
        ax.annotate(name, at, (5, 4), textcoords="offset points", fontsize=7)
    ax.axvline(outcome.budget / 1e3, color=figures.INK, linestyle=":", linewidth=1)
    ax.set(xscale="log", yscale="log", xlabel="kB of the stored model", ylabel="loss of one step")
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter("{x:g}")
    where = job.target.value if job.target else "densely packed"
    ax.set_title(f"{job.model.name}, {where}; dotted: the budget", loc="left")
    ax.legend(frameon=False)
    return figure


def _points(ax: Any, points: tuple[FrontMeasurement, ...], index: int, name: str) -> None:
    ax.plot(
        [point.stored / 1e3 for point in points],
        [max(point.measured, figures.FLOOR) for point in points],
        marker=figures.marker(index),
        color=figures.colour(index),
        linestyle="none",
        label=name,
    )
