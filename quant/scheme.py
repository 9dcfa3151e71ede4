"""What is quantised and how: one frozen record per scheme, with names that decode themselves.

Name = the parts that apply, joined by `_`, in this order:

    w<bits><t|c>-<sym|asym|auto>[-mse|-gptq|-gptq-first|-gptq-norm|-learned]
                                    weights of every Dense: bits 2 to 8; t one scale per tensor,
                                    c per output channel; symmetric or asymmetric grid, or the
                                    one that leaves less error (auto; ptq/grids.py). Range
                                    min/max; or clipped for least squared error (-mse); or so
                                    clipped, and rounded with Hessians of calibration puzzles
                                    over all cycles (-gptq), or of the first call of each
                                    role alone (-gptq-first: a comparator), or of all cycles
                                    with large outputs weighing less (-gptq-norm); or like
                                    that, then learned with scales along trajectories, all
                                    matrices together (-learned; ptq/rounding.py)
    fp32 | bf16 | fp16              everything that is not quantised, and the arithmetic;
                                    left out if fp32 and the weights are quantised
    a8d | a8da | a8s | a16s         inputs of every Dense: d dynamic (one range per row at run
                                    time; a8d symmetric, a8da asymmetric), s static (calibrated
                                    range per tensor: a8s asymmetric, a16s symmetric int16;
                                    outputs are rounded alike). a8s-cells, a16s-cells: ranges of
                                    the cells alone, where the puzzle prefix saturates;
                                    -cells-fold: likewise, after the channels inside every MLP
                                    are brought to like sizes, exactly (ptq/fold.py)
    carrybf16 | carryfp16 | carry16 | carry8
                                    memory of z_H, z_L between H-cycles, and of a decoder's KV
                                    cache; left out if it is the arithmetic's; 16 and 8 are
                                    symmetric integers per token (KV cache: and head)
    tflm                            everything else in integers too: TFLite Micro's arithmetic
                                    (quant/integer) on int16 (a16s) or int8 (a8s), the carry
                                    included; left out if it is float. States of an MLP mixer
                                    with int16 in an int8 network follow, as in tflm+tsum+tout
                                    (`WideState`)

    w4t-sym            4-bit weights, one symmetric scale per matrix, float32 arithmetic
    w4t-sym-gptq       the same grid, rounded so that the outputs change least
    w8c-sym_a8d        8-bit weights per channel, dynamic 8-bit inputs
    w4c-asym_a16s_carry16
    w4c-asym_a16s_tflm 4-bit weights, int16 activations and carry, as a microcontroller computes

Matrices may differ: `w4t-sym-gptq[head=w8c-sym;L_level/layers_0/mlp/down_proj=w3t-sym-gptq]` gives
the sites and roles in brackets (sites.py) other weights than the rest; recipe.py reads files.

"Every Dense" means every leaf named `kernel`: the blocks and both heads (a fused gate_up_proj
or qkv_proj is one matrix, as in the released code). Embeddings, H_init/L_init and the puzzle
table are only cast (under tflm they are integers of their own grid). The paper's names
(Sec. 3.4, Tables 9-18) are in PAPER_SCHEMES, those of devices in DEVICE_SCHEMES.
"""

import enum
import functools
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from quant.affine import WEIGHT_BITS, Clipping, Grid, Symmetry
from quant.sites import Role, role_of
from trm_jax.names import did_you_mean, unknown_name


class Granularity(enum.Enum):
    """How many weights share a scale."""

    PER_TENSOR = "t"
    PER_CHANNEL = "c"  # per output channel: the last axis of a Flax kernel


class Rounding(enum.Enum):
    """How a weight chooses between the integers of its grid."""

    NEAREST = ""
    GPTQ = "gptq"  # errors are compensated by the weights that follow (ptq/gptq.py)
    GPTQ_FIRST = "gptq-first"  # likewise, seeing the first call of each role alone
    GPTQ_NORM = "gptq-norm"  # all cycles; large outputs weigh less, since a norm follows
    LEARNED = "learned"  # likewise, then learned along trajectories (ptq/rounding.py)

    @property
    def needs_puzzles(self) -> bool:
        """Return whether it looks at what goes through the model."""
        return self is not Rounding.NEAREST


