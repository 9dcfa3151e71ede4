"""The axis legend, the array aliases and the records that every module shares.

Axis legend (jaxtyping names; einsum letters in brackets):

    batch    [b]  puzzles in a batch
    seq      [t]  cells of a puzzle, without the prefix (81 for 9x9 Sudoku)
    pos      [s]  positions of the latent state: puzzle-embedding prefix + seq
    emb      [d]  hidden size (512 in the paper)
    heads    [h]  attention heads;  head_dim [k]
    kv_heads [g]  heads of keys and values of a decoder;  cache: positions of its KV cache [j]
    vocab    [v]  token alphabet, pad included
    ids      [i]  rows of the puzzle embedding table;  id_emb: its width (puzzle_emb_ndim)
    steps    [n]  supervision steps (n, N_sup in the paper)
    cycles   [c]  H-cycles (T in the paper)

This file deliberately holds no computation.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from jax import Array
from jaxtyping import Bool, Float, Int

Params = dict[str, Any]
"""A Flax parameter tree: nested dicts of arrays."""

State = Float[Array, "batch pos emb"]
"""One latent state, z_H or z_L."""
Injection = Float[Array, "batch pos emb"]
"""The embedded puzzle, added to the state at every application of the network."""
Tokens = Int[Array, "batch seq"]
Logits = Float[Array, "batch seq vocab"]
PuzzleTable = Float[Array, "ids id_emb"]

DotGeneral = Callable[..., Array]
"""Anything with the signature of `jax.lax.dot_general`."""
SiteDotGeneral = Callable[[str], DotGeneral]
"""Chooses the `dot_general` of one Dense from its site, e.g. `L_level/layers_0/mlp/down_proj`."""

OnState = Callable[[str, Array], Array]
"""What happens to a state between two operators, by its site, e.g. `L_level/layers_0/mlp_sum`."""

IGNORE_LABEL = -100  # label of cells that count neither in the loss nor in a metric


class Latents(NamedTuple):
    """The carry of the recursion: answer state z_H and reasoning state z_L."""

    z_H: State
    z_L: State


class Batch(NamedTuple):
    """Puzzles as tokens. Labels hold `IGNORE_LABEL` where a cell is not scored."""

    inputs: Tokens
    labels: Tokens
    puzzle_identifiers: Int[Array, " batch"]


class Carry(NamedTuple):
    """What a supervision step hands to the next one during training."""

    latents: Latents
    steps: Int[Array, " batch"]
    halted: Bool[Array, " batch"]
    batch: Batch


class Buffers(NamedTuple):
    """Initial states: random, never trained, but part of a checkpoint."""

    H_init: Float[Array, " emb"]
    L_init: Float[Array, " emb"]


class Weights(NamedTuple):
    """Everything a checkpoint holds.

    `params` is what the optimiser and the EMA see. The puzzle table has an optimiser of its
    own (sign-SGD) and may be one streamed row, so it stands apart.
    """

    params: Params
    buffers: Buffers
    puzzle_emb: PuzzleTable


class Outputs(NamedTuple):
    """Read-out of z_H: token logits and the two halting logits."""

    logits: Logits
    q_halt: Float[Array, " batch"]
    q_continue: Float[Array, " batch"]
