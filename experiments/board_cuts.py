"""How a network lies on a board: a block in one graph, or cut into graphs that share one arena.

A cut (export/lowering/stages.py) needs less arena, and work space and records of its own beside
it; which is smaller depends on the size of the network, so both are measured and the one with less
SRAM is taken. Only integer attention over more positions than one chunk is worth a try.
"""

import dataclasses

from export.artifact.open import Export
from export.cortex_m import package as cortex_m_package
from export.lowering.integer_block import MOST_QUERIES
from export.lowering.stages import STAGE, PartitionSpec
from quant.scheme import Scheme
from trm_jax.config import Config, Mixer

CUT = PartitionSpec(heads=1, tokens=100, queries=MOST_QUERIES)


def cut_for(config: Config, scheme: Scheme) -> PartitionSpec | None:
    """Choose the cut that may be worth it, or None."""
    is_cut = scheme.is_integer and config.mixer is Mixer.ATTENTION
    return CUT if is_cut and config.num_positions > CUT.queries else None


def smaller_package(made: Export) -> cortex_m_package.Package:
    """Make the package that needs less SRAM of an export with or without stages.

    Raises:
      ValueError, RuntimeError: as `micro.package`.
    """
    whole = _without_stages(made)
    made_whole = cortex_m_package.package(whole)
    if len(whole.model.graphs) == len(made.model.graphs):
        return made_whole
    return min(cortex_m_package.package(made), made_whole, key=sram_bytes)


def sram_bytes(package: cortex_m_package.Package) -> int:
    """Count what an arrangement decides: arena, states, and what lies between graphs."""
    return cortex_m_package.arena_bytes(package.arena) + package.state_bytes


def _without_stages(made: Export) -> Export:
    graphs = tuple(g for g in made.model.graphs if not STAGE.fullmatch(g.name))
    return dataclasses.replace(made, model=dataclasses.replace(made.model, graphs=graphs))
