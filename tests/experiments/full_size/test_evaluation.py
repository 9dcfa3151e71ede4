"""The evaluation at the end of the time."""

from pathlib import Path

import pytest

from experiments.full_size.evaluation import evaluate
from experiments.sweep.job import prepare
from tests.support.tiny import sweep as tiny


def test_too_little_time_is_told_without_an_option_that_the_program_lacks(
    tiny_root: Path, tmp_path: Path
) -> None:
    job = prepare(tiny.parsed(tiny_root, "--schemes", "fp32,int8", "--limit", "4"))
    with pytest.raises(ValueError, match="give more --minutes") as caught:
        evaluate(job, tmp_path / "sweep", deadline=0.0)
    assert "--resume" not in str(caught.value)
