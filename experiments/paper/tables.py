"""The paper's numbers as data: arXiv 2606.26488v1, table by table, as printed.

Nothing here was measured by this project; reports show these numbers beside ours and say whose
they are. Rows that are a scheme carry its name (quant/scheme.py); `notes` hold errata and what
a figure turned out to mean. Depth grids (Tables 16-18) are in grids.py.

Not here: figures, which repeat the tables.

A table holds numbers with the units in which they are printed. The paper writes T for H_cycles
and n for supervision steps; formulas of the depths were lost in the public text and are decoded
from GFLOPs and accuracies (`DEPTH_NOTE`).
"""

import enum
from dataclasses import dataclass

SOURCE = "arXiv 2606.26488v1"

DEPTH_NOTE = (
    "In Tables 5 and 6 the default depth is 30 H-cycles (T=3, n=10), not the 48 of Tables 16-18:"
    " 1,875 = 30 x 62.5, and 256, 342, 68 = 30, 40, 8 x 8.54 GFLOPs; the accuracies (69.1 %,"
    " 70.3 %, 55.4 %) lie where Table 18 has 30, 40 and 8 H-cycles."
)


class Unit(enum.Enum):
    """Unit of a column as printed; the value is the suffix."""

    PERCENT = "%"
    FRACTION = ""
    MB = "MB"
    GFLOPS = "GFLOPs"
    MS = "ms"
    MJ = "mJ"
    COUNT = " "


@dataclass(frozen=True, kw_only=True)
class PaperTable:
    """One table of the paper.

    Attributes:
      number: "9", or the appendix where numbers stand in the text.
      columns: names with their units.
      rows: by key (first words of the row), one number per column, None where a dash is printed.
      notes: errata and readings.
    """

    number: str
    title: str
    columns: dict[str, Unit]
    rows: dict[tuple[str, ...], tuple[float | None, ...]]
    notes: tuple[str, ...] = ()

    def value(self, row: tuple[str, ...], column: str) -> float | None:
        """Look a printed number up.

        Raises:
          KeyError: the table has no such row or column.
        """
        return self.rows[row][list(self.columns).index(column)]

    def fraction(self, row: tuple[str, ...], column: str) -> float | None:
        """Look a share up, as a number in [0, 1] however it is printed."""
        value = self.value(row, column)
        return value / 100 if value is not None and self.columns[column] is Unit.PERCENT else value


EMBEDDING = PaperTable(
    number="1",
    title="Puzzle embedding table of ARC (50,911 rows of 512)",
    columns={"SRAM": Unit.MB},
    rows={("int8",): (24.9,), ("svd16",): (3.2,), ("row",): (0.002,)},
    notes=(
        "MB are MiB: 50,911 x 512 x 4 bytes are 99.44 MiB (104.3 MB).",
        "SVD rank 16 is printed as lossy, cosine of rows 0.94; the other two as without loss.",
        "A single row is printed as 2 KB.",
    ),
)

DEPLOYMENT = PaperTable(
    number="2",
    title="Deployment configurations (ARC)",
    columns={"SRAM": Unit.MB, "GFLOPs/puzzle": Unit.GFLOPS},
    rows={
        ("fp32", "T=3, n=16"): (126, 3000),
        ("int8", "T=1, n=8"): (6.51, 500),
        ("int4_calibrated", "T=1, n=8"): (3.26, 500),
    },
    notes=(
        "MB are MiB of weights alone (one or half a byte each): no scales, states, activations.",
        "GFLOPs count linear layers only; the attention products add 27 %.",
    ),
)

_EXACT_CELL = {"PExact": Unit.PERCENT, "CellAcc": Unit.PERCENT}