class Activations(enum.Enum):
    """What happens to the input of every Dense."""

    NONE = ""
    DYNAMIC_INT8 = "a8d"
    DYNAMIC_INT8_ASYM = "a8da"
    STATIC_INT8 = "a8s"
    STATIC_INT16 = "a16s"

    @property
    def is_static(self) -> bool:
        return self in (Activations.STATIC_INT8, Activations.STATIC_INT16)


class Ranges(enum.Enum):
    """Which values the range of a static activation covers (ptq/cells.py)."""

    ALL = ""
    CELLS = "-cells"  # the puzzle prefix saturates
    FOLDED_CELLS = "-cells-fold"  # likewise, with like channels inside MLPs (ptq/fold.py)

    @property
    def are_of_cells(self) -> bool:
        """Return whether the puzzle prefix is left out."""
        return self is not Ranges.ALL


class WideState(enum.Enum):
    """A state of the MLP mixer that may have 16 bits in a network of int8 (quant/integer).

    A t stands before the states of the SwiGLU across positions; `z` and injections have 8 bits.
    NORMS is the inside of all norms, of which float32 then keeps the means of rows alone.
    """

    INPUT = "h"  # the state and what was injected into it
    MIXER_GATE = "tgate"  # the first product of a SwiGLU: gates and ups
    MIXER_SILU = "tsilu"
    MIXER_PRODUCT = "tproduct"  # silu(gate) * up
    MIXER_OUT = "tout"  # the second product of a SwiGLU
    MIXER_SUM = "tsum"  # what came in, and that
    MIXER_NORM = "tnorm"
    CHANNEL_GATE = "gate"
    CHANNEL_SILU = "silu"
    CHANNEL_PRODUCT = "product"
    CHANNEL_OUT = "out"
    CHANNEL_SUM = "sum"
    NORMS = "norms"  # inside every norm: squares, and what a row is multiplied by


class FloatDtype(enum.Enum):
    """Floating point format of arithmetic and of what is not quantised."""

    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"

    @property
    def dtype(self) -> str:
        """The `forward_dtype` of a model configuration."""
        return {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}[self.value]


class CarryPrecision(enum.Enum):
    """Format of the latent states in memory."""

    ARITHMETIC = ""  # as they are computed: fp32 under fp32 arithmetic
    BF16 = "carrybf16"
    FP16 = "carryfp16"
    INT16 = "carry16"
    INT8 = "carry8"


class Arithmetic(enum.Enum):
    """What computes between the matrix products."""

    FLOAT = ""  # float_dtype
    TFLM = "tflm"  # TFLite Micro's integers


@dataclass(frozen=True, kw_only=True)
class WeightScheme:
    """Grid of every Dense kernel, and how weights are put onto it.

    Attributes:
      adaptive: weights that share a scale take the symmetric or the asymmetric grid, whichever
        leaves less error. Both are stored as asymmetric ones, whose zero point may lie in the
        middle, so symmetry is ASYMMETRIC to whoever stores them.

    Raises:
      ValueError: unsupported width; an adaptive symmetric grid; or clipping that a rounding does
        not go with: GPTQ clips for least squared error itself.
    """

    bits: int
    granularity: Granularity
    symmetry: Symmetry
    clipping: Clipping = Clipping.MINMAX
    rounding: Rounding = Rounding.NEAREST
    adaptive: bool = False

    def __post_init__(self) -> None:
        if self.adaptive and self.symmetry is not Symmetry.ASYMMETRIC:
            raise ValueError("adaptive grids are stored as asymmetric ones, got symmetry=SYMMETRIC")
        if self.bits not in WEIGHT_BITS:
            raise ValueError(f"bits must be one of {list(WEIGHT_BITS)}, got bits={self.bits}")
        if self.rounding.needs_puzzles != (self.clipping is Clipping.ALIGNED):
            raise ValueError(
                f"{self.rounding.name} does not go with {self.clipping.name} clipping; GPTQ takes"
                " ALIGNED, rounding to nearest MINMAX or MSE"
            )

    @property
    def grid(self) -> Grid:
        """The grid of an (inputs, outputs) kernel."""
        axes = (-1,) if self.granularity is Granularity.PER_CHANNEL else ()
        return Grid(bits=self.bits, symmetry=self.symmetry, channel_axes=axes)

    @property
    def name(self) -> str:
        methods = {method: suffix for suffix, method in METHOD_SUFFIXES.items()}
        method = methods[self.clipping, self.rounding]
        symmetry = "auto" if self.adaptive else self.symmetry.value
        return f"w{self.bits}{self.granularity.value}-{symmetry}{method}"

    @property
    def to_nearest(self) -> "WeightScheme":
        """The same grid without a look at puzzles: as many bytes, other integers."""
        if not self.rounding.needs_puzzles:
            return self
        return replace(self, clipping=Clipping.MSE, rounding=Rounding.NEAREST)


