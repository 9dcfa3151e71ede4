"""An export and what Vela made of its graphs, on disk.

    DIR/model.tflite, manifest.json, ...   the export, checked by TFLM's interpreter
    DIR/GRAPH.ACCELERATOR.tflite           each graph as Vela compiled it
    DIR/ACCELERATOR.json                   `VelaRecord`: versions, hashes, operators left on the
                                           CPU, estimates

What Vela reads is the file that TFLM's interpreter ran, byte by byte: each graph written by
graph/tflite_writer.py:write_graph. Its hash is recorded, and the one of model.tflite, so that
compiled graphs of another export are recognised.

Not here: the loop around the graphs, which is the one of any export (artifact/solver.py).
"""

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from export.artifact.manifest import FileFacts, facts_of
from export.artifact.open import Export
from export.ethos_u.accelerators import MEMORY_MODE, Accelerator
from export.ethos_u.vela import (
    CompiledGraph,
    CpuOperator,
    VelaEstimate,
    compile_graph,
    vela_version,
)
from export.graph.files import MODEL_FILE
from export.graph.ir import Graph
from export.graph.tflite_writer import write_graph
from export.lowering.stages import STAGE
from trm_jax.typed_json import encode, read_fields, read_json

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class GraphRecord:
    """What is known of one compiled graph.

    Attributes:
      source_sha256: of the file that Vela read.
      compiled: of the file that it wrote.
      npu_calls, npu_operators, cpu, estimate: as of `CompiledGraph`.
    """

    source_sha256: str
    compiled: FileFacts
    npu_calls: int
    npu_operators: int
    cpu: tuple[CpuOperator, ...]
    estimate: VelaEstimate


@dataclass(frozen=True, kw_only=True)
class VelaRecord:
    """What ACCELERATOR.json holds.

    Attributes:
      vela: its version; system_config, memory_mode: sections of its configuration.
      model_sha256: of the export's model.tflite.
      confirmed_by: the interpreter that gave the simulation's answers with that file, before Vela;
        empty where none did (random weights).
    """

    format: int
    accelerator: Accelerator
    vela: str
    system_config: str
    memory_mode: str
    model_sha256: str
    confirmed_by: str
    graphs: Mapping[str, GraphRecord]


def compile_export(export: Export, accelerator: Accelerator) -> dict[str, CompiledGraph]:
    """Compile the graphs of an export, by name.

    Raises:
      ModuleNotFoundError: Vela is not installed.
      RuntimeError: Vela refuses a graph.
    """
    return {graph.name: compile_graph(graph, accelerator) for graph in used_graphs(export)}


def used_graphs(export: Export) -> tuple[Graph, ...]:
    """List the graphs that an NPU's host calls: blocks in one piece, and the head."""
    return tuple(graph for graph in export.model.graphs if not STAGE.fullmatch(graph.name))


def make_record(
    export: Export, accelerator: Accelerator, compiled: Mapping[str, CompiledGraph]
) -> VelaRecord:
    """Record what was compiled from which files."""
    return VelaRecord(
        format=FORMAT,
        accelerator=accelerator,
        vela=vela_version(),
        system_config=accelerator.system_config,
        memory_mode=MEMORY_MODE,
        model_sha256=export.manifest.files[MODEL_FILE].sha256,
        confirmed_by=export.manifest.expected.confirmed_by,
        graphs={name: _record(export, name, graph) for name, graph in compiled.items()},
    )


def _record(export: Export, name: str, graph: CompiledGraph) -> GraphRecord:
    return GraphRecord(
        source_sha256=hashlib.sha256(write_graph(export.model.graph(name))).hexdigest(),
        compiled=facts_of(graph.content),
        npu_calls=graph.npu_calls,
        npu_operators=graph.npu_operators,
        cpu=graph.cpu,
        estimate=graph.estimate,
    )


def save_compiled(folder: Path, record: VelaRecord, compiled: Mapping[str, CompiledGraph]) -> None:
    """Write compiled graphs and their record into the folder of the export."""
    for name, graph in compiled.items():
        (folder / compiled_file(name, record.accelerator)).write_bytes(graph.content)
    values = json.dumps(dataclasses.asdict(record), default=encode, indent=1)
    (folder / record_file(record.accelerator)).write_text(values + "\n", encoding="utf-8")


def read_record(folder: Path, accelerator: Accelerator, export: Export) -> VelaRecord:
    """Read the record of an export's compiled graphs, and check that the files are its.

    Raises:
      FileNotFoundError: nothing is compiled for the accelerator.
      ValueError: damaged, or compiled from another export.
    """
    file = folder / record_file(accelerator)
    if not file.is_file():
        raise FileNotFoundError(
            f"no {file.name} in {folder}: export with --target ethos-u"
            f" --accelerator {accelerator.value}"
        )
    try:
        record = read_fields(VelaRecord, read_json(file))
    except ValueError as error:
        raise ValueError(f"{file}: {error}; export again") from error
    if record.format != FORMAT:
        raise ValueError(f"{file}: format must be {FORMAT}, got {record.format}; export again")
    if record.model_sha256 != export.manifest.files[MODEL_FILE].sha256:
        raise ValueError(f"{file}: compiled from another {MODEL_FILE}; export again")
    for name, graph in record.graphs.items():
        path = folder / compiled_file(name, accelerator)
        if not path.is_file() or facts_of(path.read_bytes()) != graph.compiled:
            raise ValueError(f"{path} is missing or not the file of {file.name}; export again")
    return record


def compiled_file(graph: str, accelerator: Accelerator) -> str:
    """Name the file of a compiled graph."""
    return f"{graph}.{accelerator.value}.tflite"


def record_file(accelerator: Accelerator) -> str:
    """Name the file of a record."""
    return f"{accelerator.value}.json"


def describe_record(record: VelaRecord) -> str:
    """Say what runs where, why, and what Vela estimates."""
    lines = [
        f"{record.accelerator.value}: Vela {record.vela}, {record.system_config},"
        f" {record.memory_mode}"
    ]
    for name, graph in record.graphs.items():
        e = graph.estimate
        lines.append(
            f"{name}: {graph.npu_operators} operators in {graph.npu_calls} calls on the NPU,"
            f" {len(graph.cpu)} on the CPU; estimated by Vela for the NPU's part: {e.cycles:,}"
            f" cycles, {e.ms:.3g} ms at {e.clock_mhz:g} MHz, SRAM {e.sram_bytes:,} bytes, constants"
            f" {e.constant_bytes:,} bytes (filters {e.weight_bytes:,} compressed to"
            f" {e.encoded_weight_bytes:,})"
        )
        lines += [f"  on the CPU: {text}" for text in group_reasons(graph.cpu)]
    return "\n".join(lines)


def group_reasons(cpu: tuple[CpuOperator, ...]) -> list[str]:
    """List operators on the CPU with Vela's reasons, equal ones of other tensors once."""
    groups = Counter((op.code, op.reason.split(" (")[0]) for op in cpu)
    return [f"{count} {code}: {reason}" for (code, reason), count in groups.items()]
