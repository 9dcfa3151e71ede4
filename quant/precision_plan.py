"""Which scheme the matrices of a model have, by role: what decides all deployed numbers.

A matrix has one of three roles (sites.py). A `PrecisionPlan` gives each role a
`Scheme` (quant/scheme.py); most plans give all roles the same one (Sec. 3.4, Tables 9-18 of the
paper). Everything that is not a matrix follows the mixer's scheme.

Names: that of the scheme, or `mixer=SCHEME,channel=SCHEME,head=SCHEME`.

Not here: how a plan is simulated (simulation.py), and how a target stores what it asks for
(export/lowering/storage.py).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from quant.recipe import MARK, parse_given
from quant.scheme import CarryPrecision, FloatDtype, Ranges, Scheme, parse
from quant.sites import Role, role_of


def join_names(name_of: Callable[[Role], str]) -> str:
    """Name something that every role has: once if all roles agree, else role by role."""
    names = {role: name_of(role) for role in Role}
    if len(set(names.values())) == 1:
        return names[Role.MIXER]
    return ",".join(f"{role.value}={name}" for role, name in names.items())


@dataclass(frozen=True, kw_only=True)
class PrecisionPlan:
    """A scheme per role of a matrix.

    Attributes:
      mixer, channel, head: scheme of the matrices of that role.
      float_dtype: format of the arithmetic around integer operands, where it is not the one that
        the schemes store their floats in. Exported files compute in float32 whatever they
        store, for instance. None: the schemes' own.

    Raises:
      ValueError: roles ask for different precisions of the carry, which they share, or for
        integers of a device and for floats.
    """

    mixer: Scheme
    channel: Scheme
    head: Scheme
    float_dtype: FloatDtype | None = None

    def __post_init__(self) -> None:
        carries = {scheme.carry.value for scheme in self.schemes}
        if len(carries) > 1:
            raise ValueError(f"all roles share one carry, got precisions {sorted(carries)}")
        integers = {(s.activations, s.wide) if s.is_integer else None for s in self.schemes}
        if len(integers) > 1:
            raise ValueError(
                "integers run through a whole graph: all roles need _tflm with the same activations"
                f" and states of 16 bits, got {', '.join(sorted(s.name for s in self.schemes))}"
            )

    @classmethod
    def uniform(cls, scheme: Scheme) -> "PrecisionPlan":
        """Give every role the same scheme."""
        return cls(mixer=scheme, channel=scheme, head=scheme)

    @property
    def schemes(self) -> tuple[Scheme, Scheme, Scheme]:
        """The schemes of all roles, in the order of `Role`."""
        return self.mixer, self.channel, self.head

    def of(self, site: str) -> Scheme:
        """Choose the scheme of a Dense by its site.

        Raises:
          ValueError: not a site of this project's models.
        """
        return self.of_role(role_of(site)).of(site)

    def of_role(self, role: Role) -> Scheme:
        """Choose the scheme of a role."""
        return self.schemes[list(Role).index(role)]

    @property
    def name(self) -> str:
        """The name that `parse_plan` reads back: one scheme, or one per role."""
        return join_names(lambda role: self.of_role(role).name)

    @property
    def carry(self) -> CarryPrecision:
        """What memory keeps of z_H and z_L between H-cycles."""
        return self.mixer.carry

    @property
    def is_integer(self) -> bool:
        """Return whether everything is computed in a device's integers."""
        return self.mixer.is_integer

    @property
    def needs_ranges(self) -> bool:
        """Return whether some activations are static, so that ranges must be calibrated."""
        return any(scheme.activations.is_static for scheme in self.schemes)

    @property
    def needs_puzzles(self) -> bool:
        """Return whether it is calibrated on puzzles, for activations or for weights."""
        return any(scheme.needs_puzzles for scheme in self.schemes)

    def folds(self, site: str) -> bool:
        """Return whether the MLP that a Dense belongs to is folded (ptq/fold.py)."""
        return self.of(site).ranges is Ranges.FOLDED_CELLS

    @property
    def rounds_with_puzzles(self) -> bool:
        """Return whether weights are rounded by what goes through the model."""
        return any(scheme.rounds_with_puzzles for scheme in self.schemes)

    @property
    def to_nearest(self) -> "PrecisionPlan":
        """The same grids, with weights rounded to nearest."""
        return replace(
            self,
            mixer=self.mixer.to_nearest,
            channel=self.channel.to_nearest,
            head=self.head.to_nearest,
        )

    def forward_dtype(self, default: str) -> str:
        """Choose the `forward_dtype` of the model that computes the plan.

        Args:
          default: arithmetic of a plan whose schemes name no format.

        Raises:
          ValueError: the schemes name different formats.
        """
        if self.is_integer:
            return FloatDtype.FP32.dtype
        if self.float_dtype is not None:
            return self.float_dtype.dtype
        formats = {scheme.float_dtype for scheme in self.schemes}
        if len(formats) > 1:
            raise ValueError(f"a model computes in one float format, {self.name} names several")
        return default if formats == {FloatDtype.FP32} else formats.pop().dtype


def parse_plan(text: str) -> PrecisionPlan:
    """Read a scheme's name, `@FILE` of a recipe, or `ROLE=SCHEME,...` with all three roles.

    Raises:
      FileNotFoundError: no such recipe.
      ValueError: unknown names; or a role is missing, unknown or given twice.
    """
    if text.startswith(MARK) or "=" not in text.split("[")[0]:
        return PrecisionPlan.uniform(parse_given(text))
    parts = [part.split("=", 1) for part in text.split(",")]
    roles, given = sorted(role.value for role in Role), sorted(part[0] for part in parts)
    if given != roles:
        shown = [role[:16] for role in given[:8]]
        raise ValueError(f"a scheme per role names {roles}, got {shown}; each role once")
    if bare := [part[0] for part in parts if len(part) == 1]:
        raise ValueError(f"{bare[0]} needs a scheme, as in {bare[0]}=int8")
    schemes = {role: parse(name) for role, name in parts}
    return PrecisionPlan(mixer=schemes["mixer"], channel=schemes["channel"], head=schemes["head"])
