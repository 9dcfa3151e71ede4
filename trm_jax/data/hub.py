"""Find files named by the user: on disk, or on the Hugging Face Hub.

The Hub is asked through huggingface_hub, so that its cache (HF_HOME), its offline mode
(HF_HUB_OFFLINE) and its login apply. A revision after `@` pins a download; a full commit hash
found in the cache needs no network. Nothing is downloaded unless a source says `hf:`.
"""

import contextlib
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from trm_jax.data.transport import cause_of, chain, first_line, status_of

RepoType = Literal["model", "dataset"]

PREFIX = "hf:"
HUB = "the Hub"
COMMIT = re.compile(r"[0-9a-f]{40}")
PAGES = {".html", ".htm"}
BUSY = {408, 429}  # statuses of a Hub that does not say whether it has a file
LOGIN = "for a private one log in with `hf auth login` or set HF_TOKEN"
ELSEWHERE = (
    "download it where there is network and give its path, or copy the cache and set HF_HOME"
)
_FORM = re.compile(r"hf:(?P<repo>[^/@\s]+/[^/@\s]+)/(?P<file>[^@\s]+?)(@(?P<revision>[^@\s]+))?")


class DownloadError(OSError):
    """A file could not be had from the Hub."""


@dataclass(frozen=True)
class HubFile:
    """One file of a repository. `revision` None is the main branch."""

    repo: str
    file: str
    revision: str | None = None


def parse_hub(source: str) -> HubFile:
    """Read `hf:owner/name/file[@revision]`; the file may lie in folders.

    Raises:
      ValueError: another form.
    """
    match = _FORM.fullmatch(source)
    if match is None:
        raise ValueError(
            f"a Hub source reads hf:owner/name/file or hf:owner/name/file@revision, got {source!r}"
        )
    return HubFile(match["repo"], match["file"], match["revision"])


def resolve(source: str | Path, *, repo_type: RepoType = "model") -> Path:
    """Return the local path of a source, downloading it where it says `hf:`.

    Args:
      source: a file or folder, or `hf:owner/name/file[@revision]`.
      repo_type: kind of Hub repository.

    Raises:
      FileNotFoundError: no such local file or folder.
      ValueError: a malformed Hub source.
      DownloadError: the Hub does not have it, or cannot be reached and the cache lacks it.
    """
    if str(source).startswith(PREFIX):
        return download(parse_hub(str(source)), repo_type)
    path = local_path(source)
    if not path.exists():
        raise FileNotFoundError(
            f"{path} does not exist; name a file or folder, or hf:owner/name/file[@revision]"
        )
    return path


def local_path(text: str | Path) -> Path:
    """Make a path of what a user wrote: `~` is the home; an unknown `~NAME` stays as it is."""
    return Path(os.path.expanduser(text))


def download(source: HubFile, repo_type: RepoType) -> Path:
    """Fetch a file of the Hub, or find it in the cache.

    A file that comes in part is never in the cache under its name; what huggingface_hub keeps of
    it beside (older versions, as `.incomplete`) is continued by the next attempt.

    Raises:
      DownloadError: see `resolve`.
    """
    name = f"{source.file} of {repo_type} {source.repo} at {source.revision or 'main'}"
    with one_voice():
        try:
            path = fetch(source, repo_type)
        except Exception as error:  # of three libraries, with no common class
            raise DownloadError(explain(name, error)) from error
    if is_page(path) and path.suffix not in PAGES:
        forget(path)
        raise DownloadError(
            f"cannot download {name}: a web page came instead of the file (a login page of the"
            " network or of a proxy?); it was not kept"
        )
    return path


def fetch(source: HubFile, repo_type: RepoType) -> Path:
    """Download a file, or find it in the cache where the Hub does not answer.

    The Hub is asked once beforehand: `hf_hub_download` itself asks a host that does not answer for
    six minutes before it says so.

    Raises:
      Exception: of huggingface_hub and its HTTP library.
    """
    from huggingface_hub import (  # slow to import, and most runs are local
        constants,
        get_hf_file_metadata,
        hf_hub_download,
        hf_hub_url,
        try_to_load_from_cache,
    )

    repo, file, revision = source.repo, source.file, source.revision
    cached = try_to_load_from_cache(repo, file, revision=revision, repo_type=repo_type)
    if isinstance(cached, str) and revision and COMMIT.fullmatch(revision):
        return Path(cached)
    try:
        url = hf_hub_url(repo, file, revision=revision, repo_type=repo_type)
        get_hf_file_metadata(url, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    except Exception as error:
        if isinstance(cached, str) and not is_refusal(error):
            return Path(cached)
        raise
    return Path(hf_hub_download(repo, file, revision=revision, repo_type=repo_type))


def is_refusal(error: Exception) -> bool:
    """Return whether the Hub answered that it has no such file, or not for this user.

    What the cache holds then is of another time; a Hub that is out of order or busy says nothing
    of the file.
    """
    status = status_of(error)
    return status is not None and 400 <= status < 500 and status not in BUSY


@contextlib.contextmanager
def one_voice() -> Iterator[None]:
    """Keep huggingface_hub from reporting its retries, and its bars out of log files."""
    from huggingface_hub import utils

    before = utils.logging.get_verbosity()
    hide = not sys.stderr.isatty() and not utils.are_progress_bars_disabled()
    utils.logging.set_verbosity_error()
    if hide:
        utils.disable_progress_bars()
    try:
        yield
    finally:
        utils.logging.set_verbosity(before)
        if hide:
            utils.enable_progress_bars()


def explain(name: str, error: Exception) -> str:
    """Say why a file did not come, and what to do.

    Args:
      name: the file in words.
    """
    from huggingface_hub import errors

    status = status_of(error)
    links = list(chain(error))
    if any(isinstance(link, errors.OfflineModeIsEnabled) for link in links):
        return f"{name} is not in the cache and HF_HUB_OFFLINE is set; {ELSEWHERE}"
    if isinstance(error, errors.GatedRepoError):
        why = "its owner asks you to accept terms at the repository's page"
    elif isinstance(error, errors.RepositoryNotFoundError):
        why = f"there is no such repository, or it is private ({LOGIN})"
    elif isinstance(error, errors.RevisionNotFoundError):
        why = "the repository has no such revision"
    elif isinstance(error, errors.HFValidationError):
        why = first_line(error)
    elif status == 404:
        why = "the repository has no such file"
    elif "Consistency check failed" in str(error):
        why = f"the file came with another size than announced ({first_line(error)})"
    elif status in (401, 403):
        why = f"{cause_of(error, HUB)}; {LOGIN}"
    elif isinstance(error, OSError) and error.errno is not None and error.filename is not None:
        why = f"{error.filename}: {error.strerror}"
    elif status is not None:
        why = cause_of(error, HUB)
    else:
        return f"cannot download {name}: {cause_of(error, HUB)}; {ELSEWHERE}"
    return f"cannot download {name}: {why}"


def is_page(path: Path) -> bool:
    """Return whether a file begins as a web page does."""
    with path.open("rb") as file:
        begin = file.read(512).lstrip().lower()
    return begin.startswith((b"<!doctype html", b"<html"))


def forget(path: Path) -> None:
    """Take a file out of the cache: the name, and the content that the name links to."""
    content = path.resolve()
    path.unlink(missing_ok=True)
    content.unlink(missing_ok=True)
