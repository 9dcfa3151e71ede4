"""A model as a device holds it: integers, their encodings, and the constants between calls.

    calibrated_model      from quantised weights and the trajectories of puzzles
    uncalibrated_model    from quantised weights alone, every tensor of one made-up range: for
                          measurements that depend on shapes and not on values (memory, flash)

The record is made once; the simulation (reasoner.py) and the exported graphs
(export/lowering/model.py) both read it.

Not here: choosing schemes and puzzles, and bytes on a device (export).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Integer

from quant.affine import Range
from quant.integer.attention_operators import MixedPrecisionOps, with_heads
from quant.integer.calibration import (
    HEADROOM,
    Spans,
    attention_encodings,
    calibrated_spans,
    encodings_of,
    level_with_spans,
    read_out_spans,
)
from quant.integer.carry import Combine, combine_for, on_grid, row_scale, scaled_rows
from quant.integer.encoding import Encoding
from quant.integer.operators import DenseWeights, Encodings, IntegerOps, Products, products_of
from quant.integer.tensor_names import INT16, int8_widths
from quant.ptq.weights import QuantisedParams, round_unquantised
from quant.scheme import Activations, Scheme
from trm_jax.config import Config, Mixer, Positions
from trm_jax.types import Batch, Weights

BITS = {Activations.STATIC_INT8: 8, Activations.STATIC_INT16: 16}


@dataclass(frozen=True, eq=False, kw_only=True)
class IntegerModel:
    """Everything that decides a device's integers.

    Attributes:
      products: every Dense by site.
      encodings: of every tensor by its printed name; `z`, `injection` and `e` (embedding rows)
        among them.
      headroom: factor that the calibrated ranges were widened by.
      token_rows, puzzle_rows: scaled, on the grid `e`.
      H_init, L_init: on the grid `z`.
    """

    config: Config
    products: Products
    encodings: Encodings
    headroom: float
    token_rows: Integer[np.ndarray, "vocab emb"]
    puzzle_rows: Integer[np.ndarray, "ids id_emb"]
    H_init: Integer[np.ndarray, " emb"]
    L_init: Integer[np.ndarray, " emb"]

    @property
    def bits(self) -> int:
        """Width of activations and carry."""
        return self.encodings["z"].bits

    def ops(self) -> IntegerOps:
        """Make the operators of its networks."""
        c = self.config
        return MixedPrecisionOps(self.products, self.encodings, c.rms_norm_eps, c.num_heads)

    @property
    def combine_L(self) -> Combine:
        """Constants of the injection into z_L: z_H and the embedding."""
        return self._combine(self.encodings["e"].scale)

    @property
    def combine_H(self) -> Combine:
        """Constants of the injection into z_H: z_L alone."""
        return self._combine(None)

    def _combine(self, e: float | None) -> Combine:
        z, injection = self.encodings["z"], self.encodings["injection"]
        return combine_for(
            z=(z.scale, z.zero_point), e=e, injection=(injection.scale, injection.zero_point)
        )


def calibrated_model(
    config: Config,
    weights: Weights,
    quantised: QuantisedParams,
    scheme: Scheme,
    batches: Iterable[Batch],
    *,
    steps: int,
    headroom: float | None = None,
) -> IntegerModel:
    """Calibrate a quantised model and bring it into a device's integers.

    Args:
      weights: of full precision.
      quantised: their parameters under `scheme`.
      batches, steps: as for `calibrated_spans`.
      headroom: factor on every range; None takes `headroom_for`.

    Raises:
      ValueError: no batch, or nothing that has integers on a device: activations that are not
        static, learned positions, a mixer without an integer level.
    """
    _check_scheme(config, scheme)
    headroom = headroom_for(config, scheme) if headroom is None else headroom
    products = device_products(quantised, config)
    exact = round_unquantised(weights, scheme.float_dtype)
    spans = calibrated_spans(config, products, exact, batches, steps=steps, ranges=scheme.ranges)
    encodings = device_encodings(spans, config, scheme, headroom)
    return integer_model(config, exact, products, encodings, headroom)


def uncalibrated_model(
    config: Config,
    weights: Weights,
    quantised: QuantisedParams,
    scheme: Scheme,
    reach: tuple[float, float],
    *,
    headroom: float = HEADROOM,
) -> IntegerModel:
    """Bring a quantised model into integers without puzzles: every tensor has the same range.

    Args:
      weights: embeddings and initial states are read; a puzzle table may have no rows.
      quantised: parameters under `scheme`.
      reach: low and high end of every tensor.

    Raises:
      ValueError: as `calibrated_model`.
    """
    _check_scheme(config, scheme)
    products = device_products(quantised, config)
    state = jax.ShapeDtypeStruct((1, config.num_positions, config.hidden_size), jnp.float32)

    def name_tensors(z: jax.Array, injection: jax.Array) -> Spans:
        _, spans = level_with_spans(z, injection, products, config)
        return {**spans, **read_out_spans(z, products, config)}

    names = jax.eval_shape(name_tensors, state, state)
    spans = dict.fromkeys(names, Range(*map(jnp.float32, reach)))
    encodings = device_encodings(spans, config, scheme, headroom)
    return integer_model(config, weights, products, encodings, headroom)


def _check_scheme(config: Config, scheme: Scheme) -> None:
    if scheme.activations not in BITS:
        raise ValueError(f"{scheme.name} has no static activations; integers need _a16s or _a8s")
    if config.positions is Positions.LEARNED:
        raise ValueError("integer embeddings have no learned positions; use rope or none")
    if scheme.wide and config.mixer is not Mixer.MLP:
        raise ValueError(
            f"{scheme.name} names states of the MLP mixer, and this model has {config.mixer.value}"
            f" as its mixer; use {replace(scheme, wide=()).name}"
        )


def device_products(quantised: QuantisedParams, config: Config) -> dict[str, DenseWeights]:
    """Collect every product as a device multiplies it: heads of attention one by one.

    Raises:
      ValueError: as `products_of`.
    """
    products = products_of(quantised)
    return with_heads(products, config) if config.mixer is Mixer.ATTENTION else products


def headroom_for(config: Config, scheme: Scheme) -> float:
    """Choose how far ranges are widened: not at all for int8 attention, or for ranges of cells.

    Cells, and all states of attention, have unit mean square and no massive activations: a number
    that saturates is only a little off, while a coarser grid makes every number worse.
    """
    is_int8 = scheme.activations is Activations.STATIC_INT8
    is_even = config.mixer is Mixer.ATTENTION or scheme.ranges.are_of_cells
    return 1.0 if is_int8 and is_even else HEADROOM


def device_encodings(
    spans: Spans, config: Config, scheme: Scheme, headroom: float
) -> dict[str, Encoding]:
    """Make encodings of the widths that a scheme asks for."""
    bits = BITS[scheme.activations]
    if config.mixer is not Mixer.ATTENTION:
        return encodings_of(spans, config, bits=bits, headroom=headroom, wide=scheme.wide)
    widths = INT16 if bits == 16 else int8_widths(config)
    return attention_encodings(spans, config, widths, headroom)


def integer_model(
    config: Config,
    weights: Weights,
    products: Products,
    encodings: Mapping[str, Encoding],
    headroom: float,
) -> IntegerModel:
    """Round embeddings and initial states onto their grids."""
    bits = encodings["z"].bits
    tokens, puzzles = (
        scaled_rows(np.asarray(table), config.hidden_size)
        for table in (weights.params["embed_tokens"]["embedding"], weights.puzzle_emb)
    )
    e = Encoding(scale=row_scale((tokens, puzzles), bits), bits=bits)
    H_init, L_init = (on_grid(jnp.asarray(v), encodings["z"]) for v in weights.buffers)
    return IntegerModel(
        config=config,
        products=products,
        encodings={**encodings, "e": e},
        headroom=headroom,
        token_rows=on_grid(tokens, e),
        puzzle_rows=on_grid(puzzles, e),
        H_init=H_init,
        L_init=L_init,
    )
