"""Host state: the states, embedding rows and injections between two calls of the graphs.

    FloatStates      float32, rounded to the carry's precision between H-cycles (quant/carry.py)
    IntegerStates    the graphs' own integers (quant/integer/carry.py), as the firmware keeps them

All of it is NumPy, and the same bits as the simulation.

Not here: the order of the calls (solver.py).
"""

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from export.artifact.open import Export
from export.graph.ir import DType, Graph, Tensor
from export.lowering.model import blocks_of
from export.runtimes.contract import Arrays
from quant.carry import carry_store_on_host
from quant.integer.carry import (
    Combine,
    combine_for,
    combine_on_host,
    on_grid,
    row_scale,
    scaled_rows,
)
from quant.integer.encoding import Encoding
from quant.scheme import CarryPrecision
from trm_jax.config import Config

Tokens = Int[np.ndarray, "batch seq"]
BITS = {DType.INT16: 16, DType.INT8: 8}
"""Element types of integer states."""


@runtime_checkable
class States(Protocol):
    """States of one number format; arrays are batch pos emb.

    `real` and `real_injection` read states, and a puzzle as it is injected, in real numbers.
    """

    def start(self, batch: int) -> tuple[np.ndarray, np.ndarray]: ...
    def embed(self, inputs: Tokens, identifiers: np.ndarray) -> np.ndarray: ...
    def inject_L(self, z_H: np.ndarray, e: np.ndarray) -> np.ndarray: ...
    def inject_H(self, z_L: np.ndarray) -> np.ndarray: ...
    def store(self, z: np.ndarray) -> np.ndarray: ...
    def real(self, z: np.ndarray) -> np.ndarray: ...
    def real_injection(self, e: np.ndarray) -> np.ndarray: ...
    def outputs(self, out: Arrays) -> Arrays: ...


def states_of(export: Export) -> States:
    """Choose the states of an export by the element type of its head's input."""
    head = export.model.graph("head")
    if head.tensor(head.inputs["z_H"]).dtype in BITS:
        return IntegerStates(export)
    return FloatStates(export.host, export.config, export.manifest.carry)


class FloatStates:
    """States of float32."""

    def __init__(
        self, host: Mapping[str, np.ndarray], config: Config, carry: CarryPrecision
    ) -> None:
        self._host, self._config, self._round = host, config, carry_store_on_host(carry)

    def start(self, batch: int) -> tuple[np.ndarray, np.ndarray]:
        vectors = (self._host[name].astype(np.float32) for name in ("H_init", "L_init"))
        z_H, z_L = (over_positions(v, batch, self._config) for v in vectors)
        return z_H, z_L

    def embed(self, inputs: Tokens, identifiers: np.ndarray) -> np.ndarray:
        return embed(inputs, identifiers, self._host, self._config)

    def inject_L(self, z_H: np.ndarray, e: np.ndarray) -> np.ndarray:
        return z_H + e

    def inject_H(self, z_L: np.ndarray) -> np.ndarray:
        return z_L

    def store(self, z: np.ndarray) -> np.ndarray:
        return self._round(z)

    def real(self, z: np.ndarray) -> np.ndarray:
        return z

    def real_injection(self, e: np.ndarray) -> np.ndarray:
        return e

    def outputs(self, out: Arrays) -> Arrays:
        return out


class IntegerStates:
    """States of int16 or int8, on the grids of the graphs' inputs."""

    def __init__(self, export: Export) -> None:
        head, rows = export.model.graph("head"), integer_rows(export)
        self._config, self._rows, self._z = export.config, rows, rows.z_H
        self._heads = {name: encoding_of(head.tensor(t)) for name, t in head.outputs.items()}

    def start(self, batch: int) -> tuple[np.ndarray, np.ndarray]:
        z_H, z_L = (
            over_positions(v, batch, self._config) for v in (self._rows.H_init, self._rows.L_init)
        )
        return z_H, z_L

    def embed(self, inputs: Tokens, identifiers: np.ndarray) -> np.ndarray:
        prefix = prefix_of(self._rows.puzzles[identifiers], self._config)
        return np.concatenate([prefix, self._rows.tokens[inputs]], axis=1)

    def inject_L(self, z_H: np.ndarray, e: np.ndarray) -> np.ndarray:
        return combine_on_host(z_H, e, self._rows.combine_L, self._rows.injection)

    def inject_H(self, z_L: np.ndarray) -> np.ndarray:
        return combine_on_host(z_L, None, self._rows.combine_H, self._rows.injection)

    def store(self, z: np.ndarray) -> np.ndarray:
        return z

    def real(self, z: np.ndarray) -> np.ndarray:
        return real(z, self._z)

    def real_injection(self, e: np.ndarray) -> np.ndarray:
        """Inject a puzzle into the state that starts it, in real numbers."""
        z_H, _ = self.start(len(e))
        return real(self.inject_L(z_H, e), self._rows.injection)

    def outputs(self, out: Arrays) -> Arrays:
        return {name: real(value, self._heads[name]) for name, value in out.items()}


