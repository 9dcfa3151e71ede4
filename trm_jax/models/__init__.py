"""The networks (Flax modules with parameters) and the recursion (pure functions that repeat them).

Read in this order:

    layers.py      norm, rotary positions, Dense, SwiGLU, embeddings
    attention.py   softmax attention and its kernels, linear attention
    blocks.py      mixing between positions, and the block
    recursion.py   the cycles, as pure functions of the networks they repeat
    reasoner.py    configuration and module, seen as functions of weights
    trm.py hrm.py  the wiring of the two architectures
    act.py         supervision steps: carry, halting, the rollout
    build.py       from a configuration to its reasoner

Not here: training, evaluation, files.
"""

from trm_jax.models.act import rollout
from trm_jax.models.build import build
from trm_jax.models.reasoner import Reasoner
from trm_jax.models.recursion import run_cycles

__all__ = ["Reasoner", "build", "rollout", "run_cycles"]
