"""A training state in few small files, to be carried to another machine.

Files: part_files.py, whose manifest also holds `step` (updates done), `facts` (the caller's) and
`tensors` (name, encoding, shape, bytes; in the order of the stream). Encodings:
compact_codec.py. The stream:

    params/*, buffers/*, puzzle_emb   float32, exact
    ema/*                             float32 where the whole fits the limit, else delta16
    v/*                               log8     } of the optimiser, one each per parameter
    m/*                               ratio8   }
    log                               zlib: the rows of metrics so far

Not carried: the slots. The next segment begins with all slots taking new puzzles, as at the
start of a run; at most halt_max_steps steps later they are filled as before.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from trm_jax import compact_codec as codec
from trm_jax import part_files
from trm_jax.tensor_names import check_shapes, flatten, unflatten
from trm_jax.train import TrainState
from trm_jax.types import Params

MIB = 2**20
TOTAL_BYTES = 56 * MIB

Tensors = dict[str, np.ndarray]


class Entry(NamedTuple):
    """One tensor of the stream."""

    name: str
    encoding: str
    shape: codec.Shape
    data: bytes


def named(prefix: str, tree: Params) -> Tensors:
    """Give the leaves of a parameter tree names."""
    flat = cast(dict[str, Any], flatten_dict(tree, sep="/"))
    return {f"{prefix}/{name}": np.asarray(leaf) for name, leaf in sorted(flat.items())}


def encode(state: TrainState, log: str, ema_encoding: str) -> list[Entry]:
    """Turn a state into the entries of the stream."""
    weights = {name: np.asarray(x) for name, x in sorted(flatten(state.weights).items())}
    entries = [Entry(n, "float32", x.shape, codec.encode_float32(x)) for n, x in weights.items()]
    for name, x in named("ema", state.ema).items():
        base = weights["params" + name.removeprefix("ema")]
        data = (
            codec.encode_float32(x) if ema_encoding == "float32" else codec.encode_delta16(x, base)
        )
        entries.append(Entry(name, ema_encoding, x.shape, data))
    _, first, second = state.optimiser
    seconds = named("v", second)
    entries += [Entry(n, "log8", x.shape, codec.encode_log8(x)) for n, x in seconds.items()]
    for name, x in named("m", first).items():
        data = codec.encode_ratio8(x, seconds["v" + name.removeprefix("m")])
        entries.append(Entry(name, "ratio8", x.shape, data))
    return [*entries, Entry("log", "zlib", (), codec.encode_zlib(log))]


def describe(entries: list[Entry]) -> list[dict[str, object]]:
    """List the entries for the manifest."""
    return [
        {"name": e.name, "encoding": e.encoding, "shape": list(e.shape), "bytes": len(e.data)}
        for e in entries
    ]


def read_facts(path: Path) -> dict[str, Any]:
    """Read the notes of a compact state; raises as `load_compact` does."""
    return part_files.read_manifest(path)["facts"]


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
    part_files.check_free(path)
    total = 0
    for ema_encoding in ("float32", "delta16"):
        entries = encode(state, log, ema_encoding)
        body = {"step": int(state.step), "facts": facts, "tensors": describe(entries)}
        stream = b"".join(entry.data for entry in entries)
        total = part_files.total_bytes(stream, body)
        if total <= limit:
            part_files.write(path, stream, body)
            return total
    raise ValueError(
        f"the state takes {total / MIB:.1f} MiB in its smallest form, the limit is"
        f" {limit / MIB:.1f} MiB; raise the limit, or carry the state/ folder itself"
    )


def _entries(path: Path) -> Iterator[Entry]:
    """Cut the stream into its entries."""
    body = part_files.read_manifest(path)
    stream, begin = part_files.read_stream(path, body), 0
    for said in body["tensors"]:
        end = begin + said["bytes"]
        yield Entry(said["name"], said["encoding"], tuple(said["shape"]), stream[begin:end])
        begin = end


def decode(entries: Iterator[Entry]) -> tuple[Tensors, str]:
    """Turn entries into tensors and the log; those that lean on others come after them."""
    tensors: Tensors = {}
    log = ""
    for name, encoding, shape, data in entries:
        kind, _, rest = name.partition("/")
        if encoding == "zlib":
            log = codec.decode_zlib(data)
        elif encoding == "float32":
            tensors[name] = codec.decode_float32(data, shape)
        elif encoding == "delta16":
            tensors[name] = codec.decode_delta16(data, tensors[f"params/{rest}"])
        elif encoding == "log8":
            tensors[name] = codec.decode_log8(data, shape)
        elif encoding == "ratio8":
            tensors[name] = codec.decode_ratio8(data, tensors[f"v/{rest}"])
        else:
            raise ValueError(f"{name} has the unknown encoding {encoding!r} ({kind})")
    return tensors, log


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
    tensors, log = decode(_entries(path))
    _, first, second = like.optimiser
    expected = {name: x.shape for name, x in flatten(like.weights).items()}
    for prefix, tree in (("ema", like.ema), ("m", first), ("v", second)):
        expected |= {name: x.shape for name, x in named(prefix, tree).items()}
    check_shapes({name: x.shape for name, x in tensors.items()}, expected, str(path))
    groups = {prefix: _group(tensors, prefix) for prefix in ("ema", "m", "v")}
    weights = {n: jnp.array(x) for n, x in tensors.items() if n.split("/")[0] not in groups}
    step = jnp.int32(part_files.read_manifest(path)["step"])
    optimiser = type(like.optimiser)(jnp.copy(step), groups["m"], groups["v"])
    state = TrainState(step, unflatten(weights), optimiser, groups["ema"], like.carry)
    return cast(TrainState, jax.tree.map(jnp.asarray, state)), log


def _group(tensors: Tensors, prefix: str) -> Params:
    """Rebuild the parameter tree whose leaves carry a prefix."""
    start = prefix + "/"
    flat = {n.removeprefix(start): jnp.array(x) for n, x in tensors.items() if n.startswith(start)}
    return unflatten_dict(flat, sep="/")
