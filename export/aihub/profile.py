"""A profile of AI Hub as numbers: time, memory, and which unit ran every layer.

The client gives microseconds and bytes; what it has no number for is None here, never 0.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from export.aihub.devices import Unit


class Layer(NamedTuple):
    """A layer as the device ran it; `unit` decides whether a latency is the NPU's."""

    name: str
    kind: str
    unit: Unit
    microseconds: int | None


class Profile(NamedTuple):
    """What a job measured.

    Attributes:
      call_ms: AI Hub's estimate, the least of its runs; all_ms: every run.
      peak_bytes: upper end of the peak while it ran.
    """

    call_ms: float
    all_ms: tuple[float, ...]
    peak_bytes: int | None
    load_ms: float | None
    layers: tuple[Layer, ...]

    @property
    def units(self) -> dict[Unit, int]:
        """Count layers per unit."""
        return dict(Counter(layer.unit for layer in self.layers))


def read_profile(profile: Mapping[str, Any]) -> Profile:
    """Read the dictionary of `InferenceJob.download_profile`.

    Raises:
      ValueError: it has no latency.
    """
    summary, detail = profile.get("execution_summary", {}), profile.get("execution_detail", [])
    estimate = summary.get("estimated_inference_time")
    if not estimate:
        raise ValueError("the profile has no latency; see the job's page for its log")
    return Profile(
        call_ms=estimate / 1e3,
        all_ms=tuple(t / 1e3 for t in summary.get("all_inference_times") or ()),
        peak_bytes=_peak(summary),
        load_ms=_thousandth(summary.get("warm_load_time")),
        layers=tuple(_layer(values) for values in detail),
    )


def _layer(values: Mapping[str, Any]) -> Layer:
    return Layer(
        str(values.get("name", "")),
        str(values.get("type", "")),
        Unit(values["compute_unit"]),
        values.get("execution_time"),
    )


def _peak(summary: Mapping[str, Any]) -> int | None:
    span = summary.get("inference_memory_peak_range")
    if isinstance(span, tuple | list) and len(span) == 2 and span[1]:
        return int(span[1])
    single = summary.get("estimated_inference_peak_memory")
    return int(single) if isinstance(single, int) and single > 0 else None


def _thousandth(value: Any) -> float | None:
    return value / 1e3 if isinstance(value, int) and value > 0 else None
