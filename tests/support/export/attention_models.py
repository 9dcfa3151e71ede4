"""Attention models in integers for tests: random weights, and the bundled one."""

from functools import cache

import jax.numpy as jnp
import numpy as np

from quant.integer.attention_operators import with_heads
from quant.integer.calibration import Spans, attention_encodings, calibrated_spans
from quant.integer.model import IntegerModel, calibrated_model, integer_model
from quant.integer.operators import products_of
from quant.integer.tensor_names import INT8, BitWidths
from quant.ptq.weights import quantise_params, round_weights
from quant.scheme import parse
from tests.support.samples import random_batch, random_weights, small
from trm_jax import zoo
from trm_jax.config import TRMConfig
from trm_jax.types import Batch

TINY = TRMConfig(**small(seq_len=9, puzzle_emb_len=2))
HEADROOM = 1.25


def tiny(weight_scheme: str, widths: BitWidths = INT8) -> IntegerModel:
    """Random weights; 11 positions, 2 heads. All share the ranges of 8-bit weights."""
    weights, scheme = random_weights(TINY, seed=2), parse(weight_scheme)
    products = with_heads(products_of(quantise_params(weights.params, scheme)), TINY)
    encodings = attention_encodings(tiny_spans(), TINY, widths, HEADROOM)
    return integer_model(TINY, round_weights(weights, scheme), products, encodings, HEADROOM)


@cache
def tiny_spans() -> Spans:
    """Calibrate the tiny model on random puzzles."""
    weights, scheme = random_weights(TINY, seed=2), parse("w8c-sym")
    products = with_heads(products_of(quantise_params(weights.params, scheme)), TINY)
    batches = [random_batch(TINY, 4, seed=5)]
    return calibrated_spans(TINY, products, round_weights(weights, scheme), batches, steps=1)


@cache
def trained(scheme: str) -> IntegerModel:
    """The bundled maze model, calibrated on a step of two puzzles."""
    config, weights = zoo.load("maze-trm-att-mini")
    inputs = np.load(zoo.puzzles("maze") / "test" / "all__inputs.npy")[:2].astype(np.int32)
    tokens = jnp.asarray(inputs)
    batches = [Batch(tokens, tokens, jnp.zeros(2, jnp.int32))]
    quantised = quantise_params(weights.params, parse(scheme))
    return calibrated_model(config, weights, quantised, parse(scheme), batches, steps=1)
