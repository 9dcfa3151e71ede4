"""What AI Hub's jobs leave on the disk: the ledger, profiles, results."""

from pathlib import Path
from typing import Any

import numpy as np

from tests.fuzz import oracles
from tests.fuzz.contract import InputKind, Unreadable
from tests.fuzz.documents import mutate_folder

LEDGER, JOB = "jobs.jsonl", "j1"


def make_ledger(folder: Path) -> None:
    from export.aihub.ledger import Ledger

    ledger = Ledger(folder / LEDGER)
    for i, key in enumerate(("upload/ab", "job/ab/device", "upload/ab", "void")):
        ledger.add(key, "" if key == "void" else f"j{i}", f"https://example.com/{i}")


def read_ledger(folder: Path) -> Any:
    from export.aihub.ledger import Ledger

    entries = Ledger(folder / LEDGER).entries
    return {key: (entry.id, entry.url) for key, entry in entries.items()}


def ledger_says(folder: Path) -> Any:
    """Read the whole lines; the last of a key counts."""
    said: dict[str, Any] = {}
    file = folder / LEDGER
    for line in file.read_bytes().split(b"\n")[:-1] if file.exists() else ():
        entry = oracles.strict_json(line)
        oracles.check_types(entry, {"key": "", "id": "", "url": ""})
        try:
            said[entry["key"]] = (entry["id"], entry.get("url", ""))
        except (KeyError, TypeError) as error:
            raise Unreadable(str(error)) from error
    return said


def make_results(folder: Path) -> None:
    from export.aihub.results import save_results

    rng = np.random.default_rng(0)
    outputs = {
        name: list(rng.normal(size=(2, *shape)).astype(np.float32))
        for name, shape in (("z_H", (1, 4, 8)), ("logits", (1, 4, 6)))
    }
    save_results(folder, JOB, outputs, PROFILE)


PROFILE = {
    "execution_summary": {
        "estimated_inference_time": 1500.0,
        "all_inference_times": [1500.0, 1700.0],
        "estimated_inference_peak_memory": 4096,
        "inference_memory_peak_range": [1024, 4096],
        "warm_load_time": 900.0,
    },
    "execution_detail": [
        {"name": "a", "type": "MatMul", "compute_unit": "NPU", "execution_time": 7},
        {"name": "b", "type": "Add", "compute_unit": "CPU", "execution_time": 3},
    ],
}


def read_results(folder: Path) -> Any:
    """Read outputs and profile as a deployment does."""
    from export.aihub.profile import read_profile
    from export.aihub.results import load_results

    outputs, document = load_results(folder, JOB)
    profile = read_profile(document)
    layers = [(x.name, x.kind, x.unit.value, x.microseconds) for x in profile.layers]
    numbers = (profile.call_ms, list(profile.all_ms), profile.peak_bytes, profile.load_ms)
    return oracles.digests({k: np.stack(v) for k, v in outputs.items()}), numbers, layers


def results_say(folder: Path) -> Any:
    """Read the archive by numpy and the profile by json."""
    document = oracles.document(folder, f"{JOB}.json")
    try:
        with np.load(folder / f"{JOB}.npz", allow_pickle=False) as archive:
            arrays = {name.partition("/")[2]: archive[name] for name in archive.files}
        summary = document.get("execution_summary", {})
        layers = [
            (x.get("name", ""), x.get("type", ""), x["compute_unit"], x.get("execution_time"))
            for x in document.get("execution_detail", [])
        ]
        return oracles.digests(arrays), numbers_say(summary), layers
    except Exception as error:  # whatever a damaged file makes numpy raise
        raise Unreadable(str(error)) from error


def numbers_say(summary: dict[str, Any]) -> Any:
    estimate = summary["estimated_inference_time"]
    if not estimate > 0:
        raise Unreadable("no latency")
    span, single = (
        summary.get("inference_memory_peak_range"),
        summary.get("estimated_inference_peak_memory"),
    )
    if span is not None and len(span) != 2:
        raise Unreadable("a range of two numbers")
    peak = span[1] if span and span[1] else single if single and single > 0 else None
    load = summary.get("warm_load_time")
    runs = [t / 1e3 for t in summary.get("all_inference_times") or []]
    return estimate / 1e3, runs, peak, load / 1e3 if load is not None and load > 0 else None


WORDS = ("line ", "field", "profile")

HUB = (
    InputKind(
        name="ledger",
        right="json reads the same whole lines; the last of a key counts",
        make=make_ledger,
        mutate=lambda folder, rng: mutate_folder(folder, rng),
        read=read_ledger,
        says=ledger_says,
        names=WORDS,
    ),
    InputKind(
        name="job-results",
        right="numpy and json read the same arrays and numbers",
        make=make_results,
        mutate=lambda folder, rng: mutate_folder(folder, rng, documents=0.9),
        read=read_results,
        says=results_say,
        names=WORDS,
    ),
)
