"""From an export for TFLM to a package for a board: sources, flash file, sizes, words.

    python -m export.micro EXPORT FOLDER

    FOLDER/g_GRAPH_model_data.h/.cc, trm_op_resolver.h, trm_package.h/.cc    (tflm_sources.py)
    FOLDER/flash.bin      row file (flash_rows.py) and test vectors (golden_vectors.py)
    FOLDER/package.json   sizes: arena measured and margin, states, flash; operators; hashes
    FOLDER/README.md      how to build, load and ask it

The arena is measured by TFLM's host interpreter (arena.py). Left out: making the export
(package.py), the firmware (firmware/).
"""

import argparse
import dataclasses
import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from export import flash_rows, golden_vectors, tflm_sources
from export.arena import MARGIN, Arena, shared_arena
from export.flash_rows import Depth, Halting, RowFile, combine_for, scaled_rows
from export.flatbuffer import write
from export.golden_vectors import Vector, VectorFile
from export.graph import DType, Graph, Model, Tensor
from export.integrity import Export, open_export
from export.lower import blocks_of
from export.manifest import Expected
from export.numerics import Target
from quant.affine import Affine, Grid, Symmetry, calibrate, quantise, scale_zero_point
from trm_jax.config import Config, Positions

BITS = {DType.INT16: 16, DType.INT8: 8}
LINE_ROOM = 256  # commands and numbers around the tokens (firmware/protocol.c)


@dataclass(frozen=True, kw_only=True)
class Package:
    """Contents of a package's files by name, and its sizes in bytes."""

    files: Mapping[str, bytes]
    arena: Arena
    state_bytes: int


def package(made: Export) -> Package:
    """Make everything a board needs from an export.

    Raises:
      ValueError: not for TFLM, more than one puzzle per call, learned positions, or states of
        graphs that do not share a scale.
      RuntimeError: TFLM is not installed or refuses a graph.
    """
    _check(made)
    names = (*blocks_of(made.config), "head")
    roles = dict(zip(("update_L", "update_H", "head"), names, strict=True))
    models = {name: dataclasses.replace(made.model, graphs=(made.model.graph(name),))
              for name in dict.fromkeys(names)}  # fmt: skip
    graphs = {name: write(model) for name, model in models.items()}
    model_id = hashlib.sha256(graphs[roles["update_L"]]).digest()
    rows = row_file(made, roles, model_id)
    vectors = vector_file(made.manifest.expected, rows.depth, model_id)
    arena = shared_arena(graphs.values())
    state_bytes = states(rows)
    texts = {
        "trm_op_resolver.h": tflm_sources.resolver_header(tflm_sources.methods_of(models.values())),
        "trm_package.h": tflm_sources.package_header(arena_bytes(arena), state_bytes),
        "trm_package.cc": tflm_sources.package_source(model_id, roles),
    }
    for name, data in graphs.items():
        texts[f"g_{name}_model_data.h"] = tflm_sources.model_header(name)
        texts[f"g_{name}_model_data.cc"] = tflm_sources.model_source(name, data)
    flash = flash_rows.write(rows) + golden_vectors.write(vectors)
    facts = _facts(made, graphs, arena, state_bytes, flash)
    texts["package.json"] = json.dumps(facts, indent=2) + "\n"
    texts["README.md"] = readme(made, facts)
    files = {name: text.encode() for name, text in texts.items()}
    return Package(files={**files, "flash.bin": flash}, arena=arena, state_bytes=state_bytes)


