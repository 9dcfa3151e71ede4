"""What a sweep evaluates is what an exported file is checked against, for every kind of scheme."""

import dataclasses
import functools
from collections.abc import Callable

import jax
import numpy as np
import pytest

from experiments.measurement.shards import load_shard
from experiments.sweep.job import SweepJob, prepare
from experiments.sweep.rows import SweepKey
from experiments.sweep.runner import Runner
from export.lowering.storage import plan_for
from export.targets import Target
from quant.scheme import parse
from quant.simulation import Simulation, simulate
from tests.support.slow import slow_except
from tests.support.tiny import sweep as tiny
from trm_jax.data.batches import CALIBRATION_PUZZLES
from trm_jax.loading import gather_calibration

STEPS, PUZZLES = 2, 4
SCHEMES = {
    "fp32": Target.LITERT,
    "int8": Target.LITERT,
    "int4_naive": Target.LITERT,
    "int4_calibrated": Target.LITERT,
    "w4c-asym-mse": Target.LITERT,
    "w3c-sym-mse": Target.ONNX,
    "w4t-sym-gptq": Target.LITERT,
    "w4c-asym-gptq_a8da": Target.LITERT,
    "w4c-asym-gptq_a16s_tflm": Target.TFLM,
    "w4c-auto-gptq-norm_a8da": Target.LITERT,
    "w3t-auto": Target.ONNX,
    "w4t-auto-gptq_a16s_tflm": Target.TFLM,
    "w8c-sym_a8d": Target.LITERT_BUILTIN,
    "w4c-asym_a8da": Target.LITERT,
    "w8c-sym_a8s": Target.LITERT,
    "w8c-sym_a8s-cells": Target.LITERT,
    "w8c-sym_a8s-cells-fold": Target.LITERT,
    "w8c-sym_a8s_tflm": Target.TFLM,
    "w8c-sym_a8s-cells-fold_tflm+tproduct+tout+tsum": Target.TFLM,
    "w4c-sym_a16s-cells": Target.ONNX,
    "w4c-asym-gptq_a8s-cells_tflm": Target.TFLM,
    "w4c-asym_a8s": Target.AI_HUB,
    "w8c-sym_a16s": Target.LITERT,
    "w4c-sym_a16s": Target.ONNX,
    "fp32_carrybf16": Target.LITERT,
    "fp32_carryfp16": Target.TFLM,
    "w4c-asym_carry16": Target.LITERT,
    "w8c-sym_a8s_carry8": Target.LITERT,
    "tflm_int4_int16": Target.TFLM,
    "tflm_int4_int8": Target.TFLM,
    "tflm_int8_int16": Target.TFLM,
    "tflm_int8_int8": Target.TFLM,
}
"""One of every kind that some target computes, and that target."""

FLOATS = ("fp16", "bf16")

Swept = Callable[[str], Simulation]


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> SweepJob:
    root = tmp_path_factory.mktemp("sweep")
    tiny.write(root, CALIBRATION_PUZZLES + PUZZLES)
    schemes = ",".join([*SCHEMES, *FLOATS])
    sizes = ("--limit", str(PUZZLES), "--batch-size", str(PUZZLES), "--depths", "2x1,2")
    return prepare(tiny.parsed(root, "--schemes", schemes, *sizes))


@pytest.fixture(scope="module")
def swept(job: SweepJob) -> Swept:
    """Build what a sweep evaluates, scheme by scheme."""

    @functools.cache
    def simulation_of(scheme: str) -> Simulation:
        name = parse(scheme).name
        schemes = tuple(dict.fromkeys((job.spec.reference, name)))
        sizes = dict(zip(job.spec.schemes, job.spec.bytes, strict=True))
        spec = dataclasses.replace(
            job.spec, schemes=schemes, bytes=tuple(sizes[each] for each in schemes)
        )
        return Runner(spec, job.model, job.puzzles).simulation(name)

    return simulation_of


def exported(job: SweepJob, scheme: str, target: Target) -> Simulation:
    """Build the simulation of a file as the export programs do."""
    plan, puzzles = plan_for(parse(scheme), target), gather_calibration(job.puzzles.dataset)
    return simulate(job.model, plan.precision, puzzles, steps=job.spec.grid.steps)


def states(job: SweepJob, simulation: Simulation) -> np.ndarray:
    _, batch = load_shard(job.puzzles, 0, PUZZLES, PUZZLES)
    return np.asarray(simulation.trajectory(batch, steps=STEPS))


@pytest.mark.parametrize("scheme", slow_except(SCHEMES, "fp32"))
def test_a_row_has_the_arithmetic_of_the_file(job: SweepJob, swept: Swept, scheme: str) -> None:
    sweep, file = swept(scheme), exported(job, scheme, SCHEMES[scheme])
    assert sweep.ranges == file.ranges
    np.testing.assert_array_equal(states(job, sweep), states(job, file))


@pytest.mark.slow
def test_schemes_are_told_apart(job: SweepJob, swept: Swept) -> None:
    """No two schemes have the same states, so that the comparison above can fail."""
    rolled = [states(job, swept(scheme)).tobytes() for scheme in (*SCHEMES, *FLOATS)]
    assert len(set(rolled)) == len(rolled)


def test_rows_of_the_earlier_static_arithmetic_do_not_mix(job: SweepJob) -> None:
    """Those were measured with products that rounded their inputs only."""
    spec = job.spec
    earlier = ("fp32", "w4c-asym_a8da", "tflm_int4_int8")
    assert {spec.digest_of_scheme(parse(name).name) for name in earlier} == {spec.digest}
    static = {spec.digest_of_scheme(name) for name in ("w8c-sym_a8s", "w8c-sym_a16s_carry8")}
    assert len(static) == 1
    assert spec.digest not in static


def test_rows_of_earlier_learned_rounding_do_not_mix(job: SweepJob) -> None:
    """Also where a single matrix is learned; what it starts from is as before."""
    names = ("w3t-auto-learned", "w4c-sym[head=w2t-auto-learned]", "w3t-auto-gptq-norm")
    one, other, gptq = (job.spec.digest_of_scheme(parse(name).name) for name in names)
    assert one == other
    assert one != gptq == job.spec.digest


@pytest.mark.slow
def test_rows_carry_the_digest_of_their_scheme(job: SweepJob) -> None:
    names, spec = ("fp32", "w8c-sym_a8s"), job.spec
    sizes = dict(zip(spec.schemes, spec.bytes, strict=True))
    spec = dataclasses.replace(spec, schemes=names, bytes=tuple(sizes[name] for name in names))
    keys = [SweepKey(name, 0, PUZZLES) for name in names]
    rows = list(Runner(spec, job.model, job.puzzles).rows(keys))
    assert [row.digest for row in rows] == [spec.digest_for(row) for row in rows]
    assert rows[0].digest != rows[1].digest


def test_bfloat16_has_no_file(job: SweepJob) -> None:
    for target in Target:
        with pytest.raises(ValueError, match="has no bf16 kernels"):
            exported(job, "bf16", target)


def test_a_file_stores_float16_and_computes_in_float32(job: SweepJob, swept: Swept) -> None:
    """The one scheme whose arithmetic a runtime chooses; the plan says so."""
    sweep, file = swept("fp16"), exported(job, "fp16", Target.LITERT)
    assert sweep.reasoner.config.forward_dtype == "float16"
    assert file.reasoner.config.forward_dtype == "float32"
    jax.tree.map(np.testing.assert_array_equal, sweep.weights, file.weights)
