"""A board's answer against an export on this computer, which must be the simulation's."""

import dataclasses
import re

import numpy as np
import pytest

from export.artifact.open import Export, open_artifact
from export.board.comparison import compare, simulate_answer
from export.board.conversation import BoardAnswer
from export.board.package_folder import PackageFolder, check_export, read_package
from export.cortex_m.package import make_package, save_package
from export.lowering.storage import plan_for
from export.pipeline import write_artifact
from export.targets import Target
from quant.scheme import parse
from tests.support.export.runtimes import skip_without
from tests.support.firmware.packages import FACTS
from tests.support.samples import small
from tests.support.tiny import export as tiny
from trm_jax.config import Mixer, Positions, TRMConfig

SIZES = {"vocab_size": 6, "seq_len": 16, "num_puzzle_identifiers": 1, "puzzle_emb_len": 1}
CONFIG = TRMConfig(**small(**SIZES, mixer=Mixer.MLP, positions=Positions.NONE))
SCHEME = "tflm_int8_int8"


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Export:
    skip_without(Target.TFLM)
    folder = tmp_path_factory.mktemp("comparison") / "export"
    plan = plan_for(parse(SCHEME), Target.TFLM)
    simulation = tiny.simulated(CONFIG, SCHEME, Target.TFLM)
    puzzles = tiny.puzzles(CONFIG, 4)
    write_artifact(
        folder, tiny.source(CONFIG), plan, simulation, puzzles, batch=1, steps=tiny.STEPS
    )
    opened = open_artifact(folder)
    manifest = dataclasses.replace(opened.manifest, task=FACTS.task, puzzles=FACTS)
    return dataclasses.replace(opened, manifest=manifest)


@pytest.fixture(scope="module")
def package(export: Export, tmp_path_factory: pytest.TempPathFactory) -> PackageFolder:
    folder = tmp_path_factory.mktemp("comparison") / "package"
    save_package(make_package(export), folder)
    return read_package(folder)


@pytest.mark.slow
def test_the_answer_of_this_computer_is_the_simulation_s(
    export: Export, package: PackageFolder
) -> None:
    """Expected answers and states are JAX's; what runs here is TFLM's interpreter."""
    expected = export.manifest.expected
    assert len(expected.inputs) == len(expected.states) == 4
    for inputs, tokens, states in zip(
        expected.inputs, expected.tokens, expected.states, strict=True
    ):
        puzzle = np.array(inputs, np.int32)
        simulated = simulate_answer(export, puzzle, expected.steps, package.rows.depth)
        np.testing.assert_array_equal(simulated.tokens, tokens)
        assert simulated.states == states
        answer = BoardAnswer(np.array(tokens, np.int32), expected.steps, False, states, 1, 0.1)
        assert compare(answer, simulated).is_none
        wrong = answer._replace(tokens=answer.tokens ^ (np.arange(16) < 3), states=(0, 0))
        assert compare(wrong, simulated)[:2] == (3, True)
        assert "OTHER THAN THE SIMULATION in 3 cells" in str(compare(wrong, simulated))


@pytest.mark.slow
def test_a_package_of_another_export_is_refused(export: Export, package: PackageFolder) -> None:
    check_export(package, export)
    host = {**export.host, "H_init": -export.host["H_init"]}
    with pytest.raises(ValueError, match=re.escape("tiny as w8c-sym") + ".*its rows differ"):
        check_export(package, dataclasses.replace(export, host=host))
    graphs = {**package.facts.graphs, "head": "0" * 64}
    other = dataclasses.replace(package, facts=dataclasses.replace(package.facts, graphs=graphs))
    with pytest.raises(ValueError, match=r"not made from export tiny .*its graphs differ"):
        check_export(other, export)
