"""`--study quant`: one decoder under many schemes, in the rows of a comparison.

    quant.md, .csv    exact match in pairs with full precision, fidelity along full precision's text
                      and along its own, stored bytes, bytes of keys and values
    quant.png/.svg    exact match against stored bytes and against both fidelities

Puzzles, solvers, rows and resuming are the comparison's (job.py, runner.py); here are the schemes
that are tried and what is shown of them.
"""

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from rich.console import Console

from experiments.decode.outcomes import Comparison, DecodeOutcome, compare, comparison
from experiments.decode.rows import DecodeRow, DecodeSpec
from experiments.decode.runner import compare as run_comparison
from experiments.decode.tables import free_fields, free_text, ordering_table
from experiments.render.figures import STYLE, colour, figure_of, marker, save
from experiments.render.scheme_style import scheme_index
from experiments.render.tables import (
    Record,
    Table,
    p_text,
    points_text,
    print_tables,
    size_text,
    to_csv,
    to_markdown,
    with_error,
    with_interval,
)
from export.footprint.decoder import decoder_footprint
from quant.scheme import label, parse
from trm_jax import zoo
from trm_jax.decoder.config import DecoderConfig
from trm_jax.decoder.loading import is_decoder, load_named_decoder
from trm_jax.intervals import interval_fields, interval_of

LEAST = 1e-6
"""Infidelity from which an axis begins; float32 cannot tell much less from 0."""


def study_quant(args: argparse.Namespace) -> None:
    """Run the study that a command line of experiments.decode.studies names.

    Raises:
      ValueError, OSError: bad input; nothing was lost.
    """
    if args.models:
        raise ValueError("--study quant takes one decoder: name it with --model")
    name = args.model or zoo.default_decoder(args.task)
    if not is_decoder(name):
        raise ValueError(
            f"--study quant takes a decoder, bundled ({', '.join(zoo.DECODERS)}) or a folder of"
            f" one, got {name!r}; experiments.sweep takes recursive models"
        )
    args.models = name
    args.out = args.out or Path("runs") / f"decode-{args.task}-quant"
    config = load_named_decoder(name).config
    run_comparison(args, partial(write_study, config))


def scheme_records(config: DecoderConfig, measured: Comparison) -> list[Record]:
    """Lay out the numbers of all schemes."""
    return [_record(config, measured, outcome) for outcome in measured.outcomes]


def _record(config: DecoderConfig, measured: Comparison, outcome: DecodeOutcome) -> Record:
    spec = measured.spec
    change, p = compare(measured.find(outcome.contestant.name, spec.reference), outcome)
    return {
        "decoder": outcome.contestant.name,
        "scheme": label(outcome.scheme, spec.dtype),
        "puzzles": outcome.num_puzzles,
        **interval_fields("exact", outcome.exact),
        **interval_fields("to_full_precision", change),
        "mcnemar_p": p,
        **interval_fields("fidelity", outcome.fidelity),
        **free_fields(outcome),
        **interval_fields("same", outcome.rate("same")),
        **interval_fields("tokens", outcome.mean_depth),
        "bytes": outcome.size,
        "kv_bytes_per_token": decoder_footprint(config, parse(outcome.scheme)).token_bytes,
        "kv_bytes": outcome.state_bytes,
    }


def scheme_table(measured: Comparison, records: Sequence[Record]) -> Table:
    """Lay schemes out one below the other."""
    header = (
        "Scheme",
        "PExact",
        "- full precision, pp\n(McNemar p)",
        "Fidelity",
        "Free-running",
        "Same text",
        "Tokens",
        "Stored",
        "KV a token",
        "KV, mean of\npuzzles",
    )
    name = measured.spec.contestants[0].name
    title = (
        f"{name} under schemes, {measured.num_puzzles} puzzles of {measured.spec.data}; fidelity"
        " along full precision's text, and (free-running) along the scheme's own"
    )
    rows = tuple(_cells(record, is_full=i == 0) for i, record in enumerate(records))
    return Table(title, header, rows, frozenset())


def _cells(record: Record, *, is_full: bool) -> tuple[str, ...]:
    change = points_text(interval_of(record, "to_full_precision")).split("\n")
    paired = f"{change[0]} (p {p_text(record['mcnemar_p'])})\n{change[1]}"
    return (
        record["scheme"],
        with_interval(interval_of(record, "exact")),
        "" if is_full else paired,
        "" if is_full else with_error(interval_of(record, "fidelity")),
        "" if is_full else free_text(record),
        "" if is_full else with_interval(interval_of(record, "same")),
        with_error(interval_of(record, "tokens")),
        size_text(record["bytes"]),
        size_text(record["kv_bytes_per_token"]),
        size_text(round(record["kv_bytes"])),
    )


def _infidelity(outcome: DecodeOutcome) -> float:
    return max(LEAST, 1 - outcome.fidelity.value)


def _free_infidelity(outcome: DecodeOutcome) -> float:
    return max(LEAST, 1 - outcome.own_fidelity.value)


class ComparedAxis(NamedTuple):
    """What exact match is drawn against."""

    name: str
    value: Callable[[DecodeOutcome], float]
    scale: str


AXES = (
    ComparedAxis("Stored, MB", lambda outcome: outcome.size / 1e6, "linear"),
    ComparedAxis("1 - fidelity, full precision's text", _infidelity, "log"),
    ComparedAxis("1 - fidelity, free-running", _free_infidelity, "log"),
)


def scheme_figure(measured: Comparison) -> Figure:
    """Draw exact match of every scheme against its bytes and its fidelities."""
    spec = measured.spec
    with mpl.rc_context(STYLE):
        figure = figure_of(12.0, 5.2)
        axes = figure.subplots(1, len(AXES), sharey=True)
        for ax, (name, value, scale) in zip(axes, AXES, strict=True):
            for outcome in measured.outcomes:
                _draw_point(ax, value(outcome), outcome)
            ax.set_xlabel(name)
            ax.set_xscale(scale)
            ax.set_ylim(0, 1.02)
        axes[0].set_xlim(left=0)
        axes[0].set_ylabel("Puzzles without a wrong cell")
        handles = [
            Line2D(
                [],
                [],
                color=colour(scheme_index(scheme)),
                marker=marker(scheme_index(scheme)),
                linestyle="none",
                label=label(scheme, spec.dtype),
            )
            for scheme in spec.schemes
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=5, frameon=False)
        figure.suptitle(f"{spec.contestants[0].name}, {measured.num_puzzles} puzzles")
    return figure


def _draw_point(ax: Axes, at: float, outcome: DecodeOutcome) -> None:
    exact, i = outcome.exact, scheme_index(outcome.scheme)
    reach = [[exact.value - exact.low], [exact.high - exact.value]]
    ax.errorbar([at], [exact.value], reach, color=colour(i), marker=marker(i), linestyle="none")


def write_study(
    config: DecoderConfig, spec: DecodeSpec, rows: Sequence[DecodeRow], out: Path, console: Console
) -> None:
    """Print the table and write all files of the study.

    Raises:
      ValueError: no shard is finished under every scheme.
    """
    measured = comparison(spec, rows)
    records = scheme_records(config, measured)
    table = scheme_table(measured, records)
    shown = [table, ordering_table(measured)]
    print_tables(shown, console)
    (out / "quant.md").write_text("\n".join(map(to_markdown, shown)), encoding="utf-8")
    (out / "quant.csv").write_text(to_csv(records), encoding="utf-8")
    save(scheme_figure(measured), out / "quant")
    console.print(f"rows, table and figure: {out}", soft_wrap=True)
