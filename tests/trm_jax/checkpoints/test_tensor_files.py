"""Safetensors files against the reference implementation, both ways, and damaged ones."""

import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.flax import load_file, save_file

from trm_jax.checkpoints.tensor_files import load_tensors, map_tensors, save_tensors


def tensors() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(3, 5)).astype(np.float32)
    return {
        "b/float": values,
        "a": values.astype(jnp.bfloat16),
        "half": values[0].astype(np.float16),
        "scalar": np.float32(2.5).reshape(()),
        "empty": np.zeros((0, 4), np.float32),
        "codes": rng.integers(-128, 128, 7).astype(np.int8),
        "ids": np.arange(3, dtype=np.int32),
    }


def same(a: dict, b: dict) -> None:
    assert a.keys() == b.keys()
    for name, value in a.items():
        assert np.asarray(value).dtype == np.asarray(b[name]).dtype
        np.testing.assert_array_equal(np.asarray(value), np.asarray(b[name]))


def test_the_reference_reads_ours_and_we_read_the_reference(tmp_path: Path) -> None:
    save_tensors(tensors(), tmp_path / "ours")
    same(load_file(tmp_path / "ours"), tensors())
    save_file({k: jnp.asarray(v) for k, v in tensors().items()}, tmp_path / "theirs")
    same(load_tensors(tmp_path / "theirs"), tensors())


def test_mapped_arrays_are_the_loaded_ones_and_read_only(tmp_path: Path) -> None:
    save_tensors(tensors(), tmp_path / "file")
    mapped = map_tensors(tmp_path / "file")
    same(mapped, load_tensors(tmp_path / "file"))
    with pytest.raises(ValueError, match="read-only"):
        mapped["b/float"][0] = 0
    (tmp_path / "empty").touch()
    with pytest.raises(ValueError, match="is truncated or not a safetensors file: it is empty"):
        map_tensors(tmp_path / "empty")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_one_row_of_a_mapped_table_is_not_the_table(tmp_path: Path) -> None:
    """The published table, 50,911 x 512: 104 MB in the file, pages of it in memory."""
    path, shape = tmp_path / "table", (50_911, 512)
    header = {
        "puzzle_emb": {"dtype": "F32", "shape": shape, "data_offsets": [0, 4 * 512 * shape[0]]}
    }
    write(path, header, b"")
    begin = path.stat().st_size
    with path.open("r+b") as file:  # the other rows are holes, which take no disk
        file.seek(begin + 40_000 * 2048)
        file.write(np.arange(512, dtype=np.float32).tobytes())
        file.truncate(begin + 2048 * shape[0])

    def resident() -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("RssFile"))

    before = resident()
    table = map_tensors(path)["puzzle_emb"]
    row = table[40_000]
    # KB: of header and row a fault brings 16 pages each; whatever else Python maps meanwhile
    assert resident() - before <= 1024
    np.testing.assert_array_equal(row, np.arange(512, dtype=np.float32))
    assert table.shape == shape
    whole = float(np.sum(table))  # so the measure can fail: all of it is touched now
    assert (whole, resident() - before > 90_000) == (511 * 256, True)


def test_bytes(tmp_path: Path) -> None:
    save_tensors({"w": np.array([1.0], np.float32)}, tmp_path / "f")
    header = b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    header += b" " * (-len(header) % 8)
    expected = len(header).to_bytes(8, "little") + header + bytes.fromhex("0000803f")
    assert (tmp_path / "f").read_bytes() == expected


def write(path: Path, header: object, data: bytes) -> Path:
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def entry(dtype: str = "F32", shape: tuple = (1,), offsets: tuple = (0, 4)) -> dict:
    return {"w": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}


def test_metadata_is_not_a_tensor(tmp_path: Path) -> None:
    file = write(tmp_path / "f", {"__metadata__": {"format": "pt"}, **entry()}, bytes(4))
    assert load_tensors(file).keys() == {"w"}


@pytest.mark.parametrize(
    ("header", "data"),
    [
        (entry(), b"123"),  # cut
        (entry(), b"12345"),  # too long
        (entry(shape=(2,)), b"1234"),
        (entry(offsets=(2, 1)), b"1234"),
        (entry(offsets=(0, 4), dtype="F8"), b"1234"),
        ({"w": 3}, b""),
        ({"w": {"dtype": "F32"}}, b""),
        ([], b""),
        (3, b""),
        (entry(shape=(-1, -1)), b"1234"),  # whose product is right
        (entry(shape=(2**33, 2**33)), b"1234"),
        (entry(shape=(0, 2**62, 2**62), offsets=(0, 0)), b""),  # of no bytes, and beyond NumPy
        (entry(shape=(1,) * 1000), b"1234"),
        (entry(shape=(True,)), b"1234"),
        (entry(shape=(1.0,)), b"1234"),
        (entry(offsets=(0.0, 4.0)), b"1234"),
        (entry(offsets=(-4, 0)), b"1234"),
        ({**entry(), "v": entry()["w"]}, b"1234"),  # two in one place
        ({**entry(), "v": {"dtype": "F32", "shape": (1,), "data_offsets": (8, 12)}}, bytes(12)),
        ({"__metadata__": [], **entry()}, b"1234"),
        ({"__metadata__": {"format": 3}, **entry()}, b"1234"),
    ],
)
def test_contradictions_are_told(tmp_path: Path, header: object, data: bytes) -> None:
    with pytest.raises(ValueError, match="f is truncated or not a safetensors file"):
        load_tensors(write(tmp_path / "f", header, data))


def test_damaged_headers_are_told(tmp_path: Path) -> None:
    whole = json.dumps(entry()["w"])
    for text, message in (
        (f'{{"w": {whole}, "w": {whole}}}', "given twice"),
        ("[" * 50_000, "nested too deeply"),
        ('{"w": NaN}', "NaN is no number"),
    ):
        data = text.encode() + b" " * (-len(text) % 8)
        (tmp_path / "f").write_bytes(len(data).to_bytes(8, "little") + data + b"1234")
        with pytest.raises(ValueError, match=message):
            load_tensors(tmp_path / "f")


@pytest.mark.parametrize("raw", [b"", b"1234567", b"\xff" * 40, (9).to_bytes(8, "little") + b"x"])
def test_no_header(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "f").write_bytes(raw)
    with pytest.raises(ValueError, match="truncated or not a safetensors file"):
        load_tensors(tmp_path / "f")


def test_unknown_dtype_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="w has dtype complex64"):
        save_tensors({"w": np.zeros(1, np.complex64)}, tmp_path / "f")
    assert not (tmp_path / "f").exists()
