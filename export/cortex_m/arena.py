"""Arena of TFLM graphs, measured with its interpreter for hosts.

TFLM fills an arena from both ends: the head holds tensors while a graph runs, the tail what
stays (tensor records, operator data). Graphs that share an allocator, as the firmware's do,
need the largest head and the sum of the tails.

The host has 64-bit pointers, so its tail is larger than a Cortex-M's; its kernels are the
reference ones, so scratch memory of CMSIS-NN is not in the head: MARGIN is for that. The figure
is an upper bound but for this scratch; a board that refuses it names TRM_ARENA_BYTES.

Not here: states and buffers beside the arena (memory.py).
"""

import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass

from trm_jax.command_line import install_text

MARGIN = 16 * 1024  # bytes: CMSIS-NN's scratch is two or four int16 rows of the widest input
_PROBE = """
import sys
from tflite_micro import runtime
content = sys.stdin.buffer.read()
interpreter = runtime.Interpreter.from_bytes(content, arena_size=int(sys.argv[1]))
interpreter.print_allocations()
"""
_ROOM = 256 << 20  # bytes for the measurement: far more than any microcontroller has
_LINE = re.compile(r"Arena allocation (head|tail) (\d+) bytes")


@dataclass(frozen=True, kw_only=True)
class Arena:
    """Bytes of an arena at its two ends."""

    head: int
    tail: int


def measure_arena(file: bytes) -> Arena:
    """Let TFLM place one graph and read what it used.

    Raises:
      RuntimeError: TFLM is not installed, or refuses the graph.
    """
    done = subprocess.run(
        [sys.executable, "-c", _PROBE, str(_ROOM)], input=file, capture_output=True, check=False
    )
    output = (done.stdout + done.stderr).decode(errors="replace")
    sizes = {end: int(size) for end, size in _LINE.findall(output)}
    if sizes.keys() != {"head", "tail"}:
        last = output.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        missing = last[0].startswith("ModuleNotFoundError")
        hint = f"; its interpreter comes with an extra: {install_text('tflite_micro')}"
        raise RuntimeError(f"TFLM did not place the graph: {last[0]}{hint if missing else ''}")
    return Arena(**sizes)


def measure_shared_arena(files: Iterable[bytes]) -> Arena:
    """Measure graphs that share one allocator.

    Raises:
      RuntimeError: as `measure_arena`.
    """
    arenas = [measure_arena(file) for file in files]
    return Arena(head=max(a.head for a in arenas), tail=sum(a.tail for a in arenas))
