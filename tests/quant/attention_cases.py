"""Attention levels with calibrated encodings, and TFLM's interpreter running their graphs."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from tflite_micro.python.tflite_micro import runtime

from export.flatbuffer import write
from export.graph import Graph, Model
from quant.affine import QTensor
from quant.integer_attention import Widths
from quant.integer_attention_ops import integer_level, kernels_of
from quant.integer_attention_spans import encodings_of, spans_of_level
from quant.integer_elementwise import quantise_floats
from quant.integer_encoding import Encoding
from quant.ptq import quantise_params, simulate
from quant.scheme import parse
from trm_jax import zoo
from trm_jax.act import inject
from trm_jax.config import Config, HRMConfig
from trm_jax.models import build
from trm_jax.types import Batch, Weights

Step = tuple[str, jax.Array, jax.Array, jax.Array]
"""Network, z, injection, and what float32 makes of them."""


class Case(NamedTuple):
    """A calibrated model with states of its float trajectory."""

    config: Config
    kernels: dict[str, QTensor]
    spans: dict
    steps: list[Step]

    def encodings(self, widths: Widths) -> dict[str, Encoding]:
        return encodings_of(self.spans, self.config, widths)


def calibrated(config: Config, weights: Weights, batch: Batch, scheme: str) -> Case:
    """Walk through the recursion in float32 on quantised weights: both roles, two steps."""
    kernels = kernels_of(quantise_params(weights.params, parse(scheme)), config)
    x = inject(build(config), simulate(weights, parse(scheme)), batch)
    spans: dict = {}
    steps: list[Step] = []
    networks = ("L_level", "H_level" if isinstance(config, HRMConfig) else "L_level")
    applied = jax.jit(lambda z, e, network: spans_of_level(z, e, kernels, network, config),
                      static_argnums=2)  # fmt: skip

    def apply(network: str, z: jax.Array, injection: jax.Array) -> jax.Array:
        out, seen = applied(z, injection, network)
        for name, (low, high) in seen.items():
            old = spans.get(name, (low, high))
            spans[name] = jnp.minimum(low, old[0]), jnp.maximum(high, old[1])
        steps.append((network, z, injection, out))
        return out

    z_H, z_L = (jnp.broadcast_to(b, x.shape) for b in weights.buffers)
    for _ in range(2 * config.H_cycles):
        for _ in range(config.L_cycles):
            z_L = apply(networks[0], z_L, z_H + x)
        z_H = apply(networks[1], z_H, z_L)
    return Case(config, kernels, spans, steps)


def trained(name: str, task: str, scheme: str, puzzles: int) -> Case:
    """Calibrate a bundled model on its first puzzles."""
    config, weights = zoo.load(name)
    inputs = np.load(zoo.PUZZLES[task] / "test" / "all__inputs.npy")[:puzzles].astype(np.int32)
    tokens = jnp.asarray(inputs)
    batch = Batch(tokens, tokens, jnp.zeros(len(inputs), jnp.int32))
    return calibrated(config, weights, batch, scheme)


def simulated(case: Case, network: str, widths: Widths) -> Callable[..., Any]:
    """Make a jitted function of z and injection."""
    known = case.encodings(widths)
    return jax.jit(lambda z, e: integer_level(z, e, case.kernels, network, case.config, known))


def device(graph: Graph, arena: int = 16 << 20) -> Callable[..., list[np.ndarray]]:
    """Make a function of a graph's inputs, shaped as it wants them; results by their order."""
    content = write(Model(graphs=(graph,)))
    interpreter = runtime.Interpreter.from_bytes(content, arena_size=arena)

    def call(*fed: np.ndarray) -> list[np.ndarray]:
        for i, (value, tensor) in enumerate(zip(fed, graph.inputs.values(), strict=True)):
            interpreter.set_input(np.asarray(value).reshape(graph.tensor(tensor).shape), i)
        assert not interpreter.invoke()
        return [interpreter.get_output(i) for i in range(len(graph.outputs))]

    return call


def encoded(case: Case, name: str, x: Any, widths: Widths) -> Any:
    """Quantise a state."""
    return quantise_floats(x, case.encodings(widths)[name])
