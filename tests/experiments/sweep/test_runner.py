"""Rows against the long way round: every puzzle in a NumPy loop, counted by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.measurement.shards import from_hex
from experiments.sweep import runner as runner_module
from experiments.sweep.job import SweepJob, prepare
from experiments.sweep.rows import SweepKey, SweepRow, sweep_folder
from experiments.sweep.runner import Runner, identity_of, make_runner, make_worker
from quant.ptq import weights as ptq_weights
from quant.scheme import label, parse
from quant.simulation import simulate
from tests.support.oracles import recursion as oracle
from tests.support.tiny import sweep as tiny
from trm_jax import evaluators
from trm_jax.types import Batch, Weights

SCHEMES = "int8,int3_naive"
SHARDS = ((0, 8), (8, 16), (16, 22))


@pytest.fixture(scope="module")
def job(tiny_root) -> SweepJob:
    return prepare(tiny.parsed(tiny_root, "--schemes", SCHEMES, "--batch-size", "8"))


@pytest.fixture(scope="module")
def runner(job) -> Runner:
    return Runner(*job)


@pytest.fixture(scope="module")
def rows(job, runner) -> dict[SweepKey, SweepRow]:
    return {row.key: row for row in runner.rows(job.spec.work_keys())}


def long_way(job: SweepJob, weights: Weights) -> tuple[np.ndarray, np.ndarray]:
    """Run all puzzles in float64 NumPy: states and answers after every H-cycle."""
    data, config = job.puzzles.dataset, job.model.config
    batch = Batch(*(jnp.asarray(x) for x in (data.inputs, data.labels, data.puzzle_identifiers)))
    states, _ = oracle.trajectory(config, weights, batch, max(job.spec.grid.cycles))
    return states, np.argmax(oracle.read_out(config, weights, states)[0], axis=-1)


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Mean over positions of the cosine."""
    norms = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return (np.sum(a * b, axis=-1) / norms).mean(axis=-1)


@pytest.mark.parametrize("scheme", ["fp32", "int8", "int3_naive"])
def test_rows_count_what_the_long_way_finds(job, rows, scheme):
    full, _ = long_way(job, job.model.weights)
    states, answers = long_way(job, ptq_weights.round_weights(job.model.weights, parse(scheme)))
    labels = np.asarray(job.puzzles.dataset.labels)
    scored = labels != 0
    for at, cycles in enumerate(job.spec.grid.cycles):
        said, z, reference = answers[cycles - 1], states[cycles - 1], full[cycles - 1]
        right = (said == labels) & scored
        exact = ((said == labels) | ~scored).all(axis=-1)
        for start, stop in SHARDS:
            row, part = rows[SweepKey(parse(scheme).name, start, stop)], slice(start, stop)
            assert row.scored_cells == scored[part].sum()
            assert row.correct_cells[at] == right[part].sum()
            np.testing.assert_array_equal(from_hex(row.exact[at], stop - start), exact[part])
            assert row.lenient == row.exact  # Sudoku has one right answer
            wrong = 1 - right[part].sum(-1) / scored[part].sum(-1)
            expected = (wrong.sum(), np.sum(wrong**2))
            np.testing.assert_allclose(row.cell_error[at], expected, rtol=1e-12, atol=1e-12)
            lost = np.sum(1 - cosine(z[part], reference[part]))
            assert row.infidelity[at].total == pytest.approx(lost, abs=8 * tiny.COSINE_ERROR)


def test_a_worker_elsewhere_gives_the_same_rows(tiny_root, job, rows):
    """What a node of a cluster makes of the command line; fields are compared bit for bit."""
    words = tiny.parsed(tiny_root, "--schemes", SCHEMES, "--batch-size", "8")
    worker = make_worker(words, None)
    assert worker.identity == identity_of(job.spec)
    keys = [key for key in job.spec.work_keys() if key.start == 16]
    assert {row.key: row for row in worker.compute(keys)} == {key: rows[key] for key in keys}


def test_the_sample_is_worth_counting(rows):
    """Both answers occur, so that the comparisons above can fail."""
    for scheme in ("fp32", "w8c-sym"):
        mine = [row for row in rows.values() if row.scheme == scheme]
        solved = sum(from_hex(text, 8).sum() for row in mine for text in row.exact)
        assert 0 < solved < tiny.NUM * len(mine[0].exact)


def test_full_precision_is_its_own_reference_exactly(rows):
    for row in rows.values():
        if row.scheme == "fp32":
            assert all(total == squares == 0.0 for total, squares in row.infidelity)
        else:
            assert all(total > 0.0 for total, _ in row.infidelity)


