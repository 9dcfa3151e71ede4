"""How one matrix is stored and multiplied, and which of that a target computes right.

    scheme        numerics      the device computes
    fp32          FLOAT32       float32 products
    fp16          FLOAT16       float16 weights, expanded; float32 products
    w...          WEIGHT_ONLY   integer weights, expanded; float32 products
    w..._a8da     DYNAMIC       int8 inputs, one asymmetric range per row at run time
    w..._a8d      DYNAMIC       the same, symmetric (LiteRT without XNNPACK only)
    w..._a8s      STATIC_INT8   int8 inputs and outputs over calibrated ranges
    w..._a16s     INT16         int16 inputs and outputs over calibrated ranges
    w..._tflm     TFLM_INTEGER  integers of one graph from end to end (model.py)

Left out: roles (storage.py), operators (float_matmul.py), what a runtime has (legality/check.py).

The numerics plan: how every matrix of a model is stored and multiplied on a device.

A plan is by role of the matrix: the mixer's (`mlp_t`, `self_attn`), the channel MLP's (`mlp`),
the heads'. Each role names the simulation scheme it equals (quant/scheme.py), so that what is
evaluated is what is shipped; `plan_for` makes the plan of a scheme on a target, or says why the
target cannot compute that scheme. Everything that is not a matrix product stays float32.

Two differences are not in the scheme but in simulation.py: the rounding of a static product's
output, and roles with different schemes. Left out: which operators a runtime has
(legality/check.py).
"""

import enum
from collections.abc import Callable
from dataclasses import dataclass, replace

import jax

from export.graph.ir import DType
from export.targets import Target
from quant.affine import Symmetry
from quant.ptq.weights import QuantisedParams, leaf_name, quantise_params
from quant.scheme import (
    Activations,
    CarryPrecision,
    FloatDtype,
    Scheme,
    WeightScheme,
    device,
    paper_name,
    parse,
)
from trm_jax.types import Params


