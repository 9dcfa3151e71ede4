"""PyTorch files: read without running them, written as torch does."""

import contextlib
import io
import json
import pickle
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.flax import save_file

from tests.support.releases import (
    CONFIGS,
    FULL,
    TOLD,
    assert_same,
    released_tensors,
    released_weights,
)
from trm_jax.convert.load import find_file
from trm_jax.convert.name_table import from_torch, to_torch
from trm_jax.convert.torch_config import resolve_config
from trm_jax.convert.torch_files import read_tensors, write_torch


def test_prefixed_and_bare_twin_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "m.safetensors"
    save_file({"model.H_init": jnp.zeros(1), "H_init": jnp.zeros(1)}, file)
    with pytest.raises(ValueError, match="H_init occurs twice"):
        read_tensors(file)


@pytest.mark.parametrize("name", ["att", "hrm"])
def test_file_written_by_torch(name: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="the [torch] extra is not installed")
    config = CONFIGS[name]
    weights = released_weights(config)
    state = {
        # torch's own conversion to bfloat16, so that this file owes nothing to write_torch
        k: torch.tensor(v.astype(np.float32), dtype=getattr(torch, v.dtype.name))
        for k, v in to_torch(config, weights).items()
    }
    assert state[FULL + "H_init"].dtype == torch.bfloat16
    torch.save(state, tmp_path / "step_1")
    told = {**dict(TOLD.fields), "positions": "rope", "puzzle_emb_len": 2}
    tensors = read_tensors(tmp_path / "step_1")
    loaded = from_torch(tensors, resolve_config(tensors, None, told, {}).config)
    assert_same(loaded, weights)
    write_torch(tmp_path / "again.pt", to_torch(config, loaded))
    again = torch.load(tmp_path / "again.pt", weights_only=True)
    assert list(again) == list(state)
    for key, value in state.items():
        assert again[key].dtype == value.dtype
        assert torch.equal(again[key], value)


class Evil:
    """Pickles into a call that leaves a trace if it is ever executed."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.trace,)


def release(name: str = "att") -> dict[str, Any]:
    """A state_dict of PyTorch's tensors, under the names of the table."""
    torch = pytest.importorskip("torch", reason="the [torch] extra is not installed")
    tensors = released_tensors(CONFIGS[name])
    return {k: torch.tensor(np.asarray(v, np.float32)) for k, v in tensors.items()}


def values(state: dict[str, Any]) -> dict[str, np.ndarray]:
    return {name: np.asarray(tensor, np.float32) for name, tensor in state.items()}


def assert_read(file: Path, expected: dict[str, Any], entry: str | None = None) -> list[str]:
    """Check that a file is read as these tensors; returns what was said."""
    said: list[str] = []
    found = read_tensors(file, entry, said.append)
    assert found.keys() == expected.keys()
    for name, value in values(expected).items():
        np.testing.assert_array_equal(found[name], value)
        assert found[name].dtype == np.float32
    return said


def test_pickled_code_is_never_run(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="the [torch] extra is not installed")
    trace, file = tmp_path / "trace", tmp_path / "step_1"
    torch.save({**release(), "H_init": Evil(trace)}, file)
    with pytest.raises(
        ValueError, match=r"'H_init' must be a float tensor, .* nothing was run"
    ) as e:
        read_tensors(file)
    assert "weights_only" not in str(e.value)
    torch.save({"model": release(), "callbacks": [Evil(trace)], "config": Evil(trace)}, file)
    assert_read(file, release())
    assert not trace.exists()
    torch.load(file, weights_only=False)
    assert trace.exists()  # the trap itself works


