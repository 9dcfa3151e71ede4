"""An independent float graph: jax.export -> StableHLO -> litert-converter.

Nothing here is shipped. The graphs that model.py builds are checked against these, which come
from the model's own code by an independent compiler. litert-converter 0.5 has no documented Python
interface; this is the only module that calls it, and a test fixes what it returns.

Not here: loops (`lax.scan`), which do not convert; a graph is one application of a network, or the
read-out.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from litert_converter.mlir import (
    ir,  # pyright: ignore
    passmanager,  # pyright: ignore
)
from litert_converter.mlir._mlir_libs import (  # pyright: ignore
    converter_api_ext as converter,  # pyright: ignore
)

from trm_jax.models.reasoner import Reasoner
from trm_jax.types import Params


def block(reasoner: Reasoner, params: Params, *, batch: int, high: bool = False) -> bytes:
    """Convert one application of a network: z, injection -> z.

    Args:
      high: the network that updates z_H; TRM has only one.
    """
    update = reasoner.networks.update_H if high else reasoner.networks.update_L
    shape = _state_shape(reasoner, batch)
    return convert(
        lambda z, injection: (update(params, z, injection),),
        inputs={"z": shape, "injection": shape},
        outputs=("z",),
        name="block",
    )


def head(reasoner: Reasoner, params: Params, *, batch: int) -> bytes:
    """Convert the read-out: z_H -> logits, q."""

    def read_out(z_H: Array) -> tuple[Array, Array]:
        out = reasoner.read_out(params, z_H)
        return out.logits, jnp.stack([out.q_halt, out.q_continue], axis=-1)

    return convert(
        read_out,
        inputs={"z_H": _state_shape(reasoner, batch)},
        outputs=("logits", "q"),
        name="head",
    )


def _state_shape(reasoner: Reasoner, batch: int) -> tuple[int, ...]:
    return batch, reasoner.config.num_positions, reasoner.config.hidden_size


def convert(
    function: Callable[..., Any],
    *,
    inputs: Mapping[str, tuple[int, ...]],
    outputs: tuple[str, ...],
    name: str,
) -> bytes:
    """Convert a function of float32 arrays to a .tflite with one signature."""
    shapes = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in inputs.values()]
    exported = jax.export.export(jax.jit(function), platforms=["cpu"])(*shapes)
    context = ir.Context()  # pyright: ignore
    converter.prepare_mlir_context(context)
    with context:
        module = ir.Module.parse(exported.mlir_module())  # pyright: ignore
        converter.set_signature(module.operation, name, list(inputs), list(outputs))
        passes = passmanager.PassManager()  # pyright: ignore
        converter.run_convert_to_tfl_passes(module, passes, converter.ConvertToTFLConfig())
        return converter.export_flatbuffer_to_bytes(module.operation)
