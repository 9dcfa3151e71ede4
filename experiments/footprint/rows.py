"""Footprints as flat records: one per (configuration, scheme), in bytes, GFLOPs and mJ.

    OUT/footprint.jsonl   one record per line

Numbers follow from shapes (export/footprint/estimate.py), so rows are recomputed, not resumed.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.measurement.row_files import read_records, write_records
from export.footprint.energy import paper_energy
from export.footprint.estimate import BUDGETS, Footprint, estimate_footprint
from export.footprint.sram import Residency, Schedule
from quant.scheme import parse
from trm_jax.config import PRESETS, Config

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


def record(name: str, scheme: str, size: Footprint) -> Record:
    """Flatten one footprint."""
    cycle, whole, short = size.work(1), size.work(), size.work(SHORT_DEPTH)
    peaks = {
        f"{schedule.value}_{residency.name.lower()}": size.sram(residency, schedule).total
        for schedule in Schedule
        for residency in Residency
    }
    paper = (Residency.STREAMING, Residency.FULL)
    fits = {budget: size.residency_for(limit) for budget, limit in BUDGETS.items()}
    return {
        "config": name,
        "scheme": scheme,
        "parameters": size.num_parameters,
        "H_cycles": size.config.H_cycles,
        "steps": size.config.halt_max_steps,
        "backbone": size.backbone.total,
        "table": size.table,
        "row": size.row,
        "largest_block": size.largest_block,
        "linear_per_cycle": cycle.linear,
        "attention_per_cycle": cycle.attention,
        "gflops": whole.total,
        "gflops_short": short.total,
        **peaks,
        **{f"paper_{r.name.lower()}": size.paper_sram(r) for r in paper},
        **{f"fits {budget}": way.value if way else None for budget, way in fits.items()},
        "paper_mj": paper_energy(whole.linear),
        "paper_mj_short": paper_energy(short.linear),
        **_energies(size, Residency.STREAMING),
        **_energies(size, Residency.FULL),
    }


def _energies(size: Footprint, residency: Residency) -> Record:
    name = residency.name.lower()
    return {
        f"mj_{name}": size.energy(residency).total,
        f"mj_{name}_short": size.energy(residency, SHORT_DEPTH).total,
    }


def write_rows(folder: Path, rows: Sequence[Record]) -> None:
    """Write the rows of a folder anew."""
    write_records(folder / FILE, rows)


def read_rows(folder: Path) -> list[Record]:
    """Read the rows of a folder.

    Raises:
      FileNotFoundError: it has none.
      ValueError: a line is damaged.
    """
    cure = "run experiments.footprint again"
    rows = read_records(folder / FILE, cure, record_kinds())
    if not rows:
        raise ValueError(f"{folder / FILE} has no rows; {cure}")
    for row in rows:
        parse(row["scheme"])
    return rows


def record_kinds() -> dict[str, Any]:
    """List the fields of a row with their types, as the row of any configuration has them."""
    sample = records({"": next(iter(PRESETS.values()))}, ("fp32",))[0]
    numbers = dict.fromkeys(sample, float)
    texts = dict.fromkeys(("config", "scheme"), str)
    fits = {name: str | None for name in sample if name.startswith("fits ")}
    return numbers | texts | fits