class Numerics(enum.Enum):
    """Arithmetic of a matrix product."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    WEIGHT_ONLY = "weight_only"
    DYNAMIC = "dynamic"
    STATIC_INT8 = "static_int8"
    INT16 = "int16"
    TFLM_INTEGER = "tflm_integer"

    @property
    def is_static(self) -> bool:
        return self in (Numerics.STATIC_INT8, Numerics.INT16)


class ZeroPoints(enum.Enum):
    """What becomes of the zero points z of asymmetric weights s (q - z)."""

    STORED = "stored"  # beside the scales, for DEQUANTIZE
    RANK_ONE = "rank_one"  # s q x minus s z sum(x): a second, tiny product
    SHIFTED = "shifted"  # q - z is what is stored: 5 bits, so no smaller than int8
    TABLE = "table"  # 4-bit codes into a table of q - z per channel: TFLM_DECODE


@dataclass(frozen=True, kw_only=True)
class MatrixPlan:
    """How the matrices of one role are stored and multiplied.

    Attributes:
      scheme: the simulation this equals.
      carrier: type of the stored weights.
      zero_points: for asymmetric weights; symmetric ones have none.
    """

    scheme: Scheme
    numerics: Numerics
    carrier: DType
    zero_points: ZeroPoints = ZeroPoints.STORED

    @property
    def asymmetric_inputs(self) -> bool:
        """Say whether the rows of dynamic inputs have a zero point."""
        return self.scheme.activations is Activations.DYNAMIC_INT8_ASYM

    @property
    def name(self) -> str:
        parts = [self.numerics.value, self.carrier.value.lower()]
        weights = self.scheme.weights
        if self.numerics is Numerics.TFLM_INTEGER:
            int16 = self.scheme.activations is Activations.STATIC_INT16
            parts.insert(1, "int16" if int16 else "int8")
        asymmetric = weights is not None and weights.symmetry is Symmetry.ASYMMETRIC
        if asymmetric or self.zero_points is ZeroPoints.TABLE:
            parts.append(self.zero_points.value)
        return "-".join(parts)


INTEGERS = {
    Activations.NONE: Numerics.WEIGHT_ONLY,
    Activations.DYNAMIC_INT8: Numerics.DYNAMIC,
    Activations.DYNAMIC_INT8_ASYM: Numerics.DYNAMIC,
    Activations.STATIC_INT8: Numerics.STATIC_INT8,
    Activations.STATIC_INT16: Numerics.INT16,
}


def matrix_plan(scheme: Scheme, target: Target) -> MatrixPlan:
    """Make the plan of a matrix that computes a scheme on a target.

    Raises:
      ValueError: the target cannot compute it; the message names what can be done.
    """
    if scheme.weights is None:
        return _float_plan(scheme, target)
    if scheme.is_integer:
        return _integer_plan(scheme, scheme.weights, target)
    numerics = INTEGERS[scheme.activations]
    _check_target(scheme, numerics, target)
    packed = scheme.weights.bits <= 4 and _takes_int4(scheme, numerics, target)
    carrier = DType.INT4 if packed else DType.INT8
    plan = MatrixPlan(scheme=scheme, numerics=numerics, carrier=carrier)
    if scheme.weights.symmetry is Symmetry.SYMMETRIC:
        return plan
    fits = scheme.weights.bits < 8  # q - z into an int8
    if numerics.is_static and not fits:
        raise ValueError(
            f"static products take symmetric int8 weights, and q - z of {scheme.name} does not fit"
            " an int8; use w8c-sym, 7 bits or fewer, or dynamic inputs (_a8da)"
        )
    if numerics.is_static or (carrier is DType.INT8 and fits):
        return replace(plan, carrier=DType.INT8, zero_points=ZeroPoints.SHIFTED)
    rank_one = numerics is Numerics.DYNAMIC
    if rank_one and target is Target.LITERT_BUILTIN:
        raise ValueError(
            f"{target.value} computes {scheme.name} wrong: q - z needs 9 bits, and its kernels"
            f" misplace the sum of a row; use 7 bits or fewer, or target {Target.LITERT.value}"
        )
    return replace(plan, zero_points=ZeroPoints.RANK_ONE if rank_one else ZeroPoints.STORED)


def _integer_plan(scheme: Scheme, weights: WeightScheme, target: Target) -> MatrixPlan:
    """Plan for graphs of integers: packed filters where a kernel takes them, else tables.

    int8 kernels take symmetric int4 filters; int16 ones take int8 that a table decodes.
    """
    if target is not Target.TFLM:
        raise ValueError(
            f"{scheme.name} is TFLite Micro's arithmetic, which {target.value} rounds otherwise;"
            f" use target {Target.TFLM.value}"
        )
    int16 = scheme.activations is Activations.STATIC_INT16
    symmetric = weights.symmetry is Symmetry.SYMMETRIC
    if weights.bits > 4:
        if weights.bits == 8 and not symmetric:
            raise ValueError(
                f"q - zero_point of {scheme.name} needs 9 bits; use w8c-sym, or 7 bits or fewer"
            )
        carrier, points = DType.INT8, ZeroPoints.STORED if symmetric else ZeroPoints.SHIFTED
    else:
        carrier = DType.INT4
        points = ZeroPoints.STORED if symmetric and not int16 else ZeroPoints.TABLE
    return MatrixPlan(
        scheme=scheme, numerics=Numerics.TFLM_INTEGER, carrier=carrier, zero_points=points
    )


def _takes_int4(scheme: Scheme, numerics: Numerics, target: Target) -> bool:
    """Say whether a target multiplies by packed int4 weights and computes them right.

    LiteRT's own dynamic kernels do so only for symmetric rows and weights (no -8).
    """
    if target is Target.ONNX:
        return True
    if target is Target.LITERT:
        return numerics is not Numerics.INT16
    if target is Target.LITERT_BUILTIN and scheme.weights:
        plain = (
            scheme.activations is not Activations.DYNAMIC_INT8_ASYM
            and scheme.weights.symmetry is Symmetry.SYMMETRIC
        )
        return numerics is Numerics.WEIGHT_ONLY or (numerics is Numerics.DYNAMIC and plain)
    return False


def _float_plan(scheme: Scheme, target: Target) -> MatrixPlan:
    if scheme.activations is not Activations.NONE:
        raise ValueError(
            f"{scheme.name} quantises inputs but not weights, which no runtime computes;"
            " quantise the weights too, e.g. w8c-sym_a8da"
        )
    if scheme.float_dtype is FloatDtype.FP32:
        return MatrixPlan(scheme=scheme, numerics=Numerics.FLOAT32, carrier=DType.FLOAT32)
    if scheme.float_dtype is FloatDtype.FP16 and target is not Target.TFLM:
        return MatrixPlan(scheme=scheme, numerics=Numerics.FLOAT16, carrier=DType.FLOAT16)
    raise ValueError(
        f"{target.value} has no {scheme.float_dtype.value} kernels; use fp32"
        f"{'' if target is Target.TFLM else ' or fp16'}"
    )


def _check_target(scheme: Scheme, numerics: Numerics, target: Target) -> None:
    """Refuse arithmetic that a target lacks, or has in another form than simulated."""
    if scheme.float_dtype is not FloatDtype.FP32:
        raise ValueError(
            f"{scheme.name}: exported arithmetic around integer weights is float32;"
            " leave the float format out of the scheme"
        )
    if target is Target.TFLM:
        raise ValueError(
            f"{target.value} does not compute {scheme.name}: it rounds static products twice, which"
            f" a recursion amplifies, and lacks others; use {_device_name(scheme)}, whose"
            " simulation has its bits"
        )
    lacks = {
        Target.TFLITE_RUNTIME: (Numerics.DYNAMIC, Numerics.INT16),
        Target.AI_HUB: (Numerics.DYNAMIC, Numerics.WEIGHT_ONLY, Numerics.INT16),
        Target.ONNX: (Numerics.DYNAMIC,),
    }
    if numerics in lacks.get(target, ()):
        static = scheme.weights.name if scheme.weights else ""
        raise ValueError(
            f"{target.value} does not compute {scheme.name} right ({numerics.value} products);"
            f" use {static}_a8s, or target {Target.LITERT.value}"
        )
    if target is Target.LITERT and scheme.activations is Activations.DYNAMIC_INT8:
        raise ValueError(
            f"XNNPACK gives dynamic rows a zero point, {scheme.name} has none; use"
            f" {scheme.name.replace('a8d', 'a8da')}, or target {Target.LITERT_BUILTIN.value}"
        )


def _device_name(scheme: Scheme) -> str:
    """Name the scheme of TFLM's own arithmetic that is nearest to one of integer weights."""
    weights, activations = scheme.weights, scheme.activations
    assert weights is not None, "float schemes have a plan of their own"
    if weights.bits == 8:  # q - zero_point has 9 bits
        weights = replace(weights, symmetry=Symmetry.SYMMETRIC)
    if not activations.is_static:
        activations = Activations.STATIC_INT8
    nearest = device(Scheme(weights=weights), activations)
    return paper_name(nearest) or nearest.name


