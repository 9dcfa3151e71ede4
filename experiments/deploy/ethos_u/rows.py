"""Rows of a deployment on an Ethos-U: what one scheme takes on one accelerator.

    OUT/deployment.json   {"spec": {...}, "runs": [environment of every start]}
    OUT/rows.jsonl        one `AcceleratorRow` per line
    OUT/exports           exports, checked by TFLM's interpreter, and their compiled graphs

Model, puzzles and Vela decide the numbers of a row. The CPU's clock and patience do not.

Not here: seconds (tables.py).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from experiments.deploy.cortex_m.rows import BoardAnswers, Speed
from experiments.measurement import folders
from experiments.measurement.row_checks import check_all_within, check_different
from experiments.measurement.row_files import RERUN, FolderLayout, ResultFolder
from experiments.measurement.spec import DeploymentSpec
from export.cortex_m.emulator import Counts
from export.ethos_u.accelerators import Accelerator
from export.targets import Target
from quant.scheme import parse
from trm_jax.halting import parse_halting

TARGET = Target.ETHOS_U.value


@dataclass(frozen=True, kw_only=True)
class AcceleratorSpec(DeploymentSpec):
    """One deployment.

    Attributes:
      task, model: names for headings.
      data_sha256: of the puzzles; empty where weights are random.
      num_puzzles: that are answered; 0 where weights are random.
      vela: version of the compiler.
      target: the value of --target.
      schemes, accelerators: in the order of the tables.
      H_cycles, L_cycles, steps: of a puzzle at full depth.
      halting: the rule that answers end by; empty where weights are random.
      speed: of the CPU.
    """

    IDENTITY: ClassVar[tuple[str, ...]] = (
        "model_sha256",
        "data_sha256",
        "num_puzzles",
        "vela",
        "halting",
    )

    task: str
    model: str
    model_sha256: str
    data_sha256: str
    num_puzzles: int
    vela: str
    target: str
    schemes: tuple[str, ...]
    accelerators: tuple[Accelerator, ...]
    H_cycles: int
    L_cycles: int
    steps: int
    halting: str
    speed: Speed

    def __post_init__(self) -> None:
        """Check the numbers and the names.

        Raises:
          ValueError: names the field, or an unknown scheme.
        """
        names = ("H_cycles", "L_cycles", "steps")
        check_all_within({name: getattr(self, name) for name in names}, 1)
        check_all_within({"num_puzzles": self.num_puzzles}, 0)
        check_different("schemes", map(parse, self.schemes))
        check_different("accelerators", self.accelerators)
        if self.halting:
            parse_halting(self.halting)

    @property
    def title(self) -> str:
        """Heading of the tables."""
        kind = "one puzzle at a time" if self.data_sha256 else "random weights, times and sizes"
        return (
            f"{self.model} on Ethos-U ({kind}), {self.steps} steps of {self.H_cycles} H-cycles"
            f" of {self.L_cycles} L-cycles"
        )

    @property
    def is_calibrated(self) -> bool:
        """Return whether schemes are calibrated on puzzles: all are, unless weights are random."""
        return bool(self.data_sha256)

    def digest_for(self, row: "AcceleratorRow") -> str:
        """Return the digest that a row must have."""
        del row  # all schemes of integers are calibrated
        return self.calibrated_digest

    def work_keys(self) -> list[tuple[str, str]]:
        """List the work: a scheme on an accelerator."""
        return [(scheme, each.value) for scheme in self.schemes for each in self.accelerators]


@dataclass(frozen=True, kw_only=True)
class AcceleratorRow:
    """What one scheme takes on one accelerator.

    Attributes:
      clock_mhz: of the NPU.
      npu: cycles by Vela's estimate; cpu: instructions by the operator model.
      cpu_operators, npu_calls: of a block.
      sram_bytes: of the graph that needs most; constant_bytes: of all graphs. Both Vela's.
      answers: None where weights are random.
    """

    digest: str
    scheme: str
    accelerator: Accelerator
    clock_mhz: float
    npu: Counts
    cpu: Counts
    cpu_operators: int
    npu_calls: int
    sram_bytes: int
    constant_bytes: int
    answers: BoardAnswers | None

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
          ValueError: names the field.
        """
        check_all_within({"clock_mhz": self.clock_mhz}, 1)
        for name in ("npu", "cpu"):
            counts = getattr(self, name)._asdict()
            check_all_within({f"{name}.{part}": count for part, count in counts.items()}, 0)
        names = ("cpu_operators", "npu_calls", "sram_bytes", "constant_bytes")
        check_all_within({name: getattr(self, name) for name in names}, 0)

    @property
    def key(self) -> tuple[str, str]:
        return (self.scheme, self.accelerator.value)

    def npu_seconds(self, count: float) -> float:
        """Turn cycles of the NPU into seconds."""
        return count / (self.clock_mhz * 1e6)


LAYOUT = FolderLayout(
    "deployment",
    AcceleratorSpec,
    AcceleratorRow,
    spec_name="deployment",
    output=folders.DEPLOYMENT,
    kind="deployment on an Ethos-U",
    cure=RERUN,
)


def accelerator_folder(path: Path) -> ResultFolder[AcceleratorSpec, AcceleratorRow]:
    """Name the files of a deployment."""
    return ResultFolder(path, LAYOUT)
