"""What to take on a device: budgets, time, what is harmless, and how many puzzles would decide."""

import dataclasses

import numpy as np
import pytest

from experiments.measurement.shards import to_hex
from experiments.recipe.rows import SearchRecord, SolvedRecord
from experiments.render.document import Command, Paragraph
from experiments.render.tables import Table
from experiments.report.advice.paces import DevicePace, estimate_seconds, read_paces
from experiments.report.advice.recommend import DEVICES, MARGIN, Device, choose, computes, explain
from experiments.report.inputs import Results
from experiments.report.sections.devices import recommendation_section, sweep_line
from experiments.sweep.__main__ import parser
from experiments.sweep.job import prepare
from experiments.sweep.outcomes import Sweep
from export.footprint.estimate import puzzle_work
from export.footprint.sram import Residency
from export.targets import Target
from quant.scheme import parse
from tests.support import result_rows
from tests.support.sweep_rows import make_sweep
from trm_jax.config import SUDOKU_TRM_MLP
from trm_jax.intervals import Pairs, paired_difference, puzzles_needed
from trm_jax.loading import known_config

MODEL = "sudoku-trm-mlp-mini"
BY_NAME = {device.name: device for device in DEVICES}
PHONE, CHIP = BY_NAME["phone"], BY_NAME["8 MB SoC"]
INTEGERS = "w8c-sym_a8s_tflm"


def swept(tens: int = 20, model: str = MODEL, **solved: int) -> Sweep:
    """Make a sweep in which int8 solves what full precision solves, unless told otherwise."""
    named = {"fp32": 7, "w8c-sym": 7, "w4t-sym": 5, **solved}
    return make_sweep(model, dict.fromkeys(named, 0.0), tens, named)


def results_of(*sweeps: Sweep, searches: tuple = (), paces: tuple = ()) -> Results:
    return Results(list(sweeps), [], [], [], [], searches=searches, paces=paces)


def name_of(results: Results, device: Device) -> str:
    """Say what is recommended, or why nothing is."""
    choice = choose(results, results.sweeps[0], device)
    return choice.candidate.name if choice else explain(results, results.sweeps[0], device)


def test_the_smallest_harmless_scheme_that_runs_and_fits_is_recommended() -> None:
    found = results_of(swept())
    phone, chip = (choose(found, found.sweeps[0], device) for device in (PHONE, CHIP))
    assert phone is not None
    assert phone.candidate.name == "int8"  # the 4-bit scheme is smaller and loses puzzles
    assert chip is not None
    assert chip.how is Residency.FULL
    assert name_of(found, CHIP._replace(sram=2**20)) == "none swept fits"
    assert name_of(found, PHONE._replace(flash=2**20)) == "none swept fits"
    # TFLite Micro has no weight-only products, and full precision is no recommendation
    assert name_of(found, BY_NAME["Cortex-M55"]) == "not swept: tflm_int8_int16"
    assert name_of(found, BY_NAME["Ethos-U55"]) == "not swept: tflm_int8_int16"
    small = BY_NAME["Cortex-M55"]._replace(sram=2**17)
    assert name_of(found, small) == "none fits"  # in whatever scheme
    reasoner = results_of(swept(model="sudoku-hrm-mini"))  # which has no integers
    assert name_of(reasoner, BY_NAME["4 MB MCU"]) == "none fits"
    halves = results_of(swept(bf16=7, fp16=7, **{"w8c-sym": 4}))  # runtimes expand them
    assert name_of(halves, PHONE) == "none is harmless: 5 pp or more are lost"
    integers = results_of(swept(**{INTEGERS: 7}))
    assert [name_of(integers, BY_NAME[n]) for n in ("Cortex-M55", "Ethos-U55")] == [INTEGERS] * 2
    assert name_of(integers, BY_NAME["Cortex-M55"]._replace(sram=2**17)) == "none swept fits"
    assert name_of(results_of(swept(model="somebody")), PHONE) == "published size not known"


def test_what_is_too_slow_is_not_recommended() -> None:
    """The pace of a deployment, scaled by GFLOPs, decides; without one it is open."""
    gflops = puzzle_work(SUDOKU_TRM_MLP).total
    board, made = BY_NAME["Cortex-M55"], swept(**{INTEGERS: 7})

    def paced(seconds: float) -> Results:
        """Of a model with half the GFLOPs."""
        pace = DevicePace("cortex-m55", INTEGERS, gflops / 2, seconds / 2)
        return results_of(made, paces=(pace,))

    quick = choose(paced(59.0), made, board)
    assert quick is not None
    assert quick.seconds == pytest.approx(59.0)
    assert name_of(paced(61.0), board) == "none in time: about 61 s"
    untimed = choose(results_of(made), made, board)
    assert untimed is not None
    assert untimed.seconds is None
    table = recommendation_section(paced(61.0)).blocks[1]
    assert isinstance(table, Table)
    cells = {row[1]: row for row in table.rows}
    assert cells["4 MB MCU"][3] == "none in time: about 61 s"
    assert cells["phone"][7] == "open"


def test_the_nearest_size_of_the_scheme_says_how_long_a_puzzle_takes() -> None:
    paces = (
        DevicePace("a", "int8", 1.0, 8.0),
        DevicePace("a", "int8", 100.0, 200.0),
        DevicePace("a", "fp32", 90.0, 900.0),
    )
    assert estimate_seconds(paces, "a", "int8", 80.0) == pytest.approx(160.0)
    assert estimate_seconds(paces, "a", "int8", 2.0) == pytest.approx(16.0)
    assert estimate_seconds(paces, "a", "w4t-sym", 80.0) == pytest.approx(800.0)  # of any scheme
    assert estimate_seconds(paces, "b", "int8", 80.0) is None


