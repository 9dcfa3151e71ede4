"""Kernels of softmax attention: cuDNN's is asked for as it must be, and its route computes right.

No GPU is needed. Two boundaries are moved: `jax.nn.dot_product_attention` computes by XLA what it
was asked to let cuDNN compute (`rerouted`), or jax is told that there is a cuDNN, and the whole
training program is lowered for CUDA, without being run.
"""

import dataclasses
import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.support import golden_cases
from tests.support.oracles import recursion as oracle
from tests.support.rerouted import reroute
from tests.support.samples import random_batch, small
from trm_jax.config import PRESETS, AttentionKernel, Mixer, TRMConfig
from trm_jax.models import attention
from trm_jax.models.attention import (
    check_kernel,
    cudnn_attention,
    softmax_attention,
)
from trm_jax.models.build import build
from trm_jax.training.augment import no_augmentation
from trm_jax.training.recipe import Recipe
from trm_jax.training.step import init_state, make_train_step

EPS32, EPS16 = 2.0**-24, 2.0**-9
"""Relative error of one rounding to float32 and to bfloat16."""
HEADS = (2, 7, 3, 8)
EVEN = (2, 6, 3, 8)
CONFIG = TRMConfig(**small(puzzle_emb_len=2, forward_dtype="bfloat16", hidden_size=16))


@pytest.fixture
def rerouted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, dict[str, Any]]]:
    """Let XLA compute what cuDNN is asked for; the calls as (query, options)."""
    return reroute(monkeypatch)


def draw(seed: int, shape: tuple[int, ...], dtype: Any = jnp.float32) -> list[jax.Array]:
    """Draw q, k, v and what the gradient is taken along."""
    rng = np.random.default_rng(seed)
    return [jnp.asarray(rng.normal(size=shape), dtype) for _ in range(4)]


def exact_gradient(q: Any, k: Any, v: Any, along: Any) -> list[np.ndarray]:
    """Differentiate one head of attention by hand, in float64."""
    scale = 1 / np.sqrt(q.shape[1])
    scores = scale * q @ k.T
    share = np.exp(scores - scores.max(axis=1, keepdims=True))
    share /= share.sum(axis=1, keepdims=True)
    by_share = along @ v.T
    by_scores = share * (by_share - (by_share * share).sum(axis=1, keepdims=True))
    return [scale * by_scores @ k, scale * by_scores.T @ q, share.T @ along]


@functools.partial(jax.jit, static_argnums=0)
def with_gradient(mix: attention.Attend, q: Any, k: Any, v: Any, along: Any) -> Any:
    """Compute mix(q, k, v), and the gradient of its sum along something."""
    found, back = jax.vjp(mix, q, k, v)
    return found, back(along)


@pytest.mark.parametrize("shape", [EVEN, HEADS], ids=["even", "odd"])
@pytest.mark.parametrize("mix", [softmax_attention, cudnn_attention])
def test_forward_and_gradient_equal_a_loop(
    mix: attention.Attend, shape: tuple[int, ...], rerouted: list[Any]
) -> None:
    arrays = draw(0, shape)
    found, grads = with_gradient(mix, *arrays)
    for b, h in np.ndindex(shape[0], shape[2]):
        head = [np.asarray(x[b, :, h], np.float64) for x in arrays]
        # scores are sums of 8 products of a few units, shares exponentials of them: some ten
        # roundings each, in sums of 7 terms; the gradient goes through them twice
        expected = oracle.mix_softmax(*head[:3])
        np.testing.assert_allclose(
            found[b, :, h], expected, rtol=0, atol=64 * EPS32 * np.abs(expected).max()
        )
        for ours, theirs in zip(grads, exact_gradient(*head), strict=True):
            allowed = 128 * EPS32 * np.abs(theirs).max()
            np.testing.assert_allclose(ours[b, :, h], theirs, rtol=0, atol=allowed)
    assert len(rerouted) == (mix is cudnn_attention)


