"""The PyTorch rival computes the released model, else its time would mean nothing."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the [torch] extra is not installed")

from benchmarks.torch_reasoner import TorchReasoner, puzzle_tensors
from tests.support.golden_cases import MODELS, assert_close, load
from tests.support.oracles import recursion as oracle
from tests.support.samples import random_batch, random_weights, small
from trm_jax.config import Config, HRMConfig, Mixer, Positions, TRMConfig

CONFIGS: dict[str, Config] = {
    "att": TRMConfig(**small(puzzle_emb_len=2)),
    "learned": TRMConfig(**small(puzzle_emb_len=2, positions=Positions.LEARNED)),
    "mlp": TRMConfig(**small(puzzle_emb_len=2, mixer=Mixer.MLP, positions=Positions.NONE)),
    "hrm": HRMConfig(**small(H_layers=1, L_layers=3)),
}


def test_linear_attention_is_refused() -> None:
    config = dataclasses.replace(CONFIGS["att"], mixer=Mixer.LINEAR_ATTENTION)
    with pytest.raises(ValueError, match="no other mixer"):
        TorchReasoner(config, {}, 1)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("cycles", [1, 3])
def test_logits_are_the_oracles(name: str, cycles: int) -> None:
    config = CONFIGS[name]
    weights, batch = random_weights(config), random_batch(config, 3)
    inputs, _, identifiers = puzzle_tensors(batch)
    logits = TorchReasoner.of(config, weights, 1).logits(inputs, identifiers, cycles)
    states, _ = oracle.trajectory(config, weights, batch, cycles)
    expected = oracle.read_out(config, weights, states[-1])[0]
    # float32 against a float64 loop: some hundred roundings of 2^-24 relative to values near 1
    np.testing.assert_allclose(logits.numpy(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_logits_are_the_released_codes(name: str, golden: Path) -> None:
    case = load(golden, f"{name}_float32")
    inputs, _, identifiers = puzzle_tensors(case.batch)
    model = TorchReasoner.of(case.config, case.weights, 1)
    logits = model.logits(inputs, identifiers, case.config.H_cycles)
    # one supervision step, to the parity that this project asks of itself: 1e-5 relative
    assert_close(logits.numpy(), case.step(1, "logits"), 1e-5)
