"""Arithmetic of a reasoner in GFLOPs, from its configuration: linears and attention apart.

Serves Tables 2 and 4-6 and App. H. One multiply-accumulate is two operations; norms, SwiGLU's
products and rotary positions are left out (under 1 % of the published sizes), and so is the
read-out, which runs once per answer. The blocks are counted in trm_jax/config.py.
"""

from dataclasses import dataclass

from trm_jax.config import Config, Mixer, attention_macs, blocks_per_step, linear_macs


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


def per_step(config: Config) -> Work:
    """Count one supervision step.

    Raises:
      ValueError: linear attention, whose products are not counted.
    """
    if config.mixer is Mixer.LINEAR_ATTENTION:
        raise ValueError("products of linear attention are not counted; use mixer=attention")
    gflops = 2e-9 * blocks_per_step(config)
    return Work(gflops * linear_macs(config), gflops * attention_macs(config))


def per_cycle(config: Config) -> Work:
    """Count one H-cycle: L applications for z_L and one for z_H."""
    return per_step(config) * (1 / config.H_cycles)


def per_puzzle(config: Config, cycles: int | None = None) -> Work:
    """Count a whole answer.

    Args:
      cycles: H-cycles in all (T*n); the model's H_cycles times its supervision steps if None.
    """
    return per_cycle(config) * (cycles or config.H_cycles * config.halt_max_steps)
