"""Outputs of the released PyTorch code, with the models and batches that they were made from.

Every file holds arrays by name: cfg (JSON), sd/ (state_dict), batch/, eval/stepN/, train/stepN/.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from trm_jax.config import Config, HRMConfig, Mixer, Positions, TRMConfig
from trm_jax.convert.name_table import from_torch, strip_prefixes, to_torch
from trm_jax.models.act import empty_carry, halt, inject, refill, supervise
from trm_jax.models.build import build
from trm_jax.models.reasoner import Reasoner
from trm_jax.models.recursion import run_cycles
from trm_jax.training.losses import SequenceLosses, sequence_losses
from trm_jax.types import Batch, Buffers, Latents, Outputs, Weights

MODELS = ("trm_att", "trm_mlp", "trm_att_learned", "hrm")
FORCED = 1e-5
"""Of the largest entry: float32, one supervision step from the released state."""


class Case(NamedTuple):
    """One golden file: its arrays, and the model and batch that it was made from."""

    files: dict[str, np.ndarray]
    config: Config
    weights: Weights
    batch: Batch

    def step(self, n: int, key: str) -> np.ndarray:
        """Read an evaluation output; n counts from 1."""
        return self.files[f"eval/step{n}/{key}"]

    def training(self, n: int) -> dict[str, np.ndarray]:
        """Read everything of training step n (1 or 2) by its name there."""
        prefix = f"train/step{n}/"
        found = self.files.items()
        return {k.removeprefix(prefix): v for k, v in found if k.startswith(prefix)}

    def latents(self, n: int) -> Latents:
        """Read the states after step n (n = 0: the initial ones) at the model's precision."""
        reasoner = build(self.config)
        if n == 0:
            return reasoner.start(self.weights.buffers, self.batch.inputs.shape[0])
        dtype = jnp.dtype(self.config.forward_dtype)
        return Latents(
            jnp.asarray(self.step(n, "z_H"), dtype), jnp.asarray(self.step(n, "z_L"), dtype)
        )


def read_config(values: dict[str, Any], architecture: str) -> Config:
    """Translate the released constructor's arguments."""
    same = (
        "vocab_size",
        "seq_len",
        "num_puzzle_identifiers",
        "hidden_size",
        "num_heads",
        "H_cycles",
        "L_cycles",
        "L_layers",
        "puzzle_emb_ndim",
        "halt_max_steps",
        "halt_exploration_prob",
        "no_ACT_continue",
        "forward_dtype",
    )
    fields = {name: values[name] for name in same} | {
        "expansion": float(values["expansion"]),
        "positions": Positions(values["pos_encodings"]),
        "mixer": Mixer.MLP if values["mlp_t"] else Mixer.ATTENTION,
    }
    if architecture == "hrm":
        return HRMConfig(**fields, H_layers=values["H_layers"])
    return TRMConfig(**fields, puzzle_emb_len=values["puzzle_emb_len"])


def load(golden: Path, name: str) -> Case:
    """Read a golden file; its state_dict goes through the converter."""
    with np.load(golden / f"{name}.npz") as archive:
        files = {key: archive[key] for key in archive.files}
    config = read_config(json.loads(str(files["cfg"])), name.split("_")[0])
    tensors = {
        strip_prefixes(k.removeprefix("sd/")): v for k, v in files.items() if k.startswith("sd/")
    }
    keys = ("inputs", "labels", "puzzle_identifiers")
    batch = Batch(*(jnp.asarray(files[f"batch/{key}"]) for key in keys))
    return Case(files, config, from_torch(tensors, config), batch)


class Step(NamedTuple):
    """What one supervision step gives."""

    latents: Latents
    out: Outputs
    losses: SequenceLosses


def stepper(reasoner: Reasoner, weights: Weights, batch: Batch) -> Callable[[Latents], Step]:
    """Compile one supervision step with its read-out and losses."""
    config = reasoner.config

    @jax.jit
    def advance(latents: Latents) -> Step:
        e = inject(reasoner, weights, batch)
        latents, _ = run_cycles(
            reasoner.networks,
            weights.params,
            latents,
            e,
            H_cycles=config.H_cycles,
            L_cycles=config.L_cycles,
            observe=lambda _: None,
        )
        out = reasoner.read_out(weights.params, latents.z_H)
        return Step(latents, out, sequence_losses(out, batch.labels))

    return advance


def assert_close(ours: Any, released: np.ndarray, relative: float) -> None:
    """Check |ours - released| <= relative * max |released| everywhere."""
    allowed = relative * np.abs(released).max()
    np.testing.assert_allclose(ours, released, rtol=0, atol=allowed)


def check_training(case: Case, reasoner: Reasoner) -> None:
    """Check losses, halting and gradients of two released training steps."""
    weights, slots = case.weights, case.batch.inputs.shape[0]

    def loss(params: Any, rows: jax.Array, carry: Any) -> Any:
        latents, out = supervise(reasoner, params, rows, carry)
        losses = sequence_losses(out, carry.batch.labels)
        return losses.lm_loss + 0.5 * losses.q_halt_loss, (latents, out)

    differentiate = jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))
    carry = empty_carry(reasoner, weights.buffers, case.batch)
    for n in (1, 2):
        carry = refill(reasoner, weights.buffers, carry, case.batch)
        rows = weights.puzzle_emb[carry.batch.puzzle_identifiers]
        (value, (_, out)), (grads, row_grads) = differentiate(weights.params, rows, carry)
        released = case.training(n)
        steps = carry.steps + 1
        halted = halt(case.config, out, steps, jax.random.key(0))
        assert_close(value, released["loss"], FORCED)
        np.testing.assert_array_equal(halted, released["halted"])
        # released gradients are of the loss divided by the global batch
        assert_close(row_grads / slots, released["grad/puzzle_emb.local_weights"], FORCED)
        named = to_torch(case.config, Weights(grads, Buffers(*weights.buffers), weights.puzzle_emb))
        for key, grad in released.items():
            if key.startswith("grad/model.inner."):
                ours = named["_orig_mod." + key.removeprefix("grad/")]
                assert_close(ours / slots, grad, FORCED)
        # slots that go on take the released state, so that step 2 is compared on its own
        carry = carry._replace(latents=case.latents(1), steps=steps, halted=halted)
        assert sum(k.startswith("grad/") for k in released) == len(jax.tree.leaves(grads)) + 1
