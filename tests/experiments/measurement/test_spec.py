"""The digests of sweeps and ablations: rows measured before are found again."""

import dataclasses
import hashlib
import json

from experiments.ablate.rows import AblationSpec
from experiments.measurement.depths import DepthGrid
from experiments.measurement.spec import differences
from tests.support.sweep_rows import SPEC

ABLATION = AblationSpec(
    task="maze",
    model="m",
    model_sha256="1",
    num_parameters=7,
    data="d",
    data_sha256="2",
    num_puzzles=10,
    batch_size=4,
    dtype="float32",
    seed=0,
)
SETTINGS = {"study": "pruning", "variant": "25%", "reference": "fp32", "settings": {"share": 0.25}}


def digest(text: str) -> str:
    """Hash a document as rows on disk have it."""
    return hashlib.sha256(json.dumps(json.loads(text), sort_keys=True).encode()).hexdigest()[:16]


def test_the_digest_of_a_sweep_is_of_these_fields() -> None:
    text = """{"task": "sudoku", "model_sha256": "1", "data_sha256": "2", "batch_size": 4,
               "dtype": "float32", "cycles": [1, 2, 4], "format": 1}"""
    assert SPEC.digest == digest(text)
    wider = dataclasses.replace(SPEC, num_puzzles=99, schemes=("fp32",), bytes=(1,), model="other")
    assert wider.digest == SPEC.digest
    assert dataclasses.replace(SPEC, grid=DepthGrid((1,), (1, 2), 2)).digest != SPEC.digest


def test_the_digest_of_a_variant_is_of_these_fields() -> None:
    text = """{"task": "maze", "model_sha256": "1", "data_sha256": "2", "batch_size": 4,
               "dtype": "float32", "format": 1, "study": "pruning", "variant": "25%",
               "reference": "fp32", "settings": {"share": 0.25}}"""
    assert ABLATION.plan(*SETTINGS.values()).digest == digest(text)  # type: ignore[arg-type]


def test_differences_are_said_in_words() -> None:
    assert differences(ABLATION, ABLATION) == []
    other = dataclasses.replace(ABLATION, dtype="bfloat16", num_puzzles=5)
    assert differences(ABLATION, other) == ["dtype is float32, asked for bfloat16"]


def test_the_last_shard_is_what_is_left() -> None:
    assert SPEC.shards == ABLATION.shards == ((0, 4), (4, 8), (8, 10))