def arena_bytes(arena: Arena) -> int:
    """Add the margin, and round up to 16."""
    return -(-(arena.head + arena.tail + MARGIN) // 16) * 16


def states(rows: RowFile) -> int:
    """Count what the firmware takes for states, a row, puzzle and answer, and a line."""
    emb, size = rows.token_rows.shape[1], rows.token_rows.itemsize
    state = (rows.prefix + rows.seq) * emb * size
    parts = (state, state, emb * size, rows.seq, rows.seq, rows.seq + LINE_ROOM)
    return sum(-(-part // 16) * 16 for part in parts)


def row_file(made: Export, roles: Mapping[str, str], model_id: bytes) -> RowFile:
    """Bring initial states and embeddings into the number format of the graphs' states.

    Raises:
      ValueError: states of graphs that pass them on differ in type or scale.
    """
    c = made.config
    update_L, update_H = (made.model.graph(roles[role]) for role in ("update_L", "update_H"))
    z_L, z_H = _end(update_L, "z"), _end(update_H, "z")
    host = {name: np.asarray(value, np.float32) for name, value in made.host.items()}
    tokens = scaled_rows(host["embed_tokens"], c.hidden_size)
    puzzles = scaled_rows(host["puzzle_emb"], c.hidden_size)
    common = dict(model_id=model_id, seq=c.seq_len, prefix=c.prefix_len, depth=depth_of(c))
    if z_L.dtype is DType.FLOAT32:
        return RowFile(**common, H_init=host["H_init"], L_init=host["L_init"], token_rows=tokens,
                       puzzle_rows=puzzles)  # fmt: skip
    grid = Grid(bits=BITS[z_L.dtype])
    everything = jnp.concatenate([jnp.asarray(tokens).ravel(), jnp.asarray(puzzles).ravel()])
    affine = scale_zero_point(calibrate(everything, grid), grid)  # one scale for all rows
    e_scale = float(affine.scale.reshape(()))

    def on_grid(rows: np.ndarray) -> np.ndarray:
        return _integers(rows, (e_scale, 0), z_L.dtype)

    return RowFile(
        **common,
        H_init=_integers(host["H_init"], _scale(z_H), z_H.dtype),
        L_init=_integers(host["L_init"], _scale(z_L), z_L.dtype),
        token_rows=on_grid(tokens), puzzle_rows=on_grid(puzzles),
        combine_L=combine_for(
            z=_scale(z_H), e=e_scale, injection=_scale(_end(update_L, "injection"))
        ),
        combine_H=combine_for(
            z=_scale(z_L), e=None, injection=_scale(_end(update_H, "injection"))
        ),
    )  # fmt: skip


def depth_of(config: Config) -> Depth:
    """Take the configured depth and halting rule."""
    return Depth(
        H_cycles=config.H_cycles,
        L_cycles=config.L_cycles,
        halt_max_steps=config.halt_max_steps,
        halting=Halting.Q if config.no_ACT_continue else Halting.Q_CONTINUE,
    )


def vector_file(expected: Expected, depth: Depth, model_id: bytes) -> VectorFile:
    """Turn an export's expected answers into test vectors: all steps, no early halt."""
    fixed = dataclasses.replace(depth, halt_max_steps=expected.steps, halting=Halting.NEVER)
    vectors = [
        Vector(puzzle=puzzle, inputs=np.asarray(inputs), tokens=np.asarray(tokens),
               steps=expected.steps)
        for puzzle, inputs, tokens in zip(
            expected.puzzle_identifiers, expected.inputs, expected.tokens, strict=True
        )
    ]  # fmt: skip
    return VectorFile(model_id=model_id, depth=fixed, vectors=vectors)


def readme(made: Export, facts: Mapping[str, object]) -> str:
    """Say how to build, load and ask."""
    m = made.manifest
    return f"""# {m.model}, {m.scheme}, for Cortex-M55

Graphs {facts["graph_bytes"]} bytes, flash.bin {facts["flash_bytes"]} bytes, arena
{facts["arena_bytes"]} bytes (measured {facts["arena_measured_bytes"]} + margin {MARGIN}),
states {facts["state_bytes"]} bytes.

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
"""


def _check(made: Export) -> None:
    m = made.manifest
    if m.target is not Target.TFLM:
        raise ValueError(f"a board needs an export for tflm, this one is for {m.target.value}")
    if m.batch != 1:
        raise ValueError(f"the firmware solves one puzzle at a time, export has batch={m.batch}")
    if made.config.positions is Positions.LEARNED:
        raise ValueError("the row file has no learned positions; use rope or none")
    wanted = None
    for name in (*blocks_of(made.config), "head"):
        graph = made.model.graph(name)
        ends = ["z_H"] if name == "head" else ["z", "injection"]
        types = {_end(graph, end).dtype for end in ends}
        wanted = wanted or types
        if types != wanted or len(types) > 1 or types <= {DType.FLOAT32, *BITS} is False:
            raise ValueError(f"states of all graphs must have one type, {name!r} has {types}")


def _end(graph: Graph, name: str) -> Tensor:
    return graph.tensor(graph.inputs[name])


def _scale(tensor: Tensor) -> tuple[float, int]:
    """Read scale and zero point of an integer end.

    Raises:
      ValueError: it has none, or several.
    """
    if tensor.quant is None or tensor.quant.scale.size != 1:
        raise ValueError(f"{tensor.name!r} needs one scale to be a state of integers")
    return float(tensor.quant.scale[0]), int(tensor.quant.zero_point[0])


def _integers(x: np.ndarray, scale: tuple[float, int], dtype: DType) -> np.ndarray:
    """Round onto the integers of a tensor; int8 with a zero point is uint8's grid less 128."""
    bits, shape = BITS[dtype], (1,) * x.ndim
    middle = 0 if scale[1] == 0 else 128
    grid = Grid(bits=bits, symmetry=Symmetry.ASYMMETRIC if middle else Symmetry.SYMMETRIC)
    affine = Affine(
        jnp.full(shape, scale[0], jnp.float32), jnp.full(shape, scale[1] + middle, jnp.int32)
    )
    qvalue = np.asarray(quantise(jnp.asarray(x), affine, grid).qvalue)
    return (qvalue.astype(np.int32) - middle).astype(dtype.numpy)


def _facts(
    made: Export, graphs: Mapping[str, bytes], arena: Arena, state_bytes: int, flash: bytes
) -> dict[str, object]:
    return {
        "model": made.manifest.model,
        "scheme": made.manifest.scheme,
        "graph_bytes": sum(map(len, graphs.values())),
        "graphs": {name: hashlib.sha256(data).hexdigest() for name, data in graphs.items()},
        "arena_measured_bytes": arena.head + arena.tail,
        "arena_head_bytes": arena.head,
        "arena_tail_bytes": arena.tail,
        "arena_bytes": arena_bytes(arena),
        "state_bytes": state_bytes,
        "flash_bytes": len(flash),
        "flash_sha256": hashlib.sha256(flash).hexdigest(),
    }


def main(argv: list[str] | None = None) -> int:
    """Write a package."""
    parser = argparse.ArgumentParser(prog="python -m export.micro", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("export", type=Path, help="folder of an export for tflm, batch 1")
    parser.add_argument("folder", type=Path, help="folder of the package")
    arguments = parser.parse_args(argv)
    try:
        made = package(open_export(arguments.export))
    except (ValueError, RuntimeError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name, content in made.files.items():
        (arguments.folder / name).write_bytes(content)
    print(f"{arguments.folder}: {len(made.files)} files, arena {arena_bytes(made.arena)} bytes"
          f" of which {MARGIN} margin, states {made.state_bytes} bytes")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
