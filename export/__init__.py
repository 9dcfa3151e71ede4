"""From a quantised model to files that LiteRT, TFLM, ONNX Runtime and AI Hub run.

What a file computes is what the simulation (`quant`) computed, and every export is checked against
it. Read in this order:

    targets.py    what runs a file: one record of facts per runtime
    pipeline.py   simulate, lower, refuse what is illegal, write, try, record
    lowering/     a model becomes operator graphs
    graph/        operator graphs and their files
    legality/     what a runtime computes right
    runtimes/     running a graph
    artifact/     an export on disk: opened, run, checked
    cortex_m/     a package for a board; firmware/ is its C
    board/        a puzzle solved by a board: emulated, or behind a serial port
    ethos_u/      graphs compiled for an NPU
    aihub/        Qualcomm AI Hub
    footprint/    bytes, work and energy from shapes alone

Programs: `python -m export.{tflite,onnx,verify,solve,micro,board}`; options.py has what they share,
job.py what the first two do. The names that a whole way needs, from a model's name to a solved
puzzle, are all here: those of `trm_jax` and `quant` too (examples/quickstart.py). Not here:
measuring whole data sets (`experiments.deploy`).
"""

from typing import TYPE_CHECKING

from trm_jax.face import lazy_names

if TYPE_CHECKING:
    from export.artifact.open import Export, open_artifact
    from export.artifact.single_puzzle import answer_puzzle
    from export.artifact.solver import Solver
    from export.pipeline import export_model
    from export.targets import Target
    from quant.scheme import parse
    from quant.simulation import simulate
    from trm_jax.loading import gather_calibration, load_model, load_puzzles
    from trm_jax.scores import evaluate

__all__ = [
    "Export",
    "Solver",
    "Target",
    "answer_puzzle",
    "evaluate",
    "export_model",
    "gather_calibration",
    "load_model",
    "load_puzzles",
    "open_artifact",
    "parse",
    "simulate",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "export.artifact.open": ("Export", "open_artifact"),
        "export.artifact.single_puzzle": ("answer_puzzle",),
        "export.artifact.solver": ("Solver",),
        "export.pipeline": ("export_model",),
        "export.targets": ("Target",),
        "quant.scheme": ("parse",),
        "quant.simulation": ("simulate",),
        "trm_jax.loading": ("gather_calibration", "load_model", "load_puzzles"),
        "trm_jax.scores": ("evaluate",),
    },
)