PRECISION = PaperTable(
    number="3",
    title="Precision and task at default depth",
    columns={
        "SRAM": Unit.MB,
        **{
            f"{task} {name}": unit
            for task in ("arc", "maze", "sudoku")
            for name, unit in _EXACT_CELL.items()
        },
    },
    rows={
        ("fp32",): (26.7, 36.00, 88.22, 86.80, 99.52, 69.10, 87.47),
        ("fp16",): (13.3, 36.00, 87.57, 87.00, 99.53, 68.50, 87.20),
        ("int8",): (6.7, 36.00, 87.62, 87.00, 99.53, 69.10, 87.51),
        ("int4_naive",): (3.3, 25.50, 84.80, 86.40, 99.50, 5.30, 66.02),
    },
    notes=(
        "26.7 MB are neither the 27.3 MB nor the 26.05 MiB of 6.83 M float32 weights; INT8 is"
        " 6.51 MB in Table 2 and 6.7 MB here.",
        "ARC with augment-and-vote, others one pass; no n, no intervals printed.",
    ),
)

ARC_DEPTHS = PaperTable(
    number="4",
    title="Depth and precision, ARC",
    columns={"PExact": Unit.PERCENT, "GFLOPs": Unit.GFLOPS},
    rows={
        ("fp32", "T=3, n=2"): (36.00, 375),
        ("int8", "T=1, n=4"): (34.25, 250),
        ("int8", "T=1, n=8"): (35.25, 500),
        ("int8", "T=1, n=16"): (36.25, 1000),
        ("int4_naive", "T=1, n=4"): (25.25, 250),
    },
)

MAZE_DEPTHS = PaperTable(
    number="5",
    title="Depth and precision, Maze",
    columns={"PExact": Unit.PERCENT, "GFLOPs": Unit.GFLOPS},
    rows={
        ("fp32", "T=3, n=10"): (86.80, 1875),
        ("int8", "T=1, n=8"): (86.90, 500),
        ("int8", "T=1, n=4"): (84.50, 250),
        ("int4_naive", "T=1, n=8"): (86.30, 500),
    },
    notes=(DEPTH_NOTE,),
)

SUDOKU_DEPTHS = PaperTable(
    number="6",
    title="Depth and precision, Sudoku",
    columns={"PExact": Unit.PERCENT, "GFLOPs": Unit.GFLOPS},
    rows={
        ("fp32", "30 H-cycles"): (69.10, 256),
        ("fp32", "40 H-cycles"): (70.30, 342),
        ("int8", "40 H-cycles"): (70.20, 342),
        ("int8", "8 H-cycles"): (55.40, 68),
        ("int4_naive", "40 H-cycles"): (6.00, 342),
    },
    notes=(DEPTH_NOTE,),
)

_TASKS: dict[str, Unit] = dict.fromkeys(("arc", "maze", "sudoku"), Unit.FRACTION)

SIMILARITY = PaperTable(
    number="7",
    title="Consecutive carry similarity",
    columns=_TASKS,
    rows={
        ("fp32",): (0.415, 0.697, 0.806),
        ("int8",): (0.412, 0.697, 0.806),
        ("int4_naive",): (0.479, 0.699, 0.841),
    },
    notes=("n = 32 ARC, 64 Maze, 256 Sudoku puzzles; first supervision step.",),
)

FIDELITY = PaperTable(
    number="8",
    title="Carry-trajectory fidelity after one supervision step",
    columns=_TASKS,
    rows={
        ("fp32",): (1.0, 1.0, 1.0),
        ("int8",): (0.999, 1.000, 0.998),
        ("int4_naive",): (0.688, 0.989, 0.353),
        ("int4_calibrated",): (0.944, None, 0.894),
    },
    notes=(
        "Change of exact match under naive INT4: ARC -10.5 pp, Maze -0.40 pp, Sudoku -63.8 pp.",
        "n = 32 ARC, 64 Maze, 256 Sudoku puzzles; prefix tokens included.",
    ),
)

SUDOKU_SCHEMES = PaperTable(
    number="9",
    title="Sudoku TRM-MLP: calibrated INT4 recovers (n = 256)",
    columns={"PExact": Unit.PERCENT, "Cell": Unit.PERCENT, "Fidelity": Unit.FRACTION},
    rows={
        ("fp32",): (73.8, 88.9, 1.000),
        ("int8",): (73.1, 88.7, 0.998),
        ("int4_naive",): (10.2, 67.8, 0.353),
        ("int4_calibrated",): (71.9, 88.2, 0.894),
    },
    notes=("With n = 256 a rate of 73.8 % has the 95 % interval [68.1, 78.8].",),
)

