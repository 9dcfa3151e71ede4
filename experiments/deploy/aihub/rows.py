"""Rows of a deployment through AI Hub: what one scheme did on one device.

    OUT/deployment.json   {"spec": {...}, "runs": [environment of every start]}
    OUT/rows.jsonl        one `AiHubRow` per line

Model, puzzles, steps and loop decide the numbers of a row; schemes and devices may be added by
running the program again.

Not here: what a kill leaves and how files are read (measurement/row_files.py); intervals, tables
and AI Hub's own formats (tables.py); jobs under way (export/aihub/ledger.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from experiments.measurement import folders
from experiments.measurement.halting import HaltedShard, check_halted, check_has_halted
from experiments.measurement.row_checks import (
    MOST_SHARDS,
    ROOM,
    check_all_within,
    check_different,
    check_flags,
    check_moments,
    check_within,
)
from experiments.measurement.row_files import LATER, RERUN, FolderLayout, ResultFolder
from experiments.measurement.shards import Moments
from experiments.measurement.spec import DeploymentSpec
from export.aihub.devices import Precision
from quant.scheme import parse
from trm_jax.halting import parse_halting

HUB = "hub:"
"""In front of the precision of a variant that AI Hub quantises itself."""


class AiHubKey(NamedTuple):
    """The unit of work: one variant on one device."""

    variant: str
    device: str


def is_calibrated(variant: str) -> bool:
    """Return whether a variant is calibrated on puzzles, here or by AI Hub."""
    return variant.startswith(HUB) or parse(variant).needs_puzzles


@dataclass(frozen=True, kw_only=True)
class AiHubSpec(DeploymentSpec):
    """One deployment.

    Attributes:
      task, model: names for headings.
      target: the value of --target.
      variants, devices: what is asked for, in the order of the table.
      steps: supervision steps; num_puzzles: the first so many; loop: a value of `Loop`.
      halting: name of the rule that is read off the same steps beside full depth; empty: never, and
        in folders of earlier versions.
    """

    IDENTITY: ClassVar[tuple[str, ...]] = (
        "model_sha256",
        "data_sha256",
        "steps",
        "num_puzzles",
        "loop",
    )

    task: str
    model: str
    model_sha256: str
    data_sha256: str
    target: str
    variants: tuple[str, ...]
    devices: tuple[str, ...]
    steps: int
    num_puzzles: int
    loop: str
    halting: str = ""

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
          ValueError: names the field.
        """
        check_all_within({"steps": self.steps, "num_puzzles": self.num_puzzles}, 1)
        check_different("variants", self.variants)
        check_different("devices", self.devices)
        if self.halting:
            parse_halting(self.halting)

    @property
    def values(self) -> list[Any]:
        """What decides the numbers of every row; rows of earlier versions halted never."""
        return [*super().values, *((self.halting,) if self.halting else ())]

    @property
    def is_calibrated(self) -> bool:
        """Return whether any variant of the spec is calibrated on puzzles."""
        return any(map(is_calibrated, self.variants))

    def digest_of_variant(self, name: str) -> str:
        """Hash what decides the numbers of a variant's rows."""
        return self.calibrated_digest if is_calibrated(name) else self.digest

    def digest_for(self, row: "AiHubRow") -> str:
        """Return the digest that a row must have."""
        return self.digest_of_variant(row.variant)

    def check_row(self, row: "AiHubRow") -> None:
        """Check that a row is of all the puzzles, and that it halts if the others do."""
        check_has_halted(row.halted, self.halting, self.steps)
        if (row.puzzles, row.steps) != (self.num_puzzles, self.steps):
            raise ValueError(
                f"fields puzzles and steps must be {self.num_puzzles} and {self.steps},"
                f" got {row.puzzles} and {row.steps}"
            )

    @property
    def title(self) -> str:
        """Heading of the table."""
        return (
            f"{self.model} through Qualcomm AI Hub, {self.num_puzzles} {self.task} puzzles,"
            f" {self.steps} steps, loop {self.loop}; the paper's models are larger"
        )

    def work_keys(self) -> list[AiHubKey]:
        """List the work, variant by variant."""
        return [AiHubKey(variant, device) for variant in self.variants for device in self.devices]


@dataclass(frozen=True, kw_only=True)
class AiHubRow:
    """What a scheme did on a device.

    Attributes:
      digest: of what decides the numbers.
      label: of the variant, for tables.
      step_ms: AI Hub's estimate for a call; all_ms: every run of it.
      host_ms: embedding and argmax of a puzzle, measured on this computer.
      here_ms: median of a call on this computer, a stand-in; here: in which runtime.
      peak_bytes: None where the profile has none.
      units: layers per compute unit.
      layers: name, type and unit of every layer.
      exact: one bit per puzzle, hex (measurement/shards.py: to_hex); of the last step.
      equal_cells, cells: over all compared steps.
      infidelity: 1 - cosine of z_H to the simulation's, mean over steps, summed over puzzles.
      halted: where the rule of the spec ends the puzzles; None without a rule.
      jobs: kind -> id; urls: kind -> address.
    """

    digest: str
    task: str
    variant: str
    label: str
    device: str
    route: str
    precision: str
    loop: str
    H_cycles: int
    steps: int
    file_bytes: int
    step_ms: float
    all_ms: tuple[float, ...]
    host_ms: float
    here_ms: float
    here: str
    peak_bytes: int | None
    units: Mapping[str, int]
    layers: tuple[tuple[str, str, str], ...]
    puzzles: int
    exact: str
    equal_cells: int
    cells: int
    infidelity: Moments
    jobs: Mapping[str, str]
    urls: Mapping[str, str]
    halted: HaltedShard | None = field(default=None, metadata={LATER: True})

    def __post_init__(self) -> None:
        """Check the numbers against each other.

        Raises:
          ValueError: names the field, or an unknown precision.
        """
        check_all_within({"H_cycles": self.H_cycles, "steps": self.steps}, 1)
        names = ("file_bytes", "step_ms", "host_ms", "here_ms", "equal_cells")
        check_all_within({name: getattr(self, name) for name in names}, 0)
        check_all_within({f"all_ms[{i}]": value for i, value in enumerate(self.all_ms)}, 0)
        check_within("peak_bytes", self.peak_bytes or 0, 0)
        check_within("puzzles", self.puzzles, 1, MOST_SHARDS)
        check_within("cells", self.cells, max(1, self.equal_cells))
        check_all_within({f"units.{name}": count for name, count in self.units.items()}, 0)
        check_flags("exact", self.exact, self.puzzles)
        check_moments("infidelity", self.infidelity, self.puzzles, -ROOM, 2 + ROOM)
        Precision(self.precision)
        if self.halted is not None:
            check_halted("halted", self.halted, self.puzzles)

    @property
    def key(self) -> AiHubKey:
        return AiHubKey(self.variant, self.device)

    @property
    def puzzle_ms(self) -> float:
        """Steps on the device, and the host's part."""
        return self.milliseconds(self.steps)

    def milliseconds(self, steps: float) -> float:
        """Estimate the time of a puzzle that ends after so many steps."""
        return steps * self.step_ms + self.host_ms


LAYOUT = FolderLayout(
    "deployment",
    AiHubSpec,
    AiHubRow,
    spec_name="deployment",
    output=folders.DEPLOYMENT,
    kind="deployment through AI Hub",
    cure=RERUN,
)


def aihub_folder(path: Path) -> ResultFolder[AiHubSpec, AiHubRow]:
    """Name the files of a deployment."""
    return ResultFolder(path, LAYOUT)
