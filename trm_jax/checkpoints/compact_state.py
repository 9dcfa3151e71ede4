"""A training state in few small files, to be carried to another machine.

Files: file_parts.py, whose manifest also holds `step` (updates done), `facts` (the caller's) and
`tensors` (name, encoding, shape, bytes; in the order of the stream). The stream:

    params/*, buffers/*, puzzle_emb   float32, exact
    ema/*                             float32 where the whole fits the limit, else delta16
    v/*                               log8     } of the optimiser, one each per parameter
    m/*                               ratio8   }
    log                               zlib: the rows of metrics so far

The encodings, byte by byte; all numbers are little-endian. Values are taken in row-major order,
B = 256 of them to a block (the last one may be shorter).

    float32   4 bytes a value.
    delta16   2 bytes a value: bfloat16 of (value - base), base being another tensor. For the
              average, whose base are the parameters.
    log8      for each block 8 bytes: float32 lo, float32 step; after all of these 1 byte a
              value: code 0 is 0, code c > 0 is 2^(lo + step (c - 1)). lo and lo + 254 step are
              the logarithms of the block's least and greatest value that is not 0. For second
              moments: none becomes 0 that was not, so no direction turns into that of an
              unseen weight.
    ratio8    4 bytes: float32 scale; then 1 byte a value: int8 code c stands for
              c / 127 scale sqrt(v), v being the decoded second moment. For first moments: |m|
              is at most (1-b1) / sqrt((1-b2)(1-b1^2/b2)) sqrt(v) = 1.165 sqrt(v) at the
              released b1, b2, and the ratio is what gives Adam its direction; half a code is
              0.4 % of its greatest value.
    zlib      a text: UTF-8, deflated; its shape is its number of bytes before.

A tensor's bytes must be those that its encoding and shape ask for, so reading a file takes memory
in proportion to its size; a text ends where its shape says.

Not here: the slots. The next segment begins with all slots taking new puzzles, as at the start
of a run; at most halt_max_steps steps later they are filled as before.
"""

import math
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from trm_jax.checkpoints import file_parts
from trm_jax.checkpoints.file_parts import MIB, TOTAL_BYTES
from trm_jax.checkpoints.model_files import check_finite, check_shapes, flatten, unflatten
from trm_jax.checkpoints.tensor_files import MAX_AXES
from trm_jax.training.step import TrainState
from trm_jax.typed_json import read_fields
from trm_jax.types import Params

BLOCK = 256
LEVELS = 254  # steps between the codes 1 and 255
FLOAT = np.dtype("<f4")
BFLOAT = np.dtype(jnp.bfloat16)
MAX_LOG = 64 * MIB  # of a text whose size an earlier version did not write

Shape = tuple[int, ...]


Tensors = dict[str, np.ndarray]


def encode_float32(values: np.ndarray) -> bytes:
    """Write the values as they are."""
    return np.ascontiguousarray(values, FLOAT).tobytes()


def decode_float32(data: bytes, shape: Shape) -> np.ndarray:
    """Read the values back, exactly."""
    return np.frombuffer(data, FLOAT).reshape(shape)


def encode_delta16(values: np.ndarray, base: np.ndarray) -> bytes:
    """Write the difference to `base`; its relative error is at most 2^-8."""
    return (np.asarray(values, np.float32) - base).astype(BFLOAT).tobytes()


def decode_delta16(data: bytes, base: np.ndarray) -> np.ndarray:
    """Add the difference to `base`."""
    return base + np.frombuffer(data, BFLOAT).reshape(base.shape).astype(np.float32)


def _block_starts(size: int) -> np.ndarray:
    return np.arange(0, size, BLOCK)


