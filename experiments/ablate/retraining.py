"""Train a model inside a study, briefly, by the training loop's own update.

The update is that of trm_jax/training/step.py. A trained model is kept in FOLDER/trained/NAME with
a hash of all that decided it, so that a run which is killed and resumed trains only what was not
finished. One device; no validation.
"""

import dataclasses
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.ablate import fresh_puzzles
from experiments.ablate.interventions import Context
from experiments.ablate.rows import Facts
from trm_jax.checkpoints.model_files import CONFIG_FILE, load_metadata, load_model, save_model
from trm_jax.data.facts import UNKNOWN, PuzzleFacts
from trm_jax.data.format import PuzzleDataset
from trm_jax.loading import gather_batch
from trm_jax.models.reasoner import Reasoner
from trm_jax.training.augment import Augment, no_augmentation
from trm_jax.training.recipe import Recipe
from trm_jax.training.running_metrics import Window
from trm_jax.training.step import (
    Objective,
    averaged,
    init_state,
    make_train_step,
    watched_names,
)
from trm_jax.types import Batch, Weights

LOOK_EVERY = 10  # updates between two looks at the numbers


@dataclass(frozen=True, kw_only=True)
class Training:
    """A short training.

    Attributes:
      puzzles: size of the training set.
      augment: give every puzzle a random symmetry at each draw.
    """

    recipe: Recipe
    puzzles: int
    augment: bool = True

    def settings(self, context: Context) -> Facts:
        """List what decides the result.

        Raises:
          NotApplicable: there is no source of training puzzles.
        """
        recipe: Facts = asdict(self.recipe)
        return recipe | fresh_puzzles.settings(context, self.puzzles) | {"augment": self.augment}

    def symmetry(self, context: Context) -> Augment:
        """Choose what happens to a puzzle when it is drawn."""
        augmentation = context.task.augmentation(context.puzzles.facts) if self.augment else None
        return augmentation.make() if augmentation else no_augmentation


def brief(
    steps: int, batch_size: int, lr: float, seed: int, *, weight_decay: float = 0.1
) -> Recipe:
    """Make a recipe of few updates: a tenth warms up, a cosine leads down to a tenth of lr."""
    return Recipe(
        total_steps=steps,
        batch_size=batch_size,
        lr=lr,
        puzzle_emb_lr=lr,
        seed=seed,
        weight_decay=weight_decay,
        puzzle_emb_weight_decay=weight_decay,
        warmup_steps=max(1, steps // 10),
        lr_min_ratio=0.1,
        ema=0.95,
        stagger=True,
    )


class Setup(NamedTuple):
    """What a training starts with, made only if it must run.

    Attributes:
      start: weights to begin with; random ones if None.
      objective: what is minimised; the recipe's own if None.
    """

    reasoner: Reasoner
    puzzles: Batch
    start: Weights | None
    objective: Objective | None = None


def retrained(
    context: Context, name: str, training: Training, setup: Callable[[], Setup]
) -> tuple[Weights, Facts]:
    """Train, or take what an earlier run trained.

    Args:
      name: of the folder.

    Returns:
      Averaged weights; `train_seconds`, `train_steps` and the last training loss.

    Raises:
      FloatingPointError: a tensor is not finite.
    """
    folder = context.folder / "trained" / name
    said = json.dumps([training.settings(context), context.model.sha256, name], sort_keys=True)
    digest = hashlib.sha256(said.encode()).hexdigest()
    if (folder / CONFIG_FILE).is_file():
        metadata: dict[str, Any] = load_metadata(folder)
        if metadata.get("digest") == digest:
            return load_model(folder)[1], metadata["facts"]
    parts = setup()
    weights, facts = train(context, name, training, parts)
    notes: dict[str, object] = {"digest": digest, "facts": facts}
    save_model(folder, parts.reasoner.config, weights, notes, puzzles=trained_facts(context, parts))
    return weights, facts


def trained_facts(context: Context, parts: Setup) -> PuzzleFacts:
    """Say what the trained model's puzzles are; rows of a table of its own have no names."""
    facts = context.puzzles.facts
    if parts.reasoner.config.num_puzzle_identifiers == context.model.config.num_puzzle_identifiers:
        return facts
    return dataclasses.replace(facts, identifiers_sha256=UNKNOWN)


def train(context: Context, name: str, training: Training, setup: Setup) -> tuple[Weights, Facts]:
    """Run all updates (`retrained` says the rest)."""
    began, recipe = time.monotonic(), training.recipe
    symmetry = training.symmetry(context)
    update = make_train_step(setup.reasoner, recipe, symmetry, objective=setup.objective)
    start = jax.tree.map(jnp.copy, setup.start)  # the update uses up what goes into it
    state = init_state(setup.reasoner, recipe, setup.puzzles, start)
    window = Window(watched_names(state.weights, state.optimiser))
    loss = float("nan")
    for step in range(1, recipe.total_steps + 1):
        state, metrics = update(state, setup.puzzles)
        window.add(step, metrics)
        if step % LOOK_EVERY == 0 or step == recipe.total_steps:
            window.settle()
            loss = window.row()["loss"]
            window.clear()
            context.announce(f"training {name}: {step} of {recipe.total_steps}, loss {loss:.3f}")
    seconds = round(time.monotonic() - began, 1)
    facts: Facts = {"train_seconds": seconds, "train_steps": recipe.total_steps}
    return averaged(state), facts | {"train_loss": loss}


def fresh_batch(context: Context, num: int) -> Batch:
    """Lay fresh training puzzles out as one batch."""
    return as_batch(fresh_puzzles.training_puzzles(context, num))


def as_batch(dataset: PuzzleDataset) -> Batch:
    """Lay a whole data set out as one batch."""
    return gather_batch(dataset, np.arange(len(dataset)))
