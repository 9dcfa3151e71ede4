"""Autoregressive reasoners: decoders that write their reasoning down, token by token.

Read in this order:

    config.py        sizes of Llama and Qwen2.5
    kv_cache.py      keys and values seen so far, the state of a decoder
    lora.py          low-rank adapters, masked by position
    transformer.py   the network, seen as pure functions of its parameters
    generate.py      prefill and decoding
    tuning.py        supervised traces, for parameters or for adapters
    policy_gradient.py
                     reinforcement under a budget of tokens
    judges.py        switcher and verifier, which read a decoder's states; votes
    training.py      next-token loss over traces, one update
    model_folder.py  decoders of puzzles as files; loading.py, by name

Not here: what tokens of a puzzle mean (trm_jax/tasks), quantisation (quant), programs
(experiments/decode).
"""

from typing import TYPE_CHECKING

from trm_jax.face import lazy_names

if TYPE_CHECKING:
    from trm_jax.decoder.config import DECODER_PRESETS, DecoderConfig, decoder_preset
    from trm_jax.decoder.generate import Generation, Sampling, generate
    from trm_jax.decoder.judges import SWITCHER, VERIFIER, JudgeRecipe, train_judge
    from trm_jax.decoder.lora import LoraConfig, init_adapters
    from trm_jax.decoder.policy_gradient import PolicyRecipe, PolicyTrainer
    from trm_jax.decoder.transformer import Decoder

__all__ = [
    "DECODER_PRESETS",
    "SWITCHER",
    "VERIFIER",
    "Decoder",
    "DecoderConfig",
    "Generation",
    "JudgeRecipe",
    "LoraConfig",
    "PolicyRecipe",
    "PolicyTrainer",
    "Sampling",
    "decoder_preset",
    "generate",
    "init_adapters",
    "train_judge",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "trm_jax.decoder.config": ("DECODER_PRESETS", "DecoderConfig", "decoder_preset"),
        "trm_jax.decoder.generate": ("Generation", "Sampling", "generate"),
        "trm_jax.decoder.judges": ("SWITCHER", "VERIFIER", "JudgeRecipe", "train_judge"),
        "trm_jax.decoder.lora": ("LoraConfig", "init_adapters"),
        "trm_jax.decoder.policy_gradient": ("PolicyRecipe", "PolicyTrainer"),
        "trm_jax.decoder.transformer": ("Decoder",),
    },
)
