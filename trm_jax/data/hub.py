"""Find files named by the user: on disk, or on the Hugging Face Hub.

The Hub is asked through huggingface_hub, so that its cache (HF_HOME), its offline mode
(HF_HUB_OFFLINE) and its login apply. A revision after `@` pins a download; a full commit hash
found in the cache needs no network. Nothing is downloaded unless a source says `hf:`.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

RepoType = Literal["model", "dataset"]

PREFIX = "hf:"
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
    path = Path(source).expanduser()
    if not path.exists():
        raise FileNotFoundError(
            f"{path} does not exist; name a file or folder, or hf:owner/name/file[@revision]"
        )
    return path


def download(source: HubFile, repo_type: RepoType) -> Path:
    """Fetch a file of the Hub, or find it in the cache.

    Raises:
      DownloadError: see `resolve`.
    """
    from huggingface_hub import hf_hub_download  # slow to import, and most runs are local
    from huggingface_hub.errors import (
        EntryNotFoundError,
        HFValidationError,
        LocalEntryNotFoundError,
    )

    name = f"{source.file} of {repo_type} {source.repo} at {source.revision or 'main'}"
    try:
        path = hf_hub_download(
            source.repo, source.file, revision=source.revision, repo_type=repo_type
        )
    except LocalEntryNotFoundError as error:
        raise DownloadError(
            f"{name} is not in the cache and the Hub cannot be reached (no network, or"
            " HF_HUB_OFFLINE is set); download it where there is network and give its path, or"
            " copy the cache and set HF_HOME"
        ) from error
    except (OSError, EntryNotFoundError, HFValidationError) as error:
        first = str(error).strip().splitlines()[0]
        raise DownloadError(f"cannot download {name}: {first}") from error
    return Path(path)
