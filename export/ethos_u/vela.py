"""One graph through Vela, the compiler for Arm's Ethos-U.

Vela (PyPI `ethos-u-vela`, extra `ethos-u`) reads a .tflite and writes one in which every run of
operators that the NPU takes is a custom operator `ethos-u`; the others stay, and the CPU computes
them. What stays is read off the file that it wrote. Why is taken from its warnings:

    Warning (supported operators) operator: MEAN, ofm: 'NAME'
    Reason: Operation has tensor with unsupported DataType Float32 (NAME)
    Feature-map dataTypes must be one of {"INT16", ...}

Its estimates come from GRAPH_summary_SYSTEM.csv. They are Vela's model of the NPU and its memory:
nothing was run, and operators on the CPU are not in them.

It runs as a process of its own: a damaged file ends it by a signal.
"""

import csv
import importlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from export.ethos_u.accelerators import MEMORY_MODE, Accelerator
from export.graph.ir import Graph, Tensor
from export.graph.tflite_reader import read_tflite
from export.graph.tflite_writer import write_graph
from trm_jax.command_line import install_text

DISTRIBUTION, NPU_OPERATOR = "ethos-u-vela", "ethos-u"
CONFIG_FILE = "Arm/vela.ini"  # in the package
KIB = 1024
_WARNING = re.compile(r"^Warning .*operator: \w+, ofm: '(?P<name>.*)'$")
_REASON = re.compile(r"^Reason: (?P<text>.*)$")
_COUNT = re.compile(r"^(?P<where>CPU|NPU) operators = (?P<count>\d+)", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class VelaEstimate:
    """What Vela estimates of the NPU's part of a graph; nothing was measured.

    Attributes:
      cycles: of one call; clock_mhz: of the NPU.
      sram_bytes: tensors of NPU and CPU; constant_bytes: in flash or DRAM.
      weight_bytes: filters as the graph holds them; encoded_weight_bytes: compressed.
    """

    cycles: int
    clock_mhz: float
    sram_bytes: int
    constant_bytes: int
    weight_bytes: int
    encoded_weight_bytes: int

    @property
    def ms(self) -> float:
        """Time of one call."""
        return self.cycles / self.clock_mhz / 1e3


@dataclass(frozen=True, kw_only=True)
class CpuOperator:
    """An operator that Vela leaves on the CPU, by its code and its output; `reason` is Vela's."""

    code: str
    output: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class CompiledGraph:
    """A graph as Vela compiled it.

    Attributes:
      content: the .tflite that Vela wrote.
      npu_calls: custom operators in it; npu_operators: Vela's operators inside them.
    """

    content: bytes
    npu_calls: int
    npu_operators: int
    cpu: tuple[CpuOperator, ...]
    estimate: VelaEstimate


def vela_version() -> str:
    """Return the version of Vela.

    Raises:
      ModuleNotFoundError: it is not installed; the message says how to.
    """
    try:
        importlib.import_module("ethosu.vela")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"an Ethos-U needs its compiler, Vela, which is not installed: {install_text('ethosu')}"
        ) from error
    return metadata.version(DISTRIBUTION)


def compile_graph(graph: Graph, accelerator: Accelerator) -> CompiledGraph:
    """Compile a graph for an accelerator.

    Raises:
      ModuleNotFoundError: Vela is not installed.
      RuntimeError: Vela refuses the graph, or puts nothing of it on the NPU.
    """
    vela_version()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / f"{graph.name}.tflite").write_bytes(write_graph(graph))
        output = _run_vela(folder, graph.name, accelerator)
        content = (folder / f"{graph.name}_vela.tflite").read_bytes()
        summary = folder / f"{graph.name}_summary_{accelerator.system_config}.csv"
        with summary.open(encoding="utf-8", newline="") as file:
            estimate = _estimate(list(csv.DictReader(file))[-1])
    return read_compiled_graph(graph, content, output, estimate)


