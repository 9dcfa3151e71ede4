"""Weights by Qwix's own post-training methods: GPTQ and QEP, symmetric, per output channel.

Qwix reads a Flax module as it is called once: its providers watch the products of that call.

    GPTQ, first call   Qwix watches the first update of z_L, the first of z_H and the read-out
    GPTQ, all calls    Qwix rounds, with Hessians that this project's loop summed
    QEP, first call    Qwix watches the first update of z_L and its read-out
    QEP, all calls     the same, on calls taken from whole trajectories

What it does with more is kept as it says it: with the loop inside the module its statistics leave
`jax.lax.scan` as tracers, and one network that is called twice is refused by QEP and, as soon as
kernels are cast, by its quantised module (`refusals`).

Its GPTQ has one scale per channel: where no axis but one is shared, it rounds to nearest instead.

Not here: this project's GPTQ (quant/ptq/gptq.py).
"""

import importlib.metadata
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from experiments.ablate.rows import Facts
from experiments.ablate.toolkits import foreign_conventions, refusal
from quant.ptq.calibrate import Calibration, PerSite, input_widths
from trm_jax.config import HRMConfig
from trm_jax.models.act import inject
from trm_jax.models.reasoner import ReasonerModule
from trm_jax.types import Batch, Injection, Latents, Outputs, Params, State

CALLS_APART = 31  # of a trajectory, between two calls that QEP is given


def import_qwix() -> Any:
    """Import Qwix and the methods that are compared.

    Raises:
      ModuleNotFoundError: it is not installed.
    """
    with foreign_conventions():
        import qwix
        from qwix.contrib import gptq, qep

    return qwix, gptq, qep


def version() -> str:
    """Return Qwix's version.

    Raises:
      ModuleNotFoundError: it is not installed.
    """
    import_qwix()
    return importlib.metadata.version("qwix")


class OneCall(nn.Module):
    """Every matrix once: an update of z_L, of z_H where a network of its own makes it, a read-out.

    Attributes:
      loops: run this many updates of either state instead, inside the module.
    """

    inner: ReasonerModule
    loops: int = 0

    def __call__(self, z_H: State, z_L: State, e: Injection) -> Outputs:
        if self.loops:
            return self._looped(z_H, z_L, e)
        z_L = self.inner.update_L(z_L, z_H + e)
        if isinstance(self.inner.config, HRMConfig):
            z_L = self.inner.update_H(z_H, z_L)
        return self.inner.read_out(z_L)

    def _looped(self, z_H: State, z_L: State, e: Injection) -> Outputs:
        def body(carry: Latents, _: None) -> tuple[Latents, None]:
            z_L = self.inner.update_L(carry.z_L, carry.z_H + e)
            return Latents(self.inner.update_H(carry.z_H, z_L), z_L), None

        latents, _ = jax.lax.scan(body, Latents(z_H, z_L), length=self.loops)
        return self.inner.read_out(latents.z_H)


class WholeStep(nn.Module):
    """The model as it is: one network that updates z_L, then z_H, then a read-out."""

    inner: ReasonerModule

    def __call__(self, z_H: State, z_L: State, e: Injection) -> Outputs:
        z_L = self.inner.update_L(z_L, z_H + e)
        return self.inner.read_out(self.inner.update_H(z_H, z_L))


class Call(NamedTuple):
    """What a call of `OneCall` or `WholeStep` takes."""

    z_H: State
    z_L: State
    e: Injection


def gptq_first_call(calibration: Calibration, bits: int) -> Params:
    """Round by Qwix's GPTQ, calibrated by Qwix on the first call of each role.

    Raises:
      ModuleNotFoundError: Qwix is not installed.
    """
    return round_by_stats(calibration, bits, watch_first_calls(calibration, bits))


@foreign_conventions()
def watch_first_calls(calibration: Calibration, bits: int) -> Mapping[str, Any]:
    """Let Qwix watch the first call of each role on all calibration puzzles.

    Returns:
      Its statistics, in its own layout.

    Raises:
      ModuleNotFoundError: Qwix is not installed.
    """
    qwix, gptq, _ = import_qwix()
    reasoner, params = calibration.reasoner, calibration.weights.params
    provider = gptq.GptqCalibrationProvider(_rules(gptq.GptqRule, bits))
    methods = ("update_L", "update_H", "read_out")
    watched = qwix.quantize_model(reasoner.module, provider, methods=methods)
    variables: dict[str, Any] = {"params": params}

    def call(method: str, *arguments: State) -> Any:
        result, seen = watched.apply(variables, *arguments, method=method, mutable=["quant_stats"])
        variables.update(seen)
        return result

    for batch in calibration.batches:
        z_H, z_L, e = first_call(calibration, batch)
        z_L = call("update_L", z_L, z_H + e)
        for _ in range(reasoner.config.L_cycles - 1):
            z_L = reasoner.networks.update_L(params, z_L, z_H + e)
        call("read_out", call("update_H", z_H, z_L))
    return variables["quant_stats"]


def gptq_all_calls(calibration: Calibration, bits: int) -> Params:
    """Round by Qwix's GPTQ with the Hessians that this project's loop sums over all calls.

    Raises:
      ModuleNotFoundError: Qwix is not installed.
    """
    return round_by_stats(calibration, bits, stats_of(calibration.hessians))


def stats_of(hessians: PerSite[Array]) -> dict[str, Any]:
    """Lay Hessians out as Qwix's statistics."""
    stats: dict[str, Any] = {}
    for site, hessian in hessians.items():
        node = stats
        for part in site.split("/"):
            node = node.setdefault(part, {})
        node["kernel_gptq"] = {"count": jnp.int32(1), "sum_of_hessian": hessian}
    return stats


