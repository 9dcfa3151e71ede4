"""What is counted: configurations and schemes by name, those of the paper where none is named.

Nothing here imports jax at once: the command line's defaults are these.
"""

from trm_jax.config import PRESETS, Config, preset
from trm_jax.data.hub import local_path

PUBLISHED = tuple(name for name in PRESETS if not name.endswith(("-mini", "-midi")))
"""The published configurations."""

SCHEMES = (
    "fp32",
    "fp16",
    "int8",
    "int4_naive",
    "int4_calibrated",
    "w8c-sym_a8s",
    "tflm_int8_int8",
    "tflm_int4_int8",
    "tflm_int4_int16",
)
"""The paper's schemes, and the ones a device without float memory runs."""


COUNTED_DECODERS = (
    "sudoku-ar-mini",
    "maze-ar-mini",
    "smollm2-135m",
    "qwen2.5-0.5b",
    "qwen2.5-7b",
)
"""Decoders that are counted where no model is named (decoders.py)."""

DECODER_SCHEMES = (
    "fp32",
    "fp16",
    "w8c-sym",
    "w8c-sym_carry8",
    "w4c-sym_carry8",
    "w4c-sym_a16s_carry8",
)
"""Of decoders, where no scheme is named; the last is W4A16KV8 of arXiv 2603.16867."""


def config_of(name: str) -> Config:
    """Find a configuration by preset or model directory.

    Raises:
      ValueError: neither, or a damaged directory.
    """
    from trm_jax.checkpoints import model_files  # imports jax: not for the command line

    folder = local_path(name)
    if name not in PRESETS and (folder / model_files.CONFIG_FILE).is_file():
        return model_files.load_model(folder)[0]
    return preset(name)
