"""The numerics plan: how every matrix of a model is stored and multiplied on a device.

A plan is by role of the matrix: the mixer's (`mlp_t`, `self_attn`), the channel MLP's (`mlp`),
the heads'. Each role names the simulation scheme it equals (quant/scheme.py), so that what is
evaluated is what is shipped; `plan_for` makes the plan of a scheme on a target, or says why the
target cannot compute that scheme. Everything that is not a matrix product stays float32.

Two differences are not in the scheme but in simulation.py: the rounding of a static product's
output, and roles with different schemes. Left out: which operators a runtime has (legality.py).
"""

import enum
from collections.abc import Callable
from dataclasses import dataclass

import jax

from export.numerics import MatrixPlan, Target, matrix_plan
from quant.ptq.weights import QuantisedParams, leaf_name, quantise_params
from quant.scheme import CarryPrecision, Scheme
from trm_jax.types import Params


class Role(enum.Enum):
    """What a matrix is for."""

    MIXER = "mixer"  # between positions: mlp_t, self_attn
    CHANNEL = "channel"  # between channels: mlp
    HEAD = "head"  # lm_head, q_head


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A plan for all roles.

    Raises:
      ValueError: roles ask for different precisions of the carry, which they share, or for
        integers of a device and for floats.
    """

    mixer: MatrixPlan
    channel: MatrixPlan
    head: MatrixPlan
    target: Target

    def __post_init__(self) -> None:
        carries = {plan.scheme.carry.value for plan in (self.mixer, self.channel, self.head)}
        if len(carries) > 1:
            raise ValueError(f"all roles share one carry, got precisions {sorted(carries)}")
        plans = (self.mixer, self.channel, self.head)
        integers = {p.scheme.activations.value if p.scheme.is_integer else "" for p in plans}
        if len(integers) > 1:
            raise ValueError(
                "integers run through a whole graph: all roles need _tflm with the same"
                f" activations, got {', '.join(sorted(p.scheme.name for p in plans))}"
            )

    def of(self, site: str) -> MatrixPlan:
        """Choose the plan of a Dense by its site."""
        return getattr(self, role_of(site).value)

    @property
    def carry(self) -> CarryPrecision:
        """What memory keeps of z_H and z_L between H-cycles (the host loop's business)."""
        return self.mixer.scheme.carry

    @property
    def scheme_name(self) -> str:
        """Name the simulation: one scheme, or one per role."""
        return _joined(self, lambda plan: plan.scheme.name)

    @property
    def name(self) -> str:
        """Name the arithmetic, `dynamic-int8`, or one per role."""
        return _joined(self, lambda plan: plan.name)

    @property
    def is_integer(self) -> bool:
        """Say whether graphs are a device's integers from end to end."""
        return self.mixer.scheme.is_integer

    @property
    def needs_ranges(self) -> bool:
        """Say whether lowering needs calibrated ranges."""
        plans = (self.mixer, self.channel, self.head)
        return any(p.scheme.activations.is_static for p in plans)


def role_of(site: str) -> Role:
    """Read the role off a site, `L_level/layers_0/mlp_t/gate_up_proj`.

    Raises:
      ValueError: not a site of this project's models.
    """
    parts = site.split("/")
    if parts[0] in ("lm_head", "q_head"):
        return Role.HEAD
    roles = {"mlp_t": Role.MIXER, "self_attn": Role.MIXER, "mlp": Role.CHANNEL}
    found = [roles[part] for part in parts if part in roles]
    if not found:
        raise ValueError(f"{site!r} is no matrix of a block or head; known parts: {list(roles)}")
    return found[0]


def plan_for(scheme: Scheme, target: Target) -> Plan:
    """Make the plan that computes a scheme on a target, the same for every role.

    Raises:
      ValueError: the target cannot compute it; the message names what can be done.
    """
    matrix = matrix_plan(scheme, target)
    return Plan(mixer=matrix, channel=matrix, head=matrix, target=target)


def mixed(*, mixer: Plan, channel: Plan, head: Plan) -> Plan:
    """Take every role from a plan of its own.

    Raises:
      ValueError: the plans are for different targets, or for different carries.
    """
    targets = {plan.target.value for plan in (mixer, channel, head)}
    if len(targets) > 1:
        raise ValueError(f"a file runs on one target, got plans for {sorted(targets)}")
    return Plan(mixer=mixer.mixer, channel=channel.channel, head=head.head, target=mixer.target)


def quantise_for(params: Params, plan: Plan) -> QuantisedParams:
    """Quantise every matrix by its role's scheme, everything else by the mixer's.

    Raises:
      ValueError: as `quantise_params`.
    """
    trees = {role: quantise_params(params, getattr(plan, role.value).scheme) for role in Role}

    def pick(path: tuple, _: object, *leaves: object) -> object:
        name = leaf_name(path).removesuffix("/kernel")
        is_matrix = leaf_name(path) != name
        return leaves[list(Role).index(role_of(name) if is_matrix else Role.MIXER)]

    # a tree that has a QTensor where `params` has a matrix hands it over whole
    return jax.tree_util.tree_map_with_path(pick, params, *trees.values())


def _joined(plan: Plan, name_of: Callable[[MatrixPlan], str]) -> str:
    names = {role: name_of(getattr(plan, role.value)) for role in Role}
    if len(set(names.values())) == 1:
        return names[Role.MIXER]
    return ",".join(f"{role.value}={name}" for role, name in names.items())
