"""The way of every scheme to every device: jobs side by side, each asked for once.

A device run is one scheme on one device. Jobs of all runs are submitted before any is waited for.
What a job gave is kept in OUT/results/JOB.npz and .json, so that nothing is downloaded twice. A
run whose job fails is left out with the reason; what concerns all runs (token, quota, connection,
time-out) ends the program, and the ledger knows what is under way.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from experiments.deploy.aihub.command import Loop
from experiments.deploy.aihub.step_inputs import (
    States,
    first_inputs,
    forced_inputs,
    named,
    next_inputs,
)
from experiments.deploy.aihub.variants import HUB_TYPES, Prepared, Route
from export.aihub.client import Hub, JobFailed, hash_samples, sha256
from export.aihub.results import JobResults, has_results, load_results, save_results

QNN = "--target_runtime qnn_context_binary"
Arrays = Mapping[str, Sequence[np.ndarray]]


@dataclass(kw_only=True)
class DeviceRun:
    """A scheme on its way to a device.

    Attributes:
      calibration: samples for AI Hub's own quantiser; None elsewhere.
      model: id of what runs; outputs: of every stage so far; profile: of the last one.
      failed: why the run ended early.
    """

    prepared: Prepared
    device: str
    states: States
    calibration: Arrays | None = None
    model: str = ""
    inputs: Arrays = field(default_factory=dict)
    outputs: list[Arrays] = field(default_factory=list)
    profile: dict[str, Any] = field(default_factory=dict)
    jobs: dict[str, str] = field(default_factory=dict)
    failed: str = ""

    @property
    def name(self) -> str:
        """Name the run's jobs; the file's hash makes it the content's."""
        sha = sha256(self.prepared.file.read_bytes())
        return f"{self.prepared.variant.name}/{sha}"


def run(
    hub: Hub,
    device_runs: Sequence[DeviceRun],
    loop: Loop,
    results: Path,
    retry: bool,
    show: Callable[[int, str], None],
) -> None:
    """Bring every run to its end; failures of one run are noted in it.

    Args:
      results: folder of downloads.
      retry: ask again for jobs that failed.
      show: told (jobs done, what).

    Raises:
      HubError: what concerns all runs.
    """
    for device_run in device_runs:
        device_run.model = hub.upload(device_run.prepared.file)
    _convert(hub, device_runs, "quantise", Route.HUB, _quantise, retry)
    _convert(
        hub,
        [device_run for device_run in device_runs if not device_run.failed],
        "compile",
        None,
        _compile,
        retry,
    )
    stages = len(device_runs[0].states.tokens) if loop is Loop.CLOSED else 1
    for stage in range(stages):
        running = [device_run for device_run in device_runs if not device_run.failed]
        for device_run in running:
            device_run.inputs = _inputs(device_run, loop)
            _submit(hub, device_run, "inference", lambda device_run: _infer(hub, device_run), retry)
        for i, device_run in enumerate(running):
            show(
                stage * len(device_runs) + i,
                f"{device_run.prepared.variant.name} on {device_run.device}",
            )
            _collect(hub, device_run, results)


def _convert(
    hub: Hub,
    device_runs: Sequence[DeviceRun],
    kind: str,
    route: Route | None,
    ask: Callable[[Hub, DeviceRun], str],
    retry: bool,
) -> None:
    """Let AI Hub make other models of the runs' ones: submit all, then wait."""
    routes = (Route.ONNX, Route.HUB) if route is None else (route,)
    taking = [
        device_run for device_run in device_runs if device_run.prepared.variant.route in routes
    ]
    for device_run in taking:
        _submit(hub, device_run, kind, lambda device_run: ask(hub, device_run), retry)
    for device_run in taking:
        try:
            device_run.model = hub.target_model(device_run.jobs[kind])
        except JobFailed as error:
            device_run.failed = str(error)


def _submit(
    hub: Hub, device_run: DeviceRun, kind: str, ask: Callable[[DeviceRun], str], retry: bool
) -> None:
    """Ask for a job; one that failed before is asked for again only if that is wanted."""
    device_run.jobs[kind] = ask(device_run)
    if retry and hub.has_failed(device_run.jobs[kind]):
        hub.forget(device_run.jobs[kind])
        device_run.jobs[kind] = ask(device_run)


def _quantise(hub: Hub, device_run: DeviceRun) -> str:
    assert device_run.calibration is not None
    weights, inputs = HUB_TYPES[device_run.prepared.variant.precision]
    samples = hub.upload_inputs(device_run.calibration, "calibration states")
    key = f"quantise/{device_run.name}/{hash_samples(device_run.calibration)}"
    return hub.quantise(key, device_run.model, samples, weights, inputs)


def _compile(hub: Hub, device_run: DeviceRun) -> str:
    return hub.compile(
        f"compile/{device_run.name}/{device_run.device}", device_run.model, device_run.device, QNN
    )


def _infer(hub: Hub, device_run: DeviceRun) -> str:
    samples = hub.upload_inputs(device_run.inputs, "states")
    key = f"inference/{device_run.name}/{device_run.device}/{hash_samples(device_run.inputs)}"
    return hub.infer(key, device_run.model, device_run.device, samples)


def _inputs(device_run: DeviceRun, loop: Loop) -> Arrays:
    if loop is Loop.FORCED:
        return forced_inputs(device_run.states)
    if not device_run.outputs:
        return first_inputs(device_run.states)
    return next_inputs(device_run.inputs, device_run.outputs[-1])


def _collect(hub: Hub, device_run: DeviceRun, results: Path) -> None:
    try:
        outputs, device_run.profile = _results(hub, device_run.jobs["inference"], results)
        device_run.outputs.append(named(outputs, device_run.prepared.graph))
    except (JobFailed, ValueError) as error:
        device_run.failed = str(error)


def _results(hub: Hub, job: str, folder: Path) -> JobResults:
    """Load what a job gave, from the disk if it was downloaded before."""
    if not has_results(folder, job):
        save_results(folder, job, *hub.results(job))
    return load_results(folder, job)