ARCHITECTURES = PaperTable(
    number="10",
    title="Architecture on Sudoku: naive INT4 (n = 256)",
    columns={"fp32": Unit.PERCENT, "int4_naive": Unit.PERCENT, "Fidelity": Unit.FRACTION},
    rows={
        ("TRM-MLP",): (73.8, 10.2, 0.35),
        ("TRM-Att",): (73.1, 69.5, 0.87),
        ("HRM",): (47.7, 48.4, 0.98),
    },
)

DEVICES = PaperTable(
    number="11",
    title="Devices over Qualcomm AI Hub",
    columns={
        "step": Unit.MS,
        "puzzle": Unit.MS,
        "peak memory": Unit.MB,
        "size": Unit.MB,
        "PExact": Unit.FRACTION,
    },
    rows={
        ("arc", "fp32", "Galaxy S24"): (40.20, 643.18, 185.24, 27.56, 0.355),
        ("arc", "fp32", "Galaxy S22"): (85.32, 1365.18, 180.73, 27.56, 0.355),
        ("arc", "fp32", "Dragonwing"): (1737.80, 27804.82, 127.11, 27.56, 0.355),
        ("arc", "int8", "Galaxy S24"): (25.69, 205.53, 173.96, 6.91, 0.260),
        ("arc", "int8", "Galaxy S22"): (55.59, 444.69, 226.49, 6.91, 0.260),
        ("arc", "int8", "Dragonwing"): (672.89, 5383.10, 115.48, 6.91, 0.260),
        ("maze", "fp32", "Galaxy S24"): (119.83, 1917.25, 229.97, 28.41, 0.870),
        ("maze", "fp32", "Galaxy S22"): (224.45, 3591.18, 189.69, 28.41, 0.870),
        ("maze", "fp32", "Dragonwing"): (5239.83, 83837.22, 132.36, 28.41, 0.870),
        ("maze", "int8", "Galaxy S24"): (25.71, 205.72, 170.73, 6.90, 0.850),
        ("maze", "int8", "Galaxy S22"): (55.25, 441.98, 222.51, 6.90, 0.850),
        ("maze", "int8", "Dragonwing"): (669.16, 5353.26, 112.21, 6.90, 0.850),
        ("sudoku", "fp32", "Galaxy S24"): (11.38, 182.05, 154.41, 20.47, 0.717),
        ("sudoku", "fp32", "Galaxy S22"): (30.17, 482.75, 179.78, 20.47, 0.717),
        ("sudoku", "fp32", "Dragonwing"): (606.02, 9696.40, 58.64, 20.47, 0.717),
        ("sudoku", "int8", "Galaxy S24"): (27.23, 435.60, 160.41, 5.10, 0.699),
        ("sudoku", "int8", "Galaxy S22"): (79.68, 1274.86, 210.44, 5.10, 0.699),
        ("sudoku", "int8", "Dragonwing"): (334.68, 5354.94, 57.25, 5.10, 0.699),
    },
    notes=(
        "ARC and Maze INT8 ran T=1, n=8, all others T=3, n=16: a third of the work in a step, so"
        " their step latencies do not compare precisions.",
        "The puzzle latency is the step's times n.",
        "App. G prints 25 MFLOPs for a Sudoku step and a factor of 7,500 to Maze: it is"
        " 25.6 GFLOPs, and the factor is 7.3.",
    ),
)

TRUNCATION = PaperTable(
    number="12",
    title="Context truncation, exact match (n = 1 supervision step)",
    columns=dict.fromkeys(("arc", "maze", "sudoku"), Unit.PERCENT),
    rows={
        ("100%",): (36.00, 78.50, 28.40),
        ("50%",): (26.50, 0.0, 0.0),
        ("25%",): (10.75, None, None),
    },
    notes=("The baselines 78.5 and 28.4 are those of one supervision step (Tables 17, 18).",),
)

