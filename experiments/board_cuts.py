"""How a network lies on a board: a block in one graph, or cut into graphs that share one arena.

A cut (export/stages.py) needs less arena, and work space and records of its own beside it; which is
smaller depends on the size of the network, so both are measured and the one with less SRAM is
taken. Only integer attention over more positions than one chunk is worth a try.
"""

import dataclasses

from export import micro
from export.integer_graph_ops import MOST_QUERIES
from export.integrity import Export
from export.stages import STAGE, Cut
from quant.scheme import Scheme
from trm_jax.config import Config, Mixer

CUT = Cut(heads=1, tokens=100, queries=MOST_QUERIES)


def cut_for(config: Config, scheme: Scheme) -> Cut | None:
    """Choose the cut that may be worth it, or None."""
    is_cut = scheme.is_integer and config.mixer is Mixer.ATTENTION
    return CUT if is_cut and config.num_positions > CUT.queries else None


def smaller_package(made: Export) -> micro.Package:
    """Make the package that needs less SRAM of an export with or without stages.

    Raises:
      ValueError, RuntimeError: as `micro.package`.
    """
    whole = _without_stages(made)
    made_whole = micro.package(whole)
    if len(whole.model.graphs) == len(made.model.graphs):
        return made_whole
    return min(micro.package(made), made_whole, key=sram_bytes)


def sram_bytes(package: micro.Package) -> int:
    """Count what an arrangement decides: arena, states, and what lies between graphs."""
    return micro.arena_bytes(package.arena) + package.state_bytes


def _without_stages(made: Export) -> Export:
    graphs = tuple(g for g in made.model.graphs if not STAGE.fullmatch(g.name))
    return dataclasses.replace(made, model=dataclasses.replace(made.model, graphs=graphs))
