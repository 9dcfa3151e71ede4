"""Inputs of a step on a device, and what its outputs say beside the simulation's.

forced    every step of every puzzle starts from the simulation's own state: one job tells
          how faithful the device's arithmetic is, step by step
closed    step k starts from what the device gave at step k-1: as many jobs one after the
          other as there are steps, and answers that are the device's alone
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from export.artifact.host_state import embed
from export.graph.ir import Graph
from quant.simulation import Simulation
from trm_jax.metrics import token_cosine
from trm_jax.models.act import rollout
from trm_jax.models.recursion import identity
from trm_jax.types import Batch

INPUTS = ("x", "z_H", "z_L")
ROLLOUT = jax.jit(rollout, static_argnames=("reasoner", "steps", "observe"))


class States(NamedTuple):
    """The simulation on some puzzles; axes: steps (before the first one too), puzzles, ...

    Attributes:
      x: injection, without the axis of steps.
      tokens: answers after every step, so one fewer.
    """

    x: np.ndarray
    z_H: np.ndarray
    z_L: np.ndarray
    tokens: np.ndarray


class Scores(NamedTuple):
    """What outputs are worth; arrays run over samples.

    Attributes:
      fidelity: cosine of z_H to the simulation's, mean over tokens.
      equal_cells: cells on which both say the same.
      answers: tokens of the last step, one row per puzzle.
    """

    fidelity: np.ndarray
    equal_cells: np.ndarray
    answers: np.ndarray


def simulated_states(
    simulation: Simulation, batch: Batch, host: Mapping[str, np.ndarray], steps: int
) -> States:
    """Roll the simulation out and keep its states after every step."""
    _, seen = ROLLOUT(simulation.reasoner, simulation.weights, batch, steps=steps, observe=identity)
    size = batch.inputs.shape[0]
    start = simulation.reasoner.start(simulation.weights.buffers, size)
    last = [np.asarray(z)[:, -1] for z in seen]  # of every step, its last H-cycle
    z_H, z_L = (np.concatenate([np.asarray(s)[None], z]) for s, z in zip(start, last, strict=True))
    x = embed(
        np.asarray(batch.inputs),
        np.asarray(batch.puzzle_identifiers),
        host,
        simulation.reasoner.config,
    )
    tokens = np.stack([np.asarray(simulation.tokens(jnp.asarray(z))) for z in z_H[1:]])
    return States(x.astype(np.float32), z_H, z_L, tokens)


def forced_inputs(states: States) -> dict[str, list[np.ndarray]]:
    """List every step of every puzzle, steps outermost, one puzzle per sample."""
    steps, puzzles = states.tokens.shape[:2]
    pairs = [(k, i) for k in range(steps) for i in range(puzzles)]
    return {
        "x": [states.x[i : i + 1] for _, i in pairs],
        "z_H": [states.z_H[k, i : i + 1] for k, i in pairs],
        "z_L": [states.z_L[k, i : i + 1] for k, i in pairs],
    }


def first_inputs(states: States) -> dict[str, list[np.ndarray]]:
    """List the first step of every puzzle."""
    puzzles = range(len(states.x))
    arrays = {"x": states.x, "z_H": states.z_H[0], "z_L": states.z_L[0]}
    return {name: [values[i : i + 1] for i in puzzles] for name, values in arrays.items()}


def next_inputs(
    before: Mapping[str, Sequence[np.ndarray]], outputs: Mapping[str, Sequence[np.ndarray]]
) -> dict[str, list[np.ndarray]]:
    """Feed a step's states to the next one."""
    return {
        "x": list(before["x"]),
        **{name: [np.asarray(z, np.float32) for z in outputs[name]] for name in INPUTS[1:]},
    }


def calibration_inputs(states: States, samples: int) -> dict[str, list[np.ndarray]]:
    """Take evenly spaced samples out of all steps, for AI Hub's own quantiser."""
    every = forced_inputs(states)
    chosen = np.unique(np.linspace(0, len(every["x"]) - 1, samples).astype(int))
    return {name: [values[i] for i in chosen] for name, values in every.items()}


def named(outputs: Mapping[str, Sequence[np.ndarray]], graph: Graph) -> dict[str, list[np.ndarray]]:
    """Give outputs their names in the signature: by name, else by order (TFLite's are renamed).

    Raises:
      ValueError: another number of outputs, or other shapes.
    """
    tensors = graph.outputs
    order = list(tensors.values()) if set(outputs) == set(tensors.values()) else list(outputs)
    by_name = dict(zip(tensors, (list(outputs[name]) for name in order), strict=False))
    shapes = {name: tuple(np.shape(values[0])) for name, values in by_name.items()}
    expected = {name: graph.tensor(tensor).shape for name, tensor in tensors.items()}
    if shapes != expected or len(outputs) != len(tensors):
        raise ValueError(f"the device gave {list(outputs)} as {shapes}, expected {expected}")
    return by_name


def score(
    outputs: Mapping[str, Sequence[np.ndarray]], states: States, steps: Sequence[int]
) -> Scores:
    """Compare outputs with the simulation's.

    Args:
      outputs: by their names in the signature; samples as `forced_inputs` lists them.
      steps: which steps they are, from 0.
    """
    z_H = np.concatenate([np.asarray(z, np.float32) for z in outputs["z_H"]])
    logits = np.concatenate([np.asarray(v, np.float32) for v in outputs["logits"]])
    tokens = np.argmax(logits, axis=-1)
    rows = np.asarray(steps)
    want_z = states.z_H[rows + 1].reshape(z_H.shape)
    want_tokens = states.tokens[rows].reshape(tokens.shape)
    cosine = token_cosine(jnp.asarray(z_H), jnp.asarray(want_z))
    return Scores(
        fidelity=np.asarray(cosine, np.float64),
        equal_cells=(tokens == want_tokens).sum(axis=1),
        answers=tokens[-len(states.x) :],
    )
