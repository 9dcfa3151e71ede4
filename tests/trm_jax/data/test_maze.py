"""Mazes: shortest paths by plain breadth-first search, the tie rule, generation, symmetry."""

from collections import deque

import numpy as np
import pytest

from trm_jax.data.maze import generator
from trm_jax.data.maze import symmetry as data_maze
from trm_jax.data.maze.generator import generate_mazes
from trm_jax.data.maze.solver import (
    CHARSET,
    FREE,
    GOAL,
    PATH,
    START,
    WALL,
    has_one_shortest_path,
    shortest_path,
    solve_maze,
)


def tokens(text):
    """Read a maze drawn with the symbols of files."""
    return np.array([[CHARSET.index(s) + 1 for s in line] for line in text.split("|")], np.int8)


def drawn(grid):
    return "|".join("".join(CHARSET[t - 1] for t in row) for row in grid)


def distances(grid, source):
    """Flood with a queue, cell by cell."""
    found, queue = {source: 0}, deque([source])
    while queue:
        r, c = queue.popleft()
        for place in ((r - 1, c), (r, c - 1), (r, c + 1), (r + 1, c)):
            inside = 0 <= place[0] < grid.shape[0] and 0 <= place[1] < grid.shape[1]
            if inside and place not in found and grid[place] != WALL:
                found[place] = found[r, c] + 1
                queue.append(place)
    return found


def place_of(grid, token):
    ((row, column),) = np.argwhere(grid == token).tolist()
    return row, column


def test_ties_go_up_left_right_down():
    assert drawn(solve_maze(tokens("S  |   |  G"))) == "Soo|  o|  G"
    assert drawn(solve_maze(tokens("G  |   |  S"))) == "Goo|  o|  S"
    assert drawn(solve_maze(tokens("  S|   |G  "))) == "ooS|o  |G  "
    assert drawn(solve_maze(tokens("  G|   |S  "))) == "ooG|o  |S  "


def test_paths_do_not_wrap_around_the_edge():
    # a wrap from the end of the first row to the start of the second would be 1 move, not 4
    assert drawn(solve_maze(tokens(" #S|G# |   "))) == " #S|G#o|ooo"
    with pytest.raises(ValueError, match="no path leads"):
        solve_maze(tokens("  S|###|G  "))
    with pytest.raises(ValueError, match="no path leads"):
        solve_maze(tokens("#S#|###|#G#"))


def test_an_old_path_counts_as_free():
    assert drawn(solve_maze(tokens("S o|ooo|  G"))) == "Soo|  o|  G"


@pytest.mark.parametrize(("text", "what"), [("S  ", "'G', got 0"), ("SGS", "'S', got 2")])
def test_refuses_mazes_without_one_start_and_goal(text, what):
    with pytest.raises(ValueError, match=what):
        shortest_path(tokens(text))


@pytest.mark.parametrize(
    ("height", "width", "min_path", "num"), [(8, 8, 12, 20), (5, 11, 14, 20), (30, 30, 70, 3)]
)
def test_generated_paths_are_shortest_and_long_enough(height, width, min_path, num):
    mazes, answers = generate_mazes(num, height=height, width=width, min_path=min_path, seed=1)
    for flat, answer in zip(mazes, answers, strict=True):
        grid = flat.reshape(height, width)
        found = distances(grid, place_of(grid, GOAL))
        path = shortest_path(grid)
        assert path[0] == place_of(grid, START)
        assert [found.get(place) for place in path] == list(range(len(path)))[::-1]
        assert len(path) - 1 >= min_path
        marked = grid.copy()
        for place in path[1:-1]:
            marked[place] = PATH
        np.testing.assert_array_equal(answer.reshape(height, width), marked)


def test_each_maze_draws_its_share_of_walls():
    mazes, _ = generate_mazes(40, height=8, width=8, min_path=10, wall_prob=(0.2, 0.5), seed=2)
    shares = (mazes == WALL).mean(axis=1)
    assert shares.min() < 0.3 < 0.4 < shares.max()


