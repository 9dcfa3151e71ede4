"""A tiny model as an export: random weights, 4x4 puzzles, a few milliseconds a rollout."""

import functools
from pathlib import Path

import jax
import numpy as np

from export.artifact.open import Export, open_artifact
from export.lowering.storage import plan_for
from export.pipeline import write_artifact
from export.targets import Target
from quant.scheme import parse
from quant.simulation import Simulation, simulate
from tests.support.samples import random_batch, random_weights, small
from trm_jax.config import Config, HRMConfig, Mixer, Positions, TRMConfig
from trm_jax.loading import LoadedModel
from trm_jax.types import Batch

BATCH = 3
STEPS = 4


def configs() -> dict[str, Config]:
    """Name one configuration of every kind."""
    return {
        "mlp": TRMConfig(**small(mixer=Mixer.MLP, positions=Positions.NONE, puzzle_emb_len=1)),
        "learned": TRMConfig(**small(positions=Positions.LEARNED, puzzle_emb_len=2)),
        "hrm": HRMConfig(**small(H_layers=1, L_layers=1, no_ACT_continue=False)),
    }


def without_prefix() -> Config:
    """Name one without puzzle embedding: no position stands in front of the cells."""
    fields = small(mixer=Mixer.MLP, positions=Positions.NONE, puzzle_emb_ndim=0)
    return TRMConfig(**fields, puzzle_emb_len=0)


def source(config: Config) -> LoadedModel:
    """Draw weights of half the usual size: then the recursion hardly amplifies rounding."""
    weights = random_weights(config, seed=2)
    halved = weights._replace(params=jax.tree.map(lambda x: x / 2, weights.params))
    return LoadedModel(name="tiny", origin="tiny", task=None, config=config, weights=halved)


def puzzles(config: Config, count: int) -> Batch:
    return random_batch(config, count, seed=5)


@functools.cache  # of integers it compiles for seconds, and several tests ask for the same ones
def simulated(config: Config, scheme: str, target: Target = Target.LITERT) -> Simulation:
    return simulate(
        source(config), plan_for(parse(scheme), target).precision, [puzzles(config, 4)], steps=2
    )


def make(folder: Path, config: Config, scheme: str, target: Target = Target.LITERT) -> Export:
    """Export a tiny model and open it."""
    simulation = simulated(config, scheme, target)
    write_artifact(
        folder,
        source(config),
        plan_for(parse(scheme), target),
        simulation,
        puzzles(config, 4),
        batch=BATCH,
        steps=STEPS,
    )
    return open_artifact(folder)


def arrays(batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(batch.inputs), np.asarray(batch.puzzle_identifiers)
