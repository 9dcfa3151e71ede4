"""What the cluster's benchmark compares: everything that was computed, nothing of its time."""

import argparse
import json
from pathlib import Path

import pytest

from benchmarks.cluster import __main__ as cluster
from benchmarks.cluster.runner import computed, count_executed, program_words
from tests.support.programs import load_program

ROW = {"digest": "d", "scheme": "fp32", "start": 0, "exact": [1], "seconds": 1.5}


def write_rows(folder: Path, *rows: dict) -> Path:
    folder.mkdir()
    lines = (json.dumps(row, separators=(",", ":")) + "\n" for row in rows)
    (folder / "rows.jsonl").write_text("".join(lines))
    return folder


def test_rows_are_compared_in_any_order_and_without_their_seconds(tmp_path: Path) -> None:
    other = ROW | {"start": 8}
    one = computed("arc", write_rows(tmp_path / "one", ROW, other))
    many = write_rows(tmp_path / "many", other | {"seconds": 2}, ROW | {"seconds": 1e-5})
    assert computed("arc", many) == one
    assert len(one) == 2
    changed = write_rows(tmp_path / "changed", ROW, other | {"exact": [0]})
    assert computed("arc", changed) != one


def write_recipe(folder: Path, loss: str, seconds: float) -> Path:
    folder.mkdir()
    (folder / "recipe.json").write_text(json.dumps({"scheme": "a", "notes": {"at": seconds}}))
    (folder / "solved.json").write_text(json.dumps({"seconds": seconds, "solved": []}))
    (folder / "recipe.md").write_text(f"loss\n{loss}\n")
    (folder / "front.csv").write_text("bytes\n1\n")
    return folder


def test_a_recipe_is_its_tables_and_what_it_solves(tmp_path: Path) -> None:
    one = computed("recipe", write_recipe(tmp_path / "one", ".1", 1.0))
    assert computed("recipe", write_recipe(tmp_path / "same", ".1", 2.0)) == one
    assert computed("recipe", write_recipe(tmp_path / "other", ".2", 1.0)) != one


@pytest.mark.parametrize("program", cluster.PROGRAMS)
def test_the_programs_take_the_words_they_are_given(program: str) -> None:
    args = cluster.parser().parse_args(["--program", program])
    module, *words = program_words(args)
    read = load_program(module).parser().parse_args(words)
    assert isinstance(read, argparse.Namespace)
    assert (read.limit, read.batch_size) == (64, 8)


def test_matrices_of_a_recipe_are_counted_when_a_node_has_finished_them() -> None:
    names = ("submit_task", "submit_task", "task:deserialize_arguments", "task:execute")
    assert count_executed([{"name": name} for name in names]) == 1