METHOD_SUFFIXES = {
    "": (Clipping.MINMAX, Rounding.NEAREST),
    "-mse": (Clipping.MSE, Rounding.NEAREST),
    "-gptq": (Clipping.ALIGNED, Rounding.GPTQ),
    "-gptq-first": (Clipping.ALIGNED, Rounding.GPTQ_FIRST),
    "-gptq-norm": (Clipping.ALIGNED, Rounding.GPTQ_NORM),
    "-learned": (Clipping.ALIGNED, Rounding.LEARNED),
}
"""How weights are put onto their grid, by suffix of a scheme's name."""


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """A compression scheme; the default is full precision.

    Attributes:
      weights: None keeps the kernels in `float_dtype`.
      float_dtype: arithmetic, and storage of everything that is not quantised.
      ranges: what those of static activations cover.
      exceptions: (site or role, weights) of matrices that have others than `weights`; a site goes
        before its role. Kept in order of their names, without those that say nothing new.
      wide: states with 16 bits in TFLM's int8. Kept in the order of `WideState`.

    Raises:
      ValueError: exceptions of a scheme without weights, of one place twice, or of what is no
        matrix; ranges of activations that have none; TFLM's arithmetic without integers to
        compute with; wide states of what is not TFLM's int8.
    """

    weights: WeightScheme | None = None
    activations: Activations = Activations.NONE
    carry: CarryPrecision = CarryPrecision.ARITHMETIC
    float_dtype: FloatDtype = FloatDtype.FP32
    arithmetic: Arithmetic = Arithmetic.FLOAT
    ranges: Ranges = Ranges.ALL
    exceptions: tuple[tuple[str, WeightScheme], ...] = ()
    wide: tuple[WideState, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "exceptions", self._checked_exceptions())
        object.__setattr__(self, "wide", tuple(s for s in WideState if s in self.wide))
        if self.ranges is not Ranges.ALL and not self.activations.is_static:
            raise ValueError(f"{self.name}: only static activations (a8s, a16s) have ranges")
        if self.is_integer and not (self.weights and self.activations.is_static):
            raise ValueError(
                f"{self.name}: tflm computes with integer weights and static activations;"
                " e.g. w4c-asym_a16s_tflm"
            )
        if self.is_integer and self.carry is not CarryPrecision.ARITHMETIC:
            raise ValueError(
                f"{self.name}: under tflm the carry is the activations' integers; leave"
                f" {self.carry.value} out"
            )
        if self.is_integer and self.float_dtype is not FloatDtype.FP32:
            raise ValueError(f"{self.name}: what tflm leaves in floats is float32")
        if self.wide and not (self.is_integer and self.activations is Activations.STATIC_INT8):
            raise ValueError(
                f"{self.name}: states of 16 bits stand in tflm's int8; e.g."
                " w8c-sym_a8s-cells_tflm+tsum"
            )

    def _checked_exceptions(self) -> tuple[tuple[str, WeightScheme], ...]:
        if not self.exceptions:  # nearly always; and schemes are made by thousands
            return ()
        places = dict(self.exceptions)
        if len(places) != len(self.exceptions):
            raise ValueError(
                f"a matrix has one entry, got {[place for place, _ in self.exceptions]}"
            )
        if places and self.weights is None:
            raise ValueError("matrices differ from weights, and there are none; begin with w4t-sym")
        roles = {role.value for role in Role}
        for site in places.keys() - roles:
            role_of(site)

        def otherwise(place: str) -> WeightScheme | None:
            return (
                self.weights if place in roles else places.get(role_of(place).value, self.weights)
            )

        return tuple((p, w) for p, w in sorted(places.items()) if w != otherwise(p))

    def of(self, site: str) -> "Scheme":
        """Return what a matrix is under: a scheme without exceptions.

        Raises:
          ValueError: not a site of this project's models.
        """
        if not self.exceptions:
            return self
        places = dict(self.exceptions)
        weights = places.get(site, places.get(role_of(site).value, self.weights))
        return replace(self, weights=weights, exceptions=())

    @property
    def is_learned(self) -> bool:
        """Return whether rounding is learned, which takes minutes where others take seconds."""
        return any(weights.rounding is Rounding.LEARNED for weights in self.all_weights)

    @property
    def without_exceptions(self) -> "Scheme":
        """What every matrix is under that is not listed, and all that is no matrix."""
        return replace(self, exceptions=())

    @property
    def all_weights(self) -> tuple[WeightScheme, ...]:
        """The weights of all matrices, the exceptions last."""
        usual = (self.weights,) if self.weights else ()
        return (*usual, *(weights for _, weights in self.exceptions))

    def check_sites(self, sites: Iterable[str]) -> None:
        """Check that a model has the matrices that are named.

        Raises:
          ValueError: it lacks one.
        """
        known = [*sites, *(role.value for role in Role)]
        for place, _ in self.exceptions:
            if place not in known:
                meant = did_you_mean(place, known)
                raise ValueError(f"no matrix {place!r} in this model;{meant} it has {known}")

    @property
    def is_integer(self) -> bool:
        """Return whether everything is computed in a device's integers."""
        return self.arithmetic is Arithmetic.TFLM

    @property
    def needs_puzzles(self) -> bool:
        """Return whether it is calibrated on puzzles, which are then not evaluated."""
        return self.activations.is_static or self.rounds_with_puzzles

    @property
    def rounds_with_puzzles(self) -> bool:
        """Return whether its weights are rounded by what goes through the model."""
        return any(weights.rounding.needs_puzzles for weights in self.all_weights)

    @property
    def to_nearest(self) -> "Scheme":
        """The same grids, with weights rounded to nearest."""
        return replace(
            self,
            weights=self.weights and self.weights.to_nearest,
            exceptions=tuple((place, weights.to_nearest) for place, weights in self.exceptions),
        )

    @property
    def name(self) -> str:
        """The name that `parse` reads back."""
        weights = self.weights.name if self.weights else ""
        if self.exceptions:
            weights += f"[{';'.join(f'{place}={w.name}' for place, w in self.exceptions)}]"
        omitted = bool(weights) and self.float_dtype is FloatDtype.FP32
        dtype = "" if omitted else self.float_dtype.value
        activations = self.activations.value + self.ranges.value
        arithmetic = "+".join((self.arithmetic.value, *(state.value for state in self.wide)))
        parts = (weights, dtype, activations, self.carry.value, arithmetic)
        return "_".join(part for part in parts if part)


