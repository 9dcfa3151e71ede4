"""Sources: local paths, the form of Hub names, and a Hub that cannot be reached."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from tests.support.hub_server import FAILURES, failing_hub
from tests.support.programs import environment
from trm_jax.data.hub import HubFile, is_refusal, parse_hub, resolve

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


def test_a_home_is_found_and_a_stranger_s_is_no_traceback(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a.csv").touch()
    assert resolve("~/a.csv") == tmp_path / "a.csv"
    with pytest.raises(FileNotFoundError, match=r"~no-such-user/a\.csv does not exist"):
        resolve("~no-such-user/a.csv")


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
    assert missing.startswith(
        f"d.csv of dataset a/b at {COMMIT} is not in the cache and HF_HUB_OFFLINE is set"
    )
    assert refused.startswith("cannot download d of dataset a--b/c at main: ")


REASONS = {
    "cut": "the connection was cut",
    "slow": "the Hub does not answer in time",
    "silent": "the Hub does not answer in time",
    "loop": "the Hub redirects in a circle",
    "portal": "what answers is another service (a login page of the network?)",
    "page": "a web page came instead of the file",
    "shorter": "the file came with another size than announced",
    "garbage": "the connection was cut",
    "401": "the Hub asks for a login (401); for a private one log in with `hf auth login`",
    "403": "the Hub refuses access (403)",
    "404": "the repository has no such file",
    "429": "the Hub takes no more requests for now (429)",
    "500": "the Hub is out of order (500); try again later",
    "502": "the Hub is out of order (502)",
    "503": "the Hub is out of order (503)",
}
TRY = """
import json, sys, time
time.sleep = lambda seconds: None  # huggingface_hub waits between its attempts
from trm_jax.data.hub import DownloadError, resolve
said = {}
for name in json.loads(sys.argv[1]):
    try:
        resolve(f"hf:a/b/{name}")
    except DownloadError as error:
        said[name] = str(error)
print(json.dumps(said))
"""


def try_all(address, home, names, **settings):
    """Ask a Hub for files in a fresh process; what was said of each, and what stands on disk."""
    ours = {k: v for k, v in environment().items() if not k.lower().endswith("_proxy")}
    waits = {"HF_HUB_DOWNLOAD_TIMEOUT": "1", "HF_HUB_ETAG_TIMEOUT": "1", "HF_HUB_DISABLE_XET": "1"}
    done = subprocess.run(
        [sys.executable, "-c", TRY, json.dumps(names)],
        env={**ours, **waits, "HF_HOME": str(home), "HF_ENDPOINT": address, **settings},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""  # retries and bars stay out of a log
    files = [file for file in home.rglob("*") if file.is_file() and not file.is_symlink()]
    content = {file.name for file in files if file.parent.name == "blobs" and file.stat().st_size}
    return json.loads(done.stdout), content


@pytest.mark.slow
def test_every_failure_is_one_line_that_names_its_cause(tmp_path):
    assert REASONS.keys() == FAILURES.keys()
    with failing_hub() as address:
        said, kept = try_all(address, tmp_path, [*FAILURES, "fine"])
    assert said.keys() == FAILURES.keys()
    for name, reason in REASONS.items():
        assert said[name].startswith(f"cannot download {name} of model a/b at main: {reason}")
        assert len(said[name].splitlines()) == 1
    assert len(kept) == 1  # the fine one


@pytest.mark.parametrize(
    ("address", "settings", "reason"),
    [
        ("http://127.0.0.1:9", {}, "the connection is refused"),
        ("http://no-such-host.invalid", {}, "the name of the host cannot be found"),
        (
            "http://no-such-host.invalid",
            {"HTTP_PROXY": "http://me:secret@127.0.0.1:9"},
            "the connection is refused (through the proxy 127.0.0.1:9",
        ),
        ("https://hub.invalid", {"HTTPS_PROXY": "bogus://x"}, "the proxy cannot be used (Unknown"),
    ],
)
def test_a_hub_that_cannot_be_reached(tmp_path, address, settings, reason):
    said, kept = try_all(address, tmp_path, ["x"], **settings)
    assert said["x"].startswith(f"cannot download x of model a/b at main: {reason}")
    assert not kept


def test_no_encryption_is_said(tmp_path):
    with failing_hub() as address:
        said, _ = try_all(address.replace("http:", "https:"), tmp_path, ["fine"])
    assert "no encrypted connection comes about" in said["fine"]


def test_a_hub_that_fails_leaves_the_cache_in_use(tmp_path):
    with failing_hub() as address:
        said, kept = try_all(address, tmp_path, ["fine"])
    assert (said, len(kept)) == ({}, 1)
    assert try_all(address, tmp_path, ["fine"]) == ({}, kept)  # the server is gone


@pytest.mark.parametrize(
    ("status", "refuses"),
    [(401, True), (403, True), (404, True), (408, False), (429, False), (503, False)],
)
def test_a_cache_does_not_stand_for_a_file_that_the_hub_refuses(status, refuses):
    error = OSError("an answer")
    error.response = SimpleNamespace(status_code=status)
    assert is_refusal(error) is refuses
    assert not is_refusal(OSError("no answer"))


def test_the_package_needs_no_jax():
    code = """
import sys
import trm_jax.data.batches, trm_jax.data.maze, trm_jax.data.sudoku
print("jax" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
