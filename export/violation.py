"""What legality finds."""

from dataclasses import dataclass

from export.legality_table import Use, Verdict


@dataclass(frozen=True, kw_only=True)
class Violation:
    """Something that a target does not compute right.

    Attributes:
      tensor: the filter of a product, else the result of the operator.
      verdict: WRONG or REFUSED.
      instead: what works there, or empty.
    """

    graph: str
    tensor: str
    use: Use
    verdict: Verdict
    reason: str
    instead: str

    def __str__(self) -> str:
        act = "computes silent garbage for" if self.verdict is Verdict.WRONG else "refuses"
        hint = f"; instead: {self.instead}" if self.instead else ""
        return (
            f"graph {self.graph!r}, tensor {self.tensor!r}: {act} {self.use}: {self.reason}{hint}"
        )
