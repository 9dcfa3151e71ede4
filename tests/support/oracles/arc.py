"""ARC in plain loops over lists: what the builder, the voting and the rules are tested against.

Nothing here shares code with the package.
"""

from collections import defaultdict

HASHES = {
    # SHA-256 (first 16 digits) of the files that the released dataset/build_arc_dataset.py
    # (SamsungSAILMontreal/TinyRecursiveModels e7b6871) writes when it visits train first, run on
    # the first 15 tasks by name of each subset of shared/data/arc_kaggle_combined with
    # --subsets training evaluation concept --test-set-name evaluation --num-aug 5.
    "identifiers.json": "53fb03b347cbd120",
    "test/all__group_indices.npy": "0a370fc61bcc313a",
    "test/all__inputs.npy": "72fe658e2d29c7ba",
    "test/all__labels.npy": "33395eb4bded66cd",
    "test/all__puzzle_identifiers.npy": "db59058838cc047e",
    "test/all__puzzle_indices.npy": "bea748c8fd1749e9",
    "test_puzzles.json": "cdcfc615ec49fa7a",
    "train/all__group_indices.npy": "068344e8f006e3a2",
    "train/all__inputs.npy": "89b2c56993b7a2c3",
    "train/all__labels.npy": "fc624eecc43e0424",
    "train/all__puzzle_identifiers.npy": "cb41216a5f6085c1",
    "train/all__puzzle_indices.npy": "a43a9e5d236a87f2",
}


def place(grid, transform, row, column):
    """Say where a cell of a grid goes under a transform, by the definition of each."""
    height, width = len(grid), len(grid[0])
    return (
        (row, column),
        (width - 1 - column, row),  # a quarter turn anticlockwise
        (height - 1 - row, width - 1 - column),
        (column, height - 1 - row),
        (row, width - 1 - column),
        (height - 1 - row, column),
        (column, row),
        (width - 1 - column, height - 1 - row),
    )[transform]


def augment(grid, name):
    """Turn and repaint a list of rows as an identifier says, cell by cell."""
    _, turn, digits = name.split("|||")
    cells = {}
    for r, row in enumerate(grid):
        for c, colour in enumerate(row):
            cells[place(grid, int(turn[1]), r, c)] = int(digits[colour])
    height, width = (max(place[axis] for place in cells) + 1 for axis in (0, 1))
    return [[cells[r, c] for c in range(width)] for r in range(height)]


def canvas(grid, side, top=0, left=0):
    """Write the tokens of a canvas, cell by cell."""
    tokens = []
    for r in range(-top, side - top):
        for c in range(-left, side - left):
            inside = (0 <= r < len(grid), 0 <= c < len(grid[0]))
            below = r == len(grid) and inside[1]
            right = c == len(grid[0]) and inside[0]
            tokens.append(grid[r][c] + 2 if all(inside) else int(below or right))
    return tokens


def crop(tokens, side):
    """Try every rectangle at the top left corner; the first of the largest wins."""
    best = []
    for height in range(1, side + 1):
        for width in range(1, side + 1):
            rows = [[tokens[r * side + c] for c in range(width)] for r in range(height)]
            area = len(best) * len(best[0]) if best else 0
            if all(2 <= x <= 11 for row in rows for x in row) and height * width > area:
                best = [[x - 2 for x in row] for row in rows]
    return best


def rank(answers):
    """Order (answer, probability) pairs by votes, then mean probability, then first seen."""
    chances = defaultdict(list)
    for answer, chance in answers:
        chances[answer].append(chance)
    return sorted(chances, key=lambda a: (-len(chances[a]), -sum(chances[a]) / len(chances[a])))


def falls_down(grid):
    """Move single cells down while one can."""
    grid = [list(row) for row in grid]
    moved = True
    while moved:
        moved = False
        for r in range(len(grid) - 1):
            for c in range(len(grid[0])):
                if grid[r][c] and not grid[r + 1][c]:
                    grid[r][c], grid[r + 1][c], moved = 0, grid[r][c], True
    return grid


def enclosed(grid, row, column):
    """Walk from a black cell over black cells; enclosed if the edge is never reached."""
    height, width = len(grid), len(grid[0])
    seen, todo = set(), [(row, column)]
    while todo:
        r, c = todo.pop()
        if (r, c) in seen or not (0 <= r < height and 0 <= c < width) or grid[r][c]:
            continue
        if r in (0, height - 1) or c in (0, width - 1):
            return False
        seen.add((r, c))
        todo += [(r + 1, c), (r - 1, c), (r, c + 1), (r, c - 1)]
    return True
