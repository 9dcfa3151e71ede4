"""What AI Hub is given of a scheme: a file that holds one supervision step, and its inputs.

    tflite   fp32, fp16,                 step.tflite as it is: AI Hub neither compiles nor
             w8c-sym_a8s-cells-fold      quantises it
    onnx     w8c-sym_a16s, w4c-sym_a16s  step.onnx in QDQ form, compiled for the NPU (QNN)
    hub      hub:w8a8, hub:w8a16,        step.onnx in float, quantised by AI Hub itself on states
             hub:w4a16                   of the calibration puzzles, then compiled

The exports are made for one puzzle per call (export/pipeline.py) and unrolled
(export/lowering/unroll.py).
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.deploy.aihub.rows import HUB
from export.aihub.devices import Precision
from export.graph import tflite_writer
from export.graph.files import import_onnx_file
from export.graph.ir import Graph, GraphModel
from export.lowering import unroll
from export.lowering.storage import Numerics, StoragePlan, plan_for
from export.pipeline import keep_artifact
from export.targets import Target
from quant.ptq.calibrate import Calibration
from quant.recipe import parse_given
from quant.scheme import CarryPrecision, parse, short_name
from quant.simulation import Simulation, simulate
from trm_jax.data.format import PuzzleDataset
from trm_jax.loading import LoadedModel
from trm_jax.names import did_you_mean
from trm_jax.tasks.calibration import CalibrationPuzzles

HUB_TYPES = {
    Precision.W8A8: ("INT8", "INT8"),
    Precision.W8A16: ("INT8", "INT16"),
    Precision.W4A16: ("INT4", "INT16"),
}
"""Weights and activations of what AI Hub quantises itself, by the client's names."""


class Route(enum.Enum):
    """How a file gets onto the device."""

    TFLITE = "tflite"
    ONNX = "onnx"
    HUB = "hub"


@dataclass(frozen=True, kw_only=True)
class AiHubVariant:
    """A scheme on its way.

    Attributes:
      plan: of the file; of a hub variant, full precision.
    """

    name: str
    route: Route
    precision: Precision
    plan: StoragePlan

    @property
    def label(self) -> str:
        """The paper's name where it has one."""
        if self.route is Route.HUB:
            return self.name
        return short_name(self.name)


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A variant's file and its simulation."""

    variant: AiHubVariant
    file: Path
    graph: Graph
    model: GraphModel
    simulation: Simulation
    host: dict[str, np.ndarray]


def variant_named(name: str) -> AiHubVariant:
    """Read a scheme of the command line.

    Raises:
      ValueError: unknown, or not for AI Hub.
    """
    if name.startswith(HUB):
        precisions = {p.value: p for p in HUB_TYPES}
        if name.removeprefix(HUB) not in precisions:
            raise ValueError(
                f"unknown {name!r};{did_you_mean(name.removeprefix(HUB), precisions)}"
                f" AI Hub quantises to {', '.join(precisions)}"
            )
        return AiHubVariant(
            name=name,
            route=Route.HUB,
            precision=precisions[name.removeprefix(HUB)],
            plan=plan_for(parse("fp32"), Target.ONNX),
        )
    scheme = parse_given(name)
    if scheme.exceptions:
        raise ValueError(f"{name}: AI Hub takes all matrices alike; leave the exceptions out")
    if scheme.carry is not CarryPrecision.ARITHMETIC:
        raise ValueError(f"{name}: the carry between H-cycles lies inside the file; leave it out")
    try:
        plan, route = plan_for(scheme, Target.AI_HUB), Route.TFLITE
    except ValueError:
        plan, route = plan_for(scheme, Target.ONNX), Route.ONNX
    return AiHubVariant(name=scheme.name, route=route, precision=precision_of(plan), plan=plan)


def precision_of(plan: StoragePlan) -> Precision:
    """Name a plan's precision.

    Raises:
      ValueError: roles differ, or AI Hub has no such arithmetic.
    """
    kinds: Mapping[tuple[Numerics, int], Precision] = {
        (Numerics.STATIC_INT8, 8): Precision.W8A8,
        (Numerics.STATIC_INT8, 4): Precision.W4A8,
        (Numerics.INT16, 8): Precision.W8A16,
        (Numerics.INT16, 4): Precision.W4A16,
    }
    precisions = set()
    for matrix in (plan.mixer, plan.channel, plan.head):
        if matrix.numerics in (Numerics.FLOAT32, Numerics.FLOAT16):
            precisions.add(Precision.FLOAT)
        else:
            precisions.add(kinds.get((matrix.numerics, matrix.carrier.bits)))
    if len(precisions) > 1 or None in precisions:
        raise ValueError(
            f"AI Hub has no {plan.name}: float, or 4- or 8-bit weights with calibrated inputs, one"
            " precision for all matrices (fp32, w8c-sym_a8s-cells-fold, w8c-sym_a16s, w4c-sym_a16s)"
        )
    return next(precision for precision in precisions if precision)


def prepare(
    variant: AiHubVariant,
    source: LoadedModel,
    dataset: PuzzleDataset,
    aside: CalibrationPuzzles,
    calibration: Calibration,
    steps: int,
    out: Path,
) -> Prepared:
    """Export a variant, if that is not done yet, and write the file of one step.

    Args:
      aside: puzzles that it is calibrated on; calibration: measured on them, once for all.

    Raises:
      ValueError, RuntimeError: it cannot be exported, or OUT holds another one.
    """
    folder = out / "exports" / variant.name.replace(":", "-")
    simulation = simulate(source, variant.plan.precision, calibration)
    artifact = keep_artifact(
        folder,
        source,
        variant.plan,
        simulation,
        dataset,
        batch=1,
        steps=steps,
        calibration=aside.recorded_if(variant.plan.precision.needs_puzzles),
    )
    graph = unroll.step_graph(artifact.model, artifact.config)
    model = GraphModel(graphs=(graph,), metadata=artifact.model.metadata)
    if variant.route is Route.TFLITE:
        file, content = folder / "step.tflite", tflite_writer.write_tflite(model)
    else:
        file = folder / "step.onnx"
        content = import_onnx_file().write_onnx_graph(graph, model.metadata)
    file.write_bytes(content)
    return Prepared(
        variant=variant,
        file=file,
        graph=graph,
        model=model,
        simulation=simulation,
        host=dict(artifact.host),
    )
