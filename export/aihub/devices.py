"""Phones and boards of Qualcomm AI Hub that the paper measured, and what their NPUs compute.

A job on a device that lacks a precision does not fail: its layers run on the CPU, and the number
looks like the NPU's. So `npu_warning` says it before a job is spent; afterwards the profile says
where every layer ran (profile.py).

    Dragonwing RB3 Gen 2    integers of 8 bits only: float and 16-bit layers run on the CPU
    other devices           not known here: AI Hub's own answer decides

Sources: paper, App. G; AI Hub's device pages. Not here: speeds, and the list of all devices
(`hub.get_devices`), which changes.
"""

import enum
from dataclasses import dataclass


class Unit(enum.Enum):
    """Where a layer runs, by AI Hub's names."""

    CPU = "CPU"
    GPU = "GPU"
    NPU = "NPU"
    UNSPECIFIED = "UNSPECIFIED"


class Precision(enum.Enum):
    """Bits of weights and activations, in AI Hub's words."""

    FLOAT = "float"
    W8A8 = "w8a8"
    W8A16 = "w8a16"
    W4A8 = "w4a8"
    W4A16 = "w4a16"


@dataclass(frozen=True, kw_only=True)
class HubDevice:
    """A device by AI Hub's name.

    Attributes:
      paper_name: in Table 11.
      npu: precisions that its NPU computes.
    """

    name: str
    paper_name: str
    chipset: str
    npu: frozenset[Precision]


DEVICES = {
    device.name: device
    for device in (
        HubDevice(
            name="Samsung Galaxy S24",
            paper_name="Galaxy S24",
            chipset="Snapdragon 8 Gen 3 (SM8650, Hexagon v75)",
            npu=frozenset(Precision),
        ),
        HubDevice(
            name="Samsung Galaxy S22 5G",
            paper_name="Galaxy S22",
            chipset="Snapdragon 8 Gen 1 (SM8450, Hexagon v70)",
            npu=frozenset(Precision),
        ),
        HubDevice(
            name="Dragonwing RB3 Gen 2 Vision Kit",
            paper_name="Dragonwing",
            chipset="QCS6490",
            npu=frozenset({Precision.W8A8}),
        ),
    )
}
"""The devices of Table 11."""


def npu_warning(device: str, precision: Precision) -> str:
    """Say what a device's NPU will not do; empty where it does all, or nothing is known."""
    facts = DEVICES.get(device)
    if facts is None:
        return (
            f"{device}: what its NPU computes is not known here; look at the layers per unit below"
        )
    if precision not in facts.npu:
        return (
            f"{device} ({facts.chipset}): its NPU computes"
            f" {', '.join(sorted(p.value for p in facts.npu))} only, so {precision.value} runs on"
            " the CPU there"
        )
    if Precision.FLOAT not in facts.npu:
        return (
            f"{device} ({facts.chipset}): its NPU has no float: what stands between the integer"
            " products (norms, SiLU, sums) runs on the CPU there"
        )
    return ""
