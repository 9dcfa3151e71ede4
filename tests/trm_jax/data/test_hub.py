"""Sources: local paths, the form of Hub names, and a Hub that cannot be reached."""

import os
import subprocess
import sys

import pytest

from trm_jax.data.hub import HubFile, parse_hub, resolve

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("hf:a/b/c", HubFile("a/b", "c")),
        ("hf:a/b/deep/step_1@main", HubFile("a/b", "deep/step_1", "main")),
        (f"hf:a/b/c.csv@{COMMIT}", HubFile("a/b", "c.csv", COMMIT)),
        ("hf:a/b/c@refs/pr/1", HubFile("a/b", "c", "refs/pr/1")),
    ],
)
def test_parses_hub_sources(source, expected):
    assert parse_hub(source) == expected


@pytest.mark.parametrize(
    "source", ["hf:", "hf:a/b", "hf:a/b/", "hf:a/b/c@", "hf:a//c", "hf:a/b/c d"]
)
def test_refuses_other_forms(source):
    with pytest.raises(ValueError, match="a Hub source reads hf:owner/name/file"):
        resolve(source)


def test_local_paths(tmp_path):
    file = tmp_path / "a.csv"
    file.touch()
    assert resolve(str(file)) == file
    assert resolve(tmp_path) == tmp_path
    with pytest.raises(FileNotFoundError, match=r"b\.csv does not exist; name a file or folder"):
        resolve(tmp_path / "b.csv")


def offline(home, code):
    """Run code in a fresh process: huggingface_hub reads its settings when imported."""
    settings = {**os.environ, "HF_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    settings.pop("HF_HUB_CACHE", None)
    done = subprocess.run(
        [sys.executable, "-c", f"from trm_jax.data.hub import *\n{code}"],
        env=settings,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_finds_cached_files_and_says_what_is_missing_offline(tmp_path):
    snapshot = tmp_path / "hub" / "datasets--a--b" / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (snapshot / "c.csv").write_text("found")
    code = f"""
print(resolve("hf:a/b/c.csv@{COMMIT}", repo_type="dataset").read_text())
for source in ("hf:a/b/d.csv@{COMMIT}", "hf:a--b/c/d"):
    try:
        resolve(source, repo_type="dataset")
    except DownloadError as error:
        print(error)
"""
    found, missing, refused = offline(tmp_path, code).splitlines()
    assert found == "found"
    assert missing.startswith(f"d.csv of dataset a/b at {COMMIT} is not in the cache and the Hub")
    assert refused.startswith("cannot download d of dataset a--b/c at main: ")


def test_the_package_needs_no_jax():
    code = """
import sys
import trm_jax.data.batches, trm_jax.data.maze, trm_jax.data.sudoku
print("jax" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
