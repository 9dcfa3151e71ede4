"""The public names of a package, imported when they are first asked for (PEP 562).

A face names its modules' classes and functions, and importing one of the package's modules must
not import all of JAX for them: `python -m experiments.sweep --help` answers in a fraction of a
second because of it. Type checkers read the same names under `if TYPE_CHECKING:` in the face; a
test holds both lists together.
"""

import importlib
from collections.abc import Callable, Mapping, Sequence


def lazy_names(
    package: str, homes: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Make a package's `__getattr__` and `__dir__`.

    Args:
      package: `__name__` of the package.
      homes: module -> the public names that it defines.

    Returns:
      What finds a public name in its module, and what lists the public names.

    Raises:
      AttributeError: (the first function returned) no such name; the message lists the public ones.
    """
    home_of = {name: module for module, names in homes.items() for name in names}

    def find(name: str) -> object:
        if name not in home_of:
            raise AttributeError(
                f"module {package!r} has no attribute {name!r}; public names:"
                f" {', '.join(sorted(home_of))}"
            )
        return getattr(importlib.import_module(home_of[name]), name)

    return find, lambda: sorted(home_of)
