"""The evaluation at the end of the time."""

from pathlib import Path

import pytest

from experiments.full_size.evaluation import draw, evaluate
from experiments.sweep.job import prepare
from experiments.sweep.outcomes import read_sweeps
from tests.support.sweep_rows import write_made
from tests.support.tiny import sweep as tiny


def test_too_little_time_is_told_without_an_option_that_the_program_lacks(
    tiny_root: Path, tmp_path: Path
) -> None:
    job = prepare(tiny.parsed(tiny_root, "--schemes", "fp32,int8", "--limit", "4"))
    with pytest.raises(ValueError, match="give more --minutes") as caught:
        evaluate(job, tmp_path / "sweep", deadline=0.0)
    assert "--resume" not in str(caught.value)


def test_what_was_measured_is_drawn_from_its_folder(tmp_path: Path) -> None:
    write_made(tmp_path)
    (sweep,) = read_sweeps([tmp_path])
    assert draw(sweep, tmp_path)
    assert {"grid.md", "summary.csv", "accuracy.png", "fidelity.svg"} <= {
        file.name for file in tmp_path.iterdir()
    }