PRUNING = PaperTable(
    number="13",
    title="Structured pruning (rows of least norm set to zero)",
    columns={
        f"{task} {name}": unit
        for task in ("arc", "maze", "sudoku")
        for name, unit in _EXACT_CELL.items()
    },
    rows={
        ("0%",): (36.00, 87.55, 86.80, 99.52, 69.10, 87.47),
        ("25%",): (0.0, 0.27, 0.0, 86.40, 0.0, 50.01),
        ("50%",): (0.0, 0.58, 0.0, 0.0, 0.0, 37.81),
    },
)

DISTILLATION = PaperTable(
    number="14",
    title="Single-cycle student, hidden 256, one layer",
    columns={"teacher": Unit.COUNT, "student": Unit.COUNT, **_EXACT_CELL},
    rows={("maze",): (6.82e6, 855e3, 0.0, 87.25), ("sudoku",): (5.03e6, 745e3, 0.0, 54.77)},
)

SRAM = PaperTable(
    number="15",
    title="Peak SRAM",
    columns={"streaming": Unit.MB, "full load": Unit.MB},
    rows={
        ("arc", "fp32"): (27.31, 40.31),
        ("arc", "int8"): (9.51, 12.76),
        ("maze", "fp32"): (27.31, 40.31),
        ("maze", "int8"): (9.51, 12.76),
        ("sudoku", "fp32"): (11.08, 20.65),
        ("sudoku", "int8"): (3.06, 5.45),
        ("arc", "int8, int8 carry"): (6.82, None),
        ("maze", "int8, int8 carry"): (6.82, None),
    },
    notes=(
        "MB are MiB. Every figure is (blocks in memory) + 2 states + the 3,072 wide gate_up of"
        " the channel MLP: streaming holds one block of the two; INT8 makes weights and gate_up"
        " one byte and leaves the states float32 until host-side compression.",
        "Not counted: the injected embedding, the residual, qkv and attention scores (25.6 MiB"
        " for 8 heads at once), scales, heads, embeddings; and for Sudoku the token mixer's"
        " gate_up of 512 x 1,024, larger than the one counted.",
    ),
)

ENERGY = PaperTable(
    number="App. H",
    title="Energy by 1 mJ per GFLOP",
    columns={"mJ/puzzle": Unit.MJ},
    rows={
        ("arc", "T=3, n=16"): (3000,),
        ("arc", "T=1, n=8"): (500,),
        ("sudoku", "default"): (256,),
    },
    notes=(
        "Printed as 1 GFLOP/mW; it is 1 GFLOP/mJ, 1 pJ per operation: an accelerator's figure."
        " A Cortex-M55 itself needs many times that.",
        "256 mJ are those of 30 H-cycles; 48 need 410.",
    ),
)

LINEAR_ATTENTION = PaperTable(
    number="App. J",
    title="Linear attention, Maze",
    columns=_EXACT_CELL,
    rows={("softmax",): (78.50, 99.40), ("zero-shot",): (0.0, 87.3), ("retrained",): (0.0, 87.5)},
    notes=("Baseline of one supervision step; retrained for 200 steps.",),
)

QAT = PaperTable(
    number="Sec. 4.6",
    title="QAT from naive INT4, 100 steps, batch 4",
    columns=_EXACT_CELL,
    rows={("int4_naive",): (0.0, 0.0)},
    notes=("No straight-through estimator in the authors' code: the weights get no gradient.",),
)

STATIC = PaperTable(
    number="Sec. 4.2",
    title="Static INT8 activations",
    columns={"PExact": Unit.PERCENT},
    rows={("sudoku",): (5.30,)},
    notes=("ARC loses 10.5 pp, Maze nothing; dynamic INT8 loses nothing anywhere.",),
)

TABLES = (
    EMBEDDING,
    DEPLOYMENT,
    PRECISION,
    ARC_DEPTHS,
    MAZE_DEPTHS,
    SUDOKU_DEPTHS,
    SIMILARITY,
    FIDELITY,
    SUDOKU_SCHEMES,
    ARCHITECTURES,
    DEVICES,
    TRUNCATION,
    PRUNING,
    DISTILLATION,
    SRAM,
    ENERGY,
    LINEAR_ATTENTION,
    QAT,
    STATIC,
)
"""All tables but the depth grids."""
