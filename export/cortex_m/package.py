"""What a board gets from an export: C++ sources, flash file, sizes, a README.

`make_package` takes an opened export for TFLM with one puzzle per call; `check_answers` refuses one
whose answers are all wrong; `package_files` names and writes what it holds, `save_package` puts it
into a folder:

    g_GRAPH_model_data.h/.cc, trm_op_resolver.h, trm_package.h/.cc    (sources.py)
    flash.bin      row file (row_file.py), then test vectors (test_vectors.py)
    package.json   sizes (arena measured, margin, states, flash), operators, hashes
    README.md      how to build, load and use it

Not here: the command line (export/micro.py) and the firmware (export/firmware).
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from export.artifact.host_state import BITS, input_tensor
from export.artifact.open import Export
from export.cortex_m import row_file, sources, test_vectors
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
from trm_jax.data.facts import PuzzleFacts
from trm_jax.halting import NEVER, Halting
from trm_jax.output.staging import staged
from trm_jax.tasks import TASKS

UPDATES = ("update_L", "update_H")


@dataclass(frozen=True, kw_only=True)
class PackageFacts:
    """What package.json says.

    Attributes:
      puzzles: what they are; None where the export does not say.
      graphs: name -> SHA-256 of its .tflite, in the order of the firmware.
      halting: the rule that the firmware begins with (trm_jax/halting).
    """

    model: str
    scheme: str
    puzzles: PuzzleFacts | None
    graph_bytes: int
    graphs: dict[str, str]
    arena_measured_bytes: int
    arena_head_bytes: int
    arena_tail_bytes: int
    arena_bytes: int
    state_bytes: int
    work_bytes: int
    flash_bytes: int
    flash_sha256: str
    halting: str = NEVER.name


@dataclass(frozen=True, kw_only=True)
class Package:
    """What a board gets from an export.

    Attributes:
      export: what it was made from.
      networks: of the updates of z_L and z_H, the graphs in the order of their first call.
      graphs: name -> bytes of a .tflite of its own; the head is the last.
      vectors: bytes of the test vectors; none where the export expects no answers, or only
        wrong ones.
    """

    export: Export
    networks: Mapping[str, tuple[Graph, ...]]
    graphs: Mapping[str, bytes]
    model_id: bytes
    rows: RowFile
    vectors: bytes
    arena: Arena

    @property
    def model(self) -> GraphModel:
        """The graphs as the files have them."""
        return GraphModel(
            graphs=tuple(without_names(self.export.model.graph(name)) for name in self.graphs)
        )

    @property
    def flash(self) -> bytes:
        """Content of the flash file."""
        return row_file.write_rows(self.rows) + self.vectors

    @property
    def state_bytes(self) -> int:
        """What the firmware needs for states, between graphs, and for lines of the console."""
        return count_state_bytes(self.rows) + self.work_bytes

    @property
    def work_bytes(self) -> int:
        """Bytes of the state that graphs of one update hand to each other."""
        positions = self.export.config.num_positions
        return padded_size(max(work_bytes(g, positions) for g in self.networks.values()))


def choose_halting(export: Export, halting: Halting | None) -> Export:
    """Choose the rule that the firmware of a package begins with.

    Args:
      halting: never, or the rule that the export was tried with; None: the latter.

    Raises:
      ValueError: another rule, for which the export has no answers to test a board with.
    """
    expected = export.manifest.expected
    tried = NEVER if expected.halted is None else expected.halted.rule
    if halting is None or halting == tried:
        return export
    if halting != NEVER:
        raise ValueError(
            f"the export was tried with halting by {tried.name}, so a self-test of halting by"
            f" {halting.name} has no answers; export again with --halt {halting.name}"
        )
    never = dataclasses.replace(expected, halted=None)
    return dataclasses.replace(
        export, manifest=dataclasses.replace(export.manifest, expected=never)
    )


def make_package(export: Export) -> Package:
    """Make what a board needs from an export.

    Raises:
      ValueError: not for TFLM, more than one puzzle per call, learned positions, or states of
        graphs that do not share a scale.
      RuntimeError: TFLM is not installed or refuses a graph.
    """
    _check_export(export)
    networks = networks_of(export)
    graphs = write_board_graphs(export)
    model_id = hashlib.sha256(b"".join(graphs.values())).digest()
    rows = make_row_file(export, model_id)
    vectors = make_vector_file(export, rows.depth, model_id)
    return Package(
        export=export,
        networks=networks,
        graphs=graphs,
        model_id=model_id,
        rows=rows,
        vectors=b"" if vectors is None else test_vectors.write_vectors(vectors),
        arena=measure_shared_arena(graphs.values()),
    )


def networks_of(export: Export) -> dict[str, tuple[Graph, ...]]:
    """Find the graphs of the updates of z_L and z_H, in the order of their first call."""
    updates = dict(zip(UPDATES, blocks_of(export.config), strict=True))
    return {role: network_graphs(export.model, name) for role, name in updates.items()}


def write_board_graphs(export: Export) -> dict[str, bytes]:
    """Write the graphs as a board gets them: name -> .tflite of its own; the head is the last."""
    networks = networks_of(export)
    used = [*networks["update_L"], *networks["update_H"], export.model.graph("head")]
    return {graph.name: write_board_graph(graph) for graph in used}


def count_vectors(package: Package) -> int:
    """Count the puzzles of the self-test."""
    return len(test_vectors.read_vectors(package.vectors).vectors) if package.vectors else 0


def check_answers(package: Package) -> None:
    """Check that a board would answer right at least once.

    Raises:
      ValueError: the export expects answers, and all of them break the rules of their puzzles.
    """
    m = package.export.manifest
    if m.expected.tokens and not package.vectors:
        raise ValueError(
            f"none of the {len(m.expected.tokens)} expected answers of {m.model} as {m.scheme} is"
            f" right by the rules of {m.task}: a board would answer wrong, and its self-test would"
            " call that passed; export another --scheme (experiments.deploy --target cortex-m55"
            " compares them)"
        )


def package_files(package: Package) -> dict[str, bytes]:
    """Write a package: name -> content."""
    facts = dataclasses.asdict(facts_of(package))
    sizes = Sizes(reserved_arena_bytes(package.arena), package.state_bytes, package.work_bytes)
    updates = [stages_of(package.networks[role]) for role in UPDATES]
    texts = {
        "trm_op_resolver.h": sources.resolver_header(sources.methods_of([package.model])),
        "trm_package.h": sources.package_header(sizes, len(package.graphs)),
        "trm_package.cc": sources.package_source(package.model_id, package.graphs, updates),
        "package.json": json.dumps(facts, indent=2) + "\n",
        "README.md": write_readme(package.export, facts),
    }
    for name, data in package.graphs.items():
        file = f"g_{sources.symbol(name)}_model_data"
        texts[f"{file}.h"] = sources.model_header(name)
        texts[f"{file}.cc"] = sources.model_source(name, data)
    return {**{name: text.encode() for name, text in texts.items()}, "flash.bin": package.flash}


def save_package(package: Package, folder: Path) -> None:
    """Write a package into a folder, in one piece where it is new."""
    with staged(folder) as work:
        for name, content in package_files(package).items():
            (work / name).write_bytes(content)


def facts_of(package: Package) -> PackageFacts:
    """Say what a package is and what it takes."""
    arena, flash, graphs = package.arena, package.flash, package.graphs
    manifest = package.export.manifest
    return PackageFacts(
        model=manifest.model,
        scheme=manifest.scheme,
        puzzles=manifest.puzzles,
        graph_bytes=sum(map(len, graphs.values())),
        graphs=hash_graphs(graphs),
        arena_measured_bytes=arena.head + arena.tail,
        arena_head_bytes=arena.head,
        arena_tail_bytes=arena.tail,
        arena_bytes=reserved_arena_bytes(arena),
        state_bytes=package.state_bytes,
        work_bytes=package.work_bytes,
        flash_bytes=len(flash),
        flash_sha256=hashlib.sha256(flash).hexdigest(),
        halting=package.rows.depth.halting.name,
    )


def hash_graphs(graphs: Mapping[str, bytes]) -> dict[str, str]:
    """Hash each graph's file."""
    return {name: hashlib.sha256(data).hexdigest() for name, data in graphs.items()}