def test_what_is_not_a_state_dict_is_refused(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="the [torch] extra is not installed")
    for stored in ([torch.zeros(1)], {"step": 3}, {"w": torch.zeros(1)}, {}, torch.zeros(2), 3):
        torch.save(stored, tmp_path / "step_1")
        with pytest.raises(ValueError, match="state_dict"):
            read_tensors(tmp_path / "step_1")
    memory = io.BytesIO()
    torch.save({"w": torch.zeros(1000)}, memory)
    for cut in (memory.getvalue()[:-100], b"", b"no pickle", memory.getvalue()[:500]):
        (tmp_path / "step_1").write_bytes(cut)
        with pytest.raises(ValueError, match="truncated"):
            read_tensors(tmp_path / "step_1")


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_form_of_torch_save_is_read(zipped: bool, protocol: int, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="the [torch] extra is not installed")
    state, file = release(), tmp_path / "step_1"
    shared = torch.arange(64.0)
    state["q_head.weight"] = shared[8:24].view(8, 2).t()  # a transposed view of a part
    state["q_head.bias"] = torch.nn.Parameter(shared[:2])
    torch.save(
        {"model": state, "epoch": 3},
        file,
        _use_new_zipfile_serialization=zipped,
        pickle_protocol=protocol,
    )
    said = assert_read(file, {k: v.detach() for k, v in state.items()})
    assert "weights are those of 'model'" in said
    assert "not read: epoch" in said
    assert any("no checksum" in text for text in said) is not zipped


def test_arrays_and_numbers_of_numpy_and_float64_are_read(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="the [torch] extra is not installed")
    state = release()
    mixed = dict(state)
    mixed["lm_head.weight"] = np.asarray(state["lm_head.weight"], np.float64)
    mixed["q_head.weight"] = np.asfortranarray(state["q_head.weight"])
    mixed["q_head.bias"] = state["q_head.bias"].double()
    for protocol in (2, 5):
        torch.save(
            {"model": mixed, "lr": np.float64(1)}, tmp_path / "m.pt", pickle_protocol=protocol
        )
        said = assert_read(tmp_path / "m.pt", state)
        assert "rounded to float32: 2 tensors of float64" in said


def damage_of(whole: bytes, rng: np.random.Generator) -> bytes:
    damaged = bytearray(whole)
    damaged[rng.integers(len(whole))] ^= 1 << rng.integers(8)
    return bytes(damaged)


def test_no_damaged_byte_of_a_zip_gives_other_weights(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="the [torch] extra is not installed")
    state, file = release(), tmp_path / "step_1"
    torch.save(state, file)
    whole, rng, refused = file.read_bytes(), np.random.default_rng(0), []
    for _ in range(300):
        file.write_bytes(damage_of(whole, rng))
        try:
            found = read_tensors(file)
        except ValueError as error:
            refused.append(str(error))
            continue
        assert found.keys() == state.keys()
        for name, value in values(state).items():
            np.testing.assert_array_equal(found[name], value)
    assert not any("\n" in message for message in refused)
    assert len(refused) > 200  # the others lie in padding and dates


