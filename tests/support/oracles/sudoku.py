"""Slow, plain Sudoku code that shares nothing with the package: loops and lists only."""

import itertools

Grid = list[int]


def units(box):
    """List the cells of every row, column and box."""
    height, width = box
    side = height * width
    rows = [[r * side + c for c in range(side)] for r in range(side)]
    columns = [[r * side + c for r in range(side)] for c in range(side)]
    boxes = [
        [(top + r) * side + left + c for r in range(height) for c in range(width)]
        for top in range(0, side, height)
        for left in range(0, side, width)
    ]
    return rows + columns + boxes


def is_solution(grid, box):
    """Tell whether every unit holds every digit."""
    side = box[0] * box[1]
    return all(sorted(grid[i] for i in unit) == list(range(1, side + 1)) for unit in units(box))


def count_solutions(puzzle, box, limit):
    """Fill blanks in reading order with every digit that breaks no unit."""
    side, all_units = box[0] * box[1], units(box)
    peers = [{j for u in all_units if i in u for j in u} - {i} for i in range(side**2)]
    grid = list(puzzle)
    if any(d and any(grid[j] == d for j in peers[i]) for i, d in enumerate(grid)):
        return 0

    def fill(found):
        if 0 not in grid:
            return found + 1
        i = grid.index(0)
        for digit in set(range(1, side + 1)) - {grid[j] for j in peers[i]}:
            grid[i] = digit
            found = fill(found)
            grid[i] = 0
            if found == limit:
                break
        return found

    return fill(0)


def line_orders(side, lines):
    """List all orders of the lines of a grid that keep the lines of a box together."""
    bands = [range(first, first + lines) for first in range(0, side, lines)]
    for order in itertools.permutations(bands):
        for parts in itertools.product(*(itertools.permutations(band) for band in order)):
            yield [line for part in parts for line in part]


def images(grid, box):
    """Yield all images of a grid under moves of rows and columns (digits keep their names)."""
    side = box[0] * box[1]
    square = [grid[r * side : (r + 1) * side] for r in range(side)]
    views = [square]
    if box[0] == box[1]:
        views.append([list(column) for column in zip(*square, strict=True)])
    for view in views:
        for rows in line_orders(side, box[0]):
            for columns in line_orders(side, box[1]):
                yield [view[r][c] for r in rows for c in columns]


def renamed(grid):
    """Name digits 1, 2, ... in order of appearance."""
    names = {0: 0}
    return tuple(names.setdefault(digit, len(names)) for digit in grid)


def class_name(grid, box):
    """Find the least image of a grid under all symmetries, by trying them all."""
    return min(renamed(image) for image in images(grid, box))