def qep_weights(
    calibration: Calibration, bits: int, calls: Sequence[Call], modules: str = ".*"
) -> Params:
    """Round by Qwix's QEP on the calls given.

    Args:
      modules: a pattern of the modules that are rounded; others keep their weights.

    Raises:
      ModuleNotFoundError: Qwix is not installed.
    """
    return _by_qep(calibration, OneCall(calibration.reasoner.module), bits, calls, modules)


def first_calls(calibration: Calibration) -> list[Call]:
    """Collect the first call of every batch of calibration puzzles."""
    return [first_call(calibration, batch) for batch in calibration.batches]


def calls_of_trajectories(calibration: Calibration) -> list[Call]:
    """Collect calls along the rollouts of all calibration puzzles, every `CALLS_APART`-th."""
    calls = [call for b in calibration.batches for call in _every_call(calibration, b)]
    return calls[::CALLS_APART]


def first_call(calibration: Calibration, batch: Batch) -> Call:
    """Lay out what the first call of a rollout takes."""
    reasoner, weights = calibration.reasoner, calibration.weights
    start = reasoner.start(weights.buffers, batch.inputs.shape[0])
    return Call(*start, inject(reasoner, weights, batch))


@foreign_conventions()
def refusals(calibration: Calibration, bits: int) -> Facts:
    """Put to Qwix what it was not made for, and note its words.

    Returns:
      By what was asked; "" is no refusal.
    """
    qwix, gptq, _ = import_qwix()
    module, (call, *_) = calibration.reasoner.module, first_calls(calibration)
    few = Call(*(x[:1] for x in call))
    variables = {"params": {"inner": calibration.weights.params}}
    provider = gptq.GptqCalibrationProvider(_rules(gptq.GptqRule, bits))

    def loop_inside() -> object:
        watched = qwix.quantize_model(OneCall(module, loops=2), provider)
        seen = watched.apply(variables, *few, mutable=["quant_stats"])[1]
        return jax.block_until_ready(jax.tree.map(lambda x: x + 0, seen))

    def quantised_twice() -> object:
        made = qwix.quantize_model(WholeStep(module), qwix.PtqProvider(_rules(gptq.GptqRule, bits)))
        return jax.eval_shape(made.init, jax.random.key(0), *few)

    return {
        "refused_loop_inside": refusal(loop_inside),
        "refused_network_twice": refusal(quantised_twice),
        "refused_qep_twice": refusal(lambda: _by_qep(calibration, WholeStep(module), bits, [few])),
    }


def _every_call(calibration: Calibration, batch: Batch) -> Iterator[Call]:
    """Walk a rollout call by call."""
    reasoner, weights = calibration.reasoner, calibration.weights
    c, networks = reasoner.config, reasoner.networks
    update_L, update_H = (jax.jit(update) for update in networks[:2])
    z_H, z_L, e = first_call(calibration, batch)
    for _ in range(calibration.steps * c.H_cycles):
        for _ in range(c.L_cycles):
            yield Call(z_H, z_L, e)
            z_L = update_L(weights.params, z_L, z_H + e)
        z_H = update_H(weights.params, z_H, z_L)


def _rules(kind: Callable[..., Any], bits: int, modules: str = ".*") -> list[Any]:
    return [kind(module_path=modules, weight_qtype=f"int{bits}")]


@foreign_conventions()
def round_by_stats(calibration: Calibration, bits: int, stats: Mapping[str, Any]) -> Params:
    """Round by Qwix's GPTQ with statistics in its own layout.

    Modules without statistics keep their weights.

    Raises:
      ModuleNotFoundError: Qwix is not installed.
    """
    qwix, gptq, _ = import_qwix()
    made = qwix.quantize_model(
        OneCall(calibration.reasoner.module), qwix.PtqProvider(_rules(gptq.GptqRule, bits))
    )
    call = first_call(calibration, calibration.batches[0])
    layout = jax.eval_shape(made.init, jax.random.key(0), *call)["params"]["inner"]
    params = calibration.weights.params
    quantised = gptq.quantize_params(
        {name: params[name] for name in layout if name in stats},
        layout,
        stats,
        gptq_block_size=_block_size(params),
    )
    return _with_kernels(params, quantised)


def _block_size(params: Params) -> int:
    """Choose how many columns Qwix's GPTQ rounds between two updates of the rest.

    Any number gives the same integers. It compiles an update for every place in a block and for
    every block, so that the root of the width compiles least.
    """
    return math.isqrt(max(input_widths(params).values()))


@foreign_conventions()
def _by_qep(
    calibration: Calibration,
    module: nn.Module,
    bits: int,
    calls: Sequence[Call],
    modules: str = ".*",
) -> Params:
    qep = import_qwix()[-1]
    result = qep.quantize(
        module,
        calls,
        _rules(qep.QepRule, bits, modules),
        variables={"params": {"inner": calibration.weights.params}},
        batch_adapter=lambda call: (call, {}),
        allow_extra_params=True,
        gptq_block_size=_block_size(calibration.weights.params),
    )
    return _with_kernels(calibration.weights.params, result.params["inner"])


def _with_kernels(params: Params, quantised: Mapping[str, Any]) -> Params:
    """Put the real values of Qwix's integers in the place of the kernels."""

    def leaf(path: tuple, value: Array) -> Array:
        node: Any = quantised
        for key in path:
            node = node.get(key.key) if isinstance(node, Mapping) else None
        return value if node is None or not hasattr(node, "array") else _real(node.array)

    return jax.tree_util.tree_map_with_path(leaf, params)


def _real(integers: Any) -> Array:
    """Multiply integers by their scales; Qwix's symmetric grids have no zero point."""
    assert integers.zero_point is None
    return integers.qvalue.astype(jnp.float32) * integers.scale
