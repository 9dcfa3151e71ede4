import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from export.artifact.host_state import BITS, input_tensor
from export.artifact.open import Export
from export.cortex_m import row_file as cortex_m_row_file
from export.cortex_m import sources, test_vectors
from export.cortex_m.arena import MARGIN, Arena, measure_shared_arena
from export.cortex_m.flash_contents import (
    count_state_bytes,
    make_row_file,
    make_vector_file,
    padded_size,
)
from export.cortex_m.row_file import RowFile
from export.cortex_m.sources import Sizes, without_names, write_board_graph
from export.graph.ir import DType, Graph, GraphModel
from export.lowering.model import blocks_of
from export.lowering.stages import network_graphs, stages_of, work_bytes
from export.targets import Target
from trm_jax.config import Positions

UPDATES = ("update_L", "update_H")


@dataclass(frozen=True, kw_only=True)
class Package:
    """What a board gets from an export.

    Attributes:
      networks: of the updates of z_L and z_H, the graphs in the order of their first call.
      graphs: name -> bytes of a .tflite of its own; the head is the last.
      vectors: bytes of the test vectors; none where the export expects no answers.
    """

    made: Export
    networks: Mapping[str, tuple[Graph, ...]]
    graphs: Mapping[str, bytes]
    model_id: bytes
    rows: RowFile
    vectors: bytes
    arena: Arena

    @property
    def model(self) -> GraphModel:
        """What the files hold."""
        return GraphModel(
            graphs=tuple(without_names(self.made.model.graph(name)) for name in self.graphs)
        )

    @property
    def flash(self) -> bytes:
        """Content of the flash file."""
        return cortex_m_row_file.write_rows(self.rows) + self.vectors

    @property
    def state_bytes(self) -> int:
        """What the firmware needs for states, between graphs, and for lines."""
        return count_state_bytes(self.rows) + self.work_bytes

    @property
    def work_bytes(self) -> int:
        """What lies between the graphs of an update."""
        positions = self.made.config.num_positions
        return padded_size(max(work_bytes(g, positions) for g in self.networks.values()))


def make_package(made: Export) -> Package:
    """Make what a board needs from an export.

    Raises:
      ValueError: not for TFLM, more than one puzzle per call, learned positions, or states of
        graphs that do not share a scale.
      RuntimeError: TFLM is not installed or refuses a graph.
    """
    _check(made)
    updates: dict[str, str] = dict(zip(UPDATES, blocks_of(made.config), strict=True))
    networks = {role: network_graphs(made.model, name) for role, name in updates.items()}
    used = [*networks["update_L"], *networks["update_H"], made.model.graph("head")]
    graphs = {graph.name: write_board_graph(graph) for graph in used}
    files = [graphs[graph.name] for graph in networks["update_L"]]
    model_id = hashlib.sha256(b"".join(files)).digest()
    rows = make_row_file(made, updates, model_id)
    expected = made.manifest.expected
    vectors = b""
    if expected.tokens:
        vectors = test_vectors.write_vectors(make_vector_file(expected, rows.depth, model_id))
    return Package(
        made=made,
        networks=networks,
        graphs=graphs,
        model_id=model_id,
        rows=rows,
        vectors=vectors,
        arena=measure_shared_arena(graphs.values()),
    )


def package_files(package: Package) -> dict[str, bytes]:
    """Write a package: name -> content."""
    facts = _facts(package)
    sizes = Sizes(reserved_arena_bytes(package.arena), package.state_bytes, package.work_bytes)
    updates = [stages_of(package.networks[role]) for role in UPDATES]
    texts = {
        "trm_op_resolver.h": sources.resolver_header(sources.methods_of([package.model])),
        "trm_package.h": sources.package_header(sizes, len(package.graphs)),
        "trm_package.cc": sources.package_source(package.model_id, list(package.graphs), updates),
        "package.json": json.dumps(facts, indent=2) + "\n",
        "README.md": readme(package.made, facts),
    }
    for name, data in package.graphs.items():
        file = f"g_{sources.symbol(name)}_model_data"
        texts[f"{file}.h"] = sources.model_header(name)
        texts[f"{file}.cc"] = sources.model_source(name, data)
    return {**{name: text.encode() for name, text in texts.items()}, "flash.bin": package.flash}


def save_package(package: Package, folder: Path) -> None:
    """Write a package into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in package_files(package).items():
        (folder / name).write_bytes(content)


def reserved_arena_bytes(arena: Arena) -> int:
    """Add the margin, and round up to 16."""
    return -(-(arena.head + arena.tail + MARGIN) // 16) * 16


def readme(made: Export, facts: Mapping[str, object]) -> str:
    """Say how to build, load and ask."""
    m, graphs = made.manifest, facts["graphs"]
    assert isinstance(graphs, dict)
    return f"""# {m.model}, {m.scheme}, for Cortex-M55

{len(graphs)} graphs of {facts["graph_bytes"]} bytes in all share one arena. flash.bin has
{facts["flash_bytes"]} bytes, the arena {facts["arena_bytes"]} (measured
{facts["arena_measured_bytes"]} + margin {MARGIN}), states take {facts["state_bytes"]}.

Build (TFLM's make target `microlite` makes the library, see the firmware's `make help`):

    make -C FIRMWARE PACKAGE=$PWD TFLM_LIB=libtensorflow-microlite.a \\
        TFLM_INC="TFLM_ROOT FLATBUFFERS/include GEMMLOWP RUY"

Load `firmware.elf` and, at 0x28700000 (DATA in memory.ld), `flash.bin`. Ask over UART 0, 115200
baud, or let QEMU do all of it:

    qemu-system-arm -machine mps3-an547 -display none -serial stdio -kernel firmware.elf \\
        -device loader,file=flash.bin,addr=0x28700000,force-raw=on

    info                what it is
    test                solves the test vectors and compares
    solve ID TOKENS     one character 0-9a-z a cell
    once ID TOKENS      one update of each state and a read-out, in ticks
"""


def _check(made: Export) -> None:
    m = made.manifest
    if not m.target.facts.is_board:
        boards = " or ".join(target.value for target in Target if target.facts.is_board)
        raise ValueError(f"a board needs an export for {boards}, this one is for {m.target.value}")
    if m.batch != 1:
        raise ValueError(f"the firmware solves one puzzle at a time, export has batch={m.batch}")
    if made.config.positions is Positions.LEARNED:
        raise ValueError("the row file has no learned positions; use rope or none")
    ends = [("head", "z_H")]
    ends += [(name, end) for name in blocks_of(made.config) for end in ("z", "injection")]
    types = {input_tensor(made.model.graph(name), end).dtype for name, end in ends}
    if len(types) > 1 or not types <= {DType.FLOAT32, *BITS}:
        found = ", ".join(sorted(dtype.value for dtype in types))
        raise ValueError(f"states must all be float32, int16 or int8, got {found}")


def _facts(package: Package) -> dict[str, object]:
    arena, flash, graphs = package.arena, package.flash, package.graphs
    return {
        "model": package.made.manifest.model,
        "scheme": package.made.manifest.scheme,
        "graph_bytes": sum(map(len, graphs.values())),
        "graphs": {name: hashlib.sha256(data).hexdigest() for name, data in graphs.items()},
        "arena_measured_bytes": arena.head + arena.tail,
        "arena_head_bytes": arena.head,
        "arena_tail_bytes": arena.tail,
        "arena_bytes": reserved_arena_bytes(arena),
        "state_bytes": package.state_bytes,
        "work_bytes": package.work_bytes,
        "flash_bytes": len(flash),
        "flash_sha256": hashlib.sha256(flash).hexdigest(),
    }
