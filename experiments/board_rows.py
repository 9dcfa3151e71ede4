"""One row per scheme of a deployment on a Cortex-M55 (format of the lines: deploy_rows.py)."""

from dataclasses import dataclass
from typing import Any

from export.cortex_m.build import Counted
from export.cortex_m.emulator import Counts
from export.cortex_m.memory import BoardSram, Flash

EMULATED, MODELLED = "emulated", "operator model"


@dataclass(frozen=True, kw_only=True)
class BoardRow:
    """What one scheme needs on the board.

    Attributes:
      digest: of what decides the numbers.
      graphs: files on the board, the head's among them.
      counted: whose code is in `flash` and `sram`, a value of `Counted`.
      update_L, update_H, rest: instructions, as in `Counts`.
      counted_by: EMULATED or MODELLED.
    """

    digest: str
    scheme: str
    flash: Flash
    sram: BoardSram
    graphs: int
    counted: str
    update_L: int
    update_H: int
    rest: int
    counted_by: str

    @property
    def counts(self) -> Counts:
        """Instructions, ready to be multiplied out."""
        return Counts(self.update_L, self.update_H, self.rest)


def row_from_dict(values: dict[str, Any]) -> BoardRow:
    """Rebuild a row.

    Raises:
      ValueError, TypeError, KeyError: not the fields of a row.
    """
    made = {"flash": Flash(**values["flash"]), "sram": BoardSram(**values["sram"])}
    return BoardRow(**{**values, **made, "counted": Counted(values["counted"]).value})