def test_damage_of_the_older_form_ends_in_words(tmp_path: Path) -> None:
    """It has no checksum: numbers may differ, but nothing else happens than a refusal."""
    torch = pytest.importorskip("torch", reason="the [torch] extra is not installed")
    file = tmp_path / "step_1"
    torch.save(release(), file, _use_new_zipfile_serialization=False)
    whole, rng = file.read_bytes(), np.random.default_rng(0)
    head = whole.index(b"storage") + 4000  # the pickles are at the front
    for _ in range(200):
        file.write_bytes(damage_of(whole[:head], rng) + whole[head:])
        with contextlib.suppress(ValueError):
            read_tensors(file)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda torch, x: x.to(torch.int32), "must be one of .*, is int32"),
        (lambda torch, x: x.bool(), "must be one of .*, is bool"),
        (lambda torch, x: x.to(torch.complex64), "must be one of .*, is complex64"),
        (lambda torch, x: x.to_sparse(), "is a sparse tensor"),
        (lambda torch, x: x.to("meta"), "is a tensor of the meta device, which has no numbers"),
        (
            lambda torch, x: torch.quantize_per_tensor(x, 0.1, 0, torch.qint8),
            "is a quantised tensor",
        ),
        (lambda torch, x: x.to(torch.float8_e4m3fn), "must be one of .*, is float8_e4m3fn"),
        (
            lambda torch, x: torch.zeros(1).expand(10**6, 10**6),
            "does not fit its storage of 4 bytes",
        ),
        (lambda torch, x: x * float("nan"), "has 8 of 8 weights that are NaN or infinite"),
        (lambda torch, x: x.double() * 1e300, "H_init as float32 has 8 of 8 weights that are NaN"),
        (lambda torch, x: "text", "is a str"),
        (lambda torch, x: np.array(["a", "b"]), "must be"),
    ],
)
@pytest.mark.filterwarnings("ignore")  # of torch, about its own odd tensors
def test_odd_tensors_are_named(make: Any, message: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="the [torch] extra is not installed")
    state = {**release(), "H_init": make(torch, torch.full((8,), 2.0))}
    torch.save({"model": state}, tmp_path / "m.pt")
    with pytest.raises(ValueError, match=message) as caught:
        read_tensors(tmp_path / "m.pt")
    assert "H_init" in str(caught.value)


def pickle_bomb() -> bytes:
    """Ten tuples of ten of the one before, thirty deep, as the key of a dict."""
    nested: Any = ("x",)
    for _ in range(30):
        nested = (nested,) * 10
    parts = pickle.dumps(nested, protocol=2)[:-1]
    return parts[:2] + b"}" + parts[2:] + b"K\x01s."


@pytest.mark.parametrize(
    "content",
    [
        pickle_bomb(),
        b"\x80\x02" + b"(" * 100_000 + b".",
        b"\x80\x05\x96" + (2**40).to_bytes(8, "little") + b".",  # bytes that are not there
        b"\x80\x02K\x01r\xff\xff\xff\xff.",  # remembered as number 4,294,967,295
        b"\x80\x02cbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85R.",
        b"\x80\x02ccopyreg\n_reconstructor\n)R.",
        b"\x82\x01.",
    ],
)
def test_bombs_cost_no_more_than_their_bytes(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "step_1"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a/data.pkl", content)
    tracemalloc.start()
    with pytest.raises(ValueError, match="step_1"):
        read_tensors(file)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**24


def test_zips_of_others_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "step_1"
    for kind, message in ((zipfile.ZIP_DEFLATED, "compressed"), (zipfile.ZIP_STORED, "torch.save")):
        with zipfile.ZipFile(file, "w", kind) as archive:
            archive.writestr("word/document.xml", b"<x/>" * 1000)
        with pytest.raises(ValueError, match=message):
            read_tensors(file)


@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
def test_shards_are_joined_by_their_index(suffix: str, tmp_path: Path) -> None:
    state = release()
    names = sorted(state)
    parts = {f"part-{i}{suffix}": names[i::2] for i in range(2)}
    for file, listed in parts.items():
        write_torch(tmp_path / file, {n: np.asarray(state[n]) for n in listed})
    index = tmp_path / f"model{suffix}.index.json"
    where = {name: file for file, listed in parts.items() for name in listed}
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": where}))
    assert find_file(tmp_path) == index
    assert_read(index, state)
    for change, message in (
        ({names[0]: "../x.bin"}, "is no file beside its index"),
        ({names[0]: 3}, "must be a text"),
        ({"more": f"part-0{suffix}"}, "differ in 1 names"),
    ):
        index.write_text(json.dumps({"weight_map": where | change}))
        with pytest.raises(ValueError, match=message):
            read_tensors(index)
    index.write_text(json.dumps({"weight_map": where}))
    (tmp_path / f"part-1{suffix}").unlink()
    with pytest.raises(FileNotFoundError, match=rf"names part-1{suffix}, which is missing"):
        read_tensors(index)
