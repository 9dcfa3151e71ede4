"""Rows of a deployment on a runtime of this computer: one scheme on one group of puzzles.

    OUT/deployment.json   {"spec": {...}, "runs": [environment of every start]}
    OUT/rows.jsonl        one `HostRow` per line
    OUT/probes.jsonl      one `Probe` per line: latency and memory of one export
    OUT/exports/NAME      the exports themselves (`folders.file_stem` of a scheme)

Model, puzzles, runtime, batch and steps decide the numbers of a row; schemes and puzzles may be
added by running the program again.

Not here: what a kill leaves and how files are read (measurement/row_files.py); rates and
intervals (tables.py).
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from experiments.measurement import folders
from experiments.measurement.halting import HaltedShard, check_halted, check_has_halted
from experiments.measurement.row_checks import (
    MOST,
    ROOM,
    check_all_within,
    check_different,
    check_flags,
    check_moments,
    check_shard,
    check_shards,
    check_within,
)
from experiments.measurement.row_files import LATER, RERUN, FolderLayout, ResultFolder
from experiments.measurement.shards import Moments
from experiments.measurement.spec import DeploymentSpec, shards_of
from export.targets import Target
from quant.scheme import parse
from trm_jax.halting import parse_halting

FULL = "fp32"
"""The scheme that fidelity is measured against."""


class HostKey(NamedTuple):
    """The unit of work: one scheme on the puzzles [start, stop)."""

    scheme: str
    start: int
    stop: int


@dataclass(frozen=True, kw_only=True)
class HostSpec(DeploymentSpec):
    """One deployment.

    Attributes:
      task, model: names for headings.
      target: the runtime, a value of export.targets.Target.
      schemes: as `quant.scheme.Scheme.name` writes them, full precision first.
      num_puzzles: the first so many of the `total` of the data.
      batch: puzzles per call; steps: supervision steps; threads: of the runtime.
      halting: name of the rule that is read off the rollouts beside full depth; empty: never, and
        in folders of earlier versions.
    """

    IDENTITY: ClassVar[tuple[str, ...]] = (
        "model_sha256",
        "data_sha256",
        "target",
        "batch",
        "steps",
    )

    task: str
    model: str
    model_sha256: str
    data_sha256: str
    target: str
    schemes: tuple[str, ...]
    num_puzzles: int
    total: int
    batch: int
    steps: int
    threads: int
    halting: str = ""

    def __post_init__(self) -> None:
        """Check the numbers, the schemes and the target.

        Raises:
          ValueError: names the field, or an unknown scheme or target.
        """
        check_shards("num_puzzles", self.num_puzzles, "batch", self.batch)
        check_within("total", self.total, self.num_puzzles)
        check_all_within({"steps": self.steps, "threads": self.threads}, 1)
        check_different("schemes", map(parse, self.schemes))
        Target(self.target)
        if self.halting:
            parse_halting(self.halting)

    @property
    def values(self) -> list[Any]:
        """What decides the numbers of every row; rows of earlier versions halted never."""
        return [*super().values, *((self.halting,) if self.halting else ())]

    @property
    def is_calibrated(self) -> bool:
        """Return whether any scheme of the spec is calibrated on puzzles."""
        return any(parse(name).needs_puzzles for name in self.schemes)

    def digest_of_scheme(self, name: str) -> str:
        """Hash what decides the numbers of a scheme's rows."""
        return self.calibrated_digest if parse(name).needs_puzzles else self.digest

    def digest_for(self, row: "HostRow | Probe") -> str:
        """Return the digest that a row must have."""
        return self.digest_of_scheme(row.scheme)

    def check_row(self, row: "HostRow | Probe") -> None:
        """Check a row's group of puzzles, and that it halts if the others do."""
        if isinstance(row, HostRow):
            check_shard(row.start, row.stop, self.batch)
            check_has_halted(row.halted, self.halting, self.steps)

    @property
    def title(self) -> str:
        """Heading of the table."""
        return (
            f"{self.model} on {self.target}, first {self.num_puzzles} of {self.total}"
            f" {self.task} puzzles, {self.steps} steps, batch {self.batch}, threads {self.threads}"
        )

    def work_keys(self, scheme: str) -> list[HostKey]:
        """List the work of a scheme, group by group of a full batch."""
        return [HostKey(scheme, *group) for group in shards_of(self.num_puzzles, self.batch)]


