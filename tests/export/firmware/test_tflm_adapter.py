"""The adapter between firmware and TFLM, over as much of TFLM's interface as it uses.

fake_tflm/ stands in for the library: graphs of one addition on int8. What is tested is ours: that
states pass, that every refusal has a code and says what to do. Real TFLM: docs/deploy-cortex-m.md.
"""

import dataclasses
import struct
import subprocess
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from export.artifact.host_state import state_checksum
from export.cortex_m import row_file, sources
from export.cortex_m.row_file import PLAIN, Z_ONLY, Depth, RowFile
from export.cortex_m.sources import Sizes
from export.lowering.stages import Buffer, Partition
from tests.support.firmware.machines import FIRMWARE, collect, make, need

FAKE = Path(__file__).resolve().parent / "fake_tflm"
KERNELS_MAIN = Path(__file__).parents[2] / "support" / "firmware" / "tflm_kernels_main.cc"
POSITIONS, EMB, SEQ, VOCAB = 4, 3, 3, 5
MODEL_ID = bytes(range(32))
ARENA, UPDATE, HEAD = 4096, 1000, 500  # bytes given, and those that the graphs need


def graph(
    role: int, need_bytes: int, *, version: int = 3, other_scale: int = 0, rows: int = POSITIONS
) -> bytes:
    head = bytes([version, role, rows, EMB, SEQ, VOCAB, other_scale, 0])
    return head + struct.pack("<I", need_bytes)


def stage(name: str, to: Buffer, count: int) -> Partition:
    """A graph that adds work to z, `count` positions at a time."""
    return Partition(
        graph=name,
        inputs={"z": Buffer.Z, "injection": Buffer.WORK},
        outputs=("z",),
        to=to,
        column=0,
        rows=count,
    )


BLOCK = stage("block", Buffer.Z, POSITIONS)


