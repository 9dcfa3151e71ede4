"""What a machine does: samples and floating point operations a second, and the share of its peak.

Peaks are dense bfloat16 rates of the makers' data sheets, in FLOP/s per device; a device that is
not listed has none, and no share is told.
"""

from typing import NamedTuple

from trm_jax.config import Config, flops_per_update

PEAKS = {
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L4": 121e12,
    "TPU v4": 275e12,
    "TPU v5 lite": 197e12,
    "TPU v5p": 459e12,
    "TPU v5": 459e12,
    "TPU v6": 918e12,
}
"""Part of a device's name to its peak; the first that matches counts."""


def peak_of(kind: str) -> float | None:
    """Find the peak of a device by what jax calls it."""
    return next((peak for name, peak in PEAKS.items() if name.lower() in kind.lower()), None)


class MeasuredSpeed(NamedTuple):
    """Updates that were timed, after compiling.

    Attributes:
      updates: how many.
      seconds: that they took together.
      batch_size: puzzles of one.
    """

    updates: int
    seconds: float
    batch_size: int

    @property
    def updates_per_second(self) -> float:
        return self.updates / self.seconds

    @property
    def samples_per_second(self) -> float:
        return self.updates_per_second * self.batch_size

    def flops_per_second(self, config: Config) -> float:
        """Rate by the analytic count of an update (trm_jax/config.py)."""
        return self.samples_per_second * flops_per_update(config)

    def describe(self, config: Config, kind: str, devices: int) -> str:
        """Say it in a line."""
        rate, peak = self.flops_per_second(config), peak_of(kind)
        share = (
            f"no peak is known of {kind}"
            if peak is None
            else f"{rate / (devices * peak):.1%} of {devices * peak / 1e12:,.0f} (bfloat16)"
        )
        return (
            f"{self.updates} updates in {self.seconds:.2f} s: {self.updates_per_second:.2f}"
            f" updates/s, {self.samples_per_second:,.0f} samples/s,"
            f" {rate / 1e12:.3g} TFLOP/s, {share}"
        )


def check_floor(speed: MeasuredSpeed, floor: float | None, least: int, seconds: float) -> None:
    """Stop a run that would come to nothing.

    Args:
      floor: samples/s that were asked for; None: what `least` updates in `seconds` need.

    Raises:
      ValueError: the machine is slower.
    """
    needed = least * speed.batch_size / max(seconds, 1e-9) if floor is None else floor
    if speed.samples_per_second < needed:
        why = f"{least} updates in {seconds:.0f} s need it" if floor is None else "--floor"
        raise ValueError(
            f"{speed.samples_per_second:,.0f} samples/s are less than {needed:,.0f} ({why}):"
            " take more --minutes, a smaller --batch-size or --preset, or a lower --floor"
        )