def test_too_few_puzzles_leave_it_undecided_and_the_count_named_decides() -> None:
    """Of 10 puzzles nothing is sure, although int8 changes none of them."""
    few = results_of(swept(tens=1))
    words, _, count = name_of(few, PHONE).rpartition(" ")
    assert words == "undecided: int8 needs n >="
    enough = int(count)
    assert paired_difference(Pairs(0, 0, enough)).low >= -MARGIN
    assert paired_difference(Pairs(0, 0, enough - 1)).low < -MARGIN
    assert name_of(results_of(swept(tens=-(-enough // 10))), PHONE) == "int8"
    lost = results_of(swept(**{"w8c-sym": 4}))
    assert name_of(lost, PHONE) == "none is harmless: 5 pp or more are lost"


@pytest.mark.parametrize(
    ("lost", "gained", "total"), [(1, 0, 50), (3, 2, 40), (0, 4, 16), (1, 1, 7)]
)
def test_the_puzzles_needed_are_the_first_that_would_do(lost, gained, total) -> None:
    """Checked at whole multiples of the sample, where the shares are counts."""
    needed = puzzles_needed(Pairs(lost, gained, total), -MARGIN)
    assert needed is not None
    for times in range(1, 2 + needed // total):
        low = paired_difference(Pairs(lost * times, gained * times, total * times)).low
        assert (low >= -MARGIN) == (total * times >= needed)


def test_no_number_of_puzzles_makes_a_loss_harmless() -> None:
    assert puzzles_needed(Pairs(5, 0, 100), -MARGIN) is None
    with pytest.raises(ValueError, match="at least one puzzle"):
        puzzles_needed(Pairs(0, 0, 0), -MARGIN)


def test_a_recipe_that_a_search_found_is_a_candidate() -> None:
    """It is smaller than int8 and as harmless; one of another model says nothing here."""
    exact = np.arange(1000) % 10 < 7
    lossy = exact & (np.arange(1000) % 4 > 0)
    mix = "w4c-asym[head=w8c-sym]"

    def search(model: str, flags: np.ndarray) -> SearchRecord:
        made = {"full precision": ("fp32", exact), "recipe": (mix, flags)}
        solved = tuple(
            SolvedRecord(name=n, stored=140_000, scheme=s, exact=to_hex(f[None])[0])
            for n, (s, f) in made.items()
        )
        return SearchRecord(
            task="sudoku",
            model=model,
            data="d",
            target=None,
            budget=150_000,
            seconds=1.0,
            num_puzzles=1000,
            deciding_puzzles=0,
            solved=solved,
        )

    def taken(record: SearchRecord) -> str:
        return name_of(results_of(swept(), searches=(record,)), PHONE)

    assert taken(search(MODEL, exact)) == "recipe of 140.0 kB"
    assert taken(search(MODEL, lossy)) == "int8"
    assert taken(search("somebody", exact)) == "int8"
    assert not computes(Target.TFLM, parse(mix))


@pytest.mark.parametrize(
    ("kind", "device", "scheme", "seconds"),
    [
        # 4 steps of 2 H-cycles, each 2 * 1,000 + 1,100 instructions, and 50; 1.5 cycles at 400 MHz
        ("board", "cortex-m55", INTEGERS, 4 * (2 * 3100 + 50) * 1.5 / 400e6),
        ("aihub", "aihub", "fp32", 2 * 1.5e-3 + 0.25e-3),
    ],
)
def test_deployments_say_how_fast_a_device_is(kind, device, scheme, seconds, tmp_path) -> None:
    """Seconds of a puzzle, and the GFLOPs of the model that was deployed."""
    getattr(result_rows, f"write_{kind}")(tmp_path)
    steps = 4 if kind == "board" else 2
    config = known_config(MODEL)
    assert config is not None
    found = read_paces(tmp_path, device, MODEL, steps)[-1]
    gflops = puzzle_work(config, config.H_cycles * steps).total
    assert found == DevicePace(device, scheme, gflops, pytest.approx(seconds, rel=1e-12))
    assert read_paces(tmp_path, device, "somebody", steps) == []


def test_the_command_of_a_scheme_that_was_not_swept_runs_and_joins_the_sweep() -> None:
    """The command is read by the sweep's own program; what decides the numbers of rows is equal."""
    words = "--task sudoku --model sudoku-trm-mlp-mini --limit 8 --batch-size 4 --halt rules,q"
    made = prepare(parser().parse_args(f"{words} --schemes int8 --depths 1,2x4".split())).spec
    line = sweep_line(Sweep(made, []), "tflm_int8_int16")
    command = "python -m experiments.sweep "
    assert line.startswith(command)
    later = prepare(parser().parse_args(line.removeprefix(command).split())).spec
    assert (later.digest, later.num_puzzles) == (made.digest, 8)
    assert made.conflicts(later) == []
    assert later.schemes == ("fp32", parse("tflm_int8_int16").name)


def test_commands_are_given_for_bundled_models_alone() -> None:
    line = "--model sudoku-trm-mlp-mini --schemes tflm_int8_int16 --limit 200 --batch-size 4"
    for data, kind in (("sudoku 6x6 (bundled)", Command), ("mine", Paragraph)):
        given = swept()
        sweep = given._replace(spec=dataclasses.replace(given.spec, data=data))
        *_, last = recommendation_section(results_of(sweep)).blocks
        assert isinstance(last, kind)
        said = last.line if isinstance(last, Command) else last.text
        assert (line if kind is Command else "--schemes tflm_int8_int16 --resume") in said
    *_, last = recommendation_section(results_of(swept(**{INTEGERS: 7}))).blocks
    assert not isinstance(last, Command | Paragraph)
