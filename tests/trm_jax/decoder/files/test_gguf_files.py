"""GGUF files: names, quantised tensors, rows of rotary heads, tokenizers, and what is refused.

Files are written by the `gguf` package. Oracles: blocks of numbers decoded by loops from the
format's own description, and a rotation of neighbouring channels, as llama.cpp turns them.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import jax
import numpy as np
import pytest

from tests.support.decoders import LLAMA, QWEN, random_params
from trm_jax.decoder.config import DecoderConfig
from trm_jax.decoder.files.gguf_files import gguf_name, halves_from_pairs, read_gguf
from trm_jax.decoder.files.loading import load_decoder
from trm_jax.decoder.files.name_table import to_release
from trm_jax.decoder.files.tokenizer import tokenizer_of_metadata

Kind = gguf.GGMLQuantizationType
CONFIGS = pytest.mark.parametrize("config", [LLAMA, QWEN], ids=["llama", "qwen"])


def pairs_from_halves(rows: np.ndarray, heads: int) -> np.ndarray:
    """Put channel i beside i + head_dim / 2, one row after the other."""
    out = np.empty_like(rows)
    size = len(rows) // heads
    for head in range(heads):
        for i in range(size // 2):
            out[head * size + 2 * i] = rows[head * size + i]
            out[head * size + 2 * i + 1] = rows[head * size + i + size // 2]
    return out


def write_gguf(
    file: Path, config: DecoderConfig, kinds: dict[str, Kind] | None = None, **keys: Any
) -> dict[str, np.ndarray]:
    """Write a random model; gives its tensors under the names of a release."""
    architecture = "qwen2" if config.qkv_bias else "llama"
    writer = gguf.GGUFWriter(file, architecture)
    writer.add_block_count(config.num_layers)
    writer.add_context_length(config.max_positions)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_heads)
    writer.add_head_count_kv(config.num_kv_heads)
    writer.add_key_length(config.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_vocab_size(config.vocab_size)
    writer.add_eos_token_id(2)
    for name, value in keys.items():
        add = writer.add_string if isinstance(value, str) else writer.add_uint32
        add(f"{architecture}.{name.replace('__', '.')}", value)
    tensors = to_release(config, random_params(config))
    for name, values in tensors.items():
        heads = {"q_proj": config.num_heads, "k_proj": config.num_kv_heads}.get(name.split(".")[-2])
        stored = pairs_from_halves(values, heads) if heads and architecture == "llama" else values
        kind = (kinds or {}).get(name, Kind.F32)
        writer.add_tensor(gguf_name(name), gguf.quants.quantize(stored, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return tensors


@CONFIGS
def test_a_model_comes_back_bit_for_bit(config: DecoderConfig, tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    write_gguf(file, config)
    loaded = load_decoder(str(file))
    assert (loaded.config, loaded.stops, loaded.name) == (config, (2,), "model")
    jax.tree.map(np.testing.assert_array_equal, loaded.params, random_params(config))


def test_rows_in_pairs_turn_as_rows_in_halves_do() -> None:
    rng = np.random.default_rng(0)
    paired = rng.normal(size=(8, 5))  # one head of 8 channels
    halves = halves_from_pairs(paired, 1)
    x, y = rng.normal(size=(2, 5))
    theta = 100.0

    def neighbours(rows: np.ndarray, position: int) -> np.ndarray:
        """Turn channels 2 i and 2 i + 1, as llama.cpp does."""
        angle = position * theta ** (-np.arange(0, 8, 2) / 8)
        complex_pairs = (rows[0::2] + 1j * rows[1::2]) * np.exp(1j * angle)
        return np.stack([complex_pairs.real, complex_pairs.imag], axis=1).reshape(-1)

    def opposites(rows: np.ndarray, position: int) -> np.ndarray:
        """Turn channels i and i + 4, as the release does."""
        angle = position * theta ** (-np.arange(0, 8, 2) / 8)
        complex_pairs = (rows[:4] + 1j * rows[4:]) * np.exp(1j * angle)
        return np.concatenate([complex_pairs.real, complex_pairs.imag])

    score = neighbours(paired @ x, 7) @ neighbours(paired @ y, 3)
    assert opposites(halves @ x, 7) @ opposites(halves @ y, 3) == pytest.approx(score, rel=1e-12)
    assert opposites(paired @ x, 7) @ opposites(paired @ y, 3) != pytest.approx(score, rel=1e-3)


def decoded_block(kind: Kind, block: bytes) -> list[float]:
    """Decode 32 numbers: a float16 scale d, for Q4_1 a float16 minimum m, then the integers."""
    d = float(np.frombuffer(block[:2], np.float16)[0])
    if kind is Kind.Q8_0:
        return [d * int(q) for q in np.frombuffer(block[2:34], np.int8)]
    minimum, offset, begin = 0.0, 8, 2
    if kind is Kind.Q4_1:
        minimum, offset, begin = float(np.frombuffer(block[2:4], np.float16)[0]), 0, 4
    low = [d * ((byte & 15) - offset) + minimum for byte in block[begin : begin + 16]]
    high = [d * ((byte >> 4) - offset) + minimum for byte in block[begin : begin + 16]]
    return low + high


BLOCKED = replace(LLAMA, hidden_size=32, intermediate_size=64)


@pytest.mark.parametrize("kind", [Kind.F16, Kind.BF16, Kind.Q8_0, Kind.Q4_0, Kind.Q4_1])
def test_numbers_of_every_type(kind: Kind, tmp_path: Path) -> None:
    name = "model.layers.1.mlp.down_proj.weight"
    file = tmp_path / "model.gguf"
    tensors = write_gguf(file, BLOCKED, {name: kind})
    got = np.asarray(read_gguf(file).params["layers_1"]["mlp"]["down_proj"]["kernel"]).T
    stored = gguf.quants.quantize(tensors[name], kind)
    if kind in (Kind.F16, Kind.BF16):
        wide = stored.view(np.float16) if kind is Kind.F16 else stored.view(np.uint16)
        bits = wide.astype(np.uint32) << 16
        expected = wide.astype(np.float32) if kind is Kind.F16 else bits.view(np.float32)
    else:
        size = {Kind.Q8_0: 34, Kind.Q4_0: 18, Kind.Q4_1: 20}[kind]
        blocks = stored.reshape(-1, size)
        expected = np.array([decoded_block(kind, bytes(block)) for block in blocks], np.float64)
    # the scale times an integer, and for Q4_1 a sum, are rounded to float32
    np.testing.assert_allclose(got, expected.reshape(got.shape), rtol=2.0**-22, atol=2.0**-26)
    assert not np.array_equal(got, tensors[name])


def test_a_type_that_is_not_read_is_named(tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    write_gguf(file, BLOCKED, {"model.layers.1.mlp.down_proj.weight": Kind.Q5_0})
    with pytest.raises(
        ValueError, match=r"model\.gguf: blk\.1\.ffn_down\.weight is stored as Q5_0"
    ):
        read_gguf(file)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"rope__scaling__type": "yarn"}, r"llama\.rope\.scaling\.type must be one of"),
        ({"expert_count": 8}, r"llama\.expert_count must be one of \(0,\), got 8"),
        ({"attention__sliding_window": 64}, r"sliding_window \(value 64\) may change"),
        ({"rope__dimension_count": 4}, r"rope\.dimension_count must be the head size 8, got 4"),
    ],
)
def test_what_is_not_computed_is_refused(keys: dict, said: str, tmp_path: Path) -> None:
    write_gguf(tmp_path / "model.gguf", LLAMA, **keys)
    with pytest.raises(ValueError, match=said):
        load_decoder(str(tmp_path / "model.gguf"))


def test_a_damaged_file_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    write_gguf(file, LLAMA)
    whole = file.read_bytes()
    for end in (3, 40, 900, len(whole) // 2, len(whole) - 5000):
        file.write_bytes(whole[:end])
        with pytest.raises(ValueError, match=r"model\.gguf is truncated or no GGUF file"):
            load_decoder(str(file))


TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tool>"]
TOKENS += ["a", "b", "1", "2", "Ġ", "Ċ", "ab", "Ġab", "u", "s", "e", "r", "t", "i", "n"]
METADATA = {
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.pre": "smollm",
    "tokenizer.ggml.tokens": TOKENS,
    "tokenizer.ggml.token_type": [3, 3, 3, 4] + [1] * (len(TOKENS) - 4),
    "tokenizer.ggml.merges": ["a b", "Ġ ab"],
}


def names(tokens: list[int]) -> list[str]:
    return [TOKENS[token] for token in tokens]


@pytest.mark.parametrize("cut", ["smollm", "qwen2"])
def test_a_tokenizer_of_metadata(cut: str) -> None:
    tokenizer = tokenizer_of_metadata({**METADATA, "tokenizer.ggml.pre": cut})
    text = "ab ab12\n<tool>b<|im_end|>"
    tokens = tokenizer.encode(text)
    assert names(tokens) == [*("ab", "Ġab", "1", "2", "Ċ", "<tool>", "b", "<|im_end|>")]
    assert tokenizer.decode(tokens) == "ab ab12\n<tool>b"
    assert names(tokenizer.chat("ab"))[:2] == ["<|im_start|>", "u"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tokenizer.ggml.model": "llama"}, "must be 'gpt2' and one of"),
        ({"tokenizer.ggml.pre": "deepseek"}, "tokenizer.json beside the file"),
        ({"tokenizer.ggml.tokens": None}, "tokens must be a list of str, got None"),
        ({"tokenizer.ggml.token_type": [1]}, "has 19 entries, 19 of them different"),
        ({"tokenizer.ggml.merges": ["a q"]}, "do not fit the tokens"),
    ],
)
def test_other_tokenizers_are_refused(changes: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        tokenizer_of_metadata({**METADATA, **changes})


def test_a_vocabulary_without_chats_says_so() -> None:
    plain = {**METADATA, "tokenizer.ggml.tokens": ["<x>", "<y>", "<z>", *TOKENS[3:]]}
    with pytest.raises(ValueError, match=r"no <\|im_start\|>"):
        tokenizer_of_metadata(plain).chat("ab")
