"""How an ablation is cut for several machines."""

from types import SimpleNamespace
from typing import Any

from experiments.ablate.interventions import Intervention
from experiments.ablate.rows import AblationKey
from experiments.ablate.runner import parts_of


def make(name: str, made_once: str = "") -> Intervention:
    def never() -> Any:
        raise AssertionError("cutting makes nothing")

    return Intervention(name=name, make=never, made_once=made_once)


def test_a_part_is_a_shard_of_a_study_or_what_one_process_makes():
    studies = {
        "pruning": (make("fp32"), make("half")),
        "distillation": (make("fp32"), make("n=1", "student"), make("n=2", "student")),
    }
    keys = [
        AblationKey(study, each.name, start, start + 4)
        for study, listed in studies.items()
        for each in listed
        for start in (0, 4, 8)
    ]
    job: Any = SimpleNamespace(studies=studies)
    parts = parts_of(job, keys)
    assert sorted(key for part in parts for key in part) == sorted(keys)
    assert [len(part) for part in parts] == [6, 2, 2, 2, 1, 1, 1]
    assert {key.variant for key in parts[0]} == {"n=1", "n=2"}
    for part in parts[1:]:
        assert len({(key.study, key.start) for key in part}) == 1
