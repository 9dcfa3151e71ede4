"""Builds the firmware and reads what it occupies, by arm-none-eabi-gcc and -size.

    link_package    with the user's TFLM library: everything that is linked is counted
    link_firmware   without one: the firmware, linked with the test double in place of the
                    networks, whose size is subtracted again; TFLM is not counted
    add_tflm        an estimate of TFLM's code and variables for a firmware without it

`Linked.counted` says which of them a figure is. The estimate adds up sizes by operator, measured
one operator at a time: the firmware linked with RESHAPE, and with RESHAPE and one other (TFLM
90b983c, CMSIS-NN 4ab83cc, gcc 12.2 -O2, unused sections dropped). What operators share is counted
for each of them, and the firmware's own kernels are not: sums are 8 to 9 % larger than what is
linked for three integer packages of Sudoku.
An operator without an entry is an error, not nothing.

Not here: the arena (arena.py), and running what was built (emulator.py).
"""

import dataclasses
import enum
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from export.cortex_m.sources import methods_of
from export.graph.ir import GraphModel

FIRMWARE = Path(__file__).resolve().parents[1] / "firmware"
PREFIX = "arm-none-eabi-"
_SECTION = re.compile(r"^(\.[\w.]+)\s+(\d+)\s+\d+$", re.MULTILINE)
_STACK = re.compile(r"^([0-9a-f]+) A STACK_BYTES$", re.MULTILINE)


BASE = 28_656  # bytes: interpreter, allocator, planner, and RESHAPE
VARIABLES = 2_880  # bytes at most: the resolver, tables that are filled at the start
OPERATORS = {
    "AddReshape": 0,
    "AddAdd": 11_960,
    "AddBatchMatMul": 13_480,
    "AddConcatenation": 5_960,
    "AddConv2D": 24_792,
    "AddCos": 3_776,
    "AddDecode": 23_016,
    "AddDequantize": 1_456,
    "AddDiv": 12_864,  # not linked: MUL's, whose kernel is of the same kind
    "AddFullyConnected": 15_688,
    "AddLogistic": 7_656,
    "AddMean": 7_024,
    "AddMul": 12_864,
    "AddQuantize": 3_552,
    "AddRsqrt": 4_968,
    "AddSin": 3_800,
    "AddSlice": 4_016,
    "AddSoftmax": 11_296,
    "AddSplit": 2_344,
    "AddTranspose": 3_704,
}
"""Method of the resolver -> bytes of code and constants."""


class Counted(enum.Enum):
    """Whose code and variables a figure contains."""

    NOTHING = "none"
    FIRMWARE = "firmware"
    ESTIMATED = "firmware, and an estimate for TFLM"
    ALL = "firmware and TFLM"


@dataclass(frozen=True, kw_only=True)
class Linked:
    """Bytes of a linked program besides model, arena and states.

    Attributes:
      code: instructions, constants and initial values of variables (flash).
      statics: variables (SRAM); stack: as the linker script reserves it.
    """

    code: int
    statics: int
    stack: int
    counted: Counted


@dataclass(frozen=True, kw_only=True)
class Tflm:
    """A TFLM library for Cortex-M55 and its header folders, as the user built them."""

    library: Path
    includes: tuple[Path, ...]


def has_compiler() -> bool:
    """Return whether the Arm compiler and make are installed."""
    return all(shutil.which(name) for name in ("make", f"{PREFIX}gcc"))


def link_firmware(build: Path) -> Linked:
    """Link the firmware with the test double, and count it without the double.

    Raises:
      RuntimeError: it does not build.
    """
    double = build / "an547" / "doubles" / "affine_block.o"
    run_make(build, "an547", str(double))
    elf = build / "an547" / "double.elf"
    whole, added = _sections(elf), _sections(double)
    return Linked(
        code=_code(whole) - _code(added),
        statics=_statics(whole) - _statics(added),
        stack=_stack(elf),
        counted=Counted.FIRMWARE,
    )


def link_package(build: Path, package: Path, tflm: Tflm) -> tuple[Linked, Path]:
    """Link the firmware of a package with the user's TFLM.

    Returns:
      Sizes, and the program; it ends through semihosting, as an emulator wants it.

    Raises:
      RuntimeError: it does not build.
    """
    run_make(
        build,
        "firmware",
        "SEMIHOSTING_EXIT=1",
        f"PACKAGE={package.resolve()}",
        f"TFLM_LIB={tflm.library.resolve()}",
        f"TFLM_INC={' '.join(str(folder.resolve()) for folder in tflm.includes)}",
    )
    elf = build / "an547" / "firmware.elf"
    sections = _sections(elf)
    linked = Linked(
        code=_code(sections), statics=_statics(sections), stack=_stack(elf), counted=Counted.ALL
    )
    return linked, elf


def run_make(build: Path, *words: str) -> None:
    """Run make in the firmware's folder, its objects going into `build`.

    Raises:
      RuntimeError: it fails; the message has its first lines.
    """
    command = ["make", "-s", "-C", str(FIRMWARE), f"BUILD={build.resolve()}", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines()
        raise RuntimeError("the firmware does not build: " + "\n".join(said[:12]))


def list_symbols(elf: Path) -> str:
    """List the symbols of a program with their sizes, as nm does."""
    command = [f"{PREFIX}nm", "--print-size", str(elf)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def add_tflm(linked: Linked, model: GraphModel) -> Linked:
    """Add what of TFLM a model needs to a firmware that was linked without it.

    Raises:
      ValueError: an operator whose size was not measured.
    """
    methods = methods_of([model])
    if missing := [name for name in methods if name not in OPERATORS]:
        raise ValueError(
            f"no measured size for {', '.join(missing)}; --tflm-lib counts what is linked"
        )
    return dataclasses.replace(
        linked,
        code=linked.code + BASE + sum(OPERATORS[name] for name in methods),
        statics=linked.statics + VARIABLES,
        counted=Counted.ESTIMATED,
    )


def _sections(file: Path) -> dict[str, int]:
    listed = subprocess.run(
        [f"{PREFIX}size", "-A", "-d", str(file)], capture_output=True, text=True, check=True
    )
    return {name: int(size) for name, size in _SECTION.findall(listed.stdout)}


def _code(sections: dict[str, int]) -> int:
    parts = (".text", ".rodata", ".ARM.exidx", ".ARM.extab", ".data", ".vectors", ".init_array")
    return _sum(sections, parts)


def _statics(sections: dict[str, int]) -> int:
    return _sum(sections, (".data", ".bss", ".kept"))


def _sum(sections: dict[str, int], parts: tuple[str, ...]) -> int:
    return sum(
        size
        for name, size in sections.items()
        if any(name == part or name.startswith(f"{part}.") for part in parts)
    )


def _stack(elf: Path) -> int:
    match = _STACK.search(list_symbols(elf))
    if match is None:
        raise RuntimeError(f"{elf} does not say STACK_BYTES; build it with memory.ld")
    return int(match[1], 16)
