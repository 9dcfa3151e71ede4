"""TRM and HRM in JAX/Flax, equal to the released PyTorch code: models, evaluation, training.

Read in this order:

    types.py config.py   the axis legend; configurations and presets
    models/              the networks, and the recursion that repeats them
    metrics.py evaluators.py   one rollout answers every depth
    intervals.py         errors and paired tests
    tasks/ data/         what a puzzle is; data sets
    training/            one update of training
    checkpoints/ convert/ zoo/   files of models, PyTorch releases, bundled models
    loading.py scores.py by name to a model and its puzzles; scores with their errors
    command_line/ output/   the frame of programs; the folders that they write
    sharding.py face.py  devices; public names

Nothing here knows quantisation (`quant`), files for devices (`export`) or programs
(`experiments`).
"""

from typing import TYPE_CHECKING

from trm_jax.face import lazy_names

if TYPE_CHECKING:
    from trm_jax.config import PRESETS, HRMConfig, TRMConfig, preset
    from trm_jax.evaluators import measure, trajectory
    from trm_jax.loading import LoadedModel, Puzzles, gather_calibration, load_model, load_puzzles
    from trm_jax.models.act import rollout
    from trm_jax.models.build import build
    from trm_jax.scores import Scores, evaluate
    from trm_jax.training.step import make_train_step

__all__ = [
    "PRESETS",
    "HRMConfig",
    "LoadedModel",
    "Puzzles",
    "Scores",
    "TRMConfig",
    "build",
    "evaluate",
    "gather_calibration",
    "load_model",
    "load_puzzles",
    "make_train_step",
    "measure",
    "preset",
    "rollout",
    "trajectory",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "trm_jax.config": ("HRMConfig", "PRESETS", "TRMConfig", "preset"),
        "trm_jax.evaluators": ("measure", "trajectory"),
        "trm_jax.loading": (
            "LoadedModel",
            "Puzzles",
            "gather_calibration",
            "load_model",
            "load_puzzles",
        ),
        "trm_jax.models.act": ("rollout",),
        "trm_jax.models.build": ("build",),
        "trm_jax.scores": ("Scores", "evaluate"),
        "trm_jax.training.step": ("make_train_step",),
    },
)
