"""The smallest row file and the smallest graph that a board could be given."""

import numpy as np

from export.cortex_m.row_file import Depth, RowFile
from export.graph.builder import GraphBuilder
from export.graph.ir import DType, Graph, Quant
from quant.integer.carry import Combine
from trm_jax.halting import BY_Q_CONTINUE

ID = bytes(range(32))
DEPTH = Depth(H_cycles=2, L_cycles=3, halt_max_steps=16, halting=BY_Q_CONTINUE)


def small_row_file(**changes: object) -> RowFile:
    """Two tokens, one cell, one prefix position, two elements, int16."""
    values: dict = {
        "model_id": ID,
        "seq": 1,
        "prefix": 1,
        "depth": DEPTH,
        "H_init": np.asarray([3, -3], np.int16),
        "L_init": np.asarray([1, -1], np.int16),
        "token_rows": np.asarray([[5, 6], [256, -2]], np.int16),
        "puzzle_rows": np.asarray([[7, 8], [9, 10]], np.int16),
        "combine_L": Combine(z_factor=1, e_factor=-1, offset=-2, shift=3),
        "combine_H": Combine(z_factor=4, e_factor=0, offset=2**40, shift=5),
    }
    return RowFile(**{**values, **changes})


def matrix_graph(dtype: DType) -> Graph:
    """One product of 6 inputs and 4 outputs, 16 bytes of per-channel scales."""
    g = GraphBuilder("block")
    x = g.input("z", (1, 6))
    quant = None
    if dtype is not DType.FLOAT32:
        scale = np.asarray([1, 2, 3, 4], np.float32)
        quant = Quant(scale=scale, zero_point=np.zeros(4, np.int64), axis=0)
    kernel = g.constant("kernel", np.arange(24).reshape(4, 6) % 7, dtype, quant)
    y = g.op("FULLY_CONNECTED", (x, kernel, None), "y", ((1, 4),), version=6)[0]
    return g.finish({"z": x}, {"z": y})
