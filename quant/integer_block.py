"""A Sudoku TRM-MLP level in the integers of a device: one description, three readings.

    level(h, injection, config, ops)     the operators of trm_jax/mixing.py in the order of the
                                         deployed graph, given what an operator is:
    RangeOps      float32: computes, and notes the reach of every tensor (calibration)
    IntegerOps    int16 activations, int8 filters: TFLM's arithmetic (integer_*.py)
    a graph writer (export, tests) makes tensors and operators of the same names

Every tensor is named by its site, `L_level/layers_0/mlp/down_proj`; encodings are keyed by it.
The norm is an island of float32 (integer_norm.py): rows of trained models differ in mean square
by five decimal places (the puzzle prefix holds massive activations), int16 has four and a half.
Left out: attention, int8 activations, and the recursion around a level (the host owns it).
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Int16

from quant.affine import QTensor, dequantise
from quant.integer_elementwise import (
    Add,
    Multiply,
    add,
    multiply,
    prepare_add,
    prepare_multiply,
)
from quant.integer_encoding import Encoding
from quant.integer_linear import Linear, linear, prepare_conv
from quant.integer_norm import float_norm, norm_island
from quant.integer_tables import logistic_table, look_up
from quant.ptq import QuantisedParams
from trm_jax.config import Mixer, ReasonerConfig

Encodings = Mapping[str, Encoding]
SIGMOID = Encoding(scale=2.0**-15, bits=16)  # what LOGISTIC int16 insists on


@runtime_checkable
class Ops(Protocol):
    """What an operator is; every result is called `name`, every operand what made it."""

    def linear(self, name: str, x: Any) -> Any: ...
    def add(self, name: str, a: Any, b: Any) -> Any: ...
    def multiply(self, name: str, a: Any, b: Any) -> Any: ...
    def norm(self, name: str, x: Any) -> Any: ...
    def logistic(self, name: str, x: Any) -> Any: ...
    def halves(self, x: Any) -> tuple[Any, Any]: ...
    def transpose(self, x: Any) -> Any: ...


def level(h: Any, injection: Any, config: ReasonerConfig, ops: Ops) -> Any:
    """Apply L_level to `z` and `injection`.

    Raises:
      ValueError: the mixer is not Mixer.MLP.
    """
    if config.mixer is not Mixer.MLP:
        raise ValueError(f"only Mixer.MLP has an integer level, got {config.mixer}")
    h = ops.add("L_level/h", h, injection)
    for i in range(config.L_layers):
        site = f"L_level/layers_{i}"
        h = _residual(ops.transpose(h), f"{site}/mlp_t", ops)
        h = _residual(ops.transpose(h), f"{site}/mlp", ops)
    return h


def _residual(h: Any, site: str, ops: Ops) -> Any:
    """Compute rms_norm(h + swiglu(h)) over the last axis."""
    gate, up = ops.halves(ops.linear(f"{site}/gate_up_proj", h))
    silu = ops.multiply(f"{site}/silu", gate, ops.logistic(f"{site}/sigmoid", gate))
    product = ops.multiply(f"{site}/product", silu, up)
    total = ops.add(f"{site}/sum", h, ops.linear(f"{site}/down_proj", product))
    return ops.norm(f"{site}/norm", total)


class RangeOps:
    """float32 operators; `reach` gathers the largest magnitude of every tensor.

    Args:
      kernels: (inputs, outputs), by site.
    """

    def __init__(self, kernels: Mapping[str, Array], eps: float) -> None:
        self.kernels, self.eps = kernels, eps
        self.reach: dict[str, Array] = {}

    def linear(self, name: str, x: Array) -> Array:
        return self._noted(name, jnp.einsum("...i,io->...o", x, self.kernels[name]))

    def add(self, name: str, a: Array, b: Array) -> Array:
        return self._noted(name, a + b)

    def multiply(self, name: str, a: Array, b: Array) -> Array:
        return self._noted(name, a * b)

    def norm(self, name: str, x: Array) -> Array:
        return self._noted(name, float_norm(x, self.eps))

    def logistic(self, name: str, x: Array) -> Array:
        return 1 / (1 + jnp.exp(-x))

    def halves(self, x: Array) -> tuple[Array, Array]:
        first, second = jnp.split(x, 2, axis=-1)
        return first, second

    def transpose(self, x: Array) -> Array:
        return x.swapaxes(-1, -2)

    def _noted(self, name: str, x: Array) -> Array:
        self.reach[name] = jnp.max(jnp.abs(x))
        return x


def reach_of_level(
    z: Float[Array, "batch pos emb"],
    injection: Float[Array, "batch pos emb"],
    quantised: QuantisedParams,
    config: ReasonerConfig,
) -> tuple[Float[Array, "batch pos emb"], dict[str, Float[Array, ""]]]:
    """Apply a level in float32 with quantised weights.

    Returns:
      The new state, and the largest magnitude of every tensor, z and injection among them.
    """
    kernels = {name: dequantise(kernel) for name, kernel in kernels_of(quantised).items()}
    ops = RangeOps(kernels, config.rms_norm_eps)
    out = level(z, injection, config, ops)
    ends = {"z": jnp.max(jnp.abs(z)), "injection": jnp.max(jnp.abs(injection))}
    return out, {**ops.reach, **ends}


def encodings_of(
    reach: Mapping[str, Any], config: ReasonerConfig, headroom: float = 1.5
) -> dict[str, Encoding]:
    """Make int16 encodings of the reaches of a calibration.

    The state that a level takes is the one that it makes: `z` and the last norm share one.

    Args:
      headroom: factor on every reach, for puzzles that were not seen.
    """
    reach = {name: float(value) for name, value in reach.items()}
    last = f"L_level/layers_{config.L_layers - 1}/mlp/norm"
    reach["z"] = reach[last] = max(reach["z"], reach[last])
    made = {name: Encoding(scale=max(value * headroom / 32767, 1e-30), bits=16)
            for name, value in reach.items()}  # fmt: skip
    sigmoids = (f"{name.removesuffix('/silu')}/sigmoid" for name in reach if name.endswith("/silu"))
    return {**made, **dict.fromkeys(sigmoids, SIGMOID)}


class Tagged(NamedTuple):
    """A value and the name of its encoding."""

    value: Any
    name: str


class IntegerOps:
    """TFLM's int16 operators over static encodings.

    Args:
      kernels: filters by site; symmetric or not, q - zero_point is what the device multiplies
        with (DECODE's table holds it).
    """

    def __init__(self, kernels: Mapping[str, QTensor], encodings: Encodings, eps: float) -> None:
        self.kernels, self.encodings, self.eps = kernels, encodings, eps

    def linear(self, name: str, x: Tagged) -> Tagged:
        weights, scales = filter_of(self.kernels[name])
        op: Linear = prepare_conv(weights, scales, *self._encoded(x.name, name))
        return Tagged(linear(x.value, op), name)

    def add(self, name: str, a: Tagged, b: Tagged) -> Tagged:
        op: Add = prepare_add(*self._encoded(a.name, b.name, name))
        return Tagged(add(a.value, b.value, op), name)

    def multiply(self, name: str, a: Tagged, b: Tagged) -> Tagged:
        op: Multiply = prepare_multiply(*self._encoded(a.name, b.name, name))
        return Tagged(multiply(a.value, b.value, op), name)

    def norm(self, name: str, x: Tagged) -> Tagged:
        source, target = self._encoded(x.name, name)
        return Tagged(norm_island(x.value, source, target, self.eps), name)

    def logistic(self, name: str, x: Tagged) -> Tagged:
        return Tagged(look_up(x.value, logistic_table(self.encodings[x.name])), name)

    def halves(self, x: Tagged) -> tuple[Tagged, Tagged]:
        first, second = jnp.split(x.value, 2, axis=-1)
        return Tagged(first, x.name), Tagged(second, x.name)

    def transpose(self, x: Tagged) -> Tagged:
        return Tagged(x.value.swapaxes(-1, -2), x.name)

    def _encoded(self, *names: str) -> tuple[Encoding, ...]:
        return tuple(self.encodings[name] for name in names)


def integer_level(
    z: Int16[Array, "batch pos emb"],
    injection: Int16[Array, "batch pos emb"],
    kernels: Mapping[str, QTensor],
    config: ReasonerConfig,
    encodings: Encodings,
) -> Int16[Array, "batch pos emb"]:
    """Apply a level in the device's integers; jit it with everything but the arrays closed over."""
    ops = IntegerOps(kernels, encodings, config.rms_norm_eps)
    return level(Tagged(z, "z"), Tagged(injection, "injection"), config, ops).value


def filter_of(kernel: QTensor) -> tuple[np.ndarray, np.ndarray]:
    """Make the (outputs, inputs) int8 filter of a kernel, and its scales."""
    steps = np.asarray(kernel.qvalue, np.int16) - np.asarray(kernel.zero_point, np.int16)
    assert np.abs(steps).max(initial=0) < 128, "an asymmetric grid of 8 bits needs 9"
    return np.ascontiguousarray(steps.T.astype(np.int8)), np.asarray(kernel.scale).reshape(-1)


def kernels_of(quantised: QuantisedParams) -> dict[str, QTensor]:
    """Collect the kernels of L_level by site."""
    found: dict[str, QTensor] = {}

    def visit(tree: Any, path: str) -> None:
        for key, value in tree.items():
            if key == "kernel":
                found[path] = value
            elif isinstance(value, Mapping):
                visit(value, f"{path}/{key}")

    visit(quantised["L_level"], "L_level")
    return found
