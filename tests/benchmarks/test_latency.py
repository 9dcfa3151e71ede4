"""The latency benchmark: one loop for everybody, rivals that compute the same model, true sizes."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.latency import __main__ as latency
from benchmarks.latency import runner
from benchmarks.latency.contestants import dynamic_int8, exported, graphs_of, ort_int8
from benchmarks.latency.runner import compare_floats, cosine, step
from benchmarks.subject import Subject, draw
from export.graph.files import write_files
from export.targets import Target
from tests.support.programs import end_of
from tests.support.samples import random_batch, random_weights, small
from tests.support.tiny.preset import PRESET
from trm_jax.config import Mixer, Positions, TRMConfig
from trm_jax.models.build import build

pytest.importorskip("onnxruntime", reason="the rival is ONNX Runtime")
CONFIG = TRMConfig(
    **small(hidden_size=16, puzzle_emb_len=1, mixer=Mixer.MLP, positions=Positions.NONE)
)


@pytest.fixture(scope="module")
def subject() -> Subject:
    return Subject("tiny", build(CONFIG), random_weights(CONFIG), random_batch(CONFIG, 1))


@pytest.mark.slow
def test_a_step_is_the_models(subject: Subject) -> None:
    ours = exported(subject, "fp32", Target.LITERT, 1)
    z_H, z_L, e = (jnp.asarray(runner.draw_state(CONFIG, 1, seed)) for seed in range(3))
    networks, params = subject.reasoner.networks, subject.weights.params
    for _ in range(CONFIG.H_cycles):
        for _ in range(CONFIG.L_cycles):
            z_L = networks.update_L(params, z_L, z_H + e)
        z_H = networks.update_H(params, z_H, z_L)
    # float32 against float32 in another order, grown by a few applications of random weights
    assert cosine(step(ours, CONFIG, 1)["z_H"], np.asarray(z_H)) > 1 - 1e-6


def test_a_rival_with_other_weights_is_found_out(subject: Subject) -> None:
    ours = exported(subject, "fp32", Target.LITERT, 1)
    assert compare_floats(ours, exported(subject, "fp32", Target.ONNX, 1), CONFIG, 1) < 1e-5
    weights = jax.tree.map(lambda x: x * 1.01, subject.weights)
    other = exported(subject._replace(weights=weights), "fp32", Target.ONNX, 1)
    with pytest.raises(ValueError, match="computes another model"):
        compare_floats(ours, other, CONFIG, 1)


def test_the_int8_rival_multiplies_integers_only(subject: Subject) -> None:
    import onnx

    model = graphs_of(subject, "fp32", Target.ONNX)
    for content in write_files(model, Target.ONNX).values():
        before, after = (
            [node.op_type for node in onnx.load_from_string(x).graph.node]
            for x in (content, dynamic_int8(content))
        )
        assert after.count("MatMulInteger") == before.count("MatMul") > 0
        assert "MatMul" not in after
    state = step(ort_int8(subject, 1), CONFIG, 1)["z_H"]
    exact = step(exported(subject, "fp32", Target.ONNX, 1), CONFIG, 1)["z_H"]
    assert 0.9 < cosine(state, exact) < 1  # 8 bits, not 32 and not garbage


@pytest.mark.slow
def test_files_of_the_published_size_are_the_packed_weights() -> None:
    """int4 with zero points: the smallest weights, the largest surroundings."""
    made = exported(draw("sudoku-trm-mlp", 1), "w4c-asym_a8da", Target.LITERT, 1)
    assert 1 <= made.file_bytes / made.packed_bytes < 1.03


@pytest.mark.slow
def test_the_program_prints_rows(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--presets", PRESET, "--schemes", "w8c-sym_a8da", "--repeats", "2"]
    assert latency.main([*arguments, "--threads", "1"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["contestant"] for row in rows] == [
        "litert fp32",
        "litert w8c-sym_a8da",
        runner.RIVAL,
        runner.INT8_RIVAL,
    ]
    assert rows[2]["to_onnx_fp32"] == rows[3]["to_onnx_int8"] == {"median": 1, "min": 1, "max": 1}
    assert rows[0]["cosine"] == pytest.approx(1, abs=1e-12)


def test_ratios_are_taken_within_a_repeat() -> None:
    who = dataclasses.make_dataclass("Who", ["name", "file_bytes", "packed_bytes"])("x", 1, 1)
    timed = [
        {"x": (a, 1.0), runner.RIVAL: (2.0, 1.0), runner.INT8_RIVAL: (b, 4.0)}
        for a, b in ((1.0, 1.0), (8.0, 2.0), (3.0, 1.0))
    ]
    row = runner.make_row(who, timed)
    assert row["to_onnx_fp32"] == {"median": 1.5, "min": 0.5, "max": 4.0}
    assert row["to_onnx_int8"] == {"median": 3.0, "min": 1.0, "max": 4.0}
    assert row["cpu_to_onnx_int8"]["median"] == 0.25


@pytest.mark.parametrize(
    "arguments",
    [
        ("--presets", "chess"),
        ("--repeats", "0"),
        ("--threads", "0"),
        ("--presets", PRESET, "--schemes", "w8c-sym_a8d"),
    ],
    ids=" ".join,
)
def test_bad_input_exits_with_2(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert end_of(latency.main, arguments) == 2
    assert "error: " in capsys.readouterr().err
