"""The table of halting that sweeps and deployments share: steps and answers, beside full depth.

Not here: the numbers (experiments/measurement/halting.py).
"""

from collections.abc import Callable, Mapping, Sequence

from experiments.render.tables import Record, Table, p_text, points_text, with_interval
from trm_jax.halting import NEVER
from trm_jax.intervals import Interval, interval_of

Column = Callable[[Record], str]


def halting_table(
    title: str,
    listed: Sequence[Record],
    breaks: frozenset[int] = frozenset(),
    *,
    prefix: str = "halted_",
    extra: Mapping[str, Column] | None = None,
) -> Table:
    """Lay records out that have the fields of `halting_fields`.

    Args:
      prefix: as of `halting_fields`.
      extra: heading -> text of columns behind the scheme's name.
    """
    columns = {
        "Variant": lambda r: r["scheme"],
        **(extra or {}),
        "Halting": lambda r: r["halting"],
        "PExact": lambda r: with_interval(interval_of(r, f"{prefix}exact")),
        "Steps\nmean": lambda r: _steps_text(interval_of(r, "mean_steps")),
        "Steps\n95th percentile": lambda r: str(r["late_steps"]),
        "PExact - full\ndepth, pp": lambda r: _unless_never(
            r, points_text(interval_of(r, f"{prefix}exact_difference"))
        ),
        "McNemar p": lambda r: _unless_never(r, p_text(r[f"{prefix}mcnemar_p"])),
    }
    rows = tuple(tuple(write(r) for write in columns.values()) for r in listed)
    return Table(title, tuple(columns), rows, breaks)


def _unless_never(record: Record, text: str) -> str:
    """Leave out what compares full depth with itself."""
    return "" if record["halting"] == NEVER.name else text


def _steps_text(steps: Interval) -> str:
    """Write a mean number of steps; no puzzle takes less than one, whatever few of them suggest."""
    return f"{steps.value:.2f}\n[{max(steps.low, 1.0):.2f}, {steps.high:.2f}]"
