"""The study of the puzzle table: what is read, what it takes, and where it does not apply."""

import json

import pytest

from experiments.ablate import __main__ as ablate
from tests.support.tiny import arc as tiny_arc
from tests.support.tiny import sweep as tiny


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Rows of a study that ran through, by variant."""
    root = tmp_path_factory.mktemp("embedding")
    tiny_arc.write(root)
    options = ["--task", "arc", "--only", "embedding", "--limit", "24", "--batch-size", "24"]
    places = ["--model", root / "model", "--data", root / "data", "--out", root / "out"]
    assert ablate.main([*options, *map(str, places)]) == 0
    lines = (root / "out" / "rows.jsonl").read_text().splitlines()
    return {row["variant"]: row for row in map(json.loads, lines)}


@pytest.mark.slow
def test_forms_and_their_bytes(rows):
    """21 rows of 16: float32 1,344 bytes; of one row 64."""
    assert list(rows) == ["fp32", "int8 table", "SVD rank 1", "SVD rank 4", "one row streamed"]
    flash = {name: row["facts"].get("table_flash_bytes") for name, row in rows.items()}
    assert flash["int8 table"] == 21 * (16 + 4)
    assert flash["SVD rank 4"] == 4 * 4 * (21 + 16)
    streamed = rows["one row streamed"]["facts"]
    assert (streamed["table_flash_bytes"], streamed["table_memory_bytes"]) == (1344, 64)
    assert (streamed["seed_memory_bytes"], streamed["public_flash_bytes"]) == (2048, 876406 * 2048)
    assert rows["fp32"]["facts"]["bytes"] - streamed["bytes"] == 1344 - 64


def test_streamed_rows_are_the_trained_ones(rows):
    """The first 24 questions need fewer rows than there are: the others were never read."""
    streamed, full = rows["one row streamed"], rows["fp32"]
    assert streamed["infidelity"] == [0.0, 0.0]
    for name in ("exact", "correct_cells", "cell_error"):
        assert streamed[name] == full[name]
    assert streamed["facts"]["row_cosine"] == pytest.approx(1, abs=1e-12)


def test_less_rank_keeps_less(rows):
    cosine = [rows[name]["facts"]["row_cosine"] for name in ("SVD rank 1", "SVD rank 4")]
    assert 0 < cosine[0] < cosine[1] < rows["int8 table"]["facts"]["row_cosine"] < 1
    infidelity = [rows[name]["infidelity"][0] for name in rows if name != "one row streamed"]
    assert infidelity[0] == 0
    assert infidelity[1] < infidelity[3] < infidelity[2]  # int8, rank 4, rank 1


def test_models_with_one_row_have_no_table(tmp_path, capsys):
    tiny.write(tmp_path)
    command = tiny.arguments(tmp_path, tmp_path / "out", "--only", "embedding")
    assert ablate.main(command) == 2
    assert "has one puzzle row" in capsys.readouterr().err
