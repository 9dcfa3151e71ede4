"""Graphs of decoders on the real runtimes against the simulation in JAX, token by token."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from export.decoder.confirmation import compare_tokens
from export.decoder.graphs import DECODE, PREFILL, lower_decoder
from export.graph.tflite_reader import read_tflite
from export.graph.tflite_writer import write_tflite
from export.legality.check import find_violations
from export.lowering.storage import plan_for
from export.runtimes.registry import open_runtime
from export.targets import Target
from quant.scheme import parse
from tests.support.decoders import LLAMA, QWEN, random_params, random_tokens
from tests.support.export.decoders import POSITIONS, PROMPT, LoweredDecoder, lowered_decoder
from tests.support.export.runtimes import skip_without
from tests.support.slow import slow_except
from trm_jax.decoder.config import DecoderConfig
from trm_jax.decoder.generate import generate
from trm_jax.decoder.kv_cache import bytes_per_token
from trm_jax.decoder.transformer import Decoder

FLOAT_ERROR = 1e-4
"""Of logits of about 1: some forty sums of at most 40 float32 terms in another order, each 40 times
2^-24 off, times what norms and softmax make of it (below 10 for these sizes)."""
NEVER = -1
RUNS = {
    "llama": (LLAMA, "fp32", Target.LITERT),
    "qwen": (QWEN, "fp32", Target.LITERT),
    "builtin": (LLAMA, "fp32", Target.LITERT_BUILTIN),
    "weight-only int8": (QWEN, "int8", Target.LITERT),
    "dynamic int8": (LLAMA, "w8c-sym_a8da", Target.LITERT),
    "int4": (LLAMA, "w4c-asym_a8da", Target.LITERT),
    "onnx": (LLAMA, "fp32", Target.ONNX),
    "onnx qwen": (QWEN, "fp32", Target.ONNX),
    "onnx int4": (QWEN, "w4c-sym", Target.ONNX),
    "tflite-runtime": (LLAMA, "fp32", Target.TFLITE_RUNTIME),
    "tflm": (LLAMA, "fp32", Target.TFLM),
}


def skip_without_packages(target: Target) -> None:
    skip_without(target)
    if target is Target.ONNX:
        pytest.importorskip("onnxruntime", reason="the extra [onnx] is not installed")


def simulated_logits(lowered: LoweredDecoder, tokens: np.ndarray) -> np.ndarray:
    """Compute the logits of every next token in one pass without a cache."""
    simulation = lowered.simulation
    return np.asarray(simulation.decoder.logits(simulation.params, jnp.asarray(tokens[None])))[0]


@pytest.mark.parametrize("name", slow_except(RUNS, "llama", "dynamic int8", "onnx qwen"))
@pytest.mark.parametrize("length", [1, 4, 12])
def test_tokens_and_logits_are_the_simulations(name: str, length: int) -> None:
    """Prompts below, and above, what prefill reads at once; their last call ends with the cache."""
    config, scheme, target = RUNS[name]
    skip_without_packages(target)
    lowered = lowered_decoder(config, scheme, target)
    assert find_violations(lowered.model, target) == []
    runtime = open_runtime(target, lowered.model)
    prompt = np.asarray(random_tokens(config, (1, length)))[0]
    written = lowered.host(runtime).write(prompt, stop=NEVER)
    runtime.close()
    assert len(written.tokens) == POSITIONS - length
    whole = np.concatenate([prompt, written.tokens])
    expected = simulated_logits(lowered, whole[:-1])[length - 1 :]
    assert np.abs(expected).max() > 1  # else the tolerance would say nothing
    np.testing.assert_allclose(written.logits, expected, atol=FLOAT_ERROR, rtol=0)
    np.testing.assert_array_equal(written.tokens, expected.argmax(axis=1))


@pytest.mark.parametrize("target", slow_except([Target.LITERT, Target.ONNX], Target.LITERT))
def test_a_cache_of_integers_is_the_simulations(target: Target) -> None:
    """Token by token; the runtime's logits are nearer to int8's than these are to float32's."""
    skip_without_packages(target)
    lowered = lowered_decoder(LLAMA, "fp32_carry8", target)
    assert find_violations(lowered.model, target) == []
    runtime = open_runtime(target, lowered.model)
    host, prompt = lowered.host(runtime), np.asarray(random_tokens(LLAMA, (1, 7)))[0]
    written = host.write(prompt, stop=NEVER)
    runtime.close()
    bytes_held = sum(t.dtype.numpy.itemsize * np.prod(t.shape) for t in host.cache.values())
    store = lowered.simulation.decoder.store
    assert bytes_held == POSITIONS * bytes_per_token(LLAMA, store)
    compared = compare_tokens(lowered.simulation, [prompt], [written])
    assert compared.passed, compared.text
    assert compared.equal == compared.total == POSITIONS - 7
    plain = simulated_logits(
        lowered_decoder(LLAMA, "fp32"), np.concatenate([prompt, written.tokens])
    )
    assert np.abs(written.logits - plain[6:-1]).max() > 10 * compared.difference