@pytest.mark.parametrize("shape", [EVEN, HEADS], ids=["even", "odd"])
def test_in_bfloat16_both_kernels_lie_within_their_roundings(
    shape: tuple[int, ...], rerouted: list[Any]
) -> None:
    q, k, v, _ = draw(1, shape, jnp.bfloat16)
    exact = np.empty(shape)
    q64, k64, v64 = (np.asarray(x, np.float64) for x in (q, k, v))
    for b, h in np.ndindex(shape[0], shape[2]):
        exact[b, :, h] = oracle.mix_softmax(q64[b, :, h], k64[b, :, h], v64[b, :, h])
    # a score is off by a rounding of scaled q or of itself: at most EPS16 sum |q k| / sqrt(8);
    # a share by twice that, relatively, and by its own rounding; then the result is rounded
    score = EPS16 * np.einsum("bshk,bjhk->bhsj", np.abs(q64), np.abs(k64)).max() / np.sqrt(8)
    allowed = (np.expm1(2 * score) + 2 * EPS16) * np.abs(v64).max()
    for mix in (softmax_attention, cudnn_attention):
        found = jax.jit(lambda *qkv, mix=mix: mix(*qkv))(q, k, v)
        assert found.dtype == jnp.bfloat16
        np.testing.assert_allclose(np.asarray(found, np.float64), exact, rtol=0, atol=allowed)
    ((asked, _),) = rerouted
    assert asked.dtype == jnp.bfloat16


@pytest.mark.parametrize("shape", [EVEN, HEADS], ids=["even", "odd"])
def test_cudnn_is_asked_in_its_layout(shape: tuple[int, ...], rerouted: list[Any]) -> None:
    """BTNH, the scale of a head's own size, an even number of positions, padding masked."""
    q, k, v, _ = draw(2, shape, jnp.bfloat16)
    found = jax.eval_shape(lambda *qkv: cudnn_attention(*qkv), q, k, v)  # traced anew
    assert (found.shape, found.dtype) == (shape, jnp.bfloat16)
    ((asked, options),) = rerouted
    batch, pos, heads, head_dim = shape
    assert asked.shape == (batch, pos + pos % 2, heads, head_dim)
    assert options["implementation"] == "cudnn"
    assert options["scale"] == pytest.approx(8**-0.5)
    assert (options["key_value_seq_lengths"] is None) == (pos % 2 == 0)


def test_without_rerouting_cudnn_itself_is_asked() -> None:
    with pytest.raises(RuntimeError, match="cuDNN is not detected"):
        cudnn_attention(*draw(3, EVEN, jnp.bfloat16)[:3])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["trm_att", "hrm"])
def test_released_values_by_the_route_of_cudnn(
    name: str, golden: Path, rerouted: list[Any]
) -> None:
    """As test_golden.py for softmax_attention, in float32: one step, forced."""
    case = golden_cases.load(golden, f"{name}_float32")
    reasoner = build(case.config, attend=cudnn_attention)
    step = golden_cases.stepper(reasoner, case.weights, case.batch)(case.latents(0))
    for ours, key in (
        (step.latents.z_H, "z_H"),
        (step.latents.z_L, "z_L"),
        (step.out.logits, "logits"),
        (step.out.q_halt, "q_halt_logits"),
    ):
        golden_cases.assert_close(ours, case.step(1, key), golden_cases.FORCED)
    assert rerouted


@pytest.mark.slow
def test_released_gradients_by_the_route_of_cudnn(golden: Path, rerouted: list[Any]) -> None:
    case = golden_cases.load(golden, "trm_att_float32")
    golden_cases.check_training(case, build(case.config, attend=cudnn_attention))
    assert {options["implementation"] for _, options in rerouted} == {"cudnn"}


class Cudnn:
    """A cuDNN to be found, for lowering."""

    @staticmethod
    def cudnn_get_version() -> int:
        return 91000


