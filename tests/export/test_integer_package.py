"""A package of integers: what the board is given is what was simulated."""

import numpy as np
import pytest

from export import flash_rows, golden_vectors, micro
from export.golden_vectors import state_checksum
from export.integrity import Export, open_export
from export.numerics import Target
from export.package import export
from export.plan import plan_for
from export.twin import Simulation, answers, run
from quant.scheme import parse
from tests.export import tiny_export as tiny
from tests.export.runtimes import skip_without

SCHEMES = ("tflm_int4_int16",)
CONFIG = tiny.configs()["mlp"]
PUZZLES = tiny.puzzles(CONFIG, 4)


@pytest.fixture(scope="module", params=SCHEMES)
def made(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Export, Simulation]:
    """One puzzle per call, as boards take it, and the simulation."""
    skip_without(Target.TFLM)
    folder, plan = tmp_path_factory.mktemp("integers"), plan_for(parse(request.param), Target.TFLM)
    twin = tiny.simulation(CONFIG, request.param, Target.TFLM)
    export(folder, tiny.source(CONFIG), plan, twin, PUZZLES, batch=1, steps=tiny.STEPS)
    return open_export(folder), twin


def test_vectors_are_the_simulation_s_answers_and_states(made: tuple[Export, Simulation]) -> None:
    exported, twin = made
    vectors = golden_vectors.read(micro.package(exported).vectors)
    assert vectors.has_states
    assert len(vectors.vectors) == 4  # integers agree on every puzzle, none is left out
    tokens = answers(twin, PUZZLES, tiny.STEPS)
    assert twin.integers is not None
    z = twin.integers.encodings["z"]
    real = np.asarray(run(twin, PUZZLES, tiny.STEPS)[-1], np.float64)
    z_H = (np.rint(real / z.scale) + z.zero_point).astype(z.dtype)
    for vector, wanted, state in zip(vectors.vectors, tokens, z_H, strict=True):
        np.testing.assert_array_equal(vector.tokens, wanted)
        assert vector.states is not None
        assert vector.states[0] == state_checksum(state)


def test_rows_are_the_simulation_s_integers(made: tuple[Export, Simulation]) -> None:
    exported, twin = made
    rows, integers = micro.package(exported).rows, twin.integers
    assert integers is not None
    for name in ("token_rows", "puzzle_rows", "H_init", "L_init"):
        np.testing.assert_array_equal(getattr(rows, name), getattr(integers, name))
        assert getattr(rows, name).dtype == integers.encodings["z"].dtype
    assert (rows.combine_L, rows.combine_H) == (integers.combine_L, integers.combine_H)


def test_a_row_of_int16_is_half_of_float32() -> None:
    """512 elements of 2 bytes and a checksum: 1,028 bytes a puzzle (2,052 in float32)."""

    def size(ids: int, dtype: type) -> int:
        row, tokens = np.zeros(512, dtype), np.zeros((11, 512), dtype)
        depth = flash_rows.Depth(H_cycles=1, L_cycles=1, halt_max_steps=1)
        file = flash_rows.RowFile(
            model_id=bytes(32), seq=81, prefix=16, depth=depth, H_init=row, L_init=row,
            token_rows=tokens, puzzle_rows=np.zeros((ids, 512), dtype),
        )  # fmt: skip
        return len(flash_rows.write(file))

    assert size(9, np.int16) - size(1, np.int16) == 8 * (1024 + 4)
    assert size(9, np.int8) - size(1, np.int8) == 8 * (512 + 4)
