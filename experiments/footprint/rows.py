"""Footprints as flat records: one per (configuration, scheme), in bytes, GFLOPs and mJ.

    OUT/footprint.jsonl   one record per line

Numbers follow from shapes (export/footprint/estimate.py), so rows are recomputed, not resumed.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from export.footprint.energy import paper_energy
from export.footprint.estimate import BUDGETS, Footprint, estimate_footprint
from export.footprint.sram import Residency, Schedule
from quant.scheme import parse
from trm_jax.config import Config

FILE = "footprint.jsonl"
Record = dict[str, Any]

SHORT_DEPTH = 8  # H-cycles of "INT8 at one cycle": T=1, n=8


def records(configs: Mapping[str, Config], schemes: Sequence[str]) -> list[Record]:
    """Count every configuration under every scheme.

    Raises:
      ValueError: an unknown scheme, or a configuration that cannot be counted.
    """
    return [
        record(name, scheme, estimate_footprint(config, parse(scheme)))
        for name, config in configs.items()
        for scheme in schemes
    ]


def record(name: str, scheme: str, found: Footprint) -> Record:
    """Flatten one footprint."""
    cycle, whole, short = found.work(1), found.work(), found.work(SHORT_DEPTH)
    peaks = {
        f"{schedule.value}_{residency.name.lower()}": found.sram(residency, schedule).total
        for schedule in Schedule
        for residency in Residency
    }
    paper = (Residency.STREAMING, Residency.FULL)
    fits = {budget: found.residency_for(size) for budget, size in BUDGETS.items()}
    return {
        "config": name,
        "scheme": scheme,
        "parameters": found.num_parameters,
        "H_cycles": found.config.H_cycles,
        "steps": found.config.halt_max_steps,
        "backbone": found.backbone.total,
        "table": found.table,
        "row": found.row,
        "largest_block": found.largest_block,
        "linear_per_cycle": cycle.linear,
        "attention_per_cycle": cycle.attention,
        "gflops": whole.total,
        "gflops_short": short.total,
        **peaks,
        **{f"paper_{r.name.lower()}": found.paper_sram(r) for r in paper},
        **{f"fits {budget}": way.value if way else None for budget, way in fits.items()},
        "paper_mj": paper_energy(whole.linear),
        "paper_mj_short": paper_energy(short.linear),
        **_energies(found, Residency.STREAMING),
        **_energies(found, Residency.FULL),
    }


def _energies(found: Footprint, residency: Residency) -> Record:
    name = residency.name.lower()
    return {
        f"mj_{name}": found.energy(residency).total,
        f"mj_{name}_short": found.energy(residency, SHORT_DEPTH).total,
    }


def write(folder: Path, rows: Sequence[Record]) -> None:
    """Write the rows of a folder anew."""
    folder.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / FILE).write_text(text, encoding="utf-8")


def read(folder: Path) -> list[Record]:
    """Read the rows of a folder.

    Raises:
      ValueError: a line is damaged.
    """
    try:
        return [json.loads(line) for line in (folder / FILE).read_text().splitlines()]
    except ValueError as error:
        raise ValueError(f"{folder / FILE} is damaged ({error}); make it again") from error
