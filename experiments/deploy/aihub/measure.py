"""What is measured on this computer around a device's numbers, and the row of a finished run."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from experiments.deploy.aihub.command import Loop
from experiments.deploy.aihub.rows import AiHubRow
from experiments.deploy.aihub.runner import DeviceRun
from experiments.deploy.aihub.step_inputs import first_inputs, score
from experiments.deploy.aihub.variants import Prepared, Route
from experiments.measurement.halting import HaltedShard, halt_shard
from experiments.measurement.shards import moments, to_hex
from export.aihub import profile as aihub_profile
from export.aihub.client import Hub
from export.artifact.host_state import embed
from export.runtimes.registry import open_runtime
from export.targets import Target
from trm_jax.data.batches import gather
from trm_jax.data.format import PuzzleDataset
from trm_jax.halting import NEVER, Halting, StepReading
from trm_jax.loading import Puzzles, gather_batch
from trm_jax.metrics import puzzle_exact

WARM, REPEATS = 2, 9
HERE = {
    Route.TFLITE: (Target.LITERT, "LiteRT, CPU"),
    Route.ONNX: (Target.ONNX, "ORT, CPU"),
    Route.HUB: (Target.ONNX, "ORT float, CPU"),
}


def median_ms(function: Callable[[], object]) -> float:
    """Time a call, warm."""
    times = []
    for _ in range(WARM + REPEATS):
        start = time.perf_counter()
        function()
        times.append(1e3 * (time.perf_counter() - start))
    return float(np.median(times[WARM:]))


def host_ms(prepared: Prepared, dataset: PuzzleDataset) -> float:
    """Time what the host does for one puzzle: embed it, and take the most likely tokens."""
    config = prepared.simulation.reasoner.config
    inputs = np.asarray(dataset.inputs[:1], np.int32)
    identifiers = np.zeros(1, np.int32)
    logits = np.zeros((1, config.seq_len, config.vocab_size), np.float32)

    def once() -> None:
        embed(inputs, identifiers, prepared.host, config)
        np.argmax(logits, axis=-1)

    return median_ms(once)


def here_ms(device_run: DeviceRun) -> tuple[float, str]:
    """Time a step of the run's file on this computer, one thread; a stand-in for no phone."""
    target, name = HERE[device_run.prepared.variant.route]
    inputs = {k: v[0] for k, v in first_inputs(device_run.states).items()}
    runtime = open_runtime(target, device_run.prepared.model)
    try:
        return median_ms(lambda: runtime.run("step", inputs)), name
    finally:
        runtime.close()


def read_steps(
    outputs: Mapping[str, Sequence[np.ndarray]], steps: int, puzzles: int
) -> list[StepReading]:
    """List what a device says of the puzzles after every step.

    Args:
      outputs: `logits` and `q` of samples, steps outermost.
    """
    logits, q = (np.concatenate([np.asarray(x) for x in outputs[n]]) for n in ("logits", "q"))
    tokens = np.argmax(logits, axis=-1).astype(np.int32).reshape(steps, puzzles, -1)
    q = q.astype(np.float32).reshape(steps, puzzles, -1)
    return [StepReading(tokens[k], q[k, :, 0], q[k, :, 1]) for k in range(steps)]


def halt(
    halting: Halting,
    puzzles: Puzzles,
    outputs: Mapping[str, Sequence[np.ndarray]],
    steps: int,
    count: int,
) -> HaltedShard | None:
    """Find where a rule ends the first puzzles on the device; None where it never does."""
    if halting == NEVER:
        return None
    host = gather(puzzles.ordered, np.arange(count), count)
    rules = puzzles.task.rules(puzzles.facts)
    return halt_shard(halting, host.inputs, host.labels, read_steps(outputs, steps, count), rules)


def outputs_of(device_run: DeviceRun) -> dict[str, list[np.ndarray]]:
    """Put what the stages of a run gave one after the other."""
    return {
        name: [array for stage in device_run.outputs for array in stage[name]]
        for name in ("z_H", "logits", "q")
    }


def _scores(
    device_run: DeviceRun, asked: Puzzles, outputs: Mapping[str, Sequence[np.ndarray]]
) -> dict[str, Any]:
    """Hold what a device answered against labels and the simulation: fields of a row."""
    steps, puzzles = device_run.states.tokens.shape[:2]
    scores = score(outputs, device_run.states, range(steps))
    labels = gather_batch(asked.ordered, np.arange(puzzles)).labels
    exact = np.asarray(puzzle_exact(jnp.asarray(scores.answers, jnp.int32), labels))
    infidelity = (1 - scores.fidelity).reshape(steps, puzzles).mean(axis=0)
    return {
        "exact": to_hex(exact[None])[0],
        "equal_cells": int(scores.equal_cells.sum()),
        "cells": int(device_run.states.tokens.size),
        "infidelity": moments(infidelity[None])[0],
    }


def row_of(
    device_run: DeviceRun, hub: Hub, asked: Puzzles, loop: Loop, halting: Halting, digest: str
) -> AiHubRow:
    """Turn a finished run into a row.

    Args:
      asked: puzzles, of which the run answered the first ones.
    """
    config, variant = device_run.prepared.simulation.reasoner.config, device_run.prepared.variant
    steps, puzzles = device_run.states.tokens.shape[:2]
    outputs = outputs_of(device_run)
    profile = aihub_profile.read_profile(device_run.profile)
    here, runtime = here_ms(device_run)
    return AiHubRow(
        digest=digest,
        task=asked.task.name,
        variant=variant.name,
        label=variant.label,
        device=device_run.device,
        route=variant.route.value,
        precision=variant.precision.value,
        loop=loop.value,
        H_cycles=config.H_cycles,
        steps=steps,
        file_bytes=device_run.prepared.file.stat().st_size,
        step_ms=profile.call_ms,
        all_ms=profile.all_ms,
        host_ms=host_ms(device_run.prepared, asked.ordered),
        here_ms=here,
        here=runtime,
        peak_bytes=profile.peak_bytes,
        units={unit.value: count for unit, count in profile.units.items()},
        layers=tuple((layer.name, layer.kind, layer.unit.value) for layer in profile.layers),
        puzzles=puzzles,
        **_scores(device_run, asked, outputs),
        halted=halt(halting, asked, outputs, steps, puzzles),
        jobs=dict(device_run.jobs),
        urls={kind: hub.url(job) for kind, job in device_run.jobs.items()},
    )
