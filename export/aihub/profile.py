"""A profile of AI Hub as numbers: time, memory, and which unit ran every layer.

The client gives microseconds and bytes; what it has no number for (missing, null, -1) is None here,
never 0. Fields that nobody reads here may hold anything; those that are read have their types.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from export.aihub.devices import Unit
from trm_jax.typed_json import read_fields


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


@dataclass(frozen=True, kw_only=True)
class ExecutionSummary:
    """The numbers of a profile that are read, by the service's names: microseconds and bytes."""

    estimated_inference_time: int | float | None = None
    all_inference_times: tuple[int | float, ...] | None = None
    inference_memory_peak_range: tuple[int | None, int | None] | None = None
    estimated_inference_peak_memory: int | None = None
    warm_load_time: int | float | None = None


@dataclass(frozen=True, kw_only=True)
class ExecutionDetail:
    """What is read of a layer, by the service's names."""

    compute_unit: Unit
    name: str = ""
    type: str = ""
    execution_time: int | None = None


def read_profile(profile: Any) -> Profile:
    """Read the dictionary of `InferenceJob.download_profile`.

    Raises:
      ValueError: it has no latency, or a field is of another type; the message names it.
    """
    try:
        document = read_fields(dict[str, Any], profile)
        found = document.get("execution_summary", {})
        summary = read_fields(ExecutionSummary, _known(ExecutionSummary, found))
        detail = read_fields(tuple[Any, ...], document.get("execution_detail", ()))
        layers = [
            read_fields(ExecutionDetail, _known(ExecutionDetail, values)) for values in detail
        ]
    except ValueError as error:
        raise ValueError(f"the profile is none of AI Hub's: {error}") from error
    estimate = summary.estimated_inference_time
    if estimate is None or estimate <= 0:
        raise ValueError("the profile has no latency; see the job's page for its log")
    return Profile(
        call_ms=estimate / 1e3,
        all_ms=tuple(t / 1e3 for t in summary.all_inference_times or ()),
        peak_bytes=_peak(summary),
        load_ms=_thousandth(summary.warm_load_time),
        layers=tuple(Layer(x.name, x.type, x.compute_unit, x.execution_time) for x in layers),
    )


def _known(kind: type[Any], values: Any) -> Any:
    """Keep the fields of a table that a dataclass has."""
    if not isinstance(values, Mapping):
        return values  # whose type `read_fields` names
    names = {field.name for field in fields(kind)}
    return {name: value for name, value in values.items() if name in names}


def _peak(summary: ExecutionSummary) -> int | None:
    span = summary.inference_memory_peak_range
    if span is not None and span[1]:
        return span[1]
    single = summary.estimated_inference_peak_memory
    return single if single is not None and single > 0 else None


def _thousandth(value: int | float | None) -> float | None:
    return value / 1e3 if value is not None and value > 0 else None
