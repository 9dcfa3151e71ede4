"""A stand-in for cuDNN where there is none."""

from typing import Any

import jax
import pytest


def reroute(monkeypatch: pytest.MonkeyPatch) -> list[tuple[jax.ShapeDtypeStruct, dict[str, Any]]]:
    """Let XLA compute what `jax.nn.dot_product_attention` is asked to let cuDNN compute.

    Returns:
      The calls as they come: the query's shape and dtype, and the options.
    """
    calls: list[tuple[jax.ShapeDtypeStruct, dict[str, Any]]] = []
    real: Any = jax.nn.dot_product_attention

    def by_xla(q: jax.Array, k: jax.Array, v: jax.Array, **options: Any) -> jax.Array:
        calls.append((jax.ShapeDtypeStruct(q.shape, q.dtype), dict(options)))
        with jax.numpy_dtype_promotion("standard"):  # jax's XLA implementation counts on it
            return real(q, k, v, **(options | {"implementation": "xla"}))

    monkeypatch.setattr(jax.nn, "dot_product_attention", by_xla)
    return calls