def test_a_maze_depends_on_seed_and_index_alone():
    whole, answers = generate_mazes(6, height=8, width=8, min_path=10, seed=3)
    tail, tail_answers = generate_mazes(4, height=8, width=8, min_path=10, seed=3, start=2)
    np.testing.assert_array_equal(whole[2:], tail)
    np.testing.assert_array_equal(answers[2:], tail_answers)
    assert (generate_mazes(6, height=8, width=8, min_path=10, seed=4)[0] != whole).any()


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"height": 0}, "height must be 1 to 1000, got 0"),
        ({"min_path": 0}, "min_path must be 1 to 24 moves"),
        ({"min_path": 25}, "min_path must be 1 to 24 moves"),
        ({"wall_prob": 1.0}, "wall_prob must lie in 0 to 1"),
        ({"wall_prob": (0.5, 0.4)}, "wall_prob must lie in 0 to 1"),
    ],
)
def test_refuses_options(options, what):
    with pytest.raises(ValueError, match=what):
        generate_mazes(1, **({"height": 5, "width": 5, "min_path": 4} | options))


def test_gives_up_with_advice(monkeypatch):
    monkeypatch.setattr(generator, "ATTEMPTS", 5)
    with pytest.raises(ValueError, match=r"in 5 draws.*lower min_path"):
        generate_mazes(1, height=5, width=5, min_path=24)


def test_new_classes_drops_images_and_repeats():
    mazes, _ = generate_mazes(4, height=6, width=6, min_path=8, seed=5)
    images = np.concatenate([data_maze.transform_rows(mazes[:1], (6, 6), t) for t in range(8)])
    candidates = np.concatenate([images, mazes[1:3], mazes[1:2]])
    fresh = data_maze.new_classes(candidates, mazes[:1], (6, 6))
    assert fresh.tolist() == [False] * 8 + [True, True, False]


@pytest.mark.parametrize("shape", [(6, 6), (5, 8)])
def test_augmented_answers_still_solve_their_maze(shape):
    mazes, answers = generate_mazes(3, height=shape[0], width=shape[1], min_path=8, seed=6)
    mazes, answers = np.repeat(mazes, 40, axis=0), np.repeat(answers, 40, axis=0)
    inputs, labels = data_maze.augment_maze(np.random.default_rng(0), mazes, answers, shape)
    np.testing.assert_array_equal(np.where(labels == PATH, FREE, labels), inputs)
    for grid, answer in zip(inputs.reshape(-1, *shape), labels, strict=True):
        found = distances(grid, place_of(grid, GOAL))
        assert (answer == PATH).sum() + 1 == found[place_of(grid, START)]
    # 8 images of a square maze, 4 of an oblong one; 40 draws miss one with a chance below 0.04
    assert len({row.tobytes() for row in inputs[:40]}) == (8 if shape[0] == shape[1] else 4)


def test_one_path_mazes_have_one_shortest_path_and_others_are_told_apart() -> None:
    def count(maze: np.ndarray) -> int:
        """Count shortest paths by walking a queue, cell by cell."""
        (start,), (goal,) = (np.argwhere(maze == token).tolist() for token in (3, 4))
        distance, ways, queue = {tuple(start): 0}, {tuple(start): 1}, [tuple(start)]
        for cell in queue:
            for dr, dc in ((0, 1), (1, 0), (0, -1), (-1, 0)):
                near = (cell[0] + dr, cell[1] + dc)
                if min(near) < 0 or max(near) >= len(maze) or maze[near] == 1:
                    continue
                if near not in distance:
                    distance[near], ways[near] = distance[cell] + 1, 0
                    queue.append(near)
                if distance[near] == distance[cell] + 1:
                    ways[near] += ways[cell]
        return ways[tuple(goal)]

    free, _ = generate_mazes(40, height=6, width=6, min_path=6, seed=2)
    counts = [count(maze.reshape(6, 6)) for maze in free]
    assert [has_one_shortest_path(maze.reshape(6, 6)) for maze in free] == [n == 1 for n in counts]
    assert 1 in counts
    assert max(counts) > 1
    single, _ = generate_mazes(10, height=6, width=6, min_path=6, seed=2, one_path=True)
    assert all(count(maze.reshape(6, 6)) == 1 for maze in single)
