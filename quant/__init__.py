"""From float weights to the integers a device stores, and a simulation that computes with them.

Read in this order:

    affine.py            the grid: four verbs, and every integer is made by them
    packing.py           bytes of integers of 2 to 8 bits
    scheme.py            what is quantised and how, with names that decode themselves
    precision_plan.py    one scheme per role of a matrix
    dot_general.py carry.py   products on quantised operands; the carry in memory
    ptq/                 calibration along trajectories, and how weights are rounded
    integer/             TFLite Micro's integer arithmetic in JAX, bit for bit
    simulation.py        THE way from a model and a plan to one that computes like the device
    prune.py puzzle_table.py  pruning; the puzzle table's own compression

Not here: files for devices (`export`).
"""

from typing import TYPE_CHECKING

from trm_jax.face import lazy_names

if TYPE_CHECKING:
    from quant.affine import Grid, QTensor
    from quant.precision_plan import PrecisionPlan
    from quant.ptq.weights import quantise_params
    from quant.scheme import Scheme, parse
    from quant.simulation import Simulation, calibrate_on, simulate

__all__ = [
    "Grid",
    "PrecisionPlan",
    "QTensor",
    "Scheme",
    "Simulation",
    "calibrate_on",
    "parse",
    "quantise_params",
    "simulate",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "quant.affine": ("Grid", "QTensor"),
        "quant.precision_plan": ("PrecisionPlan",),
        "quant.ptq.weights": ("quantise_params",),
        "quant.scheme": ("Scheme", "parse"),
        "quant.simulation": ("Simulation", "calibrate_on", "simulate"),
    },
)