class Role(enum.Enum):
    """What a matrix is for."""

    MIXER = "mixer"  # between positions: mlp_t, self_attn
    CHANNEL = "channel"  # between channels: mlp
    HEAD = "head"  # lm_head, q_head


@dataclass(frozen=True, kw_only=True)
class StoragePlan:
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


def plan_for(scheme: Scheme, target: Target) -> StoragePlan:
    """Make the plan that computes a scheme on a target, the same for every role.

    Raises:
      ValueError: the target cannot compute it; the message names what can be done.
    """
    matrix = matrix_plan(scheme, target)
    return StoragePlan(mixer=matrix, channel=matrix, head=matrix, target=target)


def mixed(*, mixer: StoragePlan, channel: StoragePlan, head: StoragePlan) -> StoragePlan:
    """Take every role from a plan of its own.

    Raises:
      ValueError: the plans are for different targets, or for different carries.
    """
    targets = {plan.target.value for plan in (mixer, channel, head)}
    if len(targets) > 1:
        raise ValueError(f"a file runs on one target, got plans for {sorted(targets)}")
    return StoragePlan(
        mixer=mixer.mixer, channel=channel.channel, head=head.head, target=mixer.target
    )


def quantise_for(params: Params, plan: StoragePlan) -> QuantisedParams:
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


def _joined(plan: StoragePlan, name_of: Callable[[MatrixPlan], str]) -> str:
    names = {role: name_of(getattr(plan, role.value)) for role in Role}
    if len(set(names.values())) == 1:
        return names[Role.MIXER]
    return ",".join(f"{role.value}={name}" for role, name in names.items())


def plan_named(text: str, target: Target) -> StoragePlan:
    """Read a scheme, or one per role, as a plan.

    Raises:
      ValueError: unknown names, a role is missing, or the target cannot compute it.
    """
    if "=" not in text:
        return plan_for(parse(text), target)
    parts = dict(part.split("=", 1) for part in text.split(",") if "=" in part)
    roles = {role.value for role in Role}
    if set(parts) != roles:
        raise ValueError(f"a scheme per role names {sorted(roles)}, got {sorted(parts)}")
    return mixed(**{role: plan_for(parse(name), target) for role, name in parts.items()})
