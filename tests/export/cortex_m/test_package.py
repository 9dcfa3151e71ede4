"""Packages for boards: sources that say what the graphs are, flash in the graphs' formats."""

import dataclasses
import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest

from export import micro
from export.artifact.manifest import Expected, HaltedAnswers, Manifest
from export.artifact.open import Export
from export.cortex_m import arena, flash_contents, row_file, sources, test_vectors
from export.cortex_m import package as cortex_m_package
from export.cortex_m.arena import Arena, measure_arena, measure_shared_arena
from export.graph.ir import DType, Graph, GraphModel, Op, Quant, Tensor
from export.graph.tflite_writer import write_tflite
from export.lowering import model as lowering_model
from export.targets import Target
from quant.scheme import CarryPrecision
from tests.support.export.runtimes import skip_without
from tests.support.tiny import export as tiny
from trm_jax.config import Config, Positions
from trm_jax.data.facts import PuzzleFacts
from trm_jax.data.maze.symmetry import SYMBOLS
from trm_jax.data.sudoku.tokens import symbols
from trm_jax.halting import BY_Q, BY_RULES, NEVER

KINDS = tiny.configs()
SCALES = {"z": (0.05, -3), "injection": (0.11, 7)}


def scale_of(name: str, dtype: DType) -> tuple[float, int]:
    """Scale and zero point of a state; int16 kernels want 0."""
    scale, zero_point = SCALES[name]
    return scale, 0 if dtype is DType.INT16 else zero_point


def quant(name: str, dtype: DType) -> Quant:
    scale, zero_point = scale_of(name, dtype)
    return Quant(scale=np.asarray([scale], np.float32), zero_point=np.asarray([zero_point]))


def update_graph(name: str, config: Config, dtype: DType) -> Graph:
    """A network of one addition."""
    shape = (1, config.num_positions, config.hidden_size)
    ends = [
        Tensor(
            name=end,
            shape=shape,
            dtype=dtype,
            quant=None if dtype is DType.FLOAT32 else quant(of, dtype),
        )
        for end, of in (("z", "z"), ("injection", "injection"), ("out", "z"))
    ]
    op = Op(code="ADD", version=2, inputs=("z", "injection"), outputs=("out",))
    return Graph(
        name=name,
        tensors=tuple(ends),
        ops=(op,),
        outputs={"z": "out"},
        inputs={"z": "z", "injection": "injection"},
    )


def head_graph(config: Config, dtype: DType) -> Graph:
    """A read-out of one reshape; what it computes does not matter here."""
    shape = (1, config.num_positions, config.hidden_size)
    size = config.num_positions * config.hidden_size
    held = None if dtype is DType.FLOAT32 else quant("z", dtype)
    tensors = (
        Tensor(name="z_H", shape=shape, dtype=dtype, quant=held),
        Tensor(name="size", shape=(1,), dtype=DType.INT32, data=np.asarray([size], "<i4")),
        Tensor(name="logits", shape=(size,), dtype=dtype, quant=held),
    )
    op = Op(code="RESHAPE", inputs=("z_H", "size"), outputs=("logits",))
    return Graph(
        name="head", tensors=tensors, ops=(op,), inputs={"z_H": "z_H"}, outputs={"logits": "logits"}
    )


def made(config: Config, dtype: DType = DType.INT8, /, **changes: object) -> Export:
    """An export by hand."""
    rng = np.random.default_rng(0)
    names = sorted(set(lowering_model.blocks_of(config)))
    graphs = [update_graph(name, config, dtype) for name in names] + [head_graph(config, dtype)]
    host = {
        "embed_tokens": rng.normal(size=(config.vocab_size, config.hidden_size)),
        "H_init": rng.normal(size=config.hidden_size),
        "L_init": rng.normal(size=config.hidden_size),
        "puzzle_emb": rng.normal(size=(config.num_puzzle_identifiers, config.puzzle_emb_ndim)),
    }
    cells = tuple(int(t) for t in rng.integers(0, config.vocab_size, config.seq_len))
    manifest = Manifest(
        integers=None,
        model="tiny",
        source="tiny",
        parameters_sha256="",
        task="",
        config=config,
        scheme="w4",
        plan="int",
        carry=CarryPrecision.ARITHMETIC,
        target=Target.TFLM,
        batch=1,
        ranges={},
        weight_bytes=0,
        operators={},
        files={},
        expected=Expected(
            steps=3,
            inputs=(cells,),
            puzzle_identifiers=(0,),
            tokens=(cells[::-1],),
            confirmed_by="tflm",
        ),
    )
    host = {name: value.astype(np.float32) for name, value in host.items()}
    manifest = dataclasses.replace(manifest, **changes)  # type: ignore[arg-type]
    return Export(manifest=manifest, model=GraphModel(graphs=tuple(graphs)), host=host)


@pytest.mark.parametrize(
    ("task", "grid", "box", "shape"),
    [
        ("sudoku", (6, 6), (2, 3), (1, 2, 3)),
        ("maze", (9, 12), None, (2, 9, 12)),
        ("maze", (2, 256), None, (0, 0, 0)),  # a side is a byte
        ("arc", (30, 30), None, (0, 0, 0)),
    ],
)
def test_flash_says_what_a_puzzle_is(
    task: str, grid: tuple[int, int], box: tuple[int, int] | None, shape: tuple[int, ...]
) -> None:
    facts = PuzzleFacts(task=task, grid=grid, box=box, identifiers_sha256="")
    assert tuple(flash_contents.shape_of(facts)) == shape
    assert not any(flash_contents.shape_of(None))


@pytest.mark.parametrize("dtype", [DType.INT8, DType.INT16])
def test_integer_rows_are_within_half_a_step(dtype: DType) -> None:
    export = made(KINDS["mlp"], dtype)
    rows = flash_contents.make_row_file(export, bytes(32))
    for name in ("H_init", "L_init"):
        scale, zero_point = scale_of("z", dtype)
        limits = np.iinfo(rows.H_init.dtype)
        real = (getattr(rows, name).astype(np.float64) - zero_point) * scale
        reach = ((limits.min - zero_point) * scale, (limits.max - zero_point) * scale)
        wanted = np.clip(export.host[name], *reach)
        assert np.all(np.abs(real - wanted) <= scale * 0.5001)  # float32 rounding of x / s
    # the rows' own scale follows from the constant of the injection: e_factor / 2^shift
    step = rows.combine_L.e_factor / 2.0**rows.combine_L.shift * SCALES["injection"][0]
    wanted = np.float32(np.sqrt(export.config.hidden_size)) * export.host["embed_tokens"]
    assert np.all(np.abs(rows.token_rows * step - wanted) <= step * 0.5001)
    largest = max(
        np.abs(rows.token_rows.astype(int)).max(), np.abs(rows.puzzle_rows.astype(int)).max()
    )
    assert largest == np.iinfo(rows.token_rows.dtype).max
    assert rows.combine_H.e_factor == 0


def test_float_rows_are_the_model_s() -> None:
    export = made(KINDS["hrm"], DType.FLOAT32)
    rows = flash_contents.make_row_file(export, bytes(32))
    np.testing.assert_array_equal(rows.H_init, export.host["H_init"])
    wanted = np.float32(np.sqrt(export.config.hidden_size)) * export.host["puzzle_emb"]
    np.testing.assert_array_equal(rows.puzzle_rows, wanted)
    assert rows.depth.halting == NEVER  # of an export that names no task


def test_arrays_are_aligned_and_complete() -> None:
    data = bytes(range(256)) + b"\0\1"
    source = sources.model_source("block", data)
    assert "alignas(16)" in source
    body = source[source.index("{") + 1 : source.index("}")]
    assert bytes(int(number) for number in re.findall(r"\d+", body)) == data
    assert f"g_block_model_data_size = {len(data)};" in source


def test_the_resolver_has_exactly_the_operators_used() -> None:
    export = made(KINDS["mlp"])
    assert sources.methods_of([export.model]) == ["AddAdd", "AddReshape"]
    decode = Op(code="TFLM_DECODE", inputs=("z",), outputs=("z",), custom_options=b"")
    lstm = Op(code="LSTM", inputs=("z",), outputs=("z",))
    z = Tensor(name="z", shape=(1,))

    def model(op: Op) -> GraphModel:
        graph = Graph(name="g", tensors=(z,), ops=(op,), inputs={}, outputs={})
        return GraphModel(graphs=(graph,))

    assert sources.methods_of([model(decode)]) == ["AddDecode"]
    with pytest.raises(ValueError, match="no TFLM operator is known for 'LSTM'"):
        sources.methods_of([model(lstm)])


def test_graphs_share_the_head_of_an_arena_and_add_their_tails() -> None:
    skip_without(Target.TFLM)
    export = made(KINDS["mlp"], DType.FLOAT32)
    files = [write_tflite(GraphModel(graphs=(graph,))) for graph in export.model.graphs]
    each = [measure_arena(file) for file in files]
    c = export.config
    state = 4 * c.num_positions * c.hidden_size
    # two inputs and an output live at once, each from a multiple of 16 bytes
    assert 3 * state <= each[0].head <= 3 * state + 3 * 16
    both = measure_shared_arena(files)
    assert both == Arena(head=max(a.head for a in each), tail=sum(a.tail for a in each))


def test_what_tflm_refuses_is_said() -> None:
    skip_without(Target.TFLM)
    with pytest.raises(RuntimeError, match="TFLM did not place the graph"):
        measure_arena(b"no flatbuffer")


@pytest.mark.parametrize("kind", ["mlp", "hrm"])
def test_a_package_is_consistent(kind: str) -> None:
    skip_without(Target.TFLM)
    export = made(KINDS[kind], DType.FLOAT32)
    package = cortex_m_package.make_package(export)
    files = cortex_m_package.package_files(package)
    facts = json.loads(files["package.json"])
    flash = files["flash.bin"]
    rows = row_file.read_rows(flash)
    vectors = test_vectors.read_vectors(flash[len(row_file.write_rows(rows)) :])
    assert rows.model_id == vectors.model_id
    written = [package.graphs[name] for name in facts["graphs"]]
    assert hashlib.sha256(b"".join(written)).digest() == rows.model_id
    assert list(facts["graphs"])[-1] == "head"
    assert facts["graphs"].keys() == package.graphs.keys()
    hashes = [hashlib.sha256(data).hexdigest() for data in written]
    assert hashes == list(facts["graphs"].values())
    assert not vectors.has_states  # floats may differ between compilers
    np.testing.assert_array_equal(vectors.vectors[0].tokens, export.manifest.expected.tokens[0])
    assert facts["arena_bytes"] >= facts["arena_measured_bytes"] + arena.MARGIN
    names = set(files)
    for graph in facts["graphs"]:
        assert {f"g_{graph}_model_data.h", f"g_{graph}_model_data.cc"} <= names
    order = files["trm_package.cc"].decode()  # of TRM both updates run the same graph
    assert (order.count("{0, 2, 1, {TRM_Z, TRM_WORK}, TRM_Z, 0}") == 2) == (kind == "mlp")
    assert package.work_bytes == 0


@pytest.mark.parametrize(
    ("task", "words", "drawn", "tokens"),
    [
        ("sudoku", "an empty cell is 1, a digit d is d + 1 (5 is 6, 9 is a)", ".59", "16a"),
        ("maze", "wall 1, free 2, start 3, goal 4, path 5", "# SGo", "12345"),
        ("", "the puzzle file of the data set", "", ""),
    ],
)
def test_the_readme_says_what_tokens_are(task: str, words: str, drawn: str, tokens: str) -> None:
    facts = dict.fromkeys(
        ("graph_bytes", "flash_bytes", "arena_bytes", "arena_measured_bytes", "state_bytes"), 1
    )
    export = made(KINDS["mlp"], task=task)
    text = cortex_m_package.write_readme(export, {**facts, "graphs": {}, "halting": "rules"})
    assert words in text
    assert "this package begins with halt=rules" in text
    digits = "0123456789abcdefghijklmnopqrstuvwxyz"
    if task == "sudoku":
        assert "".join(digits[symbols((3, 3))[symbol]] for symbol in drawn) == tokens
    if task == "maze":
        assert "".join(digits[SYMBOLS[symbol]] for symbol in drawn) == tokens


SOLVED = (2, 3, 4, 5, 4, 5, 2, 3, 3, 2, 5, 4, 5, 4, 3, 2)
"""A Sudoku of 4x4 cells, as tokens."""


def solved_export(answers: tuple[tuple[int, ...], ...]) -> Export:
    """A Sudoku's export that gives these answers to one puzzle, the second after one step."""
    config = dataclasses.replace(KINDS["mlp"], seq_len=16, vocab_size=6)
    puzzle = (1, *SOLVED[1:])
    halted = HaltedAnswers(halting="rules", steps=(3, 1)[: len(answers)], tokens=answers)
    expected = Expected(
        steps=3,
        inputs=(puzzle,) * len(answers),
        puzzle_identifiers=(0,) * len(answers),
        tokens=answers,
        confirmed_by="tflm",
        halted=halted,
    )
    facts = PuzzleFacts(task="sudoku", grid=(4, 4), box=(2, 2), identifiers_sha256="")
    changes = {"expected": expected, "task": "sudoku", "puzzles": facts}
    return made(config, DType.FLOAT32, **changes)


def test_vectors_hold_right_answers_alone_at_the_step_of_their_halt() -> None:
    wrong = (3, *SOLVED[1:])
    export = solved_export((wrong, SOLVED))
    depth = flash_contents.depth_of(export)
    assert depth.halting == BY_RULES
    file = flash_contents.make_vector_file(export, depth, bytes(32))
    assert file is not None
    assert file.depth.halting == BY_RULES
    (vector,) = file.vectors
    assert (vector.steps, tuple(vector.tokens)) == (1, SOLVED)
    assert flash_contents.make_vector_file(solved_export((wrong,)), depth, bytes(32)) is None


def test_a_package_halts_as_its_export_was_tried_or_never() -> None:
    export = solved_export((SOLVED, SOLVED))
    assert cortex_m_package.choose_halting(export, None) is export
    assert cortex_m_package.choose_halting(export, BY_RULES) is export
    never = cortex_m_package.choose_halting(export, NEVER)
    file = flash_contents.make_vector_file(never, flash_contents.depth_of(never), bytes(32))
    assert file is not None
    assert file.depth.halting == NEVER
    assert [vector.steps for vector in file.vectors] == [3, 3]
    with pytest.raises(ValueError, match=r"tried with halting by rules.*again with --halt q"):
        cortex_m_package.choose_halting(export, BY_Q)


def test_a_package_of_wrong_answers_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    skip_without(Target.TFLM)
    wrong = solved_export(((3, *SOLVED[1:]),))
    monkeypatch.setattr("export.artifact.open.open_artifact", lambda folder: wrong)
    assert micro.main([str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: none of the 1 expected answers of tiny as w4 is right by the")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"target": Target.LITERT}, "needs an export for tflm, this one is for litert"),
        ({"batch": 16}, "one puzzle at a time, export has batch=16"),
        ({"config": KINDS["learned"]}, "no learned positions"),
    ],
)
def test_exports_that_no_board_takes_are_refused(changes: dict, words: str) -> None:
    assert KINDS["learned"].positions is Positions.LEARNED
    with pytest.raises(ValueError, match=words):
        cortex_m_package.make_package(made(KINDS["mlp"], **changes))


def test_states_of_two_types_are_refused() -> None:
    export = made(KINDS["mlp"])
    mixed = (export.model.graphs[0], head_graph(export.config, DType.FLOAT32))
    export = dataclasses.replace(export, model=GraphModel(graphs=mixed))
    with pytest.raises(ValueError, match="must all be float32, int16 or int8, got FLOAT32, INT8"):
        cortex_m_package.make_package(export)


def test_a_folder_that_is_no_export_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert micro.main([str(tmp_path), str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.startswith("error: ")
