"""From a quantised model to files that LiteRT, TFLM, ONNX Runtime and AI Hub run.

What a file computes is what the simulation (`quant`) computed, and every export is checked against
it. Read in this order:

    targets.py    what runs a file: one record of facts per runtime
    pipeline.py   lower, refuse what is illegal, write, try, record
    lowering/     a model becomes operator graphs
    graph/        operator graphs and their files
    legality/     what a runtime computes right
    runtimes/     running a graph
    artifact/     an export on disk: opened, run, checked
    cortex_m/     a package for a board; firmware/ is its C
    aihub/        Qualcomm AI Hub
    footprint/    bytes, work and energy from shapes alone

Programs: `python -m export.{tflite,onnx,verify,solve,micro}`; options.py has what they share, and
job.py what the first two do. Not here: measuring whole data sets
(`experiments.deploy`).
"""

from typing import TYPE_CHECKING

from trm_jax.face import lazy_names

if TYPE_CHECKING:
    from export.artifact.open import open_artifact
    from export.artifact.solver import Solver
    from export.pipeline import export_model
    from export.targets import Target

__all__ = ["Solver", "Target", "export_model", "open_artifact"]

__getattr__ = lazy_names(
    __name__,
    {
        "export.targets": ("Target",),
        "export.pipeline": ("export_model",),
        "export.artifact.open": ("open_artifact",),
        "export.artifact.solver": ("Solver",),
    },
)