def reserved_arena_bytes(arena: Arena) -> int:
    """Add the margin, and round up to 16."""
    return -(-(arena.head + arena.tail + MARGIN) // 16) * 16


def write_readme(export: Export, facts: Mapping[str, object]) -> str:
    """Write how to build, load and use a package."""
    m, graphs = export.manifest, facts["graphs"]
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

    qemu-system-arm -machine mps3-an547 -display none -monitor none -serial stdio -no-reboot \\
        -kernel firmware.elf -device loader,file=flash.bin,addr=0x28700000,force-raw=on

`python -m export.board THIS_FOLDER 53..7....` asks for you, emulated or with --port, and says
whether the answer is right. By hand:

    info                what it is
    test                solves the test vectors and compares
    set halt=never      every step; this package begins with halt={facts["halting"]}
    solve ID PUZZLE     a Sudoku as 53..7...., a maze as ##.S/...; or one character 0-9a-z a cell
    once ID PUZZLE      one update of each state and a read-out, in ticks
    quit                starts the board again; QEMU ends

ID is the row of the puzzle table, 0 where there is one. A Sudoku with a blank (. or 0) and a maze
with anything but digits are read as people write them. All else are TOKENS, numbers of the model's
alphabet: 0 to 9, then a for 10 to z for 35. A cell's token is the number that
the puzzle file of the data set has for it.{_tokens_of(export)}

`halt=rules` ends a solve when the answer obeys the rules of the puzzle, `halt=unchanged:2` when it
has not changed for two steps. Halting by q (`halt=q`, `halt=q:1.5`) is as good as the model's q
head: compare answers with `set halt=never` before trusting it. `set H=3 L=6 steps=16` sets the
depth.
"""


def _tokens_of(export: Export) -> str:
    """Tell the alphabet of the task, where it is known."""
    task = TASKS.get(export.manifest.task)
    return f"\n{task.text.tokens}" if task and task.text else ""


def _check_export(export: Export) -> None:
    m = export.manifest
    if not m.target.facts.is_board:
        boards = " or ".join(target.value for target in Target if target.facts.is_board)
        raise ValueError(f"a board needs an export for {boards}, this one is for {m.target.value}")
    if m.batch != 1:
        raise ValueError(f"the firmware solves one puzzle at a time, export has batch={m.batch}")
    if export.config.positions is Positions.LEARNED:
        raise ValueError("the row file has no learned positions; use rope or none")
    inputs = [("head", "z_H")]
    inputs += [(graph, name) for graph in blocks_of(export.config) for name in ("z", "injection")]
    types = {input_tensor(export.model.graph(graph), name).dtype for graph, name in inputs}
    if len(types) > 1 or not types <= {DType.FLOAT32, *BITS}:
        names = ", ".join(sorted(dtype.value for dtype in types))
        raise ValueError(f"states must all be float32, int16 or int8, got {names}")