@dataclass(frozen=True, kw_only=True, eq=False)
class IntegerRows:
    """Initial states and embedding rows as integers, and the constants of the injections.

    Attributes:
      tokens, puzzles: rows, on one grid of their own.
      H_init, L_init: initial states, each on the grid of its state.
      combine_L, combine_H: injections of the updates of z_L and z_H.
      z_H: encoding of the state; injection: of the sum that updates z_L.
    """

    tokens: np.ndarray
    puzzles: np.ndarray
    H_init: np.ndarray
    L_init: np.ndarray
    combine_L: Combine
    combine_H: Combine
    z_H: Encoding
    injection: Encoding


def integer_rows(export: Export) -> IntegerRows:
    """Round an export's embeddings and initial states to the grids of its graphs.

    Raises:
      ValueError: an integer state has no scale.
    """
    update_L, update_H = (export.model.graph(name) for name in blocks_of(export.config))
    z_L, z_H = (encoding_of(input_tensor(graph, "z")) for graph in (update_L, update_H))
    injection_L, injection_H = (
        encoding_of(input_tensor(graph, "injection")) for graph in (update_L, update_H)
    )
    host = {name: np.asarray(value, np.float32) for name, value in export.host.items()}
    emb = export.config.hidden_size
    tokens, puzzles = (scaled_rows(host[name], emb) for name in ("embed_tokens", "puzzle_emb"))
    e = Encoding(scale=row_scale((tokens, puzzles), z_L.bits), bits=z_L.bits)
    return IntegerRows(
        tokens=on_grid(tokens, e),
        puzzles=on_grid(puzzles, e),
        H_init=on_grid(host["H_init"], z_H),
        L_init=on_grid(host["L_init"], z_L),
        combine_L=combine_for(z=_pair(z_H), e=e.scale, injection=_pair(injection_L)),
        combine_H=combine_for(z=_pair(z_L), e=None, injection=_pair(injection_H)),
        z_H=z_H,
        injection=injection_L,
    )


def state_checksum(z: np.ndarray) -> int:
    """Compute the CRC-32 of a state's bytes, as the device does."""
    return zlib.crc32(np.ascontiguousarray(z, z.dtype.newbyteorder("<")).tobytes())


def real(x: np.ndarray, encoding: Encoding) -> Float[np.ndarray, "*axes"]:
    """Read the real values of integers; float32 is exact enough to distinguish all of them."""
    return (x.astype(np.int32) - encoding.zero_point).astype(np.float32) * np.float32(
        encoding.scale
    )


def input_tensor(graph: Graph, name: str) -> Tensor:
    """Look up an input of a graph by its name in the signature."""
    return graph.tensor(graph.inputs[name])


def encoding_of(tensor: Tensor) -> Encoding:
    """Read the encoding of a tensor's integers.

    Raises:
      ValueError: it has no scale, or several.
    """
    if tensor.quant is None or tensor.quant.scale.size != 1:
        raise ValueError(f"{tensor.name!r} needs one scale to be a state of integers")
    scale, zero = tensor.quant.scale[0], tensor.quant.zero_point[0]
    return Encoding(scale=float(scale), zero_point=int(zero), bits=BITS[tensor.dtype])


def _pair(encoding: Encoding) -> tuple[float, int]:
    return encoding.scale, encoding.zero_point


def over_positions(vector: np.ndarray, batch: int, config: Config) -> np.ndarray:
    """Broadcast an initial state."""
    shape = (batch, config.num_positions, config.hidden_size)
    return np.broadcast_to(vector, shape).copy()


def prefix_of(rows: np.ndarray, config: Config) -> np.ndarray:
    """Spread puzzle rows over the prefix positions, zeros after them."""
    room = config.prefix_len * config.hidden_size - rows.shape[-1]
    padded = np.pad(rows, ((0, 0), (0, room)))
    return padded.reshape(rows.shape[0], config.prefix_len, config.hidden_size)


def embed(
    inputs: Tokens, identifiers: np.ndarray, host: Mapping[str, np.ndarray], config: Config
) -> Float[np.ndarray, "batch pos emb"]:
    """Embed puzzles, as trm_jax/models/layers.py does in float32."""
    prefix = prefix_of(host["puzzle_emb"][identifiers].astype(np.float32), config)
    e = np.concatenate([prefix, host["embed_tokens"][inputs].astype(np.float32)], axis=1)
    if "embed_pos" in host:
        e = np.float32(math.sqrt(0.5)) * (e + host["embed_pos"].astype(np.float32)[None])
    return np.float32(math.sqrt(config.hidden_size)) * e
