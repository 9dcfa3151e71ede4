"""How a target stores and multiplies the matrices of a model: the precision plan, made concrete.

What is computed is decided by a `PrecisionPlan`, a scheme per role of a matrix
(quant/precision_plan.py); quant/simulation.py computes the same in JAX. A `StoragePlan` adds
what only a file needs: the arithmetic that a runtime calls it, the type of the stored weights,
and what becomes of their zero points. `plan_for` makes it, or says why a target cannot compute
the scheme. Everything that is not a matrix product stays float32.

    scheme        numerics      the device computes
    fp32          FLOAT32       float32 products
    fp16          FLOAT16       float16 weights, expanded; float32 products
    w...          WEIGHT_ONLY   integer weights, expanded; float32 products
    w..._a8da     DYNAMIC       int8 inputs, one asymmetric range per row at run time
    w..._a8d      DYNAMIC       the same, symmetric (LiteRT without XNNPACK only)
    w..._a8s      STATIC_INT8   int8 inputs and outputs over calibrated ranges
    w..._a16s     INT16         int16 inputs and outputs over calibrated ranges
    w..._tflm     TFLM_INTEGER  integers of one graph from end to end (model.py)

Not here: operators (float_matmul.py, integer_matmul.py), which of them a runtime has
(legality/check.py).
"""

import enum
from dataclasses import dataclass, replace

