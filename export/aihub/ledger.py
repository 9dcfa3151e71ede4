"""Requests to AI Hub, on disk: ids are written as soon as they are known, before waiting.

    FILE    one JSON object per line: {"key": ..., "id": ..., "url": ...}

A key names one request by its content (upload/SHA, job/SHA/device/...), so the same command finds
its models, data sets and jobs again after a kill, a time-out or a lost connection, and spends no
job twice. Lines are appended and synced; a last line without its newline was cut off by a kill
and is dropped. The last line of a key counts; an empty id cancels a request.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from trm_jax.typed_json import parse_json, read_fields


@dataclass(frozen=True, kw_only=True)
class LedgerEntry:
    """A request that was accepted.

    Attributes:
      id: of the model, data set or job; empty where it is void: expired, or failed and given up.
      url: of its page.
    """

    key: str
    id: str
    url: str = ""


class Ledger:
    """The file, and its entries in memory.

    Raises:
      ValueError: a line is damaged.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.entries: dict[str, LedgerEntry] = {}
        if not file.exists():
            return
        content = file.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(file, whole)
        for number, line in enumerate(content[:whole].splitlines(), start=1):
            try:
                entry = read_fields(LedgerEntry, parse_json(line))
            except ValueError as error:
                raise ValueError(
                    f"{file}, line {number} is damaged ({error}); delete that line: its job is then"
                    " asked for again"
                ) from error
            self.entries[entry.key] = entry

    def find(self, key: str) -> str:
        """Look up the id of a request; empty if there is none."""
        return self.entries[key].id if key in self.entries else ""

    def add(self, key: str, id: str, url: str = "") -> None:
        """Write an entry and wait until it is on the disk."""
        entry = LedgerEntry(key=key, id=id, url=url)
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("ab") as out:
            out.write((json.dumps(asdict(entry)) + "\n").encode())
            out.flush()
            os.fsync(out.fileno())
        self.entries[key] = entry
