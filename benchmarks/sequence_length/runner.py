"""Int8 against float32 over sequence lengths: times, ratios, where the crossover lies."""

import argparse
import dataclasses
import enum
import functools
import itertools
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from experiments.render import figures
from export.graph.files import convert_graphs
from export.graph.ir import GraphModel
from export.lowering.model import lower_floats
from export.lowering.storage import plan_for
from export.runtimes.contract import Runtime
from export.runtimes.registry import open_runtime
from export.targets import Target
from quant.ptq.calibrate import ProductRange, input_widths
from quant.scheme import parse
from quant.simulation import quantise_for
from trm_jax.config import SUDOKU_TRM_ATT, Mixer, Positions, TRMConfig
from trm_jax.models.build import build
from trm_jax.output.ownership import check_file_place

WARM = 2  # calls that do not count
SHORTEST = 16  # positions of the weights that attention shares over lengths
SAMPLE_SECONDS = 0.02  # a call repeats until it fills this; one of a short sequence is all noise
CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}
SPAN = ProductRange((-4.0, 4.0), (-4.0, 4.0))  # any range: latency does not depend on it


class SpeedVerdict(enum.Enum):
    """What ratios say of int8."""

    FASTER = "faster"
    SLOWER = "slower"
    UNDECIDED = "undecided"


def verdict(ratios: Sequence[float] | np.ndarray) -> SpeedVerdict:
    """Judge int8 : float."""
    low, high = np.percentile(ratios, [10, 90])
    if high < 1:
        return SpeedVerdict.FASTER
    return SpeedVerdict.SLOWER if low > 1 else SpeedVerdict.UNDECIDED


def crossover(verdicts: Sequence[tuple[int, SpeedVerdict]]) -> str:
    """Say where int8 becomes faster, from (length, verdict) in order of length."""
    last = max((length for length, v in verdicts if v is SpeedVerdict.SLOWER), default=0)
    tail = itertools.takewhile(lambda pair: pair[1] is SpeedVerdict.FASTER, reversed(verdicts))
    after = [length for length, _ in tail]  # from the longest down, as long as int8 is faster
    span = f"{verdicts[0][0]} to {verdicts[-1][0]}"
    if last and after:
        return f"between {last} and {min(after)} positions"
    if after:
        return f"not found from {span}: int8 is faster from {min(after)} on and nowhere slower"
    if last:
        return f"not found from {span}: int8 is nowhere faster beyond {last}"
    return f"not found from {span}: the noise decides nothing"