from export.graph.ir import DType
from export.targets import DynamicRows, Int4Products, RuntimeFacts, Target
from quant.affine import Symmetry
from quant.precision_plan import PrecisionPlan, join_names, parse_plan
from quant.scheme import (
    Activations,
    FloatDtype,
    Ranges,
    Scheme,
    WeightScheme,
    device,
    int8_ranges,
    paper_name,
)
from quant.sites import Role, role_of


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
      scheme: what the simulation computes (quant/simulation.py).
      carrier: type of the stored weights.
      zero_points: for asymmetric weights; symmetric ones have none.
    """

    scheme: Scheme
    numerics: Numerics
    carrier: DType
    zero_points: ZeroPoints = ZeroPoints.STORED

    @property
    def asymmetric_inputs(self) -> bool:
        """Return whether the rows of dynamic inputs have a zero point."""
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


@dataclass(frozen=True, kw_only=True)
class StoragePlan:
    """How a target stores the matrices of every role.

    Raises:
      ValueError: as `PrecisionPlan`.
    """

    mixer: MatrixPlan
    channel: MatrixPlan
    head: MatrixPlan
    target: Target

    def __post_init__(self) -> None:
        _ = self.precision  # which refuses roles that do not fit together

    def of(self, site: str) -> MatrixPlan:
        """Choose the plan of a Dense by its site."""
        plan = self.of_role(role_of(site))
        if not plan.scheme.exceptions:
            return plan
        return matrix_plan(plan.scheme.of(site), self.target)

    def of_role(self, role: Role) -> MatrixPlan:
        """Choose the plan of a role."""
        return getattr(self, role.value)

    @property
    def precision(self) -> PrecisionPlan:
        """What the file computes: the plan that is simulated. Its floats are float32."""
        schemes = {role.value: self.of_role(role).scheme for role in Role}
        return PrecisionPlan(**schemes, float_dtype=FloatDtype.FP32)

    @property
    def name(self) -> str:
        """Name the arithmetic, `dynamic-int8`, or one per role."""
        return join_names(lambda role: self.of_role(role).name)


def plan_for(precision: PrecisionPlan | Scheme, target: Target) -> StoragePlan:
    """Make the plan that computes a scheme, or one per role, on a target.

    Raises:
      ValueError: the target cannot compute it; the message names what can be done.
    """
    if isinstance(precision, Scheme):
        precision = PrecisionPlan.uniform(precision)
    for scheme in precision.schemes:
        for place, weights in scheme.exceptions:
            try:
                matrix_plan(replace(scheme, weights=weights, exceptions=()), target)
            except ValueError as error:
                raise ValueError(f"{place}: {error}") from error
    matrices = {role.value: matrix_plan(precision.of_role(role), target) for role in Role}
    return StoragePlan(**matrices, target=target)


def plan_named(text: str, target: Target) -> StoragePlan:
    """Read a scheme, or one per role, as a plan.

    Raises:
      ValueError: unknown names, a role is missing, or the target cannot compute it.
    """
    return plan_for(parse_plan(text), target)


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
    packed = scheme.weights.bits <= 4 and _takes_int4(scheme, numerics, target.facts)
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
    if rank_one and not target.facts.zero_point_sums:
        raise ValueError(
            f"{target.value} computes {scheme.name} wrong: q - z needs 9 bits, and its kernels"
            f" misplace the sum of a row; use 7 bits or fewer, or target {Target.LITERT.value}"
        )
    return replace(plan, zero_points=ZeroPoints.RANK_ONE if rank_one else ZeroPoints.STORED)


def _integer_plan(scheme: Scheme, weights: WeightScheme, target: Target) -> MatrixPlan:
    """Plan for graphs of integers: packed filters where a kernel takes them, else tables.

    int8 kernels take symmetric int4 filters; int16 ones take int8 that a table decodes: both kinds
    where some states of an int8 network are int16. An NPU's compiler takes neither, so their
    integers are stored as int8 there, and it compresses them.
    """
    if not target.facts.integer_graphs:
        raise ValueError(
            f"{scheme.name} is TFLite Micro's arithmetic, which {target.value} rounds otherwise;"
            f" use target {Target.TFLM.value}"
        )
    int16 = scheme.activations is Activations.STATIC_INT16 or bool(scheme.wide)
    packs = weights.bits <= 4 and not target.facts.is_npu
    symmetric = weights.symmetry is Symmetry.SYMMETRIC
    if not packs:
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


def _takes_int4(scheme: Scheme, numerics: Numerics, facts: RuntimeFacts) -> bool:
    """Return whether a runtime multiplies by packed int4 weights and computes them right.

    LiteRT's own dynamic kernels do so only for symmetric rows and weights (no -8).
    """
    symmetric = (
        scheme.activations is not Activations.DYNAMIC_INT8_ASYM
        and scheme.weights is not None
        and scheme.weights.symmetry is Symmetry.SYMMETRIC
    )
    weight_only = numerics is Numerics.WEIGHT_ONLY
    return {
        Int4Products.NONE: False,
        Int4Products.FLOAT_OR_INT8: numerics is not Numerics.INT16,
        Int4Products.SYMMETRIC: weight_only or (numerics is Numerics.DYNAMIC and symmetric),
        Int4Products.ALL: True,
    }[facts.int4_products]


def _float_plan(scheme: Scheme, target: Target) -> MatrixPlan:
    if scheme.activations is not Activations.NONE:
        raise ValueError(
            f"{scheme.name} quantises inputs but not weights, which no runtime computes;"
            " quantise the weights too, e.g. w8c-sym_a8da"
        )
    if target.facts.is_npu and scheme.float_dtype is not FloatDtype.BF16:
        raise ValueError(
            f"{target.value} multiplies integers only, and {scheme.name} would run on its CPU;"
            f" use tflm_int8_int8, or target {Target.TFLM.value}"
        )
    if scheme.float_dtype is FloatDtype.FP32:
        return MatrixPlan(scheme=scheme, numerics=Numerics.FLOAT32, carrier=DType.FLOAT32)
    if scheme.float_dtype is FloatDtype.FP16 and target.facts.float16_weights:
        return MatrixPlan(scheme=scheme, numerics=Numerics.FLOAT16, carrier=DType.FLOAT16)
    raise ValueError(
        f"{target.value} has no {scheme.float_dtype.value} kernels; use fp32"
        f"{' or fp16' if target.facts.float16_weights else ''}"
    )


def _check_target(scheme: Scheme, numerics: Numerics, target: Target) -> None:
    """Refuse arithmetic that a target lacks, or has in another form than simulated."""
    if scheme.float_dtype is not FloatDtype.FP32:
        raise ValueError(
            f"{scheme.name}: exported arithmetic around integer weights is float32;"
            " leave the float format out of the scheme"
        )
    if target.facts.integer_graphs:
        raise ValueError(
            f"{target.value} does not compute {scheme.name}: it rounds static products twice, which"
            f" a recursion amplifies, and lacks others; use {_device_name(scheme)}, whose"
            " simulation has its bits"
        )
    if not _has_products(numerics, target.facts):
        assert scheme.weights is not None, "float schemes have a plan of their own"
        static = Scheme(
            weights=scheme.weights,
            activations=Activations.STATIC_INT8,
            ranges=int8_ranges(scheme.weights),
        )
        raise ValueError(
            f"{target.value} does not compute {scheme.name} right ({numerics.value} products);"
            f" use {static.name}, or target {Target.LITERT.value}"
        )
    always_asymmetric = target.facts.dynamic_rows is DynamicRows.ASYMMETRIC
    if always_asymmetric and scheme.activations is Activations.DYNAMIC_INT8:
        raise ValueError(
            f"XNNPACK gives dynamic rows a zero point, {scheme.name} has none; use"
            f" {scheme.name.replace('a8d', 'a8da')}, or target {Target.LITERT_BUILTIN.value}"
        )


def _has_products(numerics: Numerics, facts: RuntimeFacts) -> bool:
    """Return whether a runtime computes products of that kind right."""
    return {
        Numerics.WEIGHT_ONLY: facts.weight_only,
        Numerics.DYNAMIC: facts.dynamic_rows is not DynamicRows.NONE,
        Numerics.INT16: facts.int16_products,
    }.get(numerics, True)


def _device_name(scheme: Scheme) -> str:
    """Name the scheme of TFLM's own arithmetic that is nearest to one of integer weights."""
    weights, activations = scheme.weights, scheme.activations
    assert weights is not None, "float schemes have a plan of their own"
    if weights.bits == 8:  # q - zero_point has 9 bits
        weights = replace(weights, symmetry=Symmetry.SYMMETRIC)
    if not activations.is_static:
        activations = Activations.STATIC_INT8
    nearest = device(Scheme(weights=weights), activations)
    if scheme.ranges is not Ranges.ALL:
        nearest = replace(nearest, ranges=scheme.ranges)
    return paper_name(nearest) or nearest.name
