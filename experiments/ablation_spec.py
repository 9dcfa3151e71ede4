"""The frozen specification of an ablation: what its rows mean and what its tables need.

`identity` decides the numbers of all rows, `settings` those of one variant; the digest of a
variant covers both. The number of puzzles is in neither, and variants may be added: an ablation
can be widened by resuming it.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

from experiments.measured import Measured, differences
from experiments.row_files import digest_of

Facts = dict[str, float | str]
"""Named numbers and words: `bytes`, `parameters`, `train_seconds`, ..."""


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A variant as the spec lists it.

    Attributes:
      reference: the variant of the same study that it is compared with (itself: a reference).
      settings: what decides its numbers beside the model and the puzzles.
      digest: written into its rows.
    """

    study: str
    variant: str
    reference: str
    settings: Facts
    digest: str

    @property
    def name(self) -> tuple[str, str]:
        return self.study, self.variant


@dataclass(frozen=True, kw_only=True)
class AblationSpec(Measured):
    """One ablation; training has its seed in the settings.

    Attributes:
      planned: variants in the order of the tables.
    """

    planned: tuple[Planned, ...] = ()

    def plan(self, study: str, variant: str, reference: str, settings: Facts) -> Planned:
        """Make the entry of a variant, with its digest."""
        values = {"study": study, "variant": variant, "reference": reference, "settings": settings}
        return Planned(**values, digest=digest_of(self.identity | values))


def spec_from_dict(values: dict[str, Any]) -> AblationSpec:
    """Rebuild a spec from `dataclasses.asdict`.

    Raises:
      ValueError: fields are missing or unknown.
    """
    try:
        planned = tuple(Planned(**each) for each in values["planned"])
        return AblationSpec(**{**values, "planned": planned})
    except (KeyError, TypeError) as error:
        raise ValueError(f"not the spec of an ablation: {error}") from error


def joined(found: AblationSpec, wanted: AblationSpec) -> AblationSpec:
    """Join two specs of one ablation: all variants, and the most puzzles.

    Raises:
      ValueError: their rows must not mix; the message says what differs.
    """
    problems = differences(found, wanted)
    entries = {each.name: each for each in found.planned}
    for new in wanted.planned:
        old = entries.setdefault(new.name, new)
        if not problems and old.digest != new.digest:
            problems.append(
                f"{new.study}: {new.variant} was made with {old.settings}, asked for {new.settings}"
            )
    if problems:
        raise ValueError(f"rows of different ablations do not mix: {'; '.join(problems)}")
    most = max(found.num_puzzles, wanted.num_puzzles)
    return dataclasses.replace(wanted, planned=tuple(entries.values()), num_puzzles=most)