def _weight_only(bits: int, granularity: Granularity, symmetry: Symmetry) -> Scheme:
    return Scheme(weights=WeightScheme(bits=bits, granularity=granularity, symmetry=symmetry))


def naive(bits: int) -> Scheme:
    """Make the paper's naive scheme: per tensor, symmetric, scale max|w| / (2^(bits-1) - 1)."""
    return _weight_only(bits, Granularity.PER_TENSOR, Symmetry.SYMMETRIC)


def calibrated(bits: int) -> Scheme:
    """Make the paper's calibrated scheme: per output channel, asymmetric min/max."""
    return _weight_only(bits, Granularity.PER_CHANNEL, Symmetry.ASYMMETRIC)


PAPER_SCHEMES: dict[str, Scheme] = {
    "fp32": Scheme(),
    "bf16": Scheme(float_dtype=FloatDtype.BF16),
    "fp16": Scheme(float_dtype=FloatDtype.FP16),
    "int8": _weight_only(8, Granularity.PER_CHANNEL, Symmetry.SYMMETRIC),
    **{f"int{b}_naive": naive(b) for b in (4, 3, 2)},
    **{f"int{b}_calibrated": calibrated(b) for b in (4, 3, 2)},
}
"""The paper's names, and its 4-bit pair continued to 3 and 2 bits."""


