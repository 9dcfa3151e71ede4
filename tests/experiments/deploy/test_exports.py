"""A board gets the arrangement of a network that needs less SRAM."""

import pytest

from experiments.deploy.cortex_m.exports import (
    CUT,
    cut_for,
    random_export,
    random_weights,
    smaller_package,
    sram_bytes,
)
from export.lowering.stages import PartitionSpec
from export.targets import Target
from quant.scheme import parse
from tests.support.export.runtimes import skip_without
from tests.support.samples import small
from trm_jax.config import TRMConfig, preset
from trm_jax.loading import LoadedModel
from trm_jax.tasks.maze import MAZE

SCHEME = "tflm_int8_int8"


@pytest.mark.parametrize(
    ("name", "scheme", "wanted"),
    [
        ("maze-trm-att", SCHEME, CUT),
        ("maze-trm-att", "fp32", None),
        ("maze-trm-att-mini", SCHEME, None),
        ("sudoku-trm-mlp", SCHEME, None),
    ],
)
def test_integer_attention_over_many_positions_is_cut(
    name: str, scheme: str, wanted: PartitionSpec | None
) -> None:
    assert cut_for(preset(name), parse(scheme)) == wanted


@pytest.mark.slow
def test_the_smaller_arrangement_is_taken() -> None:
    """Scores of 10 rows at a time, not 100, decide; without stages there is nothing to choose."""
    skip_without(Target.TFLM)
    config = TRMConfig(**small(seq_len=300, hidden_size=32, num_heads=1, L_layers=1))
    source = LoadedModel(
        name="m", origin="m", task=MAZE, config=config, weights=random_weights(config)
    )
    cut = random_export(source, SCHEME, PartitionSpec(heads=1, tokens=10, queries=10))
    taken, whole = smaller_package(cut), smaller_package(random_export(source, SCHEME))
    assert list(taken.graphs) == ["inject", "layers_0/heads_0-1", "layers_0/tail", "head"]
    assert list(whole.graphs) == ["block", "head"]
    assert sram_bytes(taken) < sram_bytes(whole)
