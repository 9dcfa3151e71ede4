"""Calibrated attention models in integers for tests: random weights, and the bundled one."""

import dataclasses
from functools import cache

import jax.numpy as jnp
import numpy as np

from quant.integer import IntegerModel, calibrated_model
from quant.integer_attention import Widths
from quant.integer_attention_encodings import attention_encodings, with_heads
from quant.integer_ops import products_of
from quant.integer_ranges import Spans, calibrated_spans
from quant.ptq import quantise_params, simulate
from quant.scheme import parse
from tests.samples import random_batch, random_weights, small
from trm_jax import zoo
from trm_jax.config import TRMConfig
from trm_jax.types import Batch

TINY = TRMConfig(**small(seq_len=9, puzzle_emb_len=2))


@cache
def tiny(scheme: str) -> IntegerModel:
    """Random weights, calibrated on random puzzles; 11 positions, 2 heads."""
    weights = random_weights(TINY, seed=2)
    quantised = quantise_params(weights.params, parse(scheme))
    batches = [random_batch(TINY, 4, seed=5)]
    return calibrated_model(TINY, weights, quantised, parse(scheme), batches, steps=1)


def in_widths(scheme: str, widths: Widths) -> IntegerModel:
    """The tiny model with other widths."""
    model, spans = tiny(scheme), tiny_spans(scheme)
    encodings = attention_encodings(spans, TINY, widths, model.headroom)
    return dataclasses.replace(model, encodings=encodings | {"e": model.encodings["e"]})


@cache
def tiny_spans(scheme: str) -> Spans:
    weights = random_weights(TINY, seed=2)
    products = with_heads(products_of(quantise_params(weights.params, parse(scheme))), TINY)
    exact, batches = simulate(weights, parse(scheme)), [random_batch(TINY, 4, seed=5)]
    return calibrated_spans(TINY, products, exact, batches, steps=1)


@cache
def trained(scheme: str) -> IntegerModel:
    """The bundled maze model, calibrated on a step of two puzzles."""
    config, weights = zoo.load("maze-trm-att-mini")
    inputs = np.load(zoo.puzzles("maze") / "test" / "all__inputs.npy")[:2].astype(np.int32)
    tokens = jnp.asarray(inputs)
    batches = [Batch(tokens, tokens, jnp.zeros(2, jnp.int32))]
    quantised = quantise_params(weights.params, parse(scheme))
    return calibrated_model(config, weights, quantised, parse(scheme), batches, steps=1)
