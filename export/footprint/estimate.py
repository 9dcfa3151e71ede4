"""What a model needs on a device under a scheme: bytes, SRAM, GFLOPs, energy, and which budget.

Serves Tables 2, 4-6 and 15, App. H and M. Everything is computed from shapes, nothing is run and
no weight is read, so that published sizes need no checkpoint; what a device really takes is
measured by experiments.deploy. Budgets of devices are binary (SRAM comes in powers of two): 4 and
8 MiB.

    GFLOPs      `Work`: products with weights and attention apart; a multiply-accumulate is two
                operations. Norms, SwiGLU's products and rotary positions are not counted (under
                1 % of the published sizes), nor is the read-out, which runs once per answer
    bytes       as quant.ptq.weights stores them
    SRAM        sram.py; energy: energy.py

Not here: how many blocks and products a configuration has (trm_jax/config.py).
"""

import functools
from dataclasses import dataclass

import jax

from export.footprint import energy, sram
from export.footprint.energy import Energy
from export.footprint.sram import Residency, Schedule, Sram
from quant.packing import StoredBytes
from quant.ptq import weights
from quant.scheme import Scheme
from trm_jax.config import Config, Mixer, attention_macs, blocks_per_step, linear_macs
from trm_jax.models.build import build
from trm_jax.types import Weights

BUDGETS = {"4 MB MCU": 4 * 2**20, "8 MB SoC": 8 * 2**20}
"""SRAM in bytes of the paper's devices (Sec. 3.3)."""


@dataclass(frozen=True)
class Work:
    """GFLOPs of some part of solving one puzzle.

    Attributes:
      linear: products with weights.
      attention: products of activations (scores, and their use).
    """

    linear: float
    attention: float

    @property
    def total(self) -> float:
        return self.linear + self.attention

    def __mul__(self, times: float | int) -> "Work":
        return Work(self.linear * times, self.attention * times)


def step_work(config: Config) -> Work:
    """Count one supervision step.

    Raises:
      ValueError: linear attention, whose products are not counted.
    """
    if config.mixer is Mixer.LINEAR_ATTENTION:
        raise ValueError("products of linear attention are not counted; use mixer=attention")
    gflops = 2e-9 * blocks_per_step(config)
    return Work(gflops * linear_macs(config), gflops * attention_macs(config))


def cycle_work(config: Config) -> Work:
    """Count one H-cycle: L applications for z_L and one for z_H."""
    return step_work(config) * (1 / config.H_cycles)


def puzzle_work(config: Config, cycles: int | None = None) -> Work:
    """Count a whole answer.

    Args:
      cycles: H-cycles in all (T*n); the model's H_cycles times its supervision steps if None.
    """
    return cycle_work(config) * (cycles or config.H_cycles * config.halt_max_steps)


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """A configuration under a scheme.

    Attributes:
      num_parameters: what is trained, without the puzzle table.
      backbone: stored bytes without the puzzle table.
      blocks: stored bytes of the blocks alone.
      largest_block: bytes of the block that needs most.
      table, row: bytes of the puzzle table and of one row of it.
      read_per_cycle: bytes of weights read in an H-cycle, a block as often as it is applied.
    """

    config: Config
    scheme: Scheme
    num_parameters: int
    backbone: StoredBytes
    blocks: StoredBytes
    largest_block: int
    table: int
    row: int
    read_per_cycle: int

    def work(self, cycles: int | None = None) -> Work:
        """Count the GFLOPs of a puzzle at T*n H-cycles (None: full depth)."""
        return puzzle_work(self.config, cycles)

    def sram(self, residency: Residency, schedule: Schedule = Schedule.CHUNKED) -> Sram:
        """Count the bytes in memory at the peak."""
        weight_bytes = {
            Residency.FULL: self.backbone.total + self.row,
            Residency.STREAMING: self.largest_block + self.row,
            Residency.IN_PLACE: self.row,
        }
        working = sram.working_bytes(self.config, self.scheme, schedule)
        return Sram(weight_bytes[residency], sram.state_bytes(self.config, self.scheme), working)

    def paper_sram(self, residency: Residency) -> int:
        """Count as Table 15 does: blocks without scales, two states, one gate_up."""
        weight_bytes = self.blocks.integers + self.blocks.floats
        return sram.paper_sram(self.config, weight_bytes, residency, self.scheme)

    def energy(self, residency: Residency, cycles: int | None = None) -> Energy:
        """Estimate a lower bound on the mJ of a puzzle."""
        cycles = cycles or self.config.H_cycles * self.config.halt_max_steps
        read = self.read_per_cycle * cycles
        return energy.estimate_energy(self.work(cycles).total, read, self.scheme, residency)

    def residency_for(self, budget: int) -> Residency | None:
        """Choose where weights are kept so that the peak fits: the fastest way that does."""
        return next((r for r in Residency if self.sram(r).total <= budget), None)


@functools.cache
def shapes_of(config: Config) -> Weights:
    """Make the weight tree of a configuration without its numbers."""
    return jax.eval_shape(build(config).init, jax.random.key(0))


@functools.cache  # takes milliseconds, and a page asks for the same ones once per device
def estimate_footprint(config: Config, scheme: Scheme) -> Footprint:
    """Count everything about a configuration under a scheme.

    Raises:
      ValueError: linear attention.
    """
    step_work(config)  # refuses what cannot be counted
    tree = shapes_of(config)
    stored = weights.footprint(tree, scheme)
    blocks: dict[tuple[str, str], list[StoredBytes]] = {}
    for tensor in stored.backbone:
        level, layer, *_ = (*tensor.name.split("/"), "")
        if layer.startswith("layers_"):
            blocks.setdefault((level, layer), []).append(tensor.stored)
    sizes = {key: sum(part.total for part in parts) for key, parts in blocks.items()}
    return Footprint(
        config=config,
        scheme=scheme,
        num_parameters=sum(leaf.size for leaf in jax.tree.leaves(tree.params)),
        backbone=stored.backbone_bytes,
        blocks=_sum([part for parts in blocks.values() for part in parts]),
        largest_block=max(sizes.values()),
        table=stored.puzzle_emb.stored.total,
        row=stored.puzzle_emb.stored.total // config.num_puzzle_identifiers,
        read_per_cycle=_read_per_cycle(config, sizes),
    )


def _read_per_cycle(config: Config, sizes: dict[tuple[str, str], int]) -> int:
    """TRM applies its one level L + 1 times, HRM the low level L times and the high one once."""
    levels = {"L_level": 0, "H_level": 0}
    for (level, _), size in sizes.items():
        levels[level] += size
    last = levels["H_level"] or levels["L_level"]
    return config.L_cycles * levels["L_level"] + last


def _sum(parts: list[StoredBytes]) -> StoredBytes:
    return StoredBytes(*(sum(column) for column in zip(*parts, strict=True)))
