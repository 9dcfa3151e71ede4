"""Decoders from files: Llama, Qwen2 and Qwen2.5 as others store them.

Read in this order:

    name_table.py      names of releases and of our leaves, both ways
    release_config.py  config.json: every field is computed, or refused
    release.py         folders of safetensors, whole or in shards, and the Hub
    gguf_files.py      GGUF, with quantised tensors
    adapter_files.py   low-rank adapters in PEFT's layout
    tokenizer.py       text as tokens
    loading.py         from a name to a decoder

Not here: decoders that this project trained (they are folders of its own format).
"""

from typing import TYPE_CHECKING

from trm_jax.face import lazy_names

if TYPE_CHECKING:
    from trm_jax.decoder.files.adapter_files import load_adapters, save_adapters
    from trm_jax.decoder.files.loading import LoadedDecoder, load_decoder
    from trm_jax.decoder.files.release import save_release

__all__ = ["LoadedDecoder", "load_adapters", "load_decoder", "save_adapters", "save_release"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "trm_jax.decoder.files.adapter_files": ("load_adapters", "save_adapters"),
        "trm_jax.decoder.files.loading": ("LoadedDecoder", "load_decoder"),
        "trm_jax.decoder.files.release": ("save_release",),
    },
)
