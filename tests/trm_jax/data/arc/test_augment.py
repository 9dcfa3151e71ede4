"""Augmentation against loops over cells, its inverse, names, and which draws are kept."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.oracles import arc as oracle
from trm_jax.data.arc.augment import (
    IDENTITY,
    Augmentation,
    augment,
    augmentations,
    augmented_name,
    draw,
    inverse_augment,
    parse_name,
)
from trm_jax.data.arc.task_files import ArcTask, Pair

sides = st.integers(1, 6)
grids = st.tuples(sides, sides, st.integers(0, 2**32 - 1)).map(
    lambda t: np.random.default_rng(t[2]).integers(0, 10, t[:2]).astype(np.uint8)
)
drawn = st.tuples(st.integers(0, 7), st.permutations(range(1, 10))).map(
    lambda t: Augmentation(t[0], bytes([0, *t[1]]))
)


@settings(deadline=None)
@given(grid=grids, augmentation=drawn)
def test_equals_loops_and_inverts(grid, augmentation):
    image = augment(grid, augmentation)
    digits = "".join(map(str, augmentation.colours))
    name = f"task|||t{augmentation.transform}|||{digits}"
    assert image.tolist() == oracle.augment(grid.tolist(), name)
    np.testing.assert_array_equal(inverse_augment(image, augmentation), grid)
    if augmentation != IDENTITY:
        assert augmented_name("task", augmentation) == name
    assert parse_name(name) == ("task", augmentation)


@given(augmentation=drawn)
def test_no_cells_stay_no_cells(augmentation):
    assert inverse_augment(np.zeros((0, 0), np.uint8), augmentation).size == 0


def test_the_bare_name_is_the_identity():
    assert augmented_name("a_b|c", IDENTITY) == "a_b|c"
    assert parse_name("a_b|c") == ("a_b|c", IDENTITY)


@pytest.mark.parametrize(
    "name",
    [
        "a|||t8|||0123456789",
        "a|||3|||0123456789",
        "a|||t3|||012345678",
        "a|||t3|||0023456789",
        "a|||t3",
        "a|||b|||t3|||0123456789",
    ],
)
def test_other_names_are_refused(name):
    with pytest.raises(ValueError, match="an identifier reads NAME or"):
        parse_name(name)


def task_of(*grids):
    pairs = [Pair("train", np.array(g, np.uint8), np.array([[0]], np.uint8)) for g in grids]
    return ArcTask("t", tuple(pairs))


def replay(task, num, seed, known=()):
    """Keep draws by comparing augmented grids as nested tuples, in any order of pairs."""
    rng, kept, seen = np.random.RandomState(seed), [], set()

    def look(name):
        grids = [[p.input.tolist(), p.output.tolist()] for p in task.pairs]
        images = [[oracle.augment(g, name) for g in pair] for pair in grids]
        return tuple(sorted(str(image) for image in images))

    seen = {look("t|||t0|||0123456789"), *map(look, known)}
    for _ in range(5 * num):
        turn = rng.randint(0, 8)
        digits = "0" + "".join(map(str, rng.permutation(np.arange(1, 10))))
        name = f"t|||t{turn}|||{digits}"
        if len(kept) < num and look(name) not in seen:
            seen.add(look(name))
            kept.append(name)
        if len(kept) == num:
            break
    return kept, rng.randint(1 << 30)


@pytest.mark.parametrize("num", [0, 1, 5, 60])
@pytest.mark.parametrize(
    "grids", [[[[1, 0]]], [[[1, 2], [3, 4]]], [[[1]], [[2]]], [[[0]]], [[[1, 0]], [[0, 1]]]]
)
def test_keeps_the_draws_that_look_new(grids, num):
    """One cell has 9 looks, so most draws are refused; two swapped pairs look the same."""
    task, rng = task_of(*grids), np.random.RandomState(3)
    names = [augmented_name("t", a) for a in augmentations(task, num, rng)]
    expected, next_draw = replay(task, num, 3)
    assert names == expected
    assert rng.randint(1 << 30) == next_draw  # the stream goes on where the released one does


def test_known_augmentations_are_not_drawn_again():
    task = task_of([[1]])
    known = list(augmentations(task, 5, np.random.RandomState(0)))
    more = list(augmentations(task, 9, np.random.RandomState(1), known))
    colours = [a.colours[1] for a in known + more]
    assert len(set(colours)) == len(colours) == 8  # of the nine, 1 is the task itself


def test_black_is_never_painted():
    rng = np.random.RandomState(0)
    assert all(draw(rng).colours[0] == 0 for _ in range(50))


def test_negative_numbers_are_refused():
    with pytest.raises(ValueError, match="must be 0 or more, got -1"):
        list(augmentations(task_of([[1]]), -1, np.random.RandomState(0)))