@pytest.mark.slow
def test_shards_do_not_change_the_sums(job, rows, tiny_root):
    """One shard of all puzzles gives the sums of three."""
    whole = prepare(tiny.parsed(tiny_root, "--schemes", SCHEMES, "--batch-size", "30"))
    (key, *_) = (k for k in whole.spec.work_keys() if k.scheme == "w3t-sym")
    (one,) = Runner(*whole).rows([key])
    parts = [row for row in rows.values() if row.scheme == "w3t-sym"]
    assert one.correct_cells == tuple(np.sum([p.correct_cells for p in parts], axis=0))
    for name in tiny.MOMENTS:
        together = np.sum([getattr(p, name) for p in parts], axis=0)
        np.testing.assert_allclose(getattr(one, name), together, atol=tiny.NUM * tiny.COSINE_ERROR)


def test_weight_only_schemes_share_compiled_code(job, runner, rows):
    compiled = (evaluators.trajectory, evaluators.measure, evaluators.consecutive_similarity)
    before = [f._cache_size() for f in compiled]
    again = list(runner.rows(job.spec.work_keys()[:3]))
    assert [row.scheme for row in again] == ["fp32", "w8c-sym", "w3t-sym"]
    assert [f._cache_size() for f in compiled] == before
    assert all(row == rows[row.key] for row in again)


@pytest.fixture
def compressed(monkeypatch) -> list[str]:
    """Names of schemes as they are compressed; what is learned is only rounded."""
    names: list[str] = []

    def noted(model, scheme, *args, **options):
        names.append(scheme.name)
        return simulate(model, scheme.to_nearest, *args, **options)

    monkeypatch.setattr(runner_module, "simulate", noted)
    return names


def test_schemes_with_rows_to_compute_are_compressed_once_and_first(job, rows, compressed):
    keys = [key for key in job.spec.work_keys() if key.scheme != "w8c-sym"]
    runner = make_runner(job, keys)
    assert compressed == ["fp32", "w3t-sym"]
    assert {row.key: row for row in runner.rows(keys)} == {key: rows[key] for key in keys}
    assert compressed == ["fp32", "w3t-sym"]


def test_rounding_is_learned_for_its_first_row(tiny_root, compressed, monkeypatch):
    monkeypatch.setattr(runner_module, "num_threads", lambda: 2)
    words = ("--schemes", "fp32,int8,int4_naive,w3t-auto-learned", "--batch-size", "4")
    job = prepare(tiny.parsed(tiny_root, *words, "--limit", "8", "--calibration-puzzles", "8"))
    keys = job.spec.work_keys()
    rows = make_runner(job, keys).rows(keys)
    refused_early = ["fp32", "w8c-sym", "w4t-sym", parse("w3t-auto-learned").to_nearest.name]
    assert compressed == refused_early
    assert next(rows).scheme == "fp32"
    assert next(rows).scheme == "w8c-sym"
    assert compressed == refused_early
    assert len(list(rows)) == len(keys) - 2
    assert compressed == [*refused_early, "w3t-auto-learned"]


def test_a_resumed_sweep_keeps_the_batch_size_of_its_rows(tiny_root, tmp_path):
    words = ("--schemes", "fp32", "--out", str(tmp_path / "out"))
    facts = dict.fromkeys(("devices", "jax", "python"), "")
    begun = prepare(tiny.parsed(tiny_root, *words, "--batch-size", "3"))
    sweep_folder(tmp_path / "out").open(begun.spec, {})
    resumed = prepare(tiny.parsed(tiny_root, *words, "--batch-size", "auto", "--resume"))
    assert resumed.spec.digest == begun.spec.digest
    line = "in shards of 3 (auto: that of the rows in the folder); float32"
    assert line in resumed.header(facts)
    new = prepare(tiny.parsed(tiny_root, *words[:2], "--out", str(tmp_path / "new"), "--resume"))
    assert "in shards of 50 (auto: at most 50 on a CPU)" in new.header(facts)


def test_labels_name_the_arithmetic_where_it_is_not_the_schemes_own():
    assert label("w4t-sym", "float32") == "int4_naive"
    assert label("fp32", "bfloat16") == "fp32 (bf16)"
    assert label("fp16", "bfloat16") == "fp16"
    assert label("w4c-asym_a8d", "float32") == "w4c-asym_a8d"


@pytest.mark.slow
def test_activations_carry_and_arithmetic_are_in_the_run(job, tiny_root):
    """4-bit weights alone and with all else reduced: both finite, and not the same."""
    schemes = "w4c-asym,w4c-asym_bf16_a8d_carry8"
    job = prepare(tiny.parsed(tiny_root, "--schemes", schemes, "--batch-size", "8"))
    rows = list(Runner(*job).rows(job.spec.work_keys()[:3]))
    lost = [row.infidelity[-1].total for row in rows]
    assert np.isfinite(lost).all()
    assert lost[0] == 0.0
    assert len(set(lost)) == 3


def test_static_activations_are_calibrated_on_puzzles_that_are_not_evaluated(tiny_root):
    with pytest.raises(ValueError, match=r"last 128 of the 22 puzzles.*lower --limit"):
        prepare(tiny.parsed(tiny_root, "--schemes", "w8c-sym_a8s"))
