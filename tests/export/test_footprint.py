"""Footprints: work counted on the traced model, memory by hand, budgets in order."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import Var

from export.footprint import estimate, sram
from export.footprint.energy import Arithmetic, arithmetic_of, estimate_energy
from export.footprint.estimate import Footprint, estimate_footprint, shapes_of
from export.footprint.sram import Residency, Schedule
from quant.scheme import parse
from tests.support.samples import small
from trm_jax.config import (
    MAZE_TRM_ATT,
    PRESETS,
    SUDOKU_HRM,
    SUDOKU_TRM_MLP,
    Config,
    HRMConfig,
    Mixer,
    Positions,
    TRMConfig,
)
from trm_jax.models.build import build
from trm_jax.models.recursion import run_cycles
from trm_jax.types import Latents

ATT = TRMConfig(**small(puzzle_emb_len=1))
MLP = dataclasses.replace(ATT, mixer=Mixer.MLP, positions=Positions.NONE)
HRM = HRMConfig(**small(L_layers=2, H_layers=3))
TRACED = {"att": ATT, "mlp": MLP, "hrm": HRM, "sudoku-hrm": SUDOKU_HRM, "maze": MAZE_TRM_ATT}


def count_dots(
    jaxpr: Any, times: int = 1, weights: frozenset[int] | None = None
) -> dict[str, float]:
    """Count the operations of products with weights and of activations, loops unrolled.

    Args:
      weights: numbers of the inputs that are weights; None: those of rank 2, as they are handed in.
    """
    at = {i for i, v in enumerate(jaxpr.invars) if v.aval.ndim == 2} if weights is None else weights
    kernels = {jaxpr.invars[i] for i in at}
    found = {"linear": 0.0, "attention": 0.0}
    for eqn in jaxpr.eqns:
        inputs = [v in kernels if isinstance(v, Var) else False for v in eqn.invars]
        if eqn.primitive.name == "dot_general":
            (contract, _), _ = eqn.params["dimension_numbers"]
            left = eqn.invars[0].aval.shape
            terms = np.prod([left[axis] for axis in contract])
            kind = "linear" if inputs[1] else "attention"
            found[kind] += 2.0 * times * float(terms * np.prod(eqn.outvars[0].aval.shape))
        elif eqn.primitive.name == "convert_element_type" and inputs[0]:
            kernels.add(eqn.outvars[0])
        length = eqn.params.get("length", 1) if eqn.primitive.name == "scan" else 1
        for value in eqn.params.values():
            if hasattr(value, "jaxpr"):
                here = frozenset(i for i, is_weight in enumerate(inputs) if is_weight)
                inner = count_dots(value.jaxpr, times * length, here)
                found = {kind: found[kind] + inner[kind] for kind in found}
    return found


@pytest.mark.slow
@pytest.mark.parametrize("config", TRACED.values(), ids=TRACED.keys())
def test_work_is_that_of_the_traced_recursion(config: Config) -> None:
    reasoner = build(config)
    shape = (1, config.num_positions, config.hidden_size)
    state = jax.ShapeDtypeStruct(shape, jnp.dtype(config.forward_dtype))

    def step(params: Any, z_H: Any, z_L: Any, e: Any) -> Any:
        return run_cycles(
            reasoner.networks,
            params,
            Latents(z_H, z_L),
            e,
            H_cycles=config.H_cycles,
            L_cycles=config.L_cycles,
            observe=lambda _: None,
        )

    traced = jax.make_jaxpr(step)(shapes_of(config).params, state, state, state)
    found, ours = count_dots(traced.jaxpr), estimate.step_work(config)
    assert (1e9 * ours.linear, 1e9 * ours.attention) == pytest.approx(
        (found["linear"], found["attention"]), rel=1e-12
    )
    whole = estimate.puzzle_work(config).total
    assert whole == pytest.approx(ours.total * config.halt_max_steps, rel=1e-12)
    cycles = config.H_cycles * config.halt_max_steps
    assert estimate.puzzle_work(config, cycles).total == pytest.approx(whole, rel=1e-12)


def test_linear_attention_is_refused() -> None:
    linear = dataclasses.replace(ATT, mixer=Mixer.LINEAR_ATTENTION)
    with pytest.raises(ValueError, match="not counted"):
        estimate_footprint(linear, parse("fp32"))
    with pytest.raises(ValueError, match="no device graph"):
        sram.list_live_elements(linear, Schedule.WHOLE)


def test_peak_of_the_sudoku_model_by_hand() -> None:
    """97 positions of 512; SwiGLU over positions is 512 rows of 97 -> 1,024 -> 97."""
    found = estimate_footprint(SUDOKU_TRM_MLP, parse("tflm_int8_int8"))
    whole = found.sram(Residency.IN_PLACE, Schedule.WHOLE)
    assert whole.working == 512 * 97 + 512 * 1024  # one byte each
    assert whole.states == 3 * 97 * 512  # z_H, z_L, e
    assert whole.weights == 512 * 4  # the puzzle row
    chunked = found.sram(Residency.IN_PLACE)
    assert chunked.working == 97 * 512 + 97 * 3072  # now the SwiGLU over channels is larger


def test_wide_states_count_as_a_network_of_int16() -> None:
    """But for the carry and the injection, which have 8 bits."""
    name = "w8c-sym_a8s_tflm"
    found = [estimate_footprint(SUDOKU_TRM_MLP, parse(n)) for n in (name, f"{name}+tsum")]
    narrow, wide = (each.sram(Residency.IN_PLACE, Schedule.WHOLE) for each in found)
    assert wide.working == 2 * narrow.working
    assert wide.states == narrow.states


def test_static_inputs_leave_floats_between_products() -> None:
    """The carry is int8 with a scale per token, the injection and the residual float32."""
    found = estimate_footprint(SUDOKU_TRM_MLP, parse("w8c-sym_a8s_carry8"))
    whole = found.sram(Residency.IN_PLACE, Schedule.WHOLE)
    assert whole.states == 2 * (97 * 512 + 97 * 4) + 97 * 512 * 4
    assert whole.working == 512 * 97 * 4 + 512 * 1024


def test_peak_of_the_maze_model_by_hand() -> None:
    """916 positions of 512 in float32, 8 heads."""
    found = estimate_footprint(MAZE_TRM_ATT, parse("fp32"))
    state = 916 * 512 * 4
    whole = found.sram(Residency.FULL, Schedule.WHOLE)
    assert whole.working == 5 * state + 8 * 916 * 916 * 4
    assert whole.states == 3 * state
    assert whole.weights == found.backbone.total + 512 * 4
    chunked = found.sram(Residency.FULL)
    assert chunked.working == 3 * state + 128 * (2 * 512 + 916) * 4


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("scheme", ["fp32", "fp16", "int4_calibrated", "w4c-asym_a16s_carry16"])
def test_less_in_memory_never_needs_more(name: str, scheme: str) -> None:
    found = estimate_footprint(PRESETS[name], parse(scheme))
    for schedule in Schedule:
        peaks = [found.sram(residency, schedule).total for residency in Residency]
        assert peaks == sorted(peaks, reverse=True)
    for residency in Residency:
        assert found.sram(residency).total <= found.sram(residency, Schedule.WHOLE).total
    assert found.largest_block * len(blocks(found)) == found.blocks.total  # blocks are alike


def blocks(found: Footprint) -> range:
    """Count the blocks of a footprint."""
    config = found.config
    return range(config.L_layers + (config.H_layers if isinstance(config, HRMConfig) else 0))


def test_residency_is_the_fastest_that_fits() -> None:
    found = estimate_footprint(SUDOKU_TRM_MLP, parse("int8"))
    peaks = {residency: found.sram(residency).total for residency in Residency}
    for residency, peak in peaks.items():
        assert found.residency_for(peak) is residency
    assert found.residency_for(peaks[Residency.IN_PLACE] - 1) is None


def test_weights_are_read_as_often_as_blocks_are_applied() -> None:
    trm, hrm = (estimate_footprint(config, parse("fp32")) for config in (MLP, HRM))
    assert trm.read_per_cycle == 3 * trm.blocks.total  # L_cycles = 2, and once for z_H
    block = hrm.largest_block
    assert hrm.read_per_cycle == 2 * 2 * block + 3 * block


def test_energy_counts_integers_only_where_inputs_are_integers() -> None:
    assert arithmetic_of(parse("int8")) is Arithmetic.FLOAT32
    assert arithmetic_of(parse("w8c-sym_a8da")) is Arithmetic.INT8
    assert arithmetic_of(parse("w4c-asym_a16s")) is Arithmetic.INT16
    assert arithmetic_of(parse("bf16")) is Arithmetic.FLOAT16
    full = estimate_energy(2.0, 1000, parse("fp32"), Residency.FULL)
    assert full.arithmetic == pytest.approx(4.6)  # 1e9 multiply-accumulates of 4.6 pJ are 4.6 mJ
    assert full.weights == pytest.approx(1000 * 12.5e-12 * 1e3)
    flash = estimate_energy(2.0, 1000, parse("fp32"), Residency.STREAMING)
    assert flash.weights == pytest.approx(1000 * 270e-12 * 1e3)
