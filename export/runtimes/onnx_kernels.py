"""Which integers ONNX Runtime's kernels compute on this CPU, and the option that makes them right.

x86 without VNNI multiplies u8 x s8 by an instruction that adds pairs of products in an int16 that
saturates: 255 * 127 summed over four inputs gives 65,534 instead of 129,540. Exported files avoid
such products (graph/onnx_translate.py: SAFE); files that others made, and older exports, hold
them. So before a model is opened the host is asked, once per process: products of the largest
integers are run and compared with sums in int64. Where u8 x s8 saturates, PRECISE is set, under
which ONNX Runtime turns such filters into uint8. It is not set elsewhere, since it takes VNNI's
speed away too.

Not here: float products, which differ between CPUs by the order of their sums.
"""

import functools
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from export.graph.ir import DType, Graph, Op, Tensor
from export.graph.onnx_file import write_onnx_graph

SessionEntry = tuple[str, str]
PRECISE: SessionEntry = ("session.x64quantprecision", "1")
PAIRS = ((DType.UINT8, DType.UINT8), (DType.UINT8, DType.INT8))
"""Inputs and filters of the integer products that files hold."""
ROWS = (1, 8)  # a vector has a kernel of its own
DEPTH, OUTPUTS = 36, 40  # whole vector registers, and a rest
SILENT = 3  # severity: errors only, which are raised anyway

IntegerProduct = Callable[[Graph, np.ndarray, tuple[SessionEntry, ...]], np.ndarray]
"""Runs a graph of one product on rows under session entries."""


def right_entries(run: IntegerProduct) -> tuple[SessionEntry, ...]:
    """Find the session entries under which integer products are right: none, or PRECISE.

    Args:
      run: ONNX Runtime of this host, or what stands for another one in a test.

    Raises:
      RuntimeError: they are wrong with and without; the message shows a product.
    """
    for entries in ((), (PRECISE,)):
        wrong = [text for text in (find_error(run, *pair, entries) for pair in PAIRS) if text]
        if not wrong:
            return entries
    raise RuntimeError(
        f"ONNX Runtime multiplies integers wrong on this CPU, {PRECISE[0]} included: {wrong[0]};"
        " install another release of onnxruntime, or take a TFLite target"
    )


def find_error(
    run: IntegerProduct, inputs: DType, filter: DType, entries: tuple[SessionEntry, ...]
) -> str:
    """Multiply the largest integers of two types; returns what is wrong, or an empty text."""
    low, high = (int(v) for v in (np.iinfo(filter.numpy).min, np.iinfo(filter.numpy).max))
    q = np.full((DEPTH, OUTPUTS), high, filter.numpy)
    q[:, 1::2] = low
    for rows in ROWS:
        x = np.full((rows, DEPTH), np.iinfo(inputs.numpy).max, inputs.numpy)
        got = run(product_graph(x, q, inputs, filter), x, entries)
        expected = x.astype(np.int64) @ q.astype(np.int64)
        if not np.array_equal(got, expected):
            row, column = np.argwhere(got != expected)[0]
            return (
                f"{inputs.value.lower()} x {filter.value.lower()}, {x[row, 0]} * {q[0, column]}"
                f" over {DEPTH} inputs gives {got[row, column]} instead of {expected[row, column]}"
            )
    return ""


def product_graph(x: np.ndarray, q: np.ndarray, inputs: DType, filter: DType) -> Graph:
    """Make a graph of one MatMulInteger."""
    y = Tensor(name="y", shape=(len(x), q.shape[1]), dtype=DType.INT32)
    return Graph(
        name="product",
        tensors=(
            Tensor(name="x", shape=x.shape, dtype=inputs),
            Tensor(name="q", shape=q.shape, dtype=filter, data=q),
            y,
        ),
        ops=(Op(code="MatMulInteger", inputs=("x", "q"), outputs=("y",)),),
        inputs={"x": "x"},
        outputs={"y": "y"},
    )


def make_options(entries: Iterable[SessionEntry], *, threads: int = 1) -> Any:
    """Make `onnxruntime.SessionOptions` that say nothing beside errors."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = SILENT
    for entry in entries:
        options.add_session_config_entry(*entry)
    return options


def open_graph(graph: Graph, entries: Iterable[SessionEntry]) -> Any:
    """Load a graph for one thread; gives an `onnxruntime.InferenceSession`."""
    import onnxruntime

    content, options = write_onnx_graph(graph, {}), make_options(entries)
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def run_product(graph: Graph, x: np.ndarray, entries: tuple[SessionEntry, ...]) -> np.ndarray:
    """Run a product on this host."""
    return np.asarray(open_graph(graph, entries).run(["y"], {"x": x})[0])


@functools.cache
def host_entries() -> tuple[SessionEntry, ...]:
    """Ask this host, once per process.

    Raises:
      RuntimeError: as `right_entries`.
    """
    return right_entries(run_product)


def describe_host() -> str:
    """Say which integer kernels this host has.

    Raises:
      RuntimeError: as `right_entries`.
    """
    import onnxruntime

    name = f"ONNX Runtime {onnxruntime.__version__}"
    if PRECISE in host_entries():
        return f"{name} saturates uint8 x int8 on this CPU; {PRECISE[0]} is set"
    return f"{name} multiplies 8-bit integers exactly on this CPU"
