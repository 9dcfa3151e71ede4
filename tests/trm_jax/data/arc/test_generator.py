"""Generated ARC-like tasks: every rule against loops, held-out questions, refusals."""

import json

import numpy as np
import pytest

from tests.support.oracles import arc as oracle
from tests.support.programs import end_of
from trm_jax.data.arc import __main__ as arc
from trm_jax.data.arc import generator
from trm_jax.data.arc.augment import augment, draw
from trm_jax.data.arc.generator import FAMILIES, ArcSpec, generate_tasks, least_image, random_grid
from trm_jax.data.arc.task_files import read_subset
from trm_jax.data.arc.voting import load_test_tasks
from trm_jax.data.format import load_dataset


def turned(grid, transform):
    return oracle.augment(grid, f"x|||t{transform}|||0123456789")


def expected(name, grid):
    """Apply a rule to a list of rows by its definition, cell by cell."""
    family, *rest = name.split("-")
    height, width = len(grid), len(grid[0])
    cells = [(r, c) for r in range(height) for c in range(width)]
    if family == "recolour":
        old, new = map(int, rest)
        return [[new if x == old else x for x in row] for row in grid]
    if family == "keep":
        return [[x if x == int(rest[0]) else 0 for x in row] for row in grid]
    if family == "turn":
        return turned(grid, int(rest[0]))
    if family == "gravity":
        there, back = {"down": (0, 0), "up": (2, 2), "left": (1, 3), "right": (3, 1)}[rest[0]]
        return turned(oracle.falls_down(turned(grid, there)), back)
    if family in ("fill", "border"):
        result = [list(row) for row in grid]
        for r, c in cells:
            edge = r in (0, height - 1) or c in (0, width - 1)
            inside = not grid[r][c] and oracle.enclosed(grid, r, c)
            if edge if family == "border" else inside:
                result[r][c] = int(rest[0])
        return result
    if family == "box":
        kept = [(r, c) for r, c in cells if grid[r][c]]
        (top, bottom), (left, right) = ((min(x), max(x)) for x in zip(*kept, strict=True))
        return [row[left : right + 1] for row in grid[top : bottom + 1]]
    if family == "double":
        return [[grid[r // 2][c // 2] for c in range(2 * width)] for r in range(2 * height)]
    assert family == "reflect"
    if rest[0] == "below":
        return grid + grid[::-1]
    return [row + row[::-1] for row in grid]


@pytest.mark.parametrize("family", FAMILIES)
def test_rules_equal_loops(family):
    rng, changed = np.random.default_rng(0), 0
    for at in range(24):
        rule = FAMILIES[family][at % len(FAMILIES[family])]
        grid = random_grid(6, rng)
        if not grid.any():
            continue
        answer = rule.apply(grid)
        assert answer.tolist() == expected(rule.name, grid.tolist()), rule.name
        assert answer.dtype == np.uint8
        assert max(answer.shape) <= max(grid.shape) * rule.growth
        changed += answer.tolist() != grid.tolist()
    assert changed


def test_a_leak_at_a_corner_is_no_leak():
    ring = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], np.uint8)
    (rule,) = (r for r in FAMILIES["fill"] if r.name == "fill-7")
    assert rule.apply(ring).tolist() == [[0, 1, 0], [1, 7, 1], [0, 1, 0]]


def test_images_of_a_grid_have_one_name():
    rng, stream = np.random.default_rng(1), np.random.RandomState(1)
    for _ in range(20):
        grid = random_grid(6, rng)
        assert least_image(augment(grid, draw(stream))) == least_image(grid)
    assert least_image(np.array([[1, 2]], np.uint8)) != least_image(np.array([[1, 1]], np.uint8))
    assert least_image(np.array([[0, 2]], np.uint8)) != least_image(np.array([[1, 2]], np.uint8))


SPEC = ArcSpec(num_training=12, num_evaluation=6, demonstrations=3, questions=2, canvas=8)


def images(grid):
    """All turned images with colours numbered as they come, by loops."""
    for turn in range(8):
        numbers = {0: 0}
        yield str([[numbers.setdefault(x, len(numbers)) for x in r] for r in turned(grid, turn)])


def test_questions_look_like_no_other_input():
    training, evaluation = generate_tasks(SPEC, seed=3)
    assert (len(training), len(evaluation)) == (12, 6)
    tasks = (*training, *evaluation)
    assert len({task.name for task in tasks}) == 18
    looks = [min(images(pair.input.tolist())) for task in tasks for pair in task.pairs]
    assert len(set(looks)) == len(looks) == 18 * 5
    for task in tasks:
        assert (len(task.demonstrations), len(task.questions)) == (3, 2)
        for pair in task.pairs:
            assert pair.output.tolist() == expected(task.name, pair.input.tolist())
            assert pair.output.tolist() != pair.input.tolist()
            assert max(*pair.input.shape, *pair.output.shape) <= 8


def test_the_seed_decides():
    spec = ArcSpec(num_training=2, num_evaluation=2, canvas=6)

    def flat(seed):
        pairs = (p for tasks in generate_tasks(spec, seed=seed) for t in tasks for p in t.pairs)
        return [(p.input.tolist(), p.output.tolist()) for p in pairs]

    assert flat(1) == flat(1)
    assert flat(1) != flat(2)


def test_generate_writes_a_data_set_and_its_tasks(tmp_path):
    command = ["generate", str(tmp_path / "o"), "--num-train", "2", "--num-test", "3"]
    command += ["--canvas", "7", "--num-aug", "2", "--families", "fill", "border"]
    assert arc.main(command) == 0
    train, test = (load_dataset(tmp_path / "o" / split) for split in ("train", "test"))
    assert (train.metadata.seq_len, train.metadata.total_groups) == (49, 5)
    assert (len(test), test.metadata.total_puzzles) == (18, 9)
    tasks = {task.name for task in load_test_tasks(tmp_path / "o")}
    assert tasks == {task.name for task in read_subset(tmp_path / "o" / "tasks", "evaluation")}
    assert all(name.startswith(("fill", "border")) for name in tasks)
    facts = json.loads((tmp_path / "o" / "generator.json").read_text())
    assert (facts["generator"], facts["canvas"], facts["num_aug"]) == ("arc", 7, 2)
    command = ["build", str(tmp_path / "again"), "--source", str(tmp_path / "o" / "tasks")]
    command += ["--subsets", "training", "evaluation", "--canvas", "7", "--num-aug", "2"]
    assert arc.main([*command, "--seed", "0"]) == 0
    again = load_dataset(tmp_path / "again" / "train")
    np.testing.assert_array_equal(again.inputs, train.inputs)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--canvas", "5"], "canvas must be 6 to 30 cells wide, got 5"),
        (["--num-test", "0"], "--num-test must be at least 1, got 0"),
        (["--num-train", "-1"], "--num-train must be 0 or more, got -1"),
        (["--families", "paint"], "families must be among ['recolour'"),
        (["--families", "box"], "1 different tasks can be made from ['box'], asked for 40 + 20"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(tmp_path, capsys, options, message):
    assert end_of(arc.main, ["generate", str(tmp_path / "o"), *options]) == 2
    assert capsys.readouterr().err.startswith(f"error: {message}")
    assert not (tmp_path / "o").exists()


def test_an_exhausted_rule_is_refused(tmp_path, capsys, monkeypatch):
    """One draw per pair: sooner or later a 3x3 grid comes that looks like one before."""
    monkeypatch.setattr(generator, "ATTEMPTS", 1)
    command = ["generate", str(tmp_path / "o"), "--families", "reflect", "--num-train", "1"]
    command += ["--num-test", "1", "--canvas", "6", "--demonstrations", "500"]
    assert arc.main(command) == 2
    assert capsys.readouterr().err.startswith("error: no new pair for the rule reflect-")