def rows() -> RowFile:
    rng = np.random.default_rng(0)

    def draw(*shape: int) -> np.ndarray:
        return rng.integers(-9, 9, shape).astype(np.int8)

    depth = Depth(H_cycles=2, L_cycles=2, halt_max_steps=1)
    return RowFile(
        model_id=MODEL_ID,
        seq=SEQ,
        prefix=1,
        depth=depth,
        H_init=draw(EMB),
        L_init=draw(EMB),
        token_rows=draw(VOCAB, EMB),
        puzzle_rows=draw(1, EMB),
        combine_L=PLAIN,
        combine_H=Z_ONLY,
    )


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where what all firmwares share is compiled once."""
    need("make", "gcc", "g++")
    return tmp_path_factory.mktemp("adapter")


def talk(
    build: Path,
    folder: Path,
    lines: list[str],
    file: RowFile,
    *,
    update: bytes = graph(0, UPDATE),
    methods: tuple[str, ...] = ("AddAdd",),
    model_id: bytes = MODEL_ID,
    updates: Mapping[str, bytes] | None = None,
    stages: Sequence[Partition] = (BLOCK,),
    state_bytes: int = 1024,
    source: tuple[str, str] = ("", ""),
) -> list[str]:
    """Build the firmware of a package with the stand-in, and ask it.

    Args:
      source: words of trm_package.cc, and what stands in their place.
    """
    package = folder / "board"
    package.mkdir()
    files = {**(updates or {"block": update}), "head": graph(1, HEAD)}
    sizes = Sizes(ARENA, 1024, POSITIONS * EMB if len(stages) > 1 else 0)
    texts = {
        "trm_op_resolver.h": sources.resolver_header(list(methods)),
        "trm_package.h": sources.package_header(sizes, len(files)),
        "trm_package.cc": sources.package_source(model_id, files, (stages, stages)),
    }
    texts["trm_package.cc"] = texts["trm_package.cc"].replace(*source)
    for name, data in files.items():
        stem = f"g_{sources.symbol(name)}_model_data"
        texts[f"{stem}.h"] = sources.model_header(name)
        texts[f"{stem}.cc"] = sources.model_source(name, data)
    for name, text in texts.items():
        (package / name).write_text(text)
    library = folder / "libfake.a"
    library.write_bytes(b"!<arch>\n")
    (folder / "flash.bin").write_bytes(row_file.write_rows(file))
    make(
        "host-firmware",
        f"BUILD={build}",
        f"PACKAGE={package}",
        f"TFLM_LIB={library}",
        f"TFLM_INC={FAKE}",
    )
    command = [str(build / "host" / "firmware"), str(folder / "flash.bin"), str(state_bytes)]
    return collect(command, lines).lines


@pytest.mark.slow
def test_states_pass_through_the_graphs(build: Path, tmp_path: Path) -> None:
    """Two H-cycles of two L-cycles of wrapping additions, in NumPy."""
    file = rows()
    said = talk(build, tmp_path, ["info", "solve 0 142", "profile"], file)
    crc = int.from_bytes(row_file.write_rows(file)[12:16], "little")
    facts = f" type=int8 model=00010203 rows={crc:08x} state_bytes={2 * POSITIONS * EMB} "
    assert facts in said[0]
    assert f" arena_bytes={UPDATE + HEAD} " in said[0]
    e = np.concatenate([file.puzzle_rows, file.token_rows[[1, 4, 2]]]).astype(np.int64)
    z_L, z_H = (np.tile(v, (POSITIONS, 1)).astype(np.int64) for v in (file.L_init, file.H_init))
    for _ in range(2):
        for _ in range(2):
            z_L = (z_L + np.clip(z_H + e, -128, 127) + 128) % 256 - 128
        z_H = (z_H + z_L + 128) % 256 - 128
    logits = z_H[:SEQ][:, np.arange(VOCAB) % EMB]
    assert said[1].endswith("tokens=" + "".join(str(t) for t in logits.argmax(axis=1)))
    q_bits = np.float32(z_H[0, 0] * 0.25).view(np.uint32)
    assert f"q_bits={q_bits:08x}" in said[1]
    assert said[2].startswith(f"part ADD calls={2 * 3 + 1} ticks=")


def test_every_flipped_bit_of_a_graph_is_refused(build: Path, tmp_path: Path) -> None:
    """In the linked program, as flash would have it; the package's checksum stays."""
    talk(build, tmp_path, ["info"], rows())
    program = build / "host" / "firmware"
    linked = program.read_bytes()
    damaged = tmp_path / "damaged"
    for index, data in enumerate((graph(0, UPDATE), graph(1, HEAD))):
        assert linked.count(data) == 1
        first = linked.index(data)
        for bit in range(8 * len(data)):
            mutant = bytearray(linked)
            mutant[first + bit // 8] ^= 1 << bit % 8
            damaged.write_bytes(mutant)
            damaged.chmod(0o755)
            (said,) = collect([str(damaged), str(tmp_path / "flash.bin")], ["info"]).lines
            assert said == (
                f"error 10 graph {index} damaged in flash: its checksum is not the package's"
                f" {zlib.crc32(data):08x}; load the firmware again"
            )


PAIR = {"inject": graph(0, UPDATE, rows=3), "layers_0/tail": graph(0, UPDATE, rows=2)}
SEQUENCE = (stage("inject", Buffer.WORK, 3), stage("layers_0/tail", Buffer.Z, 2))


def test_states_pass_through_a_sequence_of_graphs(build: Path, tmp_path: Path) -> None:
    """work <- z + work, three rows and one; z <- z + work, two rows twice: z doubles."""
    file = rows()
    lines = ["set H=1 L=1 steps=1 halt=never", "solve 0 142", "profile"]
    said = talk(build, tmp_path, lines, file, updates=PAIR, stages=SEQUENCE)
    e = np.concatenate([file.puzzle_rows, file.token_rows[[1, 4, 2]]]).astype(np.int64)
    z_L, z_H = (np.tile(v, (POSITIONS, 1)).astype(np.int64) for v in (file.L_init, file.H_init))
    z_L = (2 * z_L + np.clip(z_H + e, -128, 127) + 128) % 256 - 128
    z_H = (2 * z_H + z_L + 128) % 256 - 128
    sums = [state_checksum(z.astype(np.int8)) for z in (z_H, z_L)]
    assert f"states={sums[0]:08x},{sums[1]:08x} " in said[1]
    assert said[2].startswith(f"part ADD calls={2 * (2 + 2) + 1} ticks=")


REFUSED = {
    "arena": (
        25,
        {"update": graph(0, ARENA + 1)},
        "could not place graph 0 in an arena of 4096 bytes; raise TRM_ARENA_BYTES",
    ),
    "version": (
        23,
        {"update": graph(0, UPDATE, version=2)},
        "model of schema version 2, TFLM reads 3; export it again",
    ),
    "operator": (
        24,
        {"methods": ("AddAdd", "AddMul")},
        "operator 2 of 2 could not be registered; the TFLM library lacks it",
    ),
    "scale": (
        27,
        {"update": graph(0, UPDATE, other_scale=1)},
        "graph 0: its states have other scales than those of the graphs around it",
    ),
    "scale of a sequence": (
        27,
        {"updates": {**PAIR, "layers_0/tail": graph(0, UPDATE, other_scale=1)}, "stages": SEQUENCE},
        "graph 1: its states have other scales",
    ),
    "room between graphs": (
        20,
        {"updates": PAIR, "stages": SEQUENCE, "state_bytes": 16},
        "states need",
    ),
    "rows of one graph": (
        26,
        {"update": graph(0, UPDATE, rows=3)},
        "graph 0 has other inputs or outputs",
    ),
    "no rows": (26, {"update": graph(0, UPDATE, rows=0)}, "graph 0 has other inputs or outputs"),
    "no stages": (29, {"stages": ()}, "stage 0 of an update names no graph"),
    "a stage of the head": (
        29,
        {"stages": (BLOCK, dataclasses.replace(BLOCK, graph="head"))},
        "stage 1 of an update names no graph or place that there is, or has other than 1 or 2"
        " inputs; write the package again (graphs: 1)",
    ),
    "three inputs": (
        29,
        {"stages": (BLOCK,), "source": ("{0, 2, 1, {", "{0, 3, 1, {")},
        "other than 1 or 2 inputs",
    ),
    "a place that is none": (
        29,
        {"source": ("TRM_WORK}, TRM_Z", "TRM_WORK}, static_cast<trm_place>(7)")},
        "names no graph or place",
    ),
    "a column outside": (26, {"source": ("TRM_Z, 0}", "TRM_Z, 4294967295u}")}, "graph 0 has other"),
    "ends": (26, {"update": graph(1, UPDATE)}, "graph 0 has other inputs or outputs"),
    "model": (
        9,
        {"model_id": bytes(32)},
        "flash is for another model: its id begins 00010203, this firmware's 00000000;"
        " load flash.bin and firmware of one package",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_have_a_code_and_say_what_to_do(name: str, build: Path, tmp_path: Path) -> None:
    code, changes, words = REFUSED[name]
    (said,) = talk(build, tmp_path, ["info"], rows(), **changes)
    assert said.startswith(f"error {code} ")
    assert words in said


def test_kernels_of_the_firmware_stand_in_for_tflm_s(tmp_path: Path) -> None:
    """LOGISTIC (halves, here) by a table made once, DECODE by two tables, anything else by TFLM."""
    need("g++")
    (tmp_path / "trm_op_resolver.h").write_text(sources.resolver_header(["AddAdd"]))
    program = tmp_path / "kernels"
    files = [KERNELS_MAIN, FIRMWARE / "tflm" / "tflm_kernels.cc", FIRMWARE / "kernels.c"]
    files.append(FIRMWARE / "products.c")
    folders = [f"-I{folder}" for folder in (FIRMWARE, FIRMWARE / "tflm", tmp_path, FAKE)]
    flags = ["-std=c++17", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    subprocess.run(["g++", *flags, *folders, *map(str, files), "-o", str(program)], check=True)
    environment = {"ASAN_OPTIONS": "detect_leaks=0"}  # the arena is never given back
    done = subprocess.run([program], capture_output=True, text=True, check=True, env=environment)
    halves = "-64 -1 0 0 32 63"
    decoded = f"{0 - 8} {1 - 8} {2 - 8} {100 - 31} {100 - 30} {100 - 16}"
    said = [halves, "taken 2", halves, "taken 1", "stock 1", decoded, "stock 1"]
    said += ["3 5 5 9", "stock", "1 -9 99 8", "stock"]
    said += ["127 127 -128 0 0 0", "stock", "stock", "1"]
    assert done.stdout.splitlines() == said
