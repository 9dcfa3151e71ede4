"""The firmware's own kernels, in plain C and on an emulated Cortex-M55 with Helium.

Oracles are the simulation's tables (quant/integer/kernels), which TFLM's interpreter is compared
with elsewhere, and plain indexing. A guard behind every result shows a stray write.
"""

import math
import struct
import subprocess
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from export.cortex_m.emulator import emulator_command
from export.lowering.integer_matmul import packed
from quant.integer.encoding import Encoding
from quant.integer.kernels.lookup import logistic_table, sigmoid_samples
from tests.support.firmware.machines import SECONDS, make, need

MAIN = Path(__file__).parents[2] / "support" / "firmware" / "kernels_main.c"
LOOP = "LOOP=status.c bytes.c kept.c halting.c notation.c text.c protocol.c kernels.c products.c"
WARN = "WARN=-Wall -Wextra -Werror -I."
LOOK_UP, DECODE, LOGISTIC, MULTIPLY_S16, MULTIPLY_S8, SOFTMAX = range(6)
SHAPES = [(1, 1, 1), (2, 7, 3), (3, 8, 4), (4, 16, 5), (37, 37, 6), (5, 97, 33)]  # rows, in, out


class Case(NamedTuple):
    kind: int
    count: int
    parameters: tuple[int, int]
    data: bytes
    expected: bytes


def write_case(case: Case) -> bytes:
    head = struct.pack("<IIiiI", case.kind, case.count, *case.parameters, len(case.data))
    return head + case.data + bytes(-len(case.data) % 4)


def look_up_case(rng: np.random.Generator, count: int) -> Case:
    table = rng.integers(0, 256, 256, dtype=np.uint8)
    x = rng.integers(0, 256, count, dtype=np.uint8)
    return Case(LOOK_UP, count, (0, 0), table.tobytes() + x.tobytes(), table[x].tobytes())


def decode_case(rng: np.random.Generator, first: int, count: int) -> Case:
    """Decode `count` codes behind `first` others, as channels behind one another are stored."""
    codes = rng.integers(0, 16, (1, first + count), dtype=np.uint8)
    table = rng.integers(-128, 128, (1, 16)).astype(np.int8)
    values = table[0, codes[0, first:]]
    data = table.tobytes() + packed(codes).tobytes()
    return Case(DECODE, count, (first, 0), data, values.tobytes())


def logistic_case(scale: float, x: np.ndarray) -> Case:
    """Scale as TFLM's LogisticPrepare does: 2^-12 by 3, others by 15 bits and a shift."""
    factor, shift = 3, 0
    if scale != 2.0**-12:
        shift = math.floor(math.log2(32767 / (scale * 4096 * 3)))
        factor = int(scale * 4096 * 3 * 2**shift)
    table = logistic_table(Encoding(scale=scale, zero_point=0, bits=16))
    data = sigmoid_samples().astype(np.uint16).tobytes() + x.tobytes()
    return Case(LOGISTIC, x.size, (factor, shift), data, table[x.astype(int) + 2**15].tobytes())


def product_case(rng: np.random.Generator, bits: int, rows: int, inputs: int, outputs: int) -> Case:
    """Rows times a filter in 64-bit integers; halves go up, then away from 0."""
    high = 2 ** (bits - 1)
    x = rng.integers(-high, high, (rows, inputs)).astype(f"int{bits}")
    filters = rng.integers(-127, 128, (outputs, inputs)).astype(np.int8)
    bias = rng.integers(-(2**16), 2**16, outputs).astype(np.int32)
    multipliers = rng.integers(2**30, 2**31, outputs).astype(np.int32)
    shifts = rng.integers(-12, 2, outputs).astype(np.int32)
    x_zero, y_zero = (0, 0) if bits == 16 else (-7, 12)
    sums = (x.astype(np.int64) - x_zero) @ filters.astype(np.int64).T + bias
    left, right = np.maximum(shifts, 0), np.maximum(-shifts, 0)
    scaled = ((sums << left) * multipliers + 2**30) >> 31
    half = np.where(right > 0, 2 ** np.maximum(right - 1, 0), 0)
    scaled = np.sign(scaled) * ((np.abs(scaled) + half) >> right)
    y = np.clip(scaled + y_zero, -high, high - 1).astype(x.dtype)
    scheme = np.asarray([x_zero, y_zero, -high, high - 1], np.int32)
    parts = [bias, multipliers, shifts, scheme, filters]
    data = b"".join(part.tobytes() for part in parts)
    data += bytes(-len(data) % 4) + x.tobytes()
    kind = MULTIPLY_S16 if bits == 16 else MULTIPLY_S8
    return Case(kind, rows, (inputs, outputs), data, y.tobytes())


def softmax_case(rng: np.random.Generator, count: int) -> Case:
    """A row with exponentials of any size; halves go up, as all numbers are positive."""
    exponentials = rng.integers(0, 2**31, 256).astype(np.int32)
    x = rng.integers(-128, 128, count).astype(np.int8)
    found = exponentials[int(x.max()) - x.astype(int)].astype(np.int64)
    scale, places = 1_500_000_000, 23
    scaled = (found * scale + 2**30) >> 31
    y = np.minimum(((scaled + 2 ** (places - 1)) >> places) - 128, 127).astype(np.int8)
    row = np.asarray([x.max(), ((found + 2**11) >> 12).sum()], np.int32)
    data = exponentials.tobytes() + x.tobytes()
    return Case(SOFTMAX, count, (scale, places), data, row.tobytes() + y.tobytes())


def all_cases() -> list[Case]:
    rng = np.random.default_rng(0)
    every = np.arange(-(2**15), 2**15, dtype=np.int16)
    return [
        *(look_up_case(rng, count) for count in (1, 15, 16, 17, 200)),
        *(decode_case(rng, first, n) for first in (0, 1, 97) for n in (1, 2, 31, 32, 33, 97, 512)),
        *(logistic_case(scale, every) for scale in (2.0**-12, 3.1e-4, 2.5e-5, 0.01)),
        *(product_case(rng, 16, *shape) for shape in SHAPES),
        *(product_case(rng, 8, *shape) for shape in SHAPES),
        *(softmax_case(rng, count) for count in (1, 4, 17, 65)),
        *(logistic_case(3.1e-4, every[:count]) for count in (1, 3, 5)),
    ]


@pytest.mark.parametrize("machine", ["host", "an547"])
def test_kernels_have_the_bits_of_the_simulation(machine: str, tmp_path: Path) -> None:
    need("make", *(("gcc",) if machine == "host" else ("arm-none-eabi-gcc", "qemu-system-arm")))
    cases, flash = all_cases(), tmp_path / "cases.bin"
    flash.write_bytes(b"".join(map(write_case, cases)))
    make(machine, f"BUILD={tmp_path}", "SEMIHOSTING_EXIT=1", LOOP, WARN, f"DOUBLE={MAIN}")
    command = [str(tmp_path / "host" / "double"), str(flash)]
    if machine == "an547":
        command = list(emulator_command(tmp_path / "an547" / "double.elf", flash))
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=SECONDS)
    assert done.stdout.split() == [f"{zlib.crc32(case.expected):08x}" for case in cases]
