"""The options of the engine, and rows that are computed here."""

import argparse

import pytest

from experiments.jobs.engine import (
    add_engine,
    compute_rows,
    opened_engine,
    read_engine,
    settled,
)
from experiments.jobs.remote_work import Engine, EngineOptions, RemoteWork
from tests.support import remote_work


def parsed(*words: str) -> argparse.Namespace:
    p = argparse.ArgumentParser()
    add_engine(p)
    return p.parse_args(words)


def test_rows_are_computed_here_unless_ray_is_asked_for():
    assert read_engine(parsed()) == EngineOptions()
    with opened_engine(parsed()) as engine:
        assert engine is None
        work = RemoteWork(make=remote_work.make_worker, args=parsed())
        rows = compute_rows(engine, work, [[1, 2], [3]], lambda part: [n * n for n in part])
        assert list(rows) == [1, 4, 9]


def test_options_of_ray_are_read():
    words = "--engine ray --ray-address 10.0.0.1:6379 --num-cpus-per-task 4 --num-gpus-per-task 1"
    assert read_engine(parsed(*words.split())) == EngineOptions(
        engine=Engine.RAY, ray_address="10.0.0.1:6379", num_cpus_per_task=4, num_gpus_per_task=1
    )


@pytest.mark.parametrize("option", ["--ray-address", "--num-cpus-per-task", "--num-gpus-per-task"])
def test_an_option_of_ray_without_it_is_refused(option: str):
    with pytest.raises(ValueError, match=f"^{option} is of Ray; add --engine ray"):
        read_engine(parsed(option, "1"))


def test_what_was_chosen_stands_in_the_place_of_silence():
    args = argparse.Namespace(dtype="auto", limit=3)
    assert vars(settled(args, dtype="float32")) == {"dtype": "float32", "limit": 3}
    assert args.dtype == "auto"