def encode_log8(values: np.ndarray) -> bytes:
    """Write the logarithms of values that are 0 or positive.

    Raises:
      ValueError: a value is negative or not finite.
    """
    flat = np.asarray(values, np.float64).reshape(-1)
    if flat.size and not (flat.min() >= 0 and np.isfinite(flat).all()):
        raise ValueError("log8 takes finite values of 0 or more; these hold others")
    positive = flat > 0
    logs = np.log2(flat, where=positive, out=np.zeros_like(flat))
    starts = _block_starts(flat.size)
    low = np.minimum.reduceat(np.where(positive, logs, np.inf), starts)
    high = np.maximum.reduceat(np.where(positive, logs, -np.inf), starts)
    empty = np.isinf(low)  # a block of zeros
    low, high = np.where(empty, 0, low), np.where(empty, 0, high)
    header = np.stack([low, (high - low) / LEVELS], axis=1).astype(FLOAT)
    lo, step = np.repeat(header.astype(np.float64), BLOCK, axis=0)[: flat.size].T
    place = np.divide(logs - lo, step, where=step > 0, out=np.zeros_like(flat))
    codes = np.where(positive, 1 + np.clip(np.rint(place), 0, LEVELS), 0).astype(np.uint8)
    return header.tobytes() + codes.tobytes()


def decode_log8(data: bytes, shape: Shape) -> np.ndarray:
    """Read `encode_log8` back; the relative error of a value is at most 2^(step / 2) - 1."""
    size = int(np.prod(shape))
    blocks = len(_block_starts(size))
    header = np.frombuffer(data, FLOAT, 2 * blocks).reshape(blocks, 2)
    codes = np.frombuffer(data, np.uint8, size, offset=header.nbytes)
    lo, step = np.repeat(header, BLOCK, axis=0)[:size].T
    powers = np.exp2(lo + step * (codes.astype(np.float32) - 1))
    return np.where(codes > 0, powers, np.float32(0)).reshape(shape)


def encode_ratio8(values: np.ndarray, second: np.ndarray) -> bytes:
    """Write first moments relative to the roots of the second ones; 0 where those are 0."""
    root = np.sqrt(np.asarray(second, np.float64))
    ratio = np.divide(values, root, where=root > 0, out=np.zeros(root.shape))
    scale = FLOAT.type(np.abs(ratio).max(initial=0.0))
    codes = np.rint(ratio * (127 / scale)) if scale > 0 else np.zeros(root.shape)
    return scale.tobytes() + np.clip(codes, -127, 127).astype(np.int8).tobytes()


def decode_ratio8(data: bytes, second: np.ndarray) -> np.ndarray:
    """Read `encode_ratio8` back.

    Args:
      second: the second moments as decoded, so that the ratio is kept, not the size.
    """
    scale = np.frombuffer(data, FLOAT, 1)[0]
    codes = np.frombuffer(data, np.int8, offset=4).reshape(second.shape).astype(np.float32)
    return codes * (scale / np.float32(127)) * np.sqrt(second, dtype=np.float32)


def encode_zlib(text: str) -> bytes:
    """Deflate a text."""
    return zlib.compress(text.encode(), 9)


def decode_zlib(data: bytes, shape: Shape = ()) -> str:
    """Inflate a text.

    Args:
      shape: its bytes, (): as many as `MAX_LOG` at most.

    Raises:
      ValueError: damaged, or of another size.
    """
    limit = shape[0] if shape else MAX_LOG
    inflater = zlib.decompressobj()
    try:
        text = inflater.decompress(data, limit + 1)
    except zlib.error as error:
        raise ValueError(f"log is damaged: {error}") from error
    if len(text) > limit or not inflater.eof or (shape and len(text) != limit):
        raise ValueError(f"log is damaged: it does not end after {limit} bytes")
    return text.decode()