def crossovers(rows: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Say for every contestant where the crossover lies."""
    answers = {}
    for name in dict.fromkeys(row["contestant"] for row in rows):
        mine = [(r["length"], SpeedVerdict(r["verdict"])) for r in rows if r["contestant"] == name]
        answers[name] = crossover(mine)
    return answers


def show(rows: Sequence[dict[str, Any]], console: Console) -> None:
    """Print the table, and where the crossovers lie."""
    first = rows[0]
    table = Table(
        title=f"int8 against float32, one block, {first['mixer']}, batch 1, {first['threads']}"
        f" thread(s), {first['clock']} time, n = {first['repeats']} repeats"
    )
    for name in ("contestant", "length", "float, ms", "int8, ms", "int8 : float [p10, p90]", ""):
        table.add_column(name)
    for r in rows:
        table.add_row(
            r["contestant"],
            str(r["length"]),
            f"{r['float_ms']:.3g}",
            f"{r['int8_ms']:.3g}",
            f"{r['ratio']:.2f} [{r['ratio_p10']:.2f}, {r['ratio_p90']:.2f}]",
            r["verdict"],
        )
    console.print(table)
    for name, text in crossovers(rows).items():
        console.print(f"crossover, {name}: {text}", highlight=False)
    loads = [r["load"] for r in rows]
    console.print(
        f"load average {min(loads):.1f} to {max(loads):.1f} on {rows[0]['cores']} cores",
        highlight=False,
    )


def draw(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw the ratios over the length, with their spread."""
    figure = figures.figure_of(7.6, 4.6)
    ax = figure.subplots()
    for i, name in enumerate(dict.fromkeys(r["contestant"] for r in rows)):
        mine = [r for r in rows if r["contestant"] == name]
        x, y = [r["length"] for r in mine], np.asarray([r["ratio"] for r in mine])
        ends = np.abs([[r["ratio_p10"] for r in mine], [r["ratio_p90"] for r in mine]] - y)
        ax.errorbar(
            x,
            y,
            yerr=ends,
            label=name,
            color=figures.colour(i),
            marker=figures.marker(i),
            capsize=3,
        )
    ax.axhline(1.0, color="#888888", linewidth=0.8)
    ax.set_xscale("log", base=2)
    ax.set_yscale("log", base=2)
    ax.set_xticks([r["length"] for r in rows], [str(r["length"]) for r in rows])
    ax.set_xlabel("positions")
    ax.set_ylabel("time of int8 : time of float32")
    ax.legend(frameon=False)
    load = max(r["load"] for r in rows)
    first = rows[0]
    figure.suptitle(
        f"Does int8 pay? One block ({first['mixer']}), batch 1, this CPU, {first['threads']}"
        f" thread(s), {first['clock']} time\nbars: 10th to 90th percentile of"
        f" {first['repeats']} repeats; load {load:.1f} on {first['cores']} cores",
        x=0.01,
        ha="left",
        fontsize=10,
    )
    figures.save(figure, path)


class SchemeContestant(NamedTuple):
    """An int8 scheme on a runtime; its rival is float32 there."""

    name: str
    target: Target
    scheme: str


CONTESTANTS = (
    SchemeContestant("LiteRT static", Target.LITERT, "w8c-sym_a8s"),
    SchemeContestant("LiteRT dynamic", Target.LITERT, "w8c-sym_a8da"),
    SchemeContestant("ORT static", Target.ONNX, "w8c-sym_a8s"),
)


def config_of(length: int, mixer: Mixer) -> TRMConfig:
    """Make the published network over `length` positions, one of them the puzzle's.

    Raises:
      ValueError: too short.
    """
    if length < 2:
        raise ValueError(f"lengths must be at least 2, got {length}")
    positions = Positions.NONE if mixer is Mixer.MLP else Positions.ROPE
    return dataclasses.replace(
        SUDOKU_TRM_ATT,
        seq_len=length - 1,
        puzzle_emb_len=1,
        mixer=mixer,
        positions=positions,
        forward_dtype="float32",
    )


@functools.cache
def weights_of(config: TRMConfig) -> Any:
    """Draw weights; attention's do not depend on the length (see `model_of`)."""
    import jax

    return build(config).init(jax.random.key(0)).params


def model_of(config: TRMConfig, scheme: str, target: Target) -> GraphModel:
    """Lower one block for one puzzle."""
    same = config if config.mixer is Mixer.MLP else config_of(SHORTEST, config.mixer)
    params, plan = weights_of(same), plan_for(parse(scheme), target)
    ranges = dict.fromkeys(input_widths(params), SPAN)
    model = lower_floats(
        config,
        quantise_for(params, plan.precision),
        plan,
        batch=1,
        graphs=("block",),
        ranges=ranges,
    )
    return convert_graphs(model, target)


def call_ms(
    runtime: Runtime, inputs: dict[str, np.ndarray], calls: int, clock: Callable[[], float]
) -> float:
    """Time `calls` calls; ms of one."""
    start = clock()
    for _ in range(calls):
        runtime.run("block", inputs)
    return 1e3 * (clock() - start) / calls


def times(
    config: TRMConfig, threads: int, repeats: int, clock: Callable[[], float]
) -> dict[tuple[Target, str], list[float]]:
    """Time every scheme of every runtime, by turns; ms per repeat."""
    schemes = dict.fromkeys((c.target, s) for c in CONTESTANTS for s in ("fp32", c.scheme))
    opened = {
        key: open_runtime(key[0], model_of(config, key[1], key[0]), threads=threads)
        for key in schemes
    }
    rng, shape = np.random.default_rng(0), (1, config.num_positions, config.hidden_size)
    inputs = {name: rng.normal(size=shape).astype(np.float32) for name in ("z", "injection")}
    milliseconds: dict[tuple[Target, str], list[float]] = {key: [] for key in opened}
    try:
        calls = {}
        for key, runtime in opened.items():
            call_ms(runtime, inputs, WARM, clock)
            calls[key] = max(1, round(1e3 * SAMPLE_SECONDS / call_ms(runtime, inputs, 1, clock)))
        for _ in range(repeats):
            for key, runtime in opened.items():
                milliseconds[key].append(call_ms(runtime, inputs, calls[key], clock))
    finally:
        for runtime in opened.values():
            runtime.close()
    return milliseconds


def measure(
    lengths: Sequence[int], mixer: Mixer, threads: int, repeats: int, clock: str, console: Console
) -> list[dict[str, Any]]:
    """Time all lengths: one row per length and contestant.

    Raises:
      ValueError: lengths or repeats out of range.
      RuntimeError: a runtime is missing.
    """
    if repeats < 2 or threads < 1 or not lengths:
        raise ValueError(f"needs lengths, 2 repeats and a thread, got {repeats} and {threads}")
    if clock == "cpu" and threads > 1:
        raise ValueError("CPU time adds threads up; use --clock wall, or one thread")
    rows = []
    for length in sorted(set(lengths)):
        milliseconds = times(config_of(length, mixer), threads, repeats, CLOCKS[clock])
        console.print(f"{length} positions: done", highlight=False)
        for c in CONTESTANTS:
            int8, plain = (np.asarray(milliseconds[c.target, s]) for s in (c.scheme, "fp32"))
            low, middle, high = np.percentile(int8 / plain, [10, 50, 90])
            rows.append(
                {
                    "contestant": c.name,
                    "scheme": c.scheme,
                    "mixer": mixer.value,
                    "length": length,
                    "int8_ms": float(np.median(int8)),
                    "float_ms": float(np.median(plain)),
                    "ratio": float(middle),
                    "ratio_p10": float(low),
                    "ratio_p90": float(high),
                    "verdict": verdict(int8 / plain).value,
                    "repeats": repeats,
                    "threads": threads,
                    "clock": clock,
                    "load": os.getloadavg()[0],
                    "cores": os.cpu_count(),
                }
            )
    return rows


def run(args: argparse.Namespace, console: Console) -> list[dict[str, Any]]:
    """Time what the options name, and draw it where they ask for a figure.

    Raises:
      ValueError, RuntimeError: as `measure`.
    """
    if args.figure:  # before the minutes that it would cost
        check_file_place(args.figure)
        args.figure.parent.mkdir(parents=True, exist_ok=True)
    rows = measure(args.lengths, Mixer(args.mixer), args.threads, args.repeats, args.clock, console)
    if args.figure:
        draw(rows, args.figure)
    return rows
