"""The adapter that studies share: a decoder of traces learns to answer directly.

It is trained on the answers alone, without the work before them, and acts on written tokens, so
that the prompt's cache is the base model's.
"""

import argparse
from dataclasses import replace

import jax
import jax.numpy as jnp

from experiments.decode.studies.folder import StudyFolder
from experiments.decode.studies.subject import StudySubject
from experiments.decode.studies.traces import TRAINING_BATCH, TraceDraws, Work
from trm_jax.decoder.lora import AdaptedRows, Adapters, LoraConfig, init_adapters
from trm_jax.decoder.tuning import TraceTuner, TuningRecipe, TuningState, start_tuning

ALPHA_OF_RANK = 2
"""The study's: alpha is twice the rank."""


def lora_of(args: argparse.Namespace) -> LoraConfig:
    """Read the sizes of adapters."""
    return LoraConfig(rank=args.rank, alpha=float(ALPHA_OF_RANK * args.rank))


def direct_adapters(
    args: argparse.Namespace, subject: StudySubject, folder: StudyFolder, name: str
) -> AdaptedRows:
    """Train adapters on direct answers, on the subject's weights as they are (quantised or not)."""
    lora = lora_of(args)
    recipe = TuningRecipe(
        updates=args.supervised_updates, learning_rate=args.adapter_lr, seed=args.seed
    )
    tuner = TraceTuner(subject.network, recipe, base=subject.params, lora=lora)
    draws = TraceDraws(subject, Work.NONE, args.batch_size or TRAINING_BATCH, args.seed)

    def update(state: TuningState, number: int) -> tuple[TuningState, str]:
        state, loss = tuner.step(state, *draws.at(number))
        return state, f"{float(loss):.3f} nats a token"

    first: Adapters = init_adapters(jax.random.key(args.seed), subject.params, lora)
    state = folder.trained(name, start_tuning(first), recipe.updates, update)
    return AdaptedRows(state.tuned, jnp.float32(lora.scale))


def without_scheme(subject: StudySubject) -> StudySubject:
    """Take the decoder in full precision."""
    return replace(subject, network=subject.model.decoder, params=subject.model.params)
