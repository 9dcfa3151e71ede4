"""A package of integers: what the board is given is what was simulated."""

from typing import NamedTuple

import numpy as np
import pytest

from export.artifact.host_state import state_checksum
from export.artifact.open import Export, open_artifact
from export.cortex_m import flash_contents, row_file, test_vectors
from export.cortex_m import package as cortex_m_package
from export.lowering.stages import PartitionSpec, parse_cut
from export.lowering.storage import plan_for
from export.pipeline import lower_model, write_artifact
from export.targets import Target
from quant.scheme import parse
from quant.simulation import Simulation
from tests.support.export.runtimes import skip_without
from tests.support.samples import small
from tests.support.slow import slow_except
from tests.support.tiny import export as tiny
from trm_jax.config import Config, TRMConfig
from trm_jax.types import Batch

MLP = tiny.configs()["mlp"]
ATTENTION = TRMConfig(**small(seq_len=9, puzzle_emb_len=2, num_heads=4, hidden_size=16))


class Case(NamedTuple):
    """What is packed; a cut into graphs divides neither 4 heads nor 11 positions."""

    config: Config
    scheme: str
    cut: PartitionSpec | None = None


CASES = {
    "int4_int16": Case(MLP, "tflm_int4_int16"),
    "int8_int8": Case(MLP, "tflm_int8_int8"),
    "stages": Case(ATTENTION, "tflm_int8_int8", PartitionSpec(heads=3, tokens=4, queries=5)),
}


class Made(NamedTuple):
    export: Export
    simulation: Simulation
    puzzles: Batch


@pytest.fixture(scope="module", params=slow_except(CASES))
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """One puzzle per call, as boards take it, and the simulation."""
    skip_without(Target.TFLM)
    config, scheme, cut = CASES[request.param]
    folder, plan = tmp_path_factory.mktemp("integers"), plan_for(parse(scheme), Target.TFLM)
    puzzles = tiny.puzzles(config, 4)
    simulation = tiny.simulated(config, scheme, Target.TFLM)
    write_artifact(
        folder, tiny.source(config), plan, simulation, puzzles, batch=1, steps=tiny.STEPS, cut=cut
    )
    return Made(open_artifact(folder), simulation, puzzles)


def test_vectors_are_the_simulation_s_answers_and_states(made: Made) -> None:
    exported, simulation, puzzles = made
    vectors = test_vectors.read_vectors(cortex_m_package.make_package(exported).vectors)
    assert vectors.has_states
    assert len(vectors.vectors) == 4  # integers agree on every puzzle, none is left out
    tokens = simulation.answers(puzzles, steps=tiny.STEPS)
    assert simulation.integers is not None
    z = simulation.integers.encodings["z"]
    real = np.asarray(simulation.trajectory(puzzles, steps=tiny.STEPS)[-1], np.float64)
    z_H = (np.rint(real / z.scale) + z.zero_point).astype(z.dtype)
    for vector, wanted, state in zip(vectors.vectors, tokens, z_H, strict=True):
        np.testing.assert_array_equal(vector.tokens, wanted)
        assert vector.states is not None
        assert vector.states[0] == state_checksum(state)


def test_rows_are_the_simulation_s_integers(made: Made) -> None:
    exported, simulation, _ = made
    rows, integers = cortex_m_package.make_package(exported).rows, simulation.integers
    assert integers is not None
    for name in ("token_rows", "puzzle_rows", "H_init", "L_init"):
        np.testing.assert_array_equal(getattr(rows, name), getattr(integers, name))
        assert getattr(rows, name).dtype == integers.encodings["z"].dtype
    assert (rows.combine_L, rows.combine_H) == (integers.combine_L, integers.combine_H)


def test_a_cut_block_is_packed_as_its_stages(made: Made) -> None:
    """Of the states between graphs there is one more: mixed, in the place of the injection."""
    package, config = cortex_m_package.make_package(made.export), made.export.config
    names = [graph.name for graph in package.networks["update_L"]]
    order = cortex_m_package.package_files(package)["trm_package.cc"].decode()
    if config == MLP:
        assert (names, package.work_bytes) == (["block"], 0)
        return
    layer = ["layers_{}/heads_0-3", "layers_{}/heads_3-4", "layers_{}/tail"]
    assert names == ["inject", *(n.format(i) for i in range(config.L_layers) for n in layer)]
    assert package.work_bytes == 11 * 16
    assert package.state_bytes == 3 * 11 * 16 + flash_contents.buffer_bytes(package.rows)
    inject, heads = "{0, 2, 1, {TRM_Z, TRM_WORK}, TRM_Z, 0}", "{1, 1, 3, {TRM_Z}, TRM_WORK, 0}"
    head, tail = "{2, 1, 1, {TRM_Z}, TRM_WORK, 12}", "{3, 2, 1, {TRM_Z, TRM_WORK}, TRM_Z, 0}"
    for line in (inject, heads, head, tail):
        assert order.count(line) == 2  # in both updates
    assert "block" not in package.graphs


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"batch": 2}, "stages run one puzzle at a time, got batch=2"),
        ({"config": MLP}, "only networks with attention are cut into stages, got mlp"),
        ({"scheme": "fp32"}, "only networks of integers"),
    ],
)
def test_what_cannot_be_cut_is_refused(changes: dict, words: str) -> None:
    config, scheme = changes.get("config", ATTENTION), changes.get("scheme", "tflm_int8_int8")
    plan = plan_for(parse(scheme), Target.TFLM)
    simulation = tiny.simulated(config, scheme, Target.TFLM)
    with pytest.raises(ValueError, match=words):
        lower_model(
            tiny.source(config),
            plan,
            simulation,
            batch=changes.get("batch", 1),
            cut=PartitionSpec(heads=1, tokens=4, queries=4),
        )


def test_cuts_are_read_from_words() -> None:
    assert parse_cut("tokens=100,heads=1,queries=50") == PartitionSpec(
        heads=1, tokens=100, queries=50
    )
    for text in (
        *("heads=1", "heads=1,tokens=2,queries=x", "1,2,3", "heads=1,tokens=2,rows=3"),
        *("heads=1,tokens=2,queries=3,", "heads=1,heads=2,tokens=2,queries=3", "heads=\u0661"),
        *("heads=1,tokens=2,queries=3,4", f"heads={'9' * 5000},tokens=2,queries=3"),
    ):
        with pytest.raises(ValueError, match="a cut names heads=N, tokens=N, queries=N, got"):
            parse_cut(text)
    with pytest.raises(ValueError, match="at least 1"):
        parse_cut("heads=0,tokens=1,queries=1")


def test_a_row_of_int16_is_half_of_float32() -> None:
    """512 elements of 2 bytes and a checksum: 1,028 bytes a puzzle (2,052 in float32)."""

    def size(ids: int, dtype: type) -> int:
        row, tokens = np.zeros(512, dtype), np.zeros((11, 512), dtype)
        depth = row_file.Depth(H_cycles=1, L_cycles=1, halt_max_steps=1)
        file = row_file.RowFile(
            model_id=bytes(32),
            seq=81,
            prefix=16,
            depth=depth,
            H_init=row,
            L_init=row,
            token_rows=tokens,
            puzzle_rows=np.zeros((ids, 512), dtype),
        )
        return len(row_file.write_rows(file))

    assert size(9, np.int16) - size(1, np.int16) == 8 * (1024 + 4)
    assert size(9, np.int8) - size(1, np.int8) == 8 * (512 + 4)
