"""The question to a host's integer kernels, answered by other hosts: in NumPy, and emulated."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx", reason="the extra [onnx] is not installed")
pytest.importorskip("onnxruntime", reason="the extra [onnx] is not installed")

from export.artifact import check_operators
from export.graph.ir import DType, Graph
from export.graph.onnx_file import write_onnx_graph
from export.graph.onnx_translate import translate_model
from export.runtimes.onnx_kernels import (
    PRECISE,
    SessionEntry,
    describe_host,
    find_error,
    host_entries,
    product_graph,
    right_entries,
    run_product,
)
from export.runtimes.onnx_runtime import OnnxRuntime
from tests.support.export.lowered import lowered

QEMU = shutil.which("qemu-x86_64")
OLD_CPUS = ("Haswell", "Skylake-Server")  # AVX2; AVX-512 without VNNI


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


RUN = """
import sys
import numpy as np, onnxruntime
options = onnxruntime.SessionOptions()
options.log_severity_level = 3
given = np.load(sys.argv[1])
results = {}
for name in [n for n in given.files if n.endswith(".onnx")]:
    session = onnxruntime.InferenceSession(given[name].tobytes(), options)
    for key in [k for k in given.files if k.startswith(name + "/")]:
        results[key] = session.run(None, {session.get_inputs()[0].name: given[key]})[0]
np.savez(sys.argv[2], **results)
"""
"""Runs models with one input under default options: NumPy and ONNX Runtime, nothing else."""


def run_on(cpu: str, given: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray]:
    """Run models on an emulated CPU.

    Args:
      given: NAME.onnx -> bytes of a model; NAME.onnx/INPUT -> an array for it.
    """
    assert QEMU is not None
    np.savez(folder / "given.npz", allow_pickle=False, **given)
    python = [QEMU, "-cpu", cpu, "-0", sys.executable, str(Path(sys.executable).resolve())]
    names = [str(folder / name) for name in ("given.npz", f"{cpu}.npz")]
    subprocess.run([*python, "-c", RUN, *names], check=True, capture_output=True, timeout=300)
    with np.load(folder / f"{cpu}.npz") as results:
        return dict(results)


@pytest.mark.slow
@pytest.mark.skipif(QEMU is None, reason="qemu-x86_64 (qemu-user) emulates CPUs without VNNI")
@pytest.mark.parametrize("cpu", OLD_CPUS)
def test_files_are_right_on_cpus_without_vnni(cpu: str, tmp_path: Path) -> None:
    """Every product of an int8 export on the largest inputs, and a signed filter, which is not."""
    cut = check_operators.cut_products(translate_model(lowered("mlp", "w8c-sym_a8s")))
    here = OnnxRuntime(cut, threads=1)
    given, expected = {}, {}
    for i, graph in enumerate(cut.graphs):
        name, shape = f"{graph.name}.onnx", graph.tensor(graph.inputs["x"]).shape
        rows = np.random.default_rng(i).choice(np.asarray([-4, 4, 4], np.float32), shape)
        given |= {name: np.frombuffer(write_onnx_graph(graph, {}), np.uint8), f"{name}/x": rows}
        expected[f"{name}/x"] = here.run(graph.name, {"x": rows})["y"]
    x, q = np.full((1, 4), 255, np.uint8), np.full((4, 1), 127, np.int8)
    signed = write_onnx_graph(product_graph(x, q, DType.UINT8, DType.INT8), {})
    given |= {"signed.onnx": np.frombuffer(signed, np.uint8), "signed.onnx/x": x}
    found = run_on(cpu, given, tmp_path)
    assert found.pop("signed.onnx/x").item() == 65_534  # the emulation has the CPU's fault
    for name, want in expected.items():
        np.testing.assert_array_equal(found[name], want, err_msg=name)
