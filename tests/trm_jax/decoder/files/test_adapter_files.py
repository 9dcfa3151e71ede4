"""Adapters in PEFT's layout: orientations by hand, both ways, and what is refused."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.support.decoders import LLAMA, QWEN, random_params
from trm_jax.checkpoints.tensor_files import load_tensors, save_tensors
from trm_jax.decoder.config import DecoderConfig
from trm_jax.decoder.files.adapter_files import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    load_adapters,
    save_adapters,
)
from trm_jax.decoder.lora import Adapters, LoraConfig, LowRank, init_adapters, merge_adapters

LORA = LoraConfig(rank=3, alpha=6.0, dropout=0.25)


def drawn(config: DecoderConfig) -> Adapters:
    """Draw adapters of which B is not zero."""
    rng = np.random.default_rng(1)
    fresh = init_adapters(jax.random.key(0), random_params(config), LORA)
    return {
        site: LowRank(pair.A, jnp.asarray(rng.normal(size=pair.B.shape), jnp.float32))
        for site, pair in fresh.items()
    }


@pytest.mark.parametrize("config", [LLAMA, QWEN], ids=["tied", "untied"])
def test_adapters_come_back_bit_for_bit(config: DecoderConfig, tmp_path: Path) -> None:
    save_adapters(tmp_path, drawn(config), LORA, config, "base")
    adapters, lora = load_adapters(tmp_path, config)
    assert lora == LORA
    assert adapters.keys() == drawn(config).keys()
    jax.tree.map(np.testing.assert_array_equal, adapters, drawn(config))


def test_a_file_holds_what_is_added_to_a_released_matrix(tmp_path: Path) -> None:
    save_adapters(tmp_path, drawn(QWEN), LORA, QWEN, "base")
    tensors = load_tensors(tmp_path / WEIGHTS_FILE)
    stem = "base_model.model.model.layers.1.mlp.down_proj"
    # PEFT: weight (outputs, inputs) + alpha / r B A
    added = (
        LORA.alpha / LORA.rank * tensors[f"{stem}.lora_B.weight"] @ tensors[f"{stem}.lora_A.weight"]
    )
    params = random_params(QWEN)
    merged = merge_adapters(params, drawn(QWEN), LORA)
    difference = np.asarray(
        merged["layers_1"]["mlp"]["down_proj"]["kernel"]
        - params["layers_1"]["mlp"]["down_proj"]["kernel"]
    )
    # a sum of three products against the same sum added to weights: ulps of values up to 8
    np.testing.assert_allclose(added.T, difference, atol=8 * 2.0**-22)
    assert "base_model.model.lm_head.lora_A.weight" in tensors


def test_some_matrices_may_have_none(tmp_path: Path) -> None:
    some = {site: pair for site, pair in drawn(LLAMA).items() if "q_proj" in site}
    save_adapters(tmp_path, some, LORA, LLAMA, "base")
    assert load_adapters(tmp_path, LLAMA).adapters.keys() == some.keys()
    assert len(some) == 2


def test_adapters_of_another_decoder_are_refused(tmp_path: Path) -> None:
    save_adapters(tmp_path, drawn(QWEN), LORA, QWEN, "base")
    with pytest.raises(ValueError, match=r"does not fit .*q_proj\.lora_B\.weight: found \(36, 3\)"):
        load_adapters(tmp_path, LLAMA)
    with pytest.raises(ValueError, match="no matrix 'layers_2/mlp/up_proj'"):
        save_adapters(
            tmp_path, {"layers_2/mlp/up_proj": drawn(QWEN)["lm_head"]}, LORA, QWEN, "base"
        )


def test_half_an_adapter_is_refused(tmp_path: Path) -> None:
    save_adapters(tmp_path, drawn(LLAMA), LORA, LLAMA, "base")
    tensors = load_tensors(tmp_path / WEIGHTS_FILE)
    name = "base_model.model.model.layers.0.mlp.up_proj.lora_B.weight"
    del tensors[name]
    save_tensors(tensors, tmp_path / WEIGHTS_FILE)
    with pytest.raises(ValueError, match=f"{name}: missing"):
        load_adapters(tmp_path, LLAMA)
    (tmp_path / WEIGHTS_FILE).unlink()
    with pytest.raises(FileNotFoundError, match=WEIGHTS_FILE):
        load_adapters(tmp_path, LLAMA)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"use_rslora": True}, "use_rslora must be False, got 'True'"),
        ({"bias": "all"}, "bias must be 'none'"),
        ({"peft_type": "IA3"}, "peft_type must be 'LORA'"),
        ({"rank_pattern": {"q_proj": 4}}, "rank_pattern must be"),
        ({"new_trick": 1}, r"new_trick \(value 1\) is unknown"),
        ({"r": 0}, "rank must be at least 1"),
        ({"r": "3"}, "field r must be an integer"),
    ],
)
def test_other_kinds_of_adapters_are_refused(changes: dict, said: str, tmp_path: Path) -> None:
    save_adapters(tmp_path, drawn(LLAMA), LORA, LLAMA, "base")
    file = tmp_path / CONFIG_FILE
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    with pytest.raises(ValueError, match=rf"adapter_config\.json: .*{said}"):
        load_adapters(tmp_path, LLAMA)
