"""Every file a model or a training run is stored in.

Read in this order:

    tensor_files.py    safetensors with NumPy alone
    model_files.py     a model directory: model.safetensors and config.json
    training_state.py  states of a training run, by Orbax
    file_parts.py      a stream of bytes in parts small enough to carry
    compact_state.py   a training state in few small files

Not here: PyTorch files (trm_jax/convert), finding a model by name (trm_jax/loading.py).
"""

from typing import TYPE_CHECKING

from trm_jax.face import lazy_names

if TYPE_CHECKING:
    from trm_jax.checkpoints.model_files import load_model, save_model
    from trm_jax.checkpoints.training_state import TrainCheckpointer

__all__ = ["TrainCheckpointer", "load_model", "save_model"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "trm_jax.checkpoints.model_files": ("load_model", "save_model"),
        "trm_jax.checkpoints.training_state": ("TrainCheckpointer",),
    },
)
