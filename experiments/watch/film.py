"""The first puzzle of a page as pictures: a GIF, or a PNG for every H-cycle."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.animation import PillowWriter
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from experiments.render.figures import STYLE, text_colour
from experiments.render.scheme_style import scheme_index
from experiments.watch.job import WatchJob
from experiments.watch.recording import WatchedView
from quant.scheme import short_name
from trm_jax.data.facts import PuzzleFacts
from trm_jax.data.maze.solver import GOAL, PATH, START, WALL

FRAMES_PER_SECOND, LAST_HELD = 4, 6  # frames that the last state stands for
WRONG, BROKEN = "#F7B5A8", "#B3261E"
MAZE = {WALL: "#3B3F45", START: "#4A90D9", GOAL: "#4A90D9", PATH: "#F2C14E"}
ARC = ("#222222", "#888888", "#111111", "#1E93FF", "#F93C31", "#4FCC30", "#FFDC00", "#999999")
ARC += ("#E53AA3", "#FF851B", "#87D8F1", "#921231")


def write_gif(job: WatchJob, view: WatchedView, file: Path) -> None:
    """Write all H-cycles as one moving picture."""
    cycles = len(view.recordings[0].tokens)
    writer = PillowWriter(fps=FRAMES_PER_SECOND)
    with mpl.rc_context(STYLE):
        figure = _empty(view)
        with writer.saving(figure, str(file), dpi=64):
            for cycle in range(cycles):
                _draw(figure, view, cycle, job.puzzles.facts)
                writer.grab_frame()
            for _ in range(LAST_HELD):
                writer.grab_frame()


def write_frames(job: WatchJob, view: WatchedView, folder: Path) -> None:
    """Write FOLDER/cycle-NNN.png for every H-cycle."""
    with mpl.rc_context(STYLE):
        figure = _empty(view)
        for cycle in range(len(view.recordings[0].tokens)):
            _draw(figure, view, cycle, job.puzzles.facts)
            figure.savefig(folder / f"cycle-{cycle + 1:03d}.png", dpi=120)


def drop_later_frames(folder: Path, cycles: int) -> None:
    """Delete the frames of an earlier run that went on for more H-cycles: they are no part of it.

    Args:
      cycles: of this run.
    """
    for file in folder.glob("cycle-*.png"):
        number = file.stem.removeprefix("cycle-")
        if number.isdecimal() and int(number) > cycles:
            file.unlink()


def _empty(view: WatchedView) -> Figure:
    figure = Figure(figsize=(3.0 * len(view.recordings), 3.6))  # one layout for all frames
    FigureCanvasAgg(figure)
    return figure


def _draw(figure: Figure, view: WatchedView, cycle: int, facts: PuzzleFacts) -> None:
    """Draw one H-cycle of all schemes into a figure."""
    figure.clear()
    panels = figure.subplots(1, len(view.recordings), squeeze=False)[0]
    for ax, recording in zip(panels, view.recordings, strict=True):
        wrong = recording.wrong[cycle]
        given = view.watched.puzzle
        _board(ax, recording.tokens[cycle], given, wrong, recording.violations[cycle], facts)
        shade = text_colour(scheme_index(recording.scheme))
        words = "right" if recording.right[cycle] else f"{int(wrong.sum())} wrong"
        ax.set_title(f"{short_name(recording.scheme)}: {words}", fontsize=9, color=shade)
    total = len(view.recordings[0].tokens)
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.01, top=0.84, wspace=0.04)
    figure.suptitle(f"H-cycle {cycle + 1} of {total}", fontsize=9)


def _board(
    ax: Axes,
    tokens: np.ndarray,
    given: np.ndarray,
    wrong: np.ndarray,
    broken: np.ndarray,
    facts: PuzzleFacts,
) -> None:
    rows, columns = facts.grid
    for i, token in enumerate(map(int, tokens)):
        row, column = divmod(i, columns)
        colour = WRONG if wrong[i] else _colour(token, facts.task)
        ax.add_patch(Rectangle((column, row), 1, 1, facecolor=colour, edgecolor="#C4C4C4", lw=0.5))
        if letter := _letter(token, facts.task):
            weight = "bold" if facts.task == "sudoku" and given[i] > 1 else "normal"
            ax.text(column + 0.5, row + 0.54, letter, ha="center", va="center", weight=weight)
        if broken[i]:
            ax.add_patch(
                Rectangle((column + 0.07, row + 0.07), 0.86, 0.86, fill=False, ec=BROKEN, lw=1.2)
            )
    if facts.box is not None:
        ax.hlines(range(0, rows + 1, facts.box[0]), 0, columns, "black", lw=1.2)
        ax.vlines(range(0, columns + 1, facts.box[1]), 0, rows, "black", lw=1.2)
    ax.set(xlim=(-0.05, columns + 0.05), ylim=(rows + 0.05, -0.05), aspect="equal")
    ax.axis("off")


def _colour(token: int, task: str) -> str:
    if task == "maze":
        return MAZE.get(token, "#FFFFFF")
    if task == "arc":
        return ARC[token]
    return "#FFFFFF"


def _letter(token: int, task: str) -> str:
    if task == "maze":
        return {START: "S", GOAL: "G"}.get(token, "")
    if task != "sudoku" or token < 2:
        return ""
    return "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[token - 1]