@dataclass(frozen=True, kw_only=True)
class HostRow:
    """What one export did on one group of puzzles, beside its simulation.

    Attributes:
      digest: of what decides the numbers.
      exact, simulated_exact, lenient: one bit per puzzle, hex (measurement/shards.py: to_hex).
      cells, correct, equal_cells: scored cells; right ones; cells that equal the simulation's.
      infidelity: 1 - cosine of the last state to full precision.
      disagreement: 1 - cosine of the last state to the simulation's.
      halted: where the rule of the spec ends the puzzles in the runtime; None without a rule.
    """

    digest: str
    scheme: str
    start: int
    stop: int
    exact: str
    simulated_exact: str
    lenient: str
    cells: int
    correct: int
    equal_cells: int
    infidelity: Moments
    disagreement: Moments
    halted: HaltedShard | None = field(default=None, metadata={LATER: True})

    def __post_init__(self) -> None:
        """Check the numbers against each other.

        Raises:
          ValueError: names the field.
        """
        check_shard(self.start, self.stop)
        count = self.stop - self.start
        for name in ("exact", "simulated_exact", "lenient"):
            check_flags(name, getattr(self, name), count)
        check_within("cells", self.cells, 0)
        check_within("correct", self.correct, 0, self.cells)
        check_within("equal_cells", self.equal_cells, 0)
        for name in ("infidelity", "disagreement"):
            check_moments(name, getattr(self, name), count, -ROOM, 2 + ROOM)
        if self.halted is not None:
            check_halted("halted", self.halted, count)

    @property
    def key(self) -> HostKey:
        return HostKey(self.scheme, self.start, self.stop)


@dataclass(frozen=True, kw_only=True)
class Probe:
    """Cost of an export in a process of its own.

    Attributes:
      step_ms: wall times of one supervision step of a full batch, warm.
      memory_bytes: peak resident memory that runtime and model added to the process.
    """

    digest: str
    scheme: str
    step_ms: tuple[float, ...]
    memory_bytes: int

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
          ValueError: names the field.
        """
        if not self.step_ms:
            raise ValueError("field step_ms must have a time, got none")
        for i, value in enumerate(self.step_ms):
            check_within(f"step_ms[{i}]", value, 0)
        check_within("memory_bytes", self.memory_bytes, -MOST)

    @property
    def key(self) -> tuple[str]:
        return (self.scheme,)


LAYOUT = FolderLayout(
    "deployment",
    HostSpec,
    HostRow,
    spec_name="deployment",
    output=folders.DEPLOYMENT,
    kind="deployment on a computer",
    cure=RERUN,
)
PROBES = FolderLayout(
    LAYOUT.noun,
    HostSpec,
    Probe,
    spec_name=LAYOUT.spec_name,
    output=LAYOUT.output,
    kind=LAYOUT.kind,
    rows_name="probes",
    cure=LAYOUT.cure,
)


def host_folder(path: Path) -> ResultFolder[HostSpec, HostRow]:
    """Name the files of a deployment."""
    return ResultFolder(path, LAYOUT)


def probe_folder(path: Path) -> ResultFolder[HostSpec, Probe]:
    """Name the files of a deployment's probes."""
    return ResultFolder(path, PROBES)


def export_folder(path: Path, scheme: str) -> Path:
    """Name the folder of the export of a scheme."""
    return path / "exports" / folders.file_stem(scheme)