@pytest.mark.slow
@pytest.mark.parametrize("seq_len", [6, 7])
def test_the_training_program_for_cuda_holds_cudnns_calls(
    seq_len: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forward and backward, with our sizes; 6 cells and a prefix of 2 are 8 positions, 7 are 9."""
    monkeypatch.setattr("jax._src.cudnn.fused_attention_stablehlo.cuda_versions", Cudnn)
    config = dataclasses.replace(CONFIG, seq_len=seq_len)
    reasoner = build(config, attend=cudnn_attention)
    recipe, puzzles = Recipe(total_steps=1, batch_size=4), random_batch(config, 4)
    step = make_train_step(reasoner, recipe, no_augmentation)
    state = jax.eval_shape(lambda: init_state(reasoner, recipe, puzzles))
    text = step.trace(state, puzzles).lower(lowering_platforms=("cuda",)).as_text()
    calls = [line for line in text.splitlines() if "@__cudnn$fmha" in line]
    assert {name for line in calls for name in re.findall(r"@__cudnn\$(\w+)", line)} == {
        "fmhaSoftmax",
        "fmhaSoftmaxBackward",
    }
    mask = "NO_MASK" if seq_len % 2 == 0 else "PADDING"
    even, heads = 2 + seq_len + seq_len % 2, config.num_heads
    sizes = ", ".join(f'"{n}"' for n in (4, heads, even, even))
    for line in calls:
        said = line.replace("\\22", '"')
        assert f'"fmha_scale": {config.head_dim**-0.5}' in said
        assert f'"dimensions": [{sizes}]' in said
        assert '"element_type": "BF16"' in said
        assert f'"mask_type": "{mask}"' in said


UNFIT = {
    "no softmax attention in a model with mixer=mlp": {"mixer": Mixer.MLP},
    "no softmax attention in a model with mixer=linear_attention": {
        "mixer": Mixer.LINEAR_ATTENTION
    },
    "in bfloat16 or float16, the forward pass is in float32": {"forward_dtype": "float32"},
    "multiple of 8 up to 128, this model's have 12": {"hidden_size": 24},
    "multiple of 8 up to 128, this model's have 256": {"hidden_size": 512},
    "jax says: cuDNN is not detected": {},
}


@pytest.mark.parametrize("reason", UNFIT)
def test_what_cudnn_cannot_do_is_refused(reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    config = dataclasses.replace(CONFIG, **UNFIT[reason])
    with pytest.raises(ValueError, match=reason) as error:
        check_kernel(AttentionKernel.CUDNN, config)
    assert "take attention=xla" in str(error.value)
    check_kernel(AttentionKernel.XLA, config)


def test_without_a_gpu_cudnn_is_refused() -> None:
    with pytest.raises(
        ValueError, match="NVIDIA GPU and jax for CUDA, this process computes on cpu"
    ):
        check_kernel(AttentionKernel.CUDNN, CONFIG)


def published() -> list[str]:
    """Name the presets with softmax attention."""
    return [name for name, c in PRESETS.items() if c.mixer is Mixer.ATTENTION]


def test_every_preset_with_attention_fits_cudnn(
    monkeypatch: pytest.MonkeyPatch, rerouted: list[Any]
) -> None:
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    names = published()
    assert {"sudoku-trm-att", "maze-trm-att", "arc-trm-att", "sudoku-hrm"} <= set(names)
    for name in names:
        config = dataclasses.replace(PRESETS[name], forward_dtype="bfloat16")
        check_kernel(AttentionKernel.CUDNN, config)
    assert {options["implementation"] for _, options in rerouted} == {"cudnn"}
    assert all(asked.shape[1] % 2 == 0 for asked, _ in rerouted)


def test_every_kernel_has_a_function() -> None:
    found: list[Callable[..., Any]] = [attention.KERNELS[kernel] for kernel in AttentionKernel]
    assert found == [softmax_attention, cudnn_attention]