def int8_ranges(weights: WeightScheme) -> Ranges:
    """Choose the ranges under which static int8 keeps answers, for weights of some width.

    Over all positions int8 loses every answer of the MLP mixer, whose prefix holds a few huge
    numbers (ptq/cells.py). The fold helps weights of 8 bits and harms those of 4, whose columns it
    makes uneven (docs/numerics.md).
    """
    return Ranges.FOLDED_CELLS if weights.bits == 8 else Ranges.CELLS


def device(weights: Scheme, activations: Activations) -> Scheme:
    """Make a scheme of TFLite Micro's arithmetic: int8 with the ranges that keep answers.

    int16 has steps enough for the prefix and the cells alike.
    """
    ranges = Ranges.ALL
    if activations is Activations.STATIC_INT8 and weights.weights:
        ranges = int8_ranges(weights.weights)
    return replace(weights, activations=activations, arithmetic=Arithmetic.TFLM, ranges=ranges)


DEVICE_SCHEMES: dict[str, Scheme] = {
    "tflm_int4_int16": device(calibrated(4), Activations.STATIC_INT16),
    "tflm_int4_int8": device(calibrated(4), Activations.STATIC_INT8),
    "tflm_int8_int16": device(PAPER_SCHEMES["int8"], Activations.STATIC_INT16),
    "tflm_int8_int8": device(PAPER_SCHEMES["int8"], Activations.STATIC_INT8),
}
"""tflm_<weights>_<activations and carry>: the paper's weights on a microcontroller.

Activations of 8 bits have ranges of cells (`int8_ranges`); of all positions, long names alone.
"""

NAMED_SCHEMES = {**PAPER_SCHEMES, **DEVICE_SCHEMES}
FLOAT_NAMES = {float_dtype.dtype: float_dtype.value for float_dtype in FloatDtype}

_WEIGHTS = re.compile(
    r"w(?P<bits>0|[1-9][0-9]?)(?P<granularity>[tc])-(?P<symmetry>sym|asym|auto)"
    rf"(?P<method>{'|'.join(METHOD_SUFFIXES)})"
)
_GRAMMAR = (
    "known names: fp32, bf16, fp16, int8, int4_naive, int4_calibrated (3, 2 likewise),"
    " tflm_int4_int16 (8 likewise); or"
    " [w<2-8><t|c>-<sym|asym|auto>[-mse|-gptq[-first|-norm]|-learned]]"
    "[_<fp32|bf16|fp16>][_<a8d|a8da|a8s|a16s[-cells[-fold]]>][_carry<bf16|fp16|16|8>]"
    "[_tflm[+<state>...]],"
    " e.g. w4c-asym_a8d"
)


@functools.lru_cache(maxsize=1024)
def parse(name: str) -> Scheme:
    """Read a scheme's name, a short one or the long one.

    Raises:
      ValueError: not a name; the message says what was not understood and shows the grammar.
    """
    if name in NAMED_SCHEMES:
        return NAMED_SCHEMES[name]
    fields: dict = {}
    plain, fields["exceptions"] = _split_exceptions(name)
    rest = plain.split("_")
    if _WEIGHTS.fullmatch(rest[0]):
        fields["weights"] = parse_weights(rest.pop(0))
    choices = (
        ("float_dtype", FloatDtype),
        ("activations", Activations),
        ("carry", CarryPrecision),
        ("arithmetic", Arithmetic),
    )
    for field, kind in choices:
        tokens = {member.value for member in kind if member.value}
        if kind is Activations and rest:
            rest[0], ranges = _split_ranges(rest[0])
            fields |= {"ranges": ranges} if ranges is not Ranges.ALL else {}
        if kind is Arithmetic and rest:
            rest[0], wide = _split_wide(rest[0])
            fields |= {"wide": wide} if wide else {}
        if rest and rest[0] in tokens:
            fields[field] = kind(rest.pop(0))
    if rest or len(fields) == 1:
        unread = (rest[0] if rest else name)[:24]
        meant = _longer_name(name) or did_you_mean(name[:40], NAMED_SCHEMES)
        raise ValueError(f"unknown scheme {name[:40]!r}, cannot read {unread!r};{meant} {_GRAMMAR}")
    return Scheme(**fields)


