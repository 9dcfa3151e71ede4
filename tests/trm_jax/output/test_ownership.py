"""Folders that a program may write into: new ones, empty ones, its own; nothing else is touched."""

import collections
import json
import os
import shutil
from pathlib import Path

import pytest

from trm_jax.output import folder as output_folder
from trm_jax.output.ownership import OutputKind, check_file_place, check_output, is_empty

KIND = OutputKind("experiments.thing", "a thing", ("thing*.json",))
STRICT = OutputKind("trm_jax.other", "another", ("config.json",), frozenset({"format", "config"}))


def tree(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def test_new_empty_and_own_folders_are_taken(tmp_path: Path) -> None:
    check_output(tmp_path / "a" / "b", KIND, resume=False)
    check_output(tmp_path, KIND, resume=False)
    for litter in (".lock", ".lock-3", "thing.new"):
        (tmp_path / litter).touch()
    assert is_empty(tmp_path)
    check_output(tmp_path, KIND, resume=False)
    (tmp_path / "thing-1.json").write_text("{}")
    check_output(tmp_path, KIND)
    with pytest.raises(FileExistsError, match=r"is not empty: add --resume"):
        check_output(tmp_path, KIND, resume=False)


@pytest.mark.parametrize("resume", [False, True])
def test_what_somebody_else_made_is_left_as_it_is(tmp_path: Path, resume: bool) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "main.py").write_text("print()")
    before = tree(tmp_path)
    with pytest.raises(FileExistsError, match=r"\(src, \.\.\.\) that is not a thing"):  # noqa: SIM117
        with output_folder.writing(tmp_path, KIND, resume=resume):
            raise AssertionError("work began")
    assert tree(tmp_path) == before


@pytest.mark.parametrize("document", ["", "[]", "{", '{"format": 1}', '{"model_type": "llama"}'])
def test_a_document_of_the_same_name_is_not_enough(tmp_path: Path, document: str) -> None:
    (tmp_path / "config.json").write_text(document)
    with pytest.raises(FileExistsError, match="that is not another"):
        check_output(tmp_path, STRICT)
    (tmp_path / "config.json").write_text(json.dumps({"format": 1, "config": {}, "task": "maze"}))
    check_output(tmp_path, STRICT)


def test_files_and_links_to_nothing_are_no_folders(tmp_path: Path) -> None:
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_text("kept")
    link.symlink_to(tmp_path / "nowhere")
    for path, words in (
        (file, "is a file; --out names a folder"),
        (file / "a" / "b", f"cannot be made: {file} is a file"),
        (link, "is a link to nothing"),
    ):
        with pytest.raises(FileExistsError, match=words):
            check_output(path, KIND)
    with pytest.raises(IsADirectoryError, match="is a folder; name a file"):
        check_file_place(tmp_path)
    with pytest.raises(FileExistsError, match="is a file"):
        check_file_place(file / "page.html")
    assert file.read_text() == "kept"


def test_what_cannot_be_written_is_said_before_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(PermissionError, match=rf"no permission to write into {tmp_path}"):
        check_output(tmp_path / "a" / "b", KIND)
    monkeypatch.undo()
    usage = collections.namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, 5))
    with pytest.raises(OSError, match="5 bytes are free on its disk"):
        check_output(tmp_path / "a", KIND)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(0, 0, 0))
    check_output(tmp_path / "a", KIND)  # a mount that does not say
