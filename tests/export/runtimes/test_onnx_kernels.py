"""The question to a host's integer kernels, answered by other hosts, in NumPy."""

import numpy as np
import pytest

pytest.importorskip("onnx", reason="the extra [onnx] is not installed")
pytest.importorskip("onnxruntime", reason="the extra [onnx] is not installed")

from export.graph.ir import DType, Graph
from export.runtimes.onnx_kernels import (
    PRECISE,
    SessionEntry,
    describe_host,
    find_error,
    host_entries,
    right_entries,
    run_product,
)


def filter_of(graph: Graph) -> np.ndarray:
    data = graph.tensor("q").data
    assert data is not None
    return data


def exact(graph: Graph, x: np.ndarray, entries: tuple[SessionEntry, ...]) -> np.ndarray:
    """Multiply as VNNI and Arm do."""
    return (x.astype(np.int64) @ filter_of(graph).astype(np.int64)).astype(np.int32)


def in_pairs(x: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Multiply as vpmaddubsw does: pairs of products, added in an int16 that saturates."""
    products = x[:, :, None].astype(np.int32) * q.astype(np.int32)
    pairs = products.reshape(len(x), -1, 2, q.shape[1]).sum(axis=2)
    return np.clip(pairs, -(2**15), 2**15 - 1).sum(axis=1, dtype=np.int32)


def saturating(graph: Graph, x: np.ndarray, entries: tuple[SessionEntry, ...]) -> np.ndarray:
    """Multiply as a CPU with AVX2 alone does."""
    q = filter_of(graph)
    if q.dtype == np.uint8 or PRECISE in entries:
        return exact(graph, x, entries)
    return in_pairs(x, q)


def hopeless(graph: Graph, x: np.ndarray, entries: tuple[SessionEntry, ...]) -> np.ndarray:
    """Multiply as no known host does: the option does not help."""
    return saturating(graph, x, ())


def test_the_oracle_is_what_was_measured_on_avx2() -> None:
    x, q = np.full((1, 4), 255, np.uint8), np.full((4, 1), 127, np.int8)
    assert in_pairs(x, q).item() == 65_534
    assert (x.astype(int) @ q.astype(int)).item() == 129_540


def test_the_option_is_set_only_where_it_is_needed() -> None:
    assert right_entries(exact) == ()
    assert right_entries(saturating) == (PRECISE,)


def test_kernels_that_no_option_makes_right_are_refused() -> None:
    message = r"uint8 x int8, 255 \* 127 over 36 inputs gives 589806 instead of 1165860; install"
    with pytest.raises(RuntimeError, match=message):
        right_entries(hopeless)


def test_this_host_is_right_or_says_so() -> None:
    entries = host_entries()
    for filter in (DType.UINT8, DType.INT8):
        assert find_error(run_product, DType.UINT8, filter, entries) == ""
    assert ("saturates" in describe_host()) == (PRECISE in entries)
