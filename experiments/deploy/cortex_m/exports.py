"""Exports for a board: of a model with weights, or of a published size with random ones.

Random weights serve sizes and instruction counts, which do not depend on their values; such an
export expects no answers. Its static ranges are made up for the same reason.

A block is one graph, or cut into graphs that share one arena. A cut (export/lowering/stages.py)
needs less arena, and work space and records of its own beside it; which is smaller depends on the
size of the network, so both are measured and the one with less SRAM is taken. Only integer
attention over more positions than one chunk is worth a try.
"""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from export.artifact.open import Export
from export.cortex_m import package as cortex_m_package
from export.graph.files import HOST_FILE, MODEL_FILE
from export.graph.tflite_writer import write_tflite
from export.lowering.integer_block import MOST_QUERIES
from export.lowering.stages import STAGE, PartitionSpec
from export.lowering.storage import StoragePlan, plan_for
from export.pipeline import draft_manifest, keep_artifact, lower_model
from export.targets import Target
from quant.integer.model import uncalibrated_model
from quant.ptq.calibrate import Calibration, ProductRange, input_widths
from quant.ptq.weights import round_unquantised
from quant.scheme import Scheme, parse
from quant.simulation import Simulation, quantise_for, simulate
from trm_jax.config import PRESET_TASKS, PRESETS, Config, Mixer
from trm_jax.halting import Halting
from trm_jax.loading import LoadedModel
from trm_jax.models.build import build
from trm_jax.names import unknown_name
from trm_jax.tasks.calibration import CalibrationPuzzles
from trm_jax.tasks.table import agreed_task
from trm_jax.types import Weights

CUT = PartitionSpec(heads=1, tokens=100, queries=MOST_QUERIES)
ANSWERED = 4  # puzzles for the self-test; each costs a rollout in TFLM's interpreter for hosts
REACH = (-8.0, 8.0)  # of random models' static products


def cut_for(config: Config, scheme: Scheme) -> PartitionSpec | None:
    """Choose the cut that may be worth it, or None."""
    is_cut = scheme.is_integer and config.mixer is Mixer.ATTENTION
    return CUT if is_cut and config.num_positions > CUT.queries else None


def smaller_package(artifact: Export) -> cortex_m_package.Package:
    """Make the package that needs less SRAM of an export with or without stages.

    Raises:
      ValueError, RuntimeError: as `make_package`.
    """
    whole = _without_stages(artifact)
    whole_package = cortex_m_package.make_package(whole)
    if len(whole.model.graphs) == len(artifact.model.graphs):
        return whole_package
    return min(cortex_m_package.make_package(artifact), whole_package, key=sram_bytes)


def sram_bytes(package: cortex_m_package.Package) -> int:
    """Count what an arrangement decides: arena, states, and what graphs hand to each other."""
    return cortex_m_package.reserved_arena_bytes(package.arena) + package.state_bytes


def _without_stages(artifact: Export) -> Export:
    graphs = tuple(g for g in artifact.model.graphs if not STAGE.fullmatch(g.name))
    return dataclasses.replace(artifact, model=dataclasses.replace(artifact.model, graphs=graphs))


def trained_simulation(source: LoadedModel, calibration: Calibration, scheme: str) -> Simulation:
    """Simulate a model as a board computes it.

    Args:
      calibration: of the model, which schemes share.

    Raises:
      ValueError: TFLM does not compute the scheme right.
    """
    return simulate(source, plan_for(parse(scheme), Target.TFLM).precision, calibration)


def trained_export(
    folder: Path,
    source: LoadedModel,
    aside: CalibrationPuzzles,
    scheme: str,
    simulation: Simulation,
    halting: Halting,
    cut: PartitionSpec | None = None,
) -> Export:
    """Open the export of a model, and make it if it is not there.

    Args:
      aside: puzzles that it is calibrated on, beside those that it answers.
      simulation: of the scheme; halting: what the board begins with.
      cut: adds stages to a block in one graph.

    Raises:
      ValueError: TFLM does not compute the scheme right.
      RuntimeError: TFLM refuses it, or is not installed.
    """
    plan, steps = plan_for(parse(scheme), Target.TFLM), source.config.halt_max_steps
    return keep_artifact(
        folder,
        source,
        plan,
        simulation,
        aside.evaluated.ordered,
        batch=1,
        steps=steps,
        tried=ANSWERED,
        halting=halting,
        cut=cut,
        calibration=aside.recorded_if(plan.precision.needs_puzzles),
    )


def random_source(preset: str) -> LoadedModel:
    """Fill a preset's tree with noise of the released size.

    Raises:
      ValueError: unknown preset.
    """
    if preset not in PRESETS:
        raise ValueError(unknown_name("preset", preset, PRESETS))
    config = dataclasses.replace(PRESETS[preset], forward_dtype="float32")
    return LoadedModel(
        name=preset,
        origin=preset,
        task=agreed_task(None, PRESET_TASKS.get(preset), f"preset {preset}"),
        config=config,
        weights=random_weights(config),
    )


def random_weights(config: Config, seed: int = 0) -> Weights:
    """Draw float32 weights, variance one over the inputs."""
    rng = np.random.default_rng(seed)
    tree = jax.eval_shape(build(config).init, jax.random.key(0))

    def draw(leaf: jax.ShapeDtypeStruct) -> jax.Array:
        fan_in = leaf.shape[0] if len(leaf.shape) == 2 else 1
        noise = rng.standard_normal(leaf.shape, np.float32)
        return jnp.asarray(noise / np.float32(np.sqrt(fan_in)))

    return jax.tree.map(draw, tree)


def random_export(
    source: LoadedModel,
    scheme: str,
    cut: PartitionSpec | None = None,
    target: Target = Target.TFLM,
) -> Export:
    """Lower a model of random weights; nothing is calibrated and nothing answered.

    Args:
      cut: adds stages to a block in one graph.

    Raises:
      ValueError: TFLM does not compute the scheme right.
    """
    plan = plan_for(parse(scheme), target)
    simulation = _made_up(source, plan)
    model, host = lower_model(source, plan, simulation, batch=1, cut=cut)
    content = b"".join(value.tobytes() for value in host.values())
    files = {MODEL_FILE: write_tflite(model), HOST_FILE: content}
    nothing = dataclasses.replace(source, task=None)  # random weights solve no puzzles of any kind
    manifest = draft_manifest(
        nothing, plan, simulation, model, files, batch=1, steps=source.config.halt_max_steps
    )
    return Export(manifest=manifest, model=model, host=host)


def _made_up(source: LoadedModel, plan: StoragePlan) -> Simulation:
    """Make what lowering asks of a simulation; nobody runs it."""
    quantised = quantise_for(source.weights.params, plan.precision.to_nearest)
    reach = ProductRange(REACH, REACH)
    ranges = dict.fromkeys(input_widths(source.weights.params), reach)
    integers = None
    if plan.precision.is_integer:
        scheme = plan.mixer.scheme
        weights = round_unquantised(source.weights, scheme.float_dtype)
        integers = uncalibrated_model(source.config, weights, quantised, scheme, REACH)
    return Simulation(
        reasoner=build(source.config),
        weights=source.weights,
        quantised=quantised,
        ranges=ranges if plan.precision.needs_ranges and integers is None else {},
        integers=integers,
    )
