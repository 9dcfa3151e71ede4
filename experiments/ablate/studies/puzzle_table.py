"""The puzzle table as int8, at a low rank, and one row at a time from a file (4.1, Table 1).

The backbone stays as it is. "One row streamed" really is: the table is written to a file and only
the rows of the evaluated puzzles are read from it, through a memory map; every other row the
model could read is zero. Facts of a variant: bytes of the table in flash and in memory for one
puzzle, here and for the two published shapes, and the cosine of its rows to the trained ones.
"""

import dataclasses
import functools

import jax.numpy as jnp
import numpy as np

from experiments.ablate.interventions import (
    FULL,
    AblatedModel,
    Context,
    Intervention,
    NotApplicable,
    sizes,
)
from experiments.ablate.rows import Facts
from quant.puzzle_table import FloatRows, Int8Rows, LowRank, OneRow, TableForm, row_cosine
from quant.scheme import Scheme
from trm_jax.checkpoints.tensor_files import map_tensors, save_tensors
from trm_jax.config import ARC_TRM_ATT, ARC_TRM_ATT_PUBLIC
from trm_jax.sharding import device_mesh, replicate

RANKS = (1, 4, 16, 64)  # the paper's is 16
PUBLISHED = {"seed": ARC_TRM_ATT, "public": ARC_TRM_ATT_PUBLIC}
TABLE_FILE = "table.safetensors"


def interventions(context: Context) -> tuple[Intervention, ...]:
    """List the forms of the table, the trained one first.

    Raises:
      NotApplicable: the model has a single row.
    """
    config = context.model.config
    if config.num_puzzle_identifiers < 2:
        raise NotApplicable(
            f"{context.model.name} has one puzzle row: there is no table to compress (ARC models"
            " have one)"
        )
    most = min(config.num_puzzle_identifiers, config.puzzle_emb_ndim)
    ranks = [LowRank(rank) for rank in RANKS if rank < most]
    forms: list[TableForm] = [Int8Rows(), *ranks, OneRow()]
    return (context.full(), *(kept(context, form) for form in forms))


def kept(context: Context, form: TableForm) -> Intervention:
    """Keep the table in another form."""

    def make() -> AblatedModel:
        whole = context.original
        table = np.asarray(whole.weights.puzzle_emb)
        rows = streamed(context, table) if isinstance(form, OneRow) else form.rows(table)
        weights = whole.weights._replace(puzzle_emb=jnp.asarray(rows))
        facts = table_facts(form, table, rows)
        backbone = sizes(whole.weights, Scheme())
        replaced = FloatRows().size(*table.shape).flash
        facts |= {
            "bytes": backbone["bytes"] - replaced + form.size(*table.shape).memory,
            "parameters": backbone["parameters"],
        }
        return dataclasses.replace(whole, weights=replicate(weights, device_mesh()), facts=facts)

    return Intervention(
        name=form.name, make=functools.cache(make), reference=FULL, settings={"form": form.name}
    )


def table_facts(form: TableForm, table: np.ndarray, rows: np.ndarray) -> Facts:
    """Count bytes, here and published, and compare the rows that are read at all."""
    read = rows.any(axis=1)
    cosine = row_cosine(table[read], rows[read])
    here = form.size(*table.shape)
    facts: Facts = {
        "table_flash_bytes": float(here.flash),
        "table_memory_bytes": float(here.memory),
        "row_cosine": float(cosine.mean()),
        "row_cosine_least": float(cosine.min()),
    }
    for name, config in PUBLISHED.items():
        there = form.size(config.num_puzzle_identifiers, config.puzzle_emb_ndim)
        facts |= {
            f"{name}_flash_bytes": float(there.flash),
            f"{name}_memory_bytes": float(there.memory),
        }
    return facts


def streamed(context: Context, table: np.ndarray) -> np.ndarray:
    """Write the table to a file and read the evaluated puzzles' rows back, one by one."""
    context.folder.mkdir(parents=True, exist_ok=True)
    path = context.folder / TABLE_FILE
    save_tensors({"puzzle_emb": table}, path)
    dataset = context.puzzles.dataset
    examples = context.puzzles.order[: context.num_puzzles]
    puzzles = np.searchsorted(dataset.puzzle_indices, examples, side="right") - 1
    mapped, rows = map_tensors(path)["puzzle_emb"], np.zeros_like(table)
    for identifier in np.unique(dataset.puzzle_identifiers[puzzles]):
        rows[identifier] = mapped[identifier]
    return rows
