"""Figures of a comparison: exact match against costs, and against hard caps.

Not here: style (experiments/render/figures.py).
"""

from collections.abc import Callable

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from experiments.decode.outcomes import Comparison, DecodeOutcome
from experiments.decode.rows import TOKENS
from experiments.render.figures import STYLE, colour, figure_of, marker
from quant.scheme import label

COSTS: dict[str, Callable[[DecodeOutcome], float]] = {
    "GFLOPs": lambda outcome: outcome.gflops,
    "MB of weights read": lambda outcome: outcome.bytes_read / 1e6,
    "kB of state": lambda outcome: outcome.state_bytes / 1e3,
}
"""What a puzzle costs, by the name of an axis."""

CAPS = 60
"""Points of a curve over caps."""


def cost_figure(measured: Comparison) -> Figure:
    """Draw exact match against what a puzzle costs: colours are contestants, markers schemes."""
    spec = measured.spec
    with mpl.rc_context(STYLE):
        figure = figure_of(12.0, 4.2)
        axes = figure.subplots(1, len(COSTS), sharey=True)
        for ax, (name, cost) in zip(axes, COSTS.items(), strict=True):
            for i, contestant in enumerate(spec.contestants):
                for k, scheme in enumerate(spec.schemes):
                    outcome = measured.find(contestant.name, scheme)
                    exact = outcome.exact
                    reach = [[exact.value - exact.low], [exact.high - exact.value]]
                    ax.errorbar(
                        [cost(outcome)],
                        [exact.value],
                        reach,
                        color=colour(i),
                        marker=marker(k),
                        linestyle="none",
                    )
            _log_axis(ax)
            ax.set_xlabel(f"{name} per puzzle")
            ax.set_ylim(0, 1)
        axes[0].set_ylabel("Puzzles without a wrong cell")
        figure.suptitle(f"{spec.data}, {measured.num_puzzles} puzzles")
        _legend(figure, measured)
    return figure


def _log_axis(ax: Axes) -> None:
    """Count a cost in ones, twos and fives of every decade."""
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=6))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_locator(NullLocator())


def _legend(figure: Figure, measured: Comparison) -> None:
    spec = measured.spec
    handles = [
        Line2D([], [], color=colour(i), linewidth=3, label=contestant.name)
        for i, contestant in enumerate(spec.contestants)
    ]
    handles += [
        Line2D(
            [], [], color="0.3", marker=marker(k), linestyle="none", label=label(scheme, spec.dtype)
        )
        for k, scheme in enumerate(spec.schemes)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)


def depth_figure(measured: Comparison) -> Figure:
    """Draw decoders: exact match when text is cut at so many tokens, and how long texts are."""
    spec = measured.spec
    written = [each for each in spec.contestants if each.unit == TOKENS]
    most = max(
        int(measured.find(each.name, scheme).depth.max())
        for each in written
        for scheme in spec.schemes
    )
    caps = np.unique(np.linspace(1, most, CAPS).astype(int))
    with mpl.rc_context(STYLE):
        figure = figure_of(9.6, 4.2)
        left, right = figure.subplots(1, 2)
        for i, contestant in enumerate(written):
            for k, scheme in enumerate(spec.schemes):
                outcome = measured.find(contestant.name, scheme)
                shade = colour(i * len(spec.schemes) + k)
                name = f"{contestant.name}, {label(scheme, spec.dtype)}"
                rates = [outcome.solved_within(int(cap)).value for cap in caps]
                left.plot(caps, rates, color=shade, label=name)
                right.hist(outcome.depth, bins=30, histtype="step", color=shade)
        left.set_xlabel("Tokens at which an unfinished answer is cut")
        left.set_ylabel("Puzzles without a wrong cell")
        left.set_ylim(0, 1)
        right.set_xlabel("Tokens written")
        right.set_ylabel("Puzzles")
        figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure
