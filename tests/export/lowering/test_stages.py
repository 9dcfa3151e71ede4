"""Graphs that share an arena: the same bits as a block in one graph, in less memory."""

from collections.abc import Mapping

import numpy as np
import pytest
from tflite_micro.python.tflite_micro import runtime

from experiments.deploy.cortex_m.arena import main
from experiments.deploy.cortex_m.graph_memory import graphs_of, kinds_of, read_rows
from export.cortex_m.arena import measure_shared_arena
from export.graph.ir import Graph, GraphModel
from export.graph.tflite_writer import write_tflite
from export.lowering.stages import PartitionSpec, run_stages, stages_of
from tests.support.programs import end_of
from tests.support.samples import small
from trm_jax.config import TRMConfig

CONFIG = TRMConfig(**small(seq_len=9, puzzle_emb_len=2, num_heads=4, hidden_size=16))
CUT = PartitionSpec(heads=3, tokens=4, queries=5)  # divides neither 4 heads nor 11 positions


def interpreters(graphs: tuple[Graph, ...]):
    """Make a function that runs a graph by its name."""
    loaded = {
        g.name: runtime.Interpreter.from_bytes(
            write_tflite(GraphModel(graphs=(g,))), arena_size=1 << 21
        )
        for g in graphs
    }
    by_name = {g.name: g for g in graphs}

    def call(name: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        interpreter, graph = loaded[name], by_name[name]
        for i, key in enumerate(graph.inputs):
            interpreter.set_input(inputs[key], i)
        assert not interpreter.invoke()
        return {key: interpreter.get_output(i) for i, key in enumerate(graph.outputs)}

    return call


@pytest.mark.slow
def test_stages_give_the_bits_of_a_block() -> None:
    graphs, one = (graphs_of(CONFIG, CUT, whole=whole) for whole in (False, True))
    stages, block = interpreters(graphs), interpreters(one)
    random = np.random.default_rng(0)
    for _ in range(3):
        z, injection = random.integers(-128, 128, (2, 11, 16)).astype(np.int8)
        wanted = block("block", {"z": z[None], "injection": injection[None]})["z"][0]
        found = run_stages(stages, z, injection, stages_of(graphs))
        assert np.array_equal(found, wanted)
        assert len(np.unique(found)) > 50


@pytest.mark.slow
def test_heads_in_graphs_of_their_own_need_a_smaller_head() -> None:
    config = TRMConfig(**small(seq_len=60, hidden_size=64, num_heads=8))
    cut = PartitionSpec(heads=1, tokens=10, queries=16)
    one, *_ = graphs_of(config, cut, whole=True)
    kinds = kinds_of(graphs_of(config, cut, whole=False))
    assert [len(kind) for kind in kinds] == [1, 16, 2]
    largest = max(
        measure_shared_arena([write_tflite(GraphModel(graphs=(kind[0],)))]).head for kind in kinds
    )
    assert 2 * largest < measure_shared_arena([write_tflite(GraphModel(graphs=(one,)))]).head


@pytest.mark.slow
def test_rows_are_measured_once(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["--preset", "sudoku-trm-att-mini", "--heads", "4", "--out", str(tmp_path)]
    assert main(command) == 0
    rows, text = read_rows(tmp_path), capsys.readouterr().out
    assert [row.count for row in rows] == [1, 2, 2]
    assert f"{max(r.head for r in rows) + sum(r.count * r.tail for r in rows):,}" in text
    assert main(command) == 0
    assert read_rows(tmp_path) == rows
    lines = (tmp_path / "rows.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "rows.jsonl").write_text(lines[0] + lines[1][:9])  # a kill came between
    assert main(command) == 0
    assert read_rows(tmp_path) == rows
    (tmp_path / "rows.jsonl").write_text('{"nothing": 1}\n')
    assert main(command) == 2
    assert "is left as it is" in (said := capsys.readouterr().err)
    assert "choose another folder" in said
    assert (tmp_path / "rows.jsonl").read_text() == '{"nothing": 1}\n'
    assert end_of(main, ["--heads", "0", "--out", str(tmp_path)]) == 2
