"""The way of every scheme to every device: jobs side by side, each asked for once.

A lane is one scheme on one device. Jobs of all lanes are submitted before any is waited for.
What a job gave is kept in OUT/results/JOB.npz and .json, so that nothing is downloaded twice. A
lane whose job fails is left out with the reason; what concerns all lanes (token, quota,
connection, time-out) ends the program, and the ledger knows what is under way.
"""

import json
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

QNN = "--target_runtime qnn_context_binary"
Arrays = Mapping[str, Sequence[np.ndarray]]


@dataclass(kw_only=True)
class DeviceRun:
    """A scheme on its way to a device.

    Attributes:
      calibration: samples for AI Hub's own quantiser; None elsewhere.
      model: id of what runs; outputs: of every stage so far; profile: of the last one.
      failed: why the lane ended early.
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
        """Name the lane's jobs; the file's hash makes it the content's."""
        sha = sha256(self.prepared.file.read_bytes())
        return f"{self.prepared.variant.name}/{sha}"


def run(
    hub: Hub,
    lanes: Sequence[DeviceRun],
    loop: Loop,
    results: Path,
    retry: bool,
    show: Callable[[int, str], None],
) -> None:
    """Bring every lane to its end; failures of one lane are noted in it.

    Args:
      results: folder of downloads.
      retry: ask again for jobs that failed.
      show: told (jobs done, what).

    Raises:
      HubError: what concerns all lanes.
    """
    for lane in lanes:
        lane.model = hub.upload(lane.prepared.file)
    _convert(hub, lanes, "quantise", Route.HUB, _quantise, retry)
    _convert(hub, [lane for lane in lanes if not lane.failed], "compile", None, _compile, retry)
    stages = len(lanes[0].states.tokens) if loop is Loop.CLOSED else 1
    for stage in range(stages):
        running = [lane for lane in lanes if not lane.failed]
        for lane in running:
            lane.inputs = _inputs(lane, loop)
            _submit(hub, lane, "inference", lambda lane: _infer(hub, lane), retry)
        for i, lane in enumerate(running):
            show(stage * len(lanes) + i, f"{lane.prepared.variant.name} on {lane.device}")
            _collect(hub, lane, results)


def _convert(
    hub: Hub,
    lanes: Sequence[DeviceRun],
    kind: str,
    route: Route | None,
    ask: Callable[[Hub, DeviceRun], str],
    retry: bool,
) -> None:
    """Let AI Hub make other models of the lanes' ones: submit all, then wait."""
    routes = (Route.ONNX, Route.HUB) if route is None else (route,)
    taking = [lane for lane in lanes if lane.prepared.variant.route in routes]
    for lane in taking:
        _submit(hub, lane, kind, lambda lane: ask(hub, lane), retry)
    for lane in taking:
        try:
            lane.model = hub.target_model(lane.jobs[kind])
        except JobFailed as error:
            lane.failed = str(error)


def _submit(
    hub: Hub, lane: DeviceRun, kind: str, ask: Callable[[DeviceRun], str], retry: bool
) -> None:
    """Ask for a job; one that failed before is asked for again only if that is wanted."""
    lane.jobs[kind] = ask(lane)
    if retry and hub.has_failed(lane.jobs[kind]):
        hub.forget(lane.jobs[kind])
        lane.jobs[kind] = ask(lane)


def _quantise(hub: Hub, lane: DeviceRun) -> str:
    assert lane.calibration is not None
    weights, inputs = HUB_TYPES[lane.prepared.variant.precision]
    samples = hub.upload_inputs(lane.calibration, "calibration states")
    key = f"quantise/{lane.name}/{hash_samples(lane.calibration)}"
    return hub.quantise(key, lane.model, samples, weights, inputs)


def _compile(hub: Hub, lane: DeviceRun) -> str:
    return hub.compile(f"compile/{lane.name}/{lane.device}", lane.model, lane.device, QNN)


def _infer(hub: Hub, lane: DeviceRun) -> str:
    samples = hub.upload_inputs(lane.inputs, "states")
    key = f"inference/{lane.name}/{lane.device}/{hash_samples(lane.inputs)}"
    return hub.infer(key, lane.model, lane.device, samples)


def _inputs(lane: DeviceRun, loop: Loop) -> Arrays:
    if loop is Loop.FORCED:
        return forced_inputs(lane.states)
    if not lane.outputs:
        return first_inputs(lane.states)
    return next_inputs(lane.inputs, lane.outputs[-1])


def _collect(hub: Hub, lane: DeviceRun, results: Path) -> None:
    try:
        outputs, lane.profile = _results(hub, lane.jobs["inference"], results)
        lane.outputs.append(named(outputs, lane.prepared.graph))
    except (JobFailed, ValueError) as error:
        lane.failed = str(error)


def _results(hub: Hub, job: str, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Load what a job gave, from the disk if it was downloaded before."""
    arrays, profile = folder / f"{job}.npz", folder / f"{job}.json"
    if not profile.exists():
        outputs, document = hub.results(job)
        folder.mkdir(parents=True, exist_ok=True)
        stacked: dict[str, Any] = {
            f"{i}/{name}": np.stack(v) for i, (name, v) in enumerate(outputs.items())
        }
        np.savez(arrays, **stacked)
        part = profile.with_suffix(".part")
        part.write_text(json.dumps(document), encoding="utf-8")
        part.replace(profile)  # last: a folder with it is complete
    with np.load(arrays) as archive:
        loaded = {name.split("/", 1)[1]: list(archive[name]) for name in archive.files}
    return loaded, json.loads(profile.read_text(encoding="utf-8"))
