"""Files for boards: the same graph under other names."""

import numpy as np
import pytest

from export.cortex_m.sources import without_names, write_board_graph
from export.graph.ir import GraphModel
from export.graph.tflite_reader import read_tflite
from export.graph.tflite_writer import write_tflite
from export.runtimes.registry import open_runtime
from export.targets import Target
from tests.support.export import integers, runtimes
from tests.support.export.integers import graphs, states

SCHEME = "w4c-asym_a16s_tflm"


@pytest.mark.slow
def test_a_board_s_file_is_the_graph_without_names() -> None:
    runtimes.skip_without(Target.TFLM)
    model = integers.tiny(SCHEME)
    block = graphs(model, SCHEME).graph("block")
    file = write_board_graph(block)
    letters = sum(len(tensor.name) for tensor in block.tensors)
    digits = 4 * len(block.tensors)  # at most, of hexadecimal numbers and their padding
    assert len(file) < len(write_tflite(GraphModel(graphs=(block,)))) - (letters - digits) / 2
    assert b"L_level" not in file
    fed = {"z": states(model, "z", 0), "injection": states(model, "injection", 1)}
    found = []
    for graph in (block, read_tflite(file).graph("block")):
        runtime = open_runtime(Target.TFLM, GraphModel(graphs=(graph,)))
        found.append(runtime.run("block", fed)["z"])
        runtime.close()
    np.testing.assert_array_equal(*found)


def test_names_and_scales_of_biases_are_all_that_is_left_out() -> None:
    block = graphs(integers.tiny(SCHEME), SCHEME).graph("block")
    made = without_names(block)
    assert [op.code for op in made.ops] == [op.code for op in block.ops]
    assert [t.shape for t in made.tensors] == [t.shape for t in block.tensors]
    assert (*made.inputs, *made.outputs) == (*block.inputs, *block.outputs)
    assert len({t.name for t in made.tensors}) == len(block.tensors)
    lost = [a.name for a, b in zip(block.tensors, made.tensors, strict=True) if a.quant != b.quant]
    assert lost == [t.name for t in block.tensors if t.name.endswith("/bias")]