def test_an_answer_ends_where_it_ends_in_jax() -> None:
    lowered = lowered_decoder(LLAMA, "fp32")
    prompt = random_tokens(LLAMA, (1, 4))
    runtime = open_runtime(Target.LITERT, lowered.model)
    host = lowered.host(runtime)
    stop = int(host.write(np.asarray(prompt)[0], stop=NEVER).tokens[5])
    written = host.write(np.asarray(prompt)[0], stop=stop)
    expected = generate(
        Decoder(LLAMA),
        random_params(LLAMA),
        prompt,
        jnp.asarray([4]),
        stop=stop,
        max_new_tokens=POSITIONS - 4,
    )
    assert written.stopped
    assert 1 <= len(written.tokens) <= 6
    np.testing.assert_array_equal(
        written.tokens, np.asarray(expected.tokens)[0, : int(expected.lengths[0])]
    )


def test_a_stale_cache_row_is_never_read() -> None:
    """Padding of prefill writes rows behind the prompt: other padding changes no logit."""
    lowered = lowered_decoder(LLAMA, "fp32")
    runtime = open_runtime(Target.LITERT, lowered.model)
    host = lowered.host(runtime)
    other = host.embeddings.copy()
    other[0] = 1e3  # of PAD, which is in no prompt
    prompt = np.asarray(random_tokens(LLAMA, (1, 3)))[0]
    one = host.write(prompt, stop=NEVER, max_new_tokens=1)
    two = dataclasses.replace(host, embeddings=other).write(prompt, stop=NEVER, max_new_tokens=1)
    np.testing.assert_array_equal(one.logits, two.logits)


def test_files_are_read_as_they_were_written() -> None:
    content = write_tflite(lowered_decoder(QWEN, "int8").model)
    assert write_tflite(read_tflite(content)) == content


def test_prefill_has_what_decode_needs_and_no_more() -> None:
    model = lowered_decoder(LLAMA, "fp32").model
    prefill, decode = model.graph(PREFILL), model.graph(DECODE)
    assert list(prefill.outputs) == ["k_0", "v_0", "k_1", "v_1"]
    assert list(decode.outputs) == ["logits", *prefill.outputs]
    assert prefill.tensor(prefill.inputs["x"]).shape == (1, PROMPT, LLAMA.hidden_size)
    unused = {f"layers_1/{site}/kernel" for site in ("self_attn/o_proj", "mlp/up_proj")}
    names = {tensor.name for tensor in prefill.tensors}
    assert not names & (unused | {"lm_head/kernel", "norm/gain"})
    assert unused < {tensor.name for tensor in decode.tensors}


@pytest.mark.parametrize(
    ("prompt", "positions", "text"),
    [
        (5, 33, "positions must lie between 2 and the model's 32, got positions=33"),
        (16, 16, "prompt must lie between 1 and 15, below positions=16, got prompt=16"),
        (0, 16, "got prompt=0"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(prompt: int, positions: int, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        _lower(LLAMA, "fp32", prompt, positions)


def test_a_cache_that_no_graph_keeps_is_refused() -> None:
    with pytest.raises(ValueError, match=r"float32 or int8 \(_carry8\); leave _carry16 out"):
        _lower(LLAMA, "w8c-sym_a8da_carry16", PROMPT, POSITIONS)
    with pytest.raises(ValueError, match="for tflm keep keys and values in float32; leave _carry8"):
        _lower(LLAMA, "fp32_carry8", PROMPT, POSITIONS, Target.TFLM)


def _lower(
    config: DecoderConfig,
    scheme: str,
    prompt: int,
    positions: int,
    target: Target = Target.LITERT,
) -> None:
    plan = plan_for(parse(scheme), target)
    lower_decoder(config, random_params(config), plan, prompt=prompt, positions=positions)


@pytest.mark.parametrize(
    ("prompt", "new", "text"),
    [
        ([], 1, "a prompt needs tokens from 0 to 22"),
        ([1, 23], 1, "a prompt needs tokens from 0 to 22"),
        ([1, 2, 3], 14, "3 tokens and 14 to write do not fit into 16 positions"),
        ([1], 0, "do not fit"),
    ],
)
def test_prompts_that_do_not_fit_are_refused(prompt: list[int], new: int, text: str) -> None:
    lowered = lowered_decoder(LLAMA, "fp32")
    host = lowered.host(open_runtime(Target.LITERT, lowered.model))
    with pytest.raises(ValueError, match=text):
        host.write(np.asarray(prompt, np.int32), stop=NEVER, max_new_tokens=new)
