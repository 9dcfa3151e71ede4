"""Post-training quantisation of a checkpoint, and its bytes (Sec. 3.4, Tables 9-18).

Every leaf named `kernel` goes onto the scheme's grid; the rest is cast to the scheme's float
format. The simulation runs on the dequantised integers, an exporter writes the same integers:
both start from `quantise_params`. Kernels are (inputs, outputs), so "per channel" is per last
axis.

Not here: the puzzle table's own compression (puzzle_table.py), anything that looks at data
(calibrate.py), and products, carry and arithmetic of a scheme (quant/simulation.py).
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Integer

from quant.affine import (
    Affine,
    Clipping,
    QTensor,
    WidthlessGrid,
    real_values,
    round_to,
)
from quant.packing import StoredBytes, stored_bytes
from quant.ptq.grids import keep_least, squared_error, widthless_candidates, widthless_grids
from quant.scheme import FloatDtype, Scheme, WeightScheme
from trm_jax.types import Buffers, Params, PuzzleTable, Weights

QuantisedParams = dict[str, Any]
"""A parameter tree with a QTensor where the kernels were."""
_real_values = jax.jit(real_values)  # `dequantise` would be compiled for every grid
RoundKernel = Callable[[str, Array, WeightScheme], QTensor]
"""(site, kernel, scheme) -> integers: how one kernel is rounded."""


def quantise_kernel(kernel: Float[Array, "inputs outputs"], weights: WeightScheme) -> QTensor:
    """Put one kernel onto its grid, each weight onto the nearest integer."""
    grid = weights.grid
    integers, affine = _nearest(kernel, widthless_grids(weights), weights.clipping, grid.dtype)
    return QTensor(integers, affine.scale, affine.zero_point, grid)


@functools.partial(jax.jit, static_argnums=(2, 3))
def _nearest(
    kernel: Float[Array, "inputs outputs"],
    grids: Sequence[WidthlessGrid],
    clipping: Clipping,
    storage: np.dtype,
) -> tuple[Integer[Array, "inputs outputs"], Affine]:
    """Round to the nearest integers, compiled once for all widths of one storage."""
    own, kernel = grids[0], kernel.astype(jnp.float32)
    tried = [
        (round_to(kernel, affine, own), affine)
        for affine in widthless_candidates(kernel, grids, clipping)
    ]
    errors = [squared_error(kernel, real_values(*each), own) for each in tried]
    integers, affine = keep_least(tried, errors)
    return integers.astype(storage), affine


def quantise_params(params: Params, scheme: Scheme) -> QuantisedParams:
    """Quantise every kernel and cast the other leaves to the scheme's float format.

    Cast leaves stay float32 arrays, rounded to what the format can hold: the model casts to
    its arithmetic itself, and masters stay float32.

    Raises:
      ValueError: a leaf is not finite, or float16 cannot hold it; the message names it. Or the
        scheme rounds by what goes through the model, which `quant.simulate` measures.
    """
    if scheme.rounds_with_puzzles:
        raise ValueError(
            f"{scheme.name} rounds weights by what puzzles drive through the model; give"
            " calibration puzzles to quant.simulate, or leave the suffix out"
        )
    return quantise_leaves(
        params, scheme.of, scheme.float_dtype, lambda site, value, w: quantise_kernel(value, w)
    )


def quantise_leaves(
    params: Params, scheme_of: Callable[[str], Scheme], floats: FloatDtype, kernel: RoundKernel
) -> QuantisedParams:
    """Quantise every kernel by a scheme and method of its own and cast the other leaves.

    Args:
      scheme_of: the scheme of a site, without exceptions.
      floats: format of the leaves that are no kernels.

    Raises:
      ValueError: a leaf is not finite, or float16 cannot hold it; the message names it.
    """

    def leaf(path: tuple, value: Array) -> Array | QTensor:
        if not is_kernel(path):
            return _cast(path, value, floats)
        site = site_of(path)
        scheme = scheme_of(site)
        if scheme.weights is None:
            return _cast(path, value, scheme.float_dtype)
        _check(path, value, float(jnp.finfo(jnp.float32).max))
        return kernel(site, value, scheme.weights)

    return jax.tree_util.tree_map_with_path(leaf, params)


def dequantise_params(quantised: QuantisedParams) -> Params:
    """Replace every QTensor by its real values: the tree that `quantise_params` started from."""

    def real(leaf: Array | QTensor) -> Array:
        if not isinstance(leaf, QTensor):
            return leaf
        return _real_values(leaf.qvalue, Affine(leaf.scale, leaf.zero_point))

    return jax.tree.map(real, quantised, is_leaf=lambda leaf: isinstance(leaf, QTensor))


def round_weights(weights: Weights, scheme: Scheme) -> Weights:
    """Compute what a compressed checkpoint holds, in float32, ready for evaluation.

    Raises:
      ValueError: as `quantise_params`.
    """
    params = dequantise_params(quantise_params(weights.params, scheme))
    return Weights(params, *round_floats(weights, scheme.float_dtype))


def round_unquantised(weights: Weights, float_dtype: FloatDtype) -> Weights:
    """Round everything to a float format, kernels too: for callers that read the rest.

    Raises:
      ValueError: a leaf is not finite, or float16 cannot hold it; the message names it.
    """
    params = quantise_params(weights.params, Scheme(float_dtype=float_dtype))
    return Weights(params, *round_floats(weights, float_dtype))


def round_floats(weights: Weights, float_dtype: FloatDtype) -> tuple[Buffers, PuzzleTable]:
    """Round what is never quantised, initial states and puzzle table, to a float format.

    Raises:
      ValueError: a value that float16 cannot hold; the message names its tensor.
    """
    return jax.tree_util.tree_map_with_path(
        lambda path, value: _cast(path, value, float_dtype), (weights.buffers, weights.puzzle_emb)
    )


class TensorBytes(NamedTuple):
    """One row of a footprint."""

    name: str
    shape: tuple[int, ...]
    stored: StoredBytes


class StoredSize(NamedTuple):
    """Bytes of a stored checkpoint, tensor by tensor.

    Attributes:
      backbone: parameters and initial states.
      puzzle_emb: the puzzle table, which may be streamed row by row instead.
    """

    backbone: tuple[TensorBytes, ...]
    puzzle_emb: TensorBytes

    @property
    def backbone_bytes(self) -> StoredBytes:
        """Sum over the backbone."""
        columns = zip(*(tensor.stored for tensor in self.backbone), strict=True)
        return StoredBytes(*(sum(column) for column in columns))

    @property
    def total(self) -> int:
        """Bytes of everything."""
        return self.backbone_bytes.total + self.puzzle_emb.stored.total


def footprint(weights: Weights, scheme: Scheme) -> StoredSize:
    """Count the bytes of a checkpoint under a scheme; only shapes are read.

    Args:
      weights: arrays, or the `jax.ShapeDtypeStruct`s of `jax.eval_shape`.

    Raises:
      ValueError: the scheme names a matrix that the model lacks.
    """
    itemsize = jnp.dtype(scheme.float_dtype.dtype).itemsize

    def row(path: tuple, value: Array | jax.ShapeDtypeStruct) -> TensorBytes:
        if is_kernel(path) and (own := scheme.of(site_of(path)).weights):
            stored = stored_bytes(value.shape, own.grid)
        else:
            stored = StoredBytes(floats=value.size * itemsize)
        return TensorBytes(leaf_name(path), value.shape, stored)

    trees = (weights.params, {"buffers": weights.buffers})
    leaves = [leaf for tree in trees for leaf in jax.tree_util.tree_leaves_with_path(tree)]
    scheme.check_sites(site_of(path) for path, _ in leaves if is_kernel(path))
    table = (jax.tree_util.DictKey("puzzle_emb"),)
    return StoredSize(tuple(row(*leaf) for leaf in leaves), row(table, weights.puzzle_emb))


def leaf_name(path: tuple) -> str:
    """Join the keys of a tree path, `L_level/layers_0/mlp/down_proj/kernel`."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def site_of(path: tuple) -> str:
    """Name the Dense that a tree path to a kernel leads to, `L_level/layers_0/mlp/down_proj`."""
    return leaf_name(path).removesuffix("/kernel")


def is_kernel(path: tuple) -> bool:
    """Return whether a tree path leads to the kernel of a Dense."""
    return leaf_name(path).rsplit("/", 1)[-1] == "kernel"


def _cast(path: tuple, value: Array, float_dtype: FloatDtype) -> Array:
    dtype = jnp.dtype(float_dtype.dtype)
    _check(path, value, float(jnp.finfo(dtype).max))
    if dtype == np.float32:
        return value.astype(np.float32)
    rounded = np.asarray(value).astype(dtype).astype(np.float32)  # nothing is compiled for it
    return jnp.asarray(rounded) if isinstance(value, Array) else rounded


def _check(path: tuple, value: Array, largest: float) -> None:
    extreme = float(np.max(np.abs(np.asarray(value, np.float32)), initial=0.0))
    if not extreme <= largest:
        raise ValueError(
            f"{leaf_name(path)} holds the magnitude {extreme}, the format ends at {largest};"
            " repair the checkpoint or choose a scheme with a wider format"
        )
