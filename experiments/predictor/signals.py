"""What a predictor is judged on: every (model, scheme, depth) as signals and accuracy lost.

Signals that need full precision as a reference: 1 - fidelity at the depth, and after one
supervision step. Signals of the compressed model alone: the relative change over the last
H-cycle (residual, a velocity), 1 - cosine to the state one H-cycle before, and 1 - the paper's
consecutive similarity of the first step. All point the same way: more should mean more damage.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from experiments.render.tables import Record
from experiments.sweep.outcomes import Sweep, SweepOutcome, compare
from experiments.sweep.rows import SweepSpec
from quant.scheme import label
from trm_jax import intervals
from trm_jax.intervals import Interval


@dataclass(frozen=True, kw_only=True)
class Point:
    """A scheme on a model at a depth.

    Attributes:
      model, scheme: names; cycles: H-cycles; full_depth: it is the deepest cell.
      puzzles: n.
      full_exact: exact match in full precision at this depth.
      loss: exact match lost to the scheme, with its paired interval.
      cell_loss: cell accuracy lost.
      signals: by the names of SIGNALS.
      fidelity: at the depth, with its interval.
    """

    model: str
    scheme: str
    cycles: int
    full_depth: bool
    puzzles: int
    full_exact: float
    loss: Interval
    cell_loss: float
    signals: dict[str, float]
    fidelity: Interval

    @property
    def curve(self) -> tuple[str, str]:
        """What is drawn anew in a bootstrap: a scheme on a model, all depths together."""
        return self.model, self.scheme


ONE_STEP = "1 - fidelity after one step"
SIGNALS: dict[str, Callable[[SweepOutcome, int, int], float]] = {
    "1 - fidelity at the depth": lambda o, cycles, step: 1 - o.fidelity(cycles).value,
    ONE_STEP: lambda o, cycles, step: 1 - o.fidelity(step).value,
    "residual (velocity)": lambda o, cycles, step: o.residual(cycles).value,
    "1 - similarity to the last cycle": lambda o, cycles, step: 1 - o.similarity(cycles).value,
    "1 - consecutive similarity": lambda o, cycles, step: 1 - o.call_similarity.value,
}
"""Signals as functions of (scheme, depth, H-cycles of one supervision step)."""

NEEDS_REFERENCE = tuple(SIGNALS)[:2]


def told_apart(sweeps: Sequence[Sweep]) -> list[Sweep]:
    """Give different models of one name (that of a folder, say) names of their own.

    Returns:
      The sweeps, with the beginning of the model's hash behind such a name.
    """
    hashes: dict[str, set[str]] = {}
    for sweep in sweeps:
        hashes.setdefault(sweep.spec.model, set()).add(sweep.spec.model_sha256)
    return [
        sweep if len(hashes[sweep.spec.model]) == 1 else sweep._replace(spec=_with_hash(sweep.spec))
        for sweep in sweeps
    ]


def _with_hash(spec: SweepSpec) -> SweepSpec:
    return dataclasses.replace(spec, model=f"{spec.model} ({spec.model_sha256[:8]})")


def points(sweep: Sweep) -> list[Point]:
    """List every compressed scheme at every depth of a sweep."""
    return [
        point(sweep, outcome, cycles)
        for outcome in sweep.outcomes[1:]
        for cycles in sweep.spec.grid.cycles
    ]


def point(sweep: Sweep, outcome: SweepOutcome, cycles: int) -> Point:
    """Compare one scheme with full precision at one depth."""
    spec, full = sweep.spec, sweep.reference
    change = intervals.paired_difference(compare(full, outcome, cycles))
    return Point(
        model=spec.model,
        scheme=label(outcome.scheme, spec.dtype),
        cycles=cycles,
        full_depth=cycles == spec.grid.deepest,
        puzzles=outcome.num_puzzles,
        full_exact=full.exact(cycles).value,
        loss=Interval(0.0 - change.value, 0.0 - change.high, 0.0 - change.low),
        cell_loss=full.cell(cycles).value - outcome.cell(cycles).value,
        signals={name: f(outcome, cycles, spec.grid.H_cycles) for name, f in SIGNALS.items()},
        fidelity=outcome.fidelity(cycles),
    )


def records(sample: Sequence[Point]) -> list[Record]:
    """Flatten points for a CSV file."""
    return [
        {
            "model": p.model,
            "scheme": p.scheme,
            "h_cycles": p.cycles,
            "puzzles": p.puzzles,
            "full_exact": p.full_exact,
            "loss": p.loss.value,
            "loss_low": p.loss.low,
            "loss_high": p.loss.high,
            "cell_loss": p.cell_loss,
            **p.signals,
        }
        for p in sample
    ]