def stored_bytes(encoding: str, shape: Shape) -> int | None:
    """Count the bytes of a tensor in an encoding; None where the encoding is not known."""
    size = math.prod(shape)
    return {
        "float32": 4 * size,
        "delta16": 2 * size,
        "log8": 8 * -(-size // BLOCK) + size,
        "ratio8": 4 + size,
    }.get(encoding)


class Entry(NamedTuple):
    """One tensor of the stream."""

    name: str
    encoding: str
    shape: Shape
    data: bytes


@dataclass(frozen=True, kw_only=True)
class TensorFacts:
    """One tensor of the stream, as the manifest lists it."""

    name: str
    encoding: str
    shape: tuple[int, ...]
    bytes: int


@dataclass(frozen=True, kw_only=True)
class StateFacts:
    """What the manifest says of the state besides its parts."""

    step: int
    facts: dict[str, Any]
    tensors: tuple[TensorFacts, ...]


def named(prefix: str, tree: Params) -> Tensors:
    """Give the leaves of a parameter tree names."""
    flat = cast(dict[str, Any], flatten_dict(tree, sep="/"))
    return {f"{prefix}/{name}": np.asarray(leaf) for name, leaf in sorted(flat.items())}


def encode(state: TrainState, log: str, ema_encoding: str) -> list[Entry]:
    """Turn a state into the entries of the stream."""
    weights = {name: np.asarray(x) for name, x in sorted(flatten(state.weights).items())}
    entries = [Entry(n, "float32", x.shape, encode_float32(x)) for n, x in weights.items()]
    for name, x in named("ema", state.ema).items():
        base = weights["params" + name.removeprefix("ema")]
        data = encode_float32(x) if ema_encoding == "float32" else encode_delta16(x, base)
        entries.append(Entry(name, ema_encoding, x.shape, data))
    _, first, second = state.optimiser
    seconds = named("v", second)
    entries += [Entry(n, "log8", x.shape, encode_log8(x)) for n, x in seconds.items()]
    for name, x in named("m", first).items():
        data = encode_ratio8(x, seconds["v" + name.removeprefix("m")])
        entries.append(Entry(name, "ratio8", x.shape, data))
    return [*entries, Entry("log", "zlib", (len(log.encode()),), encode_zlib(log))]


def describe(entries: list[Entry]) -> list[dict[str, object]]:
    """List the entries for the manifest."""
    return [
        {"name": e.name, "encoding": e.encoding, "shape": list(e.shape), "bytes": len(e.data)}
        for e in entries
    ]


def read_facts(path: Path) -> dict[str, Any]:
    """Read the notes of a compact state; raises as `load_compact` does."""
    return _state_facts(path, file_parts.read_manifest(path)).facts


def save_compact(
    path: Path,
    state: TrainState,
    facts: dict[str, object],
    *,
    log: str = "",
    limit: int = TOTAL_BYTES,
) -> int:
    """Write a state; an older compact state at `path` is replaced once the new one is whole.

    Args:
      facts: free JSON-ready notes (preset, recipe, data).
      log: the rows of metrics so far.
      limit: bytes that all files may have together.

    Returns:
      Bytes written.

    Raises:
      ValueError: the state does not fit the limit, or `path` holds something else.
    """
    file_parts.check_free(path)
    total = 0
    for ema_encoding in ("float32", "delta16"):
        entries = encode(state, log, ema_encoding)
        body = {"step": int(state.step), "facts": facts, "tensors": describe(entries)}
        stream = b"".join(entry.data for entry in entries)
        total = file_parts.total_bytes(stream, body)
        if total <= limit:
            file_parts.write(path, stream, body)
            return total
    raise ValueError(
        f"the state takes {total / MIB:.1f} MiB in its smallest form, the limit is"
        f" {limit / MIB:.1f} MiB; raise the limit, or carry the state/ folder itself"
    )


def _state_facts(path: Path, body: dict[str, Any]) -> StateFacts:
    """Read the manifest's part on the state, and check what it says of each tensor."""
    said = {name: body[name] for name in ("step", "facts", "tensors") if name in body}
    try:
        facts = read_fields(StateFacts, said)
        if not 0 <= facts.step < 2**31:
            raise ValueError(f"step must be an int32 of 0 or more, got {facts.step}")
        for tensor in facts.tensors:
            _check_tensor(tensor)
        if len({tensor.name for tensor in facts.tensors}) < len(facts.tensors):
            raise ValueError("two tensors have one name")
    except ValueError as error:
        raise ValueError(f"{path / file_parts.MANIFEST}: {error}") from error
    return facts


def _check_tensor(said: TensorFacts) -> None:
    if len(said.shape) > MAX_AXES:
        raise ValueError(f"{said.name} has {len(said.shape)} axes; read are up to {MAX_AXES}")
    needed = stored_bytes(said.encoding, said.shape)
    if any(axis < 0 for axis in said.shape) or said.bytes < 0:
        raise ValueError(f"{said.name} has a negative size: {said.shape}, {said.bytes} bytes")
    if said.encoding == "zlib":
        return
    if needed is None:
        raise ValueError(f"{said.name} has the unknown encoding {said.encoding!r}")
    if said.bytes != needed:
        raise ValueError(
            f"{said.name} of shape {said.shape} takes {needed} bytes as {said.encoding}, not"
            f" {said.bytes}"
        )


def _entries(path: Path, facts: StateFacts, stream: bytes) -> Iterator[Entry]:
    """Cut the stream into its entries."""
    total = sum(said.bytes for said in facts.tensors)
    if total != len(stream):
        raise ValueError(f"{path}: tensors of {total} bytes in a stream of {len(stream)}")
    begin = 0
    for said in facts.tensors:
        end = begin + said.bytes
        yield Entry(said.name, said.encoding, said.shape, stream[begin:end])
        begin = end


def decode(entries: Iterable[Entry]) -> tuple[Tensors, str]:
    """Turn entries into tensors and the log; those that lean on others come after them."""
    tensors: Tensors = {}
    log = ""
    for name, encoding, shape, data in entries:
        if encoding == "zlib":
            log = decode_zlib(data, shape)
            continue
        tensors[name] = _decode_tensor(name, encoding, shape, data, tensors)
        check_finite(name, tensors[name], "the state")
    return tensors, log


def _decode_tensor(
    name: str, encoding: str, shape: Shape, data: bytes, before: Tensors
) -> np.ndarray:
    """Decode one tensor; `before` holds those that it may lean on."""
    if encoding == "float32":
        return decode_float32(data, shape)
    if encoding == "log8":
        return decode_log8(data, shape)
    lean, decoder = {
        "delta16": ("params", decode_delta16),
        "ratio8": ("v", decode_ratio8),
    }[encoding]
    base = before.get(f"{lean}/{name.partition('/')[2]}")
    if base is None or base.shape != shape:
        raise ValueError(f"{name} leans on a tensor of {lean}/ that is missing before it")
    return decoder(data, base)


def load_compact(path: Path, like: TrainState) -> tuple[TrainState, str]:
    """Read a state back.

    Args:
      like: a state before the first step (`init_state`): its slots are taken over, its shapes
        are what the stored tensors must have.

    Returns:
      The state and the log.

    Raises:
      FileNotFoundError: a file is missing.
      ValueError: a file is damaged, or the tensors are those of another model.
    """
    body = file_parts.read_manifest(path)
    facts = _state_facts(path, body)
    _, first, second = like.optimiser
    expected = {name: x.shape for name, x in flatten(like.weights).items()}
    for prefix, tree in (("ema", like.ema), ("m", first), ("v", second)):
        expected |= {name: x.shape for name, x in named(prefix, tree).items()}
    shapes = {said.name: said.shape for said in facts.tensors if said.encoding != "zlib"}
    check_shapes(shapes, expected, str(path))
    try:
        tensors, log = decode(_entries(path, facts, file_parts.read_stream(path, body)))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    groups = {prefix: _group(tensors, prefix) for prefix in ("ema", "m", "v")}
    weights = {n: jnp.array(x) for n, x in tensors.items() if n.split("/")[0] not in groups}
    step = jnp.int32(facts.step)
    optimiser = type(like.optimiser)(jnp.copy(step), groups["m"], groups["v"])
    state = TrainState(step, unflatten(weights), optimiser, groups["ema"], like.carry)
    return cast(TrainState, jax.tree.map(jnp.asarray, state)), log


def _group(tensors: Tensors, prefix: str) -> Params:
    """Rebuild the parameter tree whose leaves carry a prefix."""
    start = prefix + "/"
    flat = {n.removeprefix(start): jnp.array(x) for n, x in tensors.items() if n.startswith(start)}
    return unflatten_dict(flat, sep="/")
