"""Calibrated models of integers for tests: random weights, and the bundled ones."""

from functools import cache

import jax.numpy as jnp
import numpy as np

from export.graph.ir import GraphModel
from export.lowering.integer_block import Chunks
from export.lowering.model import integer_graphs
from export.lowering.storage import StoragePlan, plan_for
from export.targets import Target
from quant.integer.calibration import HEADROOM, Spans, calibrated_spans, encodings_of
from quant.integer.model import BITS, IntegerModel, calibrated_model, integer_model
from quant.integer.operators import products_of
from quant.ptq.weights import quantise_params
from quant.scheme import parse
from tests.support.samples import random_batch, random_weights, small
from trm_jax import zoo
from trm_jax.config import Mixer, Positions, TRMConfig
from trm_jax.types import Batch

TINY = TRMConfig(**small(mixer=Mixer.MLP, positions=Positions.NONE, puzzle_emb_len=1, L_layers=1))
SCHEMES = (
    "w4c-asym_a16s_tflm",
    "w4c-sym_a16s_tflm",
    "w8c-sym_a16s_tflm",
    "w4c-asym_a8s_tflm",
    "w4c-sym_a8s_tflm",
    "w8c-sym_a8s_tflm",
)
WIDE_SCHEMES = (
    "w8c-sym_a8s_tflm+tproduct+tout+tsum",
    "w4c-asym_a8s_tflm+h+tsilu+tout+tnorm+silu+out",
    "w4c-sym_a8s_tflm+tgate+tproduct+tsum+gate+product+sum",
    "w8c-sym_a8s_tflm+norms",
    "w4c-sym_a8s_tflm+tnorm+tsum+norms",
)
"""int8 with states of 16 bits; the second and third are each other's complement."""

BATCH = 2
WHOLE = Chunks()
"""A graph that is not cut."""


def plan_of(scheme: str) -> StoragePlan:
    return plan_for(parse(scheme), Target.TFLM)


@cache
def tiny_spans() -> Spans:
    """Ranges of random weights, 4 bits of them; good enough for other widths too."""
    weights = random_weights(TINY, seed=2)
    quantised = quantise_params(weights.params, parse("w4c-asym"))
    batches = [random_batch(TINY, 4, seed=5)]
    return calibrated_spans(TINY, products_of(quantised), weights, batches, steps=2)


@cache
def tiny(scheme: str) -> IntegerModel:
    """Random weights."""
    weights, parsed = random_weights(TINY, seed=2), parse(scheme)
    products = products_of(quantise_params(weights.params, parsed))
    bits = BITS[parsed.activations]
    encodings = encodings_of(tiny_spans(), TINY, bits=bits, wide=parsed.wide)
    return integer_model(TINY, weights, products, encodings, HEADROOM)


def bundled_puzzles(count: int) -> Batch:
    """The first bundled Sudoku puzzles."""
    folder = zoo.puzzles("sudoku") / "test"
    inputs, labels = (
        jnp.asarray(np.load(folder / f"all__{name}.npy")[:count].astype(np.int32))
        for name in ("inputs", "labels")
    )
    return Batch(inputs, labels, jnp.zeros(count, jnp.int32))


@cache
def trained(scheme: str) -> IntegerModel:
    """The bundled Sudoku model, calibrated on a few steps of a few puzzles."""
    config, weights = zoo.load("sudoku-trm-mlp-mini")
    quantised = quantise_params(weights.params, parse(scheme))
    batches = [bundled_puzzles(4)]
    return calibrated_model(config, weights, quantised, parse(scheme), batches, steps=3)


def graphs(model: IntegerModel, scheme: str, chunks: Chunks = WHOLE) -> GraphModel:
    """Lower a model to a block and a head that take `BATCH` puzzles."""
    return GraphModel(graphs=integer_graphs(model, plan_of(scheme), batch=BATCH, chunks=chunks))


def states(model: IntegerModel, name: str, seed: int) -> np.ndarray:
    """Draw integers of a tensor over the whole of its type."""
    c, e = model.config, model.encodings[name]
    shape = (BATCH, c.num_positions, c.hidden_size)
    return np.random.default_rng(seed).integers(e.q_min, e.q_max + 1, shape).astype(e.dtype)
