"""The card of a full-size model: what it is, how it was trained, what was measured."""

import shlex
from typing import Any

from experiments.full_size import evaluation
from experiments.full_size.job import FullSizeJob
from experiments.sweep.outcomes import Sweep
from trm_jax.output.staging import replace_text


def write_card(job: FullSizeJob, facts: dict[str, Any], sweep: Sweep | None) -> None:
    """Write OUT/README.md.

    Args:
      facts: of full_size.json.
      sweep: of the trained model; None: it failed, and the card says so.
    """
    lines = [f"# {job.preset}, trained in {job.minutes:g} minutes", "", *training(job, facts), ""]
    lines += evaluated(sweep)
    if failures := facts.get("failures"):
        lines += ["", "## What failed", "", *(f"- {failure}" for failure in failures)]
    replace_text(job.out / "README.md", "\n".join(lines) + "\n")


def training(job: FullSizeJob, facts: dict[str, Any]) -> list[str]:
    """Describe the training; what did not happen is missing."""
    lines = ["## Training", "", f"- **Command**: `{shlex.join(facts['command'])}`"]
    lines.append(
        f"- **Machine**: {facts['devices']}, jax {facts['jax']}, XLA_FLAGS"
        f" {facts['xla_flags'] or 'none'}, forward pass in {facts.get('dtype')}"
    )
    if "updates" in facts:
        lines.append(
            f"- **Updates**: {facts['begin']:,} before, {facts['updates']:,} of"
            f" {facts['planned']:,} planned, {job.batch_size} puzzles each,"
            f" {facts['samples_per_second']:,.0f} samples/s when measured"
        )
    if "training_puzzles" in facts:
        lines.append(
            f"- **Data**: {facts['training_puzzles']:,} training puzzles, SHA-256"
            f" {facts['data_sha256'][:16]}"
        )
    lines.append(
        f"- **Recipe**: {job.optimizer.value}, learning rate {job.lr:g} down to 1 %, weight decay"
        f" {job.weight_decay:g}, seed {job.seed}"
    )
    return lines


def evaluated(sweep: Sweep | None) -> list[str]:
    """Describe what was measured."""
    lines = ["## Evaluation", ""]
    if sweep is None:
        return [*lines, "It failed: nothing is known of this model's accuracy."]
    spec = sweep.spec
    return [
        *lines,
        f"First {sweep.reference.num_puzzles:,} held-out puzzles,"
        f" {spec.grid.deepest} H-cycles, 95 % intervals, differences paired (McNemar's p):",
        "",
        *evaluation.describe(sweep),
    ]
