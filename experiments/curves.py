"""Loss curves of a training run."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def draw_curve(rows: list[dict[str, float]], path: Path, title: str) -> None:
    """Draw loss and exact match over steps; nothing is drawn without rows."""
    if not rows:
        return
    figure, (top, bottom) = plt.subplots(2, 1, sharex=True, figsize=(7, 6), facecolor="white")
    steps = [row["step"] for row in rows]
    top.plot(steps, [row["loss"] for row in rows], color="#0072B2")
    top.set_ylabel("loss per puzzle")
    top.set_title(f"{title}: training")
    bottom.plot(
        steps, [row["exact_accuracy"] for row in rows], color="#0072B2", label="training, at halt"
    )
    names = sorted({k for row in rows for k in row if k.startswith("valid_exact")})
    for name, colour in zip(names, ("#D55E00", "#009E73", "#CC79A7"), strict=False):
        points = [(row["step"], row[name]) for row in rows if name in row]
        label = f"validation, n={name.rsplit('n', 1)[1]}"
        bottom.plot(*zip(*points, strict=True), color=colour, marker="o", label=label)
    bottom.set_ylabel("puzzle exact")
    bottom.set_xlabel("step")
    bottom.set_ylim(0, 1)
    bottom.legend(loc="lower right")
    figure.tight_layout()
    figure.savefig(path, dpi=150)
    plt.close(figure)