def _longer_name(name: str) -> str:
    """Say how a short name with parts behind it (`int8_carry8`) is written, or nothing."""
    for short in sorted(PAPER_SCHEMES, key=len, reverse=True):
        longer = PAPER_SCHEMES[short].name + name.removeprefix(short)
        if name.startswith(f"{short}_") and longer != name and _is_long_name(longer):
            return f" short names take no parts behind them; write {longer!r};"
    return ""


def _is_long_name(name: str) -> bool:
    try:
        return bool(parse(name))
    except ValueError:
        return False


def parse_weights(name: str) -> WeightScheme:
    """Read what one matrix is under, `w3t-sym-gptq`; the short names of weights alone are read too.

    Raises:
      ValueError: not a name of weights.
    """
    named = NAMED_SCHEMES.get(name)
    if named is not None and named.weights and named == Scheme(weights=named.weights):
        return named.weights
    match = _WEIGHTS.fullmatch(name)
    if match is None:
        raise ValueError(f"unknown weights {name[:40]!r} of a matrix; as in w3t-sym-gptq, w8c-sym")
    clipping, rounding = METHOD_SUFFIXES[match["method"]]
    adaptive = match["symmetry"] == "auto"
    return WeightScheme(
        bits=int(match["bits"]),
        granularity=Granularity(match["granularity"]),
        symmetry=Symmetry("asym" if adaptive else match["symmetry"]),
        clipping=clipping,
        rounding=rounding,
        adaptive=adaptive,
    )


def _split_exceptions(name: str) -> tuple[str, tuple[tuple[str, WeightScheme], ...]]:
    """Take `[place=weights;...]` out of a scheme's name."""
    match = re.fullmatch(r"([^\[\]]*)(?:\[([^\[\]]+)\])?([^\[\]]*)", name)
    if match is None or (match[2] is None and match[3]):
        raise ValueError(
            f"cannot read the brackets of {name[:60]!r}; as in w4t-sym[head=w8c-sym;mixer=w3c-sym]"
        )
    parts = [part.partition("=") for part in (match[2] or "").split(";") if part]
    return match[1] + match[3], tuple((place, parse_weights(w)) for place, _, w in parts)


def _split_ranges(token: str) -> tuple[str, Ranges]:
    """Take the suffix of ranges off a token."""
    for ranges in (Ranges.FOLDED_CELLS, Ranges.CELLS):
        if token.endswith(ranges.value):
            return token.removesuffix(ranges.value), ranges
    return token, Ranges.ALL


def _split_wide(token: str) -> tuple[str, tuple[WideState, ...]]:
    """Take the states of 16 bits off a token."""
    arithmetic, *codes = token.split("+")
    if arithmetic != Arithmetic.TFLM.value:
        return token, ()
    known = {state.value: state for state in WideState}
    if unknown := [code for code in codes if code not in known]:
        raise ValueError(unknown_name("state of 16 bits", unknown[0][:24], known))
    if len(set(codes)) < len(codes):
        raise ValueError(f"a state of 16 bits is named once, got {token[:40]!r}")
    return arithmetic, tuple(known[code] for code in codes)


def paper_name(scheme: Scheme) -> str | None:
    """Find the short name of a scheme, the paper's or a device's, or None."""
    return next((name for name, named in NAMED_SCHEMES.items() if named == scheme), None)


def short_name(name: str) -> str:
    """Shorten a scheme's name to the paper's or a device's, or count its exceptions."""
    scheme = parse(name)
    if scheme.exceptions:  # their own names are as long as their lists of matrices
        mark = hashlib.sha256(name.encode()).hexdigest()[:6]
        return f"{scheme.without_exceptions.name} but {len(scheme.exceptions)} ({mark})"
    return paper_name(scheme) or name


def label(name: str, dtype: str) -> str:
    """Name a scheme for people: the paper's name if it has one, and the arithmetic if unusual."""
    scheme = parse(name)
    short = short_name(name)
    floats = scheme.float_dtype is FloatDtype.FP32 and not scheme.is_integer
    inherits = floats and dtype != "float32"
    return f"{short} ({FLOAT_NAMES[dtype]})" if inherits else short
