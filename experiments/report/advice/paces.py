"""How fast devices are, read off deployments: seconds of a puzzle for each GFLOP of its model.

By the pace of a deployment the time of a published size is estimated, which recommendations need
(recommend.py). Seconds of a GFLOP fall with size, since calls and small products cost more than
their GFLOPs: on a Cortex-M55 the bundled Sudoku model overestimates the published one 1.9 (int4 x
int16) to 2.3 times (int8), the bundled maze model 1.3 (int8) to 1.9 times (docs/deploy-cortex-m.md
has all times; those of published mazes are of the operator model). So the deployment of the nearest
size counts: one with `--preset` is of the published size itself.

Not here: tables of deployments (their programs'), a deployment's own time (sections/devices.py).
"""

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from experiments.deploy.aihub.rows import aihub_folder
from experiments.deploy.cortex_m import rows as cortex_m_rows
from experiments.deploy.cortex_m import tables as cortex_m_tables
from experiments.deploy.ethos_u import rows as ethos_u_rows
from experiments.deploy.ethos_u import tables as ethos_u_tables
from experiments.deploy.host import tables as host_tables
from experiments.measurement.row_files import merge_folders
from export.footprint.estimate import puzzle_work
from export.targets import Target
from quant.scheme import short_name
from trm_jax.config import PRESETS
from trm_jax.loading import known_config


class DevicePace(NamedTuple):
    """What a deployment says of one scheme.

    Attributes:
      device: target of the deployment, or the accelerator.
      scheme: short name.
      gflops: of a puzzle of the model that was deployed; seconds: of it.
    """

    device: str
    scheme: str
    gflops: float
    seconds: float

    def seconds_of(self, gflops: float) -> float:
        """Scale to a puzzle of another model."""
        return self.seconds * gflops / self.gflops


Timed = tuple[str, str, float]
"""Device, scheme and seconds of a puzzle."""


def read_paces(folder: Path, target: str, model: str, steps: int) -> list[DevicePace]:
    """Read the paces of a deployment; none where the model's size is not known.

    Args:
      target, model: what the deployment says of itself.
      steps: supervision steps of a puzzle.

    Raises:
      FileNotFoundError: it holds no deployment.
      ValueError: it is damaged or not finished.
    """
    config = PRESETS.get(model) or known_config(model)
    if config is None:
        return []
    gflops = puzzle_work(config, config.H_cycles * steps).total
    timed = TIMED.get(target, _host)(folder)
    return [DevicePace(device, scheme, gflops, seconds) for device, scheme, seconds in timed]


def estimate_seconds(
    paces: Sequence[DevicePace], device: str, scheme: str, gflops: float
) -> float | None:
    """Estimate the seconds of a puzzle on a device.

    Args:
      scheme: whose paces count, if there are any on the device; otherwise those of any scheme.
      gflops: of the puzzle; deployments of the nearest size count, the slowest of them.

    Returns:
      None: nothing was timed there.
    """
    there = [pace for pace in paces if pace.device == device]
    own = [pace for pace in there if pace.scheme == scheme] or there
    distance = [abs(math.log(pace.gflops / gflops)) for pace in own]
    near = (p for p, far in zip(own, distance, strict=True) if far == min(distance))
    return max((pace.seconds_of(gflops) for pace in near), default=None)


def _board(folder: Path) -> Iterator[Timed]:
    _, listed = cortex_m_tables.read_records(
        cortex_m_rows.board_folder(folder), cortex_m_tables.record
    )
    for record in listed:
        yield cortex_m_rows.TARGET, record["scheme"], record["puzzle_seconds_estimate"]


def _accelerator(folder: Path) -> Iterator[Timed]:
    read = cortex_m_tables.read_records
    _, listed = read(ethos_u_rows.accelerator_folder(folder), ethos_u_tables.record)
    for record in listed:
        yield record["accelerator"], record["scheme"], record["puzzle_seconds_estimate"]


def _phone(folder: Path) -> Iterator[Timed]:
    _, rows = merge_folders([aihub_folder(folder)])
    for row in rows:
        yield Target.AI_HUB.value, row.variant, row.puzzle_ms / 1e3


def _host(folder: Path) -> Iterator[Timed]:
    deployment = host_tables.read_deployment(folder)
    spec = deployment.spec
    for name, record in zip(deployment.schemes, host_tables.records(deployment), strict=True):
        seconds = record["step_ms"] / 1e3 * spec.steps / spec.batch
        yield spec.target, short_name(name), seconds


TIMED: dict[str, Callable[[Path], Iterator[Timed]]] = {
    cortex_m_rows.TARGET: _board,
    Target.ETHOS_U.value: _accelerator,
    Target.AI_HUB.value: _phone,
}
"""Target -> the times of a folder; others are runtimes of this computer."""