def read_compiled_graph(
    graph: Graph, content: bytes, output: str, estimate: VelaEstimate
) -> CompiledGraph:
    """Read what Vela made of a graph.

    Args:
      graph: as Vela was given it.
      output: what Vela printed.

    Raises:
      RuntimeError: nothing runs on the NPU, inputs or outputs changed, or what Vela prints and
        writes differ: a version of it that works otherwise.
    """
    compiled = read_tflite(content).graphs[0]
    reasons = read_reasons(output)
    kept = [op for op in compiled.ops if op.code != NPU_OPERATOR]
    cpu = tuple(
        CpuOperator(
            code=op.code, output=op.outputs[0], reason=reasons.get(op.outputs[0], "none given")
        )
        for op in kept
    )
    counts = {match["where"]: int(match["count"]) for match in _COUNT.finditer(output)}
    known = {op.outputs[0] for op in graph.ops}
    is_told = counts.get("CPU") == len(cpu) and known.issuperset(op.output for op in cpu)
    if not is_told or _interface(compiled) != _interface(graph):
        raise RuntimeError(
            f"Vela {vela_version()} prints or writes graph {graph.name} in another form than is"
            f" known here; install the version of {install_text('ethosu')}"
        )
    if len(kept) == len(compiled.ops):
        raise RuntimeError(f"Vela puts no operator of graph {graph.name} on the NPU")
    return CompiledGraph(
        content=content,
        npu_calls=len(compiled.ops) - len(kept),
        npu_operators=counts["NPU"],
        cpu=cpu,
        estimate=estimate,
    )


def read_reasons(output: str) -> dict[str, str]:
    """Read why operators stay on the CPU: name of the output -> Vela's reason."""
    reasons: dict[str, str] = {}
    name = ""
    for line in output.splitlines():
        if warning := _WARNING.match(line):
            name = warning["name"]
        elif name and (reason := _REASON.match(line)):
            reasons.setdefault(name, reason["text"].strip())
            name = ""
    return reasons


def _run_vela(folder: Path, name: str, accelerator: Accelerator) -> str:
    """Run Vela in a folder; returns what it prints."""
    options = {
        "--output-dir": str(folder),
        "--accelerator-config": accelerator.value,
        "--config": CONFIG_FILE,
        "--system-config": accelerator.system_config,
        "--memory-mode": MEMORY_MODE,
    }
    words = [word for pair in options.items() for word in pair]
    command = [sys.executable, "-m", "ethosu.vela", f"{name}.tflite", *words]
    done = subprocess.run(
        [*command, "--show-cpu-operations"], cwd=folder, capture_output=True, check=False
    )
    output = (done.stdout + done.stderr).decode(errors="replace")
    if done.returncode:
        last = output.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise RuntimeError(
            f"Vela {vela_version()} refuses graph {name} for {accelerator.value}: {last[0]}"
        )
    return output


def _estimate(row: Mapping[str, str]) -> VelaEstimate:
    def kib(*names: str) -> int:
        return round(sum(float(row[f"{name}_memory_used"]) for name in names) * KIB)

    return VelaEstimate(
        cycles=int(float(row["cycles_total"])),
        clock_mhz=float(row["core_clock"]) / 1e6,
        sram_bytes=kib("sram"),
        constant_bytes=kib("dram", "on_chip_flash", "off_chip_flash"),
        weight_bytes=int(float(row["total_original_weights"])),
        encoded_weight_bytes=int(float(row["total_npu_encoded_weights"])),
    )


def _interface(graph: Graph) -> dict[str, tuple[object, ...]]:
    """Describe what the loop around a graph relies on: shapes and grids of inputs and outputs."""
    ends = {f"in:{name}": tensor for name, tensor in graph.inputs.items()}
    ends |= {f"out:{name}": tensor for name, tensor in graph.outputs.items()}
    return {name: _describe(graph.tensor(tensor)) for name, tensor in ends.items()}


def _describe(tensor: Tensor) -> tuple[object, ...]:
    grid = tensor.quant
    grids = None if grid is None else (tuple(grid.scale.tolist()), tuple(grid.zero_point.tolist()))
    return tensor.shape, tensor.dtype, grids
