"""Depth x precision grids of the paper (Tables 16-18), as printed: shares, not percent.

Rows are (scheme, T, metric), columns n = 1, 2, 4, 8, 16 supervision steps. Cells with equal T*n
are one state (the carry passes through), and the printed rates agree: sorted by T*n they rise.
The rows called FP32 ran bfloat16 arithmetic. ARC: 400 tasks with augment-and-vote; Maze and
Sudoku: 1,000 puzzles (all printed rates are multiples of .0025 and .001).
"""

from typing import NamedTuple

STEPS = (1, 2, 4, 8, 16)
"""n of the columns."""

Cells = tuple[float, float, float, float, float]


class PaperGrid(NamedTuple):
    """One grid.

    Attributes:
      number: of the table.
      total: puzzles (tasks for ARC), read off the steps of the printed rates.
      rows: by (scheme, T, "exact" or "cell").
    """

    number: str
    total: int
    rows: dict[tuple[str, int, str], Cells]

    def at(self, scheme: str, cycles: int, metric: str) -> float | None:
        """Look up the state after `cycles` H-cycles, the larger T first; None if not printed."""
        for t in (3, 1):
            n, rest = divmod(cycles, t)
            row = self.rows.get((scheme, t, metric))
            if row and not rest and n in STEPS:
                return row[STEPS.index(n)]
        return None


ARC = PaperGrid("16", 400, {
    ("fp32", 3, "exact"): (0.2850, 0.3600, 0.3575, 0.3575, 0.3600),
    ("fp32", 3, "cell"): (0.8762, 0.8839, 0.8764, 0.8760, 0.8757),
    ("fp32", 1, "exact"): (0.0025, 0.0750, 0.3425, 0.3575, 0.3550),
    ("fp32", 1, "cell"): (0.5410, 0.7954, 0.8825, 0.8832, 0.8762),
    ("fp16", 3, "exact"): (0.2850, 0.3600, 0.3575, 0.3600, 0.3625),
    ("fp16", 3, "cell"): (0.8762, 0.8838, 0.8765, 0.8763, 0.8755),
    ("fp16", 1, "exact"): (0.0025, 0.0750, 0.3450, 0.3550, 0.3575),
    ("fp16", 1, "cell"): (0.5410, 0.7953, 0.8825, 0.8831, 0.8773),
    ("int8", 3, "exact"): (0.2850, 0.3575, 0.3575, 0.3600, 0.3600),
    ("int8", 3, "cell"): (0.8760, 0.8837, 0.8827, 0.8842, 0.8670),
    ("int8", 1, "exact"): (0.0025, 0.0750, 0.3425, 0.3525, 0.3625),
    ("int8", 1, "cell"): (0.5415, 0.7953, 0.8827, 0.8835, 0.8767),
    ("int4_naive", 3, "exact"): (0.1575, 0.2700, 0.2675, 0.2625, 0.2575),
    ("int4_naive", 3, "cell"): (0.8372, 0.8626, 0.8473, 0.8430, 0.8322),
    ("int4_naive", 1, "exact"): (0.0000, 0.0225, 0.2525, 0.2650, 0.2600),
    ("int4_naive", 1, "cell"): (0.3954, 0.7148, 0.8582, 0.8494, 0.8415),
})  # fmt: skip
MAZE = PaperGrid("17", 1_000, {
    ("fp32", 3, "exact"): (0.7850, 0.8670, 0.8700, 0.8700, 0.8700),
    ("fp32", 3, "cell"): (0.9940, 0.9953, 0.9953, 0.9953, 0.9953),
    ("fp32", 1, "exact"): (0.0000, 0.1390, 0.8440, 0.8690, 0.8700),
    ("fp32", 1, "cell"): (0.4363, 0.9808, 0.9949, 0.9953, 0.9953),
    ("fp16", 3, "exact"): (0.7850, 0.8670, 0.8700, 0.8700, 0.8700),
    ("fp16", 3, "cell"): (0.9940, 0.9953, 0.9953, 0.9953, 0.9953),
    ("fp16", 1, "exact"): (0.0000, 0.1380, 0.8440, 0.8700, 0.8700),
    ("fp16", 1, "cell"): (0.4362, 0.9808, 0.9949, 0.9953, 0.9953),
    ("int8", 3, "exact"): (0.7830, 0.8680, 0.8710, 0.8700, 0.8700),
    ("int8", 3, "cell"): (0.9940, 0.9953, 0.9953, 0.9953, 0.9953),
    ("int8", 1, "exact"): (0.0000, 0.1380, 0.8450, 0.8690, 0.8700),
    ("int8", 1, "cell"): (0.4333, 0.9808, 0.9949, 0.9953, 0.9953),
    ("int4_naive", 3, "exact"): (0.7660, 0.8610, 0.8640, 0.8640, 0.8640),
    ("int4_naive", 3, "cell"): (0.9934, 0.9949, 0.9950, 0.9950, 0.9950),
    ("int4_naive", 1, "exact"): (0.0000, 0.1580, 0.8360, 0.8630, 0.8630),
    ("int4_naive", 1, "cell"): (0.4734, 0.9805, 0.9945, 0.9950, 0.9950),
})  # fmt: skip
SUDOKU = PaperGrid("18", 1_000, {
    ("fp32", 3, "exact"): (0.2840, 0.4960, 0.6040, 0.6690, 0.7090),
    ("fp32", 3, "cell"): (0.7640, 0.8147, 0.8474, 0.8680, 0.8810),
    ("fp32", 1, "exact"): (0.0060, 0.0210, 0.3830, 0.5470, 0.6370),
    ("fp32", 1, "cell"): (0.5527, 0.6943, 0.7856, 0.8293, 0.8563),
    ("fp16", 3, "exact"): (0.2830, 0.4960, 0.6100, 0.6700, 0.7160),
    ("fp16", 3, "cell"): (0.7639, 0.8151, 0.8488, 0.8677, 0.8851),
    ("fp16", 1, "exact"): (0.0060, 0.0210, 0.3830, 0.5480, 0.6390),
    ("fp16", 1, "cell"): (0.5526, 0.6941, 0.7856, 0.8303, 0.8574),
    ("int8", 3, "exact"): (0.2800, 0.5010, 0.6210, 0.6790, 0.7120),
    ("int8", 3, "cell"): (0.7643, 0.8183, 0.8524, 0.8721, 0.8816),
    ("int8", 1, "exact"): (0.0060, 0.0210, 0.3820, 0.5540, 0.6560),
    ("int8", 1, "cell"): (0.5528, 0.6942, 0.7852, 0.8306, 0.8638),
    ("int4_naive", 3, "exact"): (0.0210, 0.0290, 0.0510, 0.0550, 0.0610),
    ("int4_naive", 3, "cell"): (0.6277, 0.6490, 0.6524, 0.6573, 0.6597),
    ("int4_naive", 1, "exact"): (0.0000, 0.0120, 0.0210, 0.0370, 0.0510),
    ("int4_naive", 1, "cell"): (0.5612, 0.6097, 0.6375, 0.6536, 0.6555),
})  # fmt: skip

GRIDS = {"arc": ARC, "maze": MAZE, "sudoku": SUDOKU}
"""By task."""
