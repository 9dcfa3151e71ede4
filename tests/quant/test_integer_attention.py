"""An attention level in integers, equal to TFLM running the graph of it; and close to float32."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from export.lower_attention import Chunks, block_graph
from quant.integer_attention import INT8, INT16, MIXED, Widths, layer_sites
from quant.integer_attention_spans import encoding_of
from tests.quant.attention_cases import Case, calibrated, device, encoded, simulated, trained
from tests.samples import random_batch, random_weights, small
from trm_jax.config import HRMConfig, Mixer, Positions, TRMConfig

UNCUT = Chunks(queries=10**6, tokens=10**6)
CUT = Chunks(queries=4, tokens=1)  # 11 rows: uneven queries, more pieces than one CONCATENATION


class Tiny:
    """A random model, and what was compiled for it."""

    def __init__(self) -> None:
        config = TRMConfig(**small(seq_len=9, puzzle_emb_len=2))
        self.case = calibrated(config, random_weights(config), random_batch(config, 2), "w8c-sym")
        self.jitted = {w: simulated(self.case, "L_level", w) for w in (INT8, INT16, MIXED)}

    def error(self, widths: Widths) -> float:
        """Measure the relative distance of levels to float32."""
        end, found = self.case.encodings(widths)["L_level/z"], []
        for _, z, injection, wanted in self.case.steps[::4]:
            z_q = encoded(self.case, "L_level/z", z, widths)
            e_q = encoded(self.case, "L_level/injection", injection, widths)
            steps = np.asarray(self.jitted[widths](z_q, e_q), np.float64) - end.zero_point
            distance = np.linalg.norm(steps * end.scale - np.asarray(wanted))
            found.append(distance / np.linalg.norm(wanted))
        return float(np.max(found))


@pytest.fixture(scope="module")
def tiny() -> Tiny:
    return Tiny()


def graph_of(case: Case, network: str, widths: Widths, chunks: Chunks) -> Any:
    known = case.encodings(widths)
    return block_graph(network, network, case.config, case.kernels, known, chunks)


def hold_equal(
    case: Case, network: str, widths: Widths, *chunks: Chunks, jitted: Any = None
) -> None:
    """States of the trajectory, the level's own results, and noise over all integers."""
    jitted = jitted or simulated(case, network, widths)
    devices = [device(graph_of(case, network, widths, c)) for c in chunks]
    steps = [step for step in case.steps if step[0] == network]
    random = np.random.default_rng(0)
    for _, z, injection, _ in (steps[0], steps[-1]):
        z_q = encoded(case, f"{network}/z", z, widths)
        e_q = encoded(case, f"{network}/injection", injection, widths)
        info = np.iinfo(z_q.dtype)
        noise = random.integers(info.min, info.max, z_q.shape, endpoint=True).astype(z_q.dtype)
        for state, added in ((z_q, e_q), (jitted(z_q, e_q), e_q), (jnp.asarray(noise), e_q)):
            found = np.asarray(jitted(state, added))
            for call in devices:
                wanted = call(np.asarray(state[-1]), np.asarray(added[-1]))[0]
                assert np.array_equal(found[-1], wanted.reshape(found[-1].shape))
        assert len(np.unique(found)) > 50  # the numbers say something


@pytest.mark.parametrize("widths", [INT8, INT16, MIXED], ids=["int8", "int16", "mixed"])
def test_level_equals_tflm(tiny: Tiny, widths: Widths) -> None:
    hold_equal(tiny.case, "L_level", widths, UNCUT, CUT, jitted=tiny.jitted[widths])


def test_distance_to_float_is_rounding(tiny: Tiny) -> None:
    """Steps of int16 are 256 times finer, so is its distance: within 4, for kernels differ."""
    assert tiny.error(INT16) <= tiny.error(INT8) / 64
    assert tiny.error(MIXED) <= tiny.error(INT8) <= 0.1


@pytest.mark.parametrize("scheme", ["w4c-sym", "w4c-asym"])
def test_four_bits_equal_tflm(scheme: str) -> None:
    """Packed as INT4 where symmetric; HRM's upper network; learned positions, so no rotation."""
    config = HRMConfig(**small(L_layers=1, H_layers=1, positions=Positions.LEARNED))
    case = calibrated(config, random_weights(config), random_batch(config, 2), scheme)
    hold_equal(case, "H_level", INT8, UNCUT)


def test_trained_level_equals_tflm() -> None:
    hold_equal(trained("maze-trm-att-mini", "maze", "w8c-sym", 2), "L_level", INT8, UNCUT)


@pytest.mark.parametrize(("low", "high"), [(-3.0, 5.0), (0.0, 2.0), (-1.0, 0.0)])
def test_int8_spans_reach_their_ends_and_hold_zero(low: float, high: float) -> None:
    """Both ends lie within half a step of the grid's, and 0 is an integer of it."""
    made = encoding_of(low, high, 8)
    ends = [(q - made.zero_point) * made.scale for q in (made.q_min, made.q_max)]
    assert np.allclose(ends, (low, high), rtol=0, atol=0.5001 * made.scale)


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="gate must be one of"):
        Widths(state=8, product=8, gate=4, scores=8, share=8)
    with pytest.raises(ValueError, match=r"needs Mixer\.ATTENTION"):
        layer_sites("L_level", TRMConfig(**small(mixer=Mixer.MLP, positions=Positions.NONE)))
    with pytest.raises(ValueError, match="at least 1 row"):
        Chunks(queries=0)
