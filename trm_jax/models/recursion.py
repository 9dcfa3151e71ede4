"""The recursion, as pure functions of the networks it repeats (Eq. 1-2, REFERENCE 1.3).

    one H-cycle:   z_L <- net_L(z_L, z_H + e), L_cycles times;   z_H <- net_H(z_H, z_L)

Cycles are `jax.lax.scan`s. A trajectory is whatever `observe` reads from the carry after every
H-cycle: since the carry passes through supervision steps unchanged, (H_cycles=1, n=4),
(2, 2) and (4, 1) are the same state, and one run answers every cell of a depth grid.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import jax

from trm_jax.types import Injection, Latents, Params, State

Update = Callable[[Params, State, Injection], State]
Observed = TypeVar("Observed")


def add(z_H: State, e: Injection) -> Injection:
    """Inject answer state and puzzle (the default of `Networks.inject_L`)."""
    return z_H + e


class Networks(NamedTuple):
    """The two state updates; TRM uses one network for both.

    Attributes:
      inject_L: what z_L is updated with, from z_H and e; a device adds integers.
    """

    update_L: Update
    update_H: Update
    inject_L: Callable[[State, Injection], Injection] = add


def identity(latents: Latents) -> Latents:
    """Keep the carry as it is (the default of `store`)."""
    return latents


def repeat_L(
    networks: Networks,
    params: Params,
    latents: Latents,
    e: Injection,
    times: int,
    unroll: bool = False,
) -> Latents:
    """Update z_L `times` times at fixed z_H.

    Args:
      unroll: lay the updates out one after the other; under a gradient this saves stacking
        what the backward pass needs (a third of a training step on CPU).
    """

    def body(z_L: State, _: None) -> tuple[State, None]:
        return networks.update_L(params, z_L, networks.inject_L(latents.z_H, e)), None

    z_L, _ = jax.lax.scan(body, latents.z_L, length=times, unroll=unroll)
    return Latents(latents.z_H, z_L)


def h_cycle(
    networks: Networks,
    params: Params,
    latents: Latents,
    e: Injection,
    L_cycles: int,
    unroll: bool = False,
) -> Latents:
    """Run one H-cycle: L_cycles updates of z_L, then one of z_H."""
    z_H, z_L = repeat_L(networks, params, latents, e, L_cycles, unroll)
    return Latents(networks.update_H(params, z_H, z_L), z_L)


def run_cycles(
    networks: Networks,
    params: Params,
    latents: Latents,
    e: Injection,
    *,
    H_cycles: int,
    L_cycles: int,
    observe: Callable[[Latents], Observed],
    store: Callable[[Latents], Latents] = identity,
) -> tuple[Latents, Observed]:
    """Run H-cycles without gradient bookkeeping and watch them.

    Args:
      observe: read-out taken after every H-cycle.
      store: what the memory between two H-cycles does to the carry (its precision).

    Returns:
      The last latents and the observations stacked along a leading `cycles` axis.
    """

    def body(carry: Latents, _: None) -> tuple[Latents, Observed]:
        carry = store(h_cycle(networks, params, carry, e, L_cycles))
        return carry, observe(carry)

    return jax.lax.scan(body, latents, length=H_cycles)


def run_cycles_one_step_gradient(
    networks: Networks,
    params: Params,
    latents: Latents,
    e: Injection,
    *,
    H_cycles: int,
    L_cycles: int,
    live_L_cycles: int,
) -> Latents:
    """Run H-cycles with gradient only through the end of the last one.

    Args:
      live_L_cycles: updates of z_L in the last H-cycle that carry gradient: all of them in
        TRM, one in HRM. The last update of z_H always does.
    """
    frozen, frozen_e = jax.lax.stop_gradient((params, e))
    latents, _ = run_cycles(
        networks,
        frozen,
        jax.lax.stop_gradient(latents),
        frozen_e,
        H_cycles=H_cycles - 1,
        L_cycles=L_cycles,
        observe=lambda _: None,
    )
    latents = repeat_L(networks, frozen, latents, frozen_e, L_cycles - live_L_cycles)
    return h_cycle(networks, params, jax.lax.stop_gradient(latents), e, live_L_cycles, unroll=True)
