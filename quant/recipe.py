"""A recipe: a scheme whose matrices differ, as a file that a person can read and edit.

    {
      "scheme": "w4t-sym-gptq",
      "matrices": {
        "L_level/layers_0/mlp/down_proj": "w3t-sym-gptq",
        "head": "w8c-sym"
      },
      "notes": {...}
    }

`matrices` names sites or roles (`mixer`, `channel`, `head`); a site goes before its role, and every
other matrix has the weights of `scheme`. What stands under `notes` is for people. On command lines
`@FILE` stands for the recipe's scheme, whose own name says all of it: results and exports are
understood without the file.

Not here: what a scheme is, and its name (scheme.py).
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quant.scheme import Scheme, parse, parse_weights
from trm_jax.typed_json import read_fields, read_json

MARK = "@"


@dataclass(frozen=True, kw_only=True)
class RecipeFile:
    """What a recipe's file holds.

    Attributes:
      scheme: name of the scheme of everything that is not listed.
      matrices: names of weights (`w3t-sym-gptq`) by site or role.
      notes: for people.
    """

    scheme: str
    matrices: dict[str, str] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)


def read_recipe(file: Path) -> Scheme:
    """Read a recipe.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is no recipe; the message names the file and the entry.
    """
    if not file.is_file():
        raise FileNotFoundError(f"no recipe {file}; python -m experiments.recipe makes one")
    try:
        recipe = read_fields(RecipeFile, read_json(file))
        parts = ";".join(f"{site}={weights}" for site, weights in recipe.matrices.items())
        for weights in recipe.matrices.values():
            parse_weights(weights)
        return parse(f"{recipe.scheme}[{parts}]" if parts else recipe.scheme)
    except ValueError as error:
        message = str(error)
        raise ValueError(message if str(file) in message else f"{file}: {message}") from error


def write_recipe(file: Path, scheme: Scheme, notes: dict[str, Any]) -> None:
    """Write a recipe that `read_recipe` reads back."""
    matrices = {site: weights.name for site, weights in scheme.exceptions}
    content = {"scheme": scheme.without_exceptions.name, "matrices": matrices, "notes": notes}
    file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def parse_given(text: str) -> Scheme:
    """Read a scheme as a command line gives it: a name, or `@FILE` for a recipe.

    Raises:
      FileNotFoundError, ValueError: as `read_recipe` and `parse`.
    """
    return parse(given_name(text))


def given_name(text: str) -> str:
    """Read `@FILE` as the name of its recipe's scheme, and leave other names as they are.

    Raises:
      FileNotFoundError, ValueError: as `read_recipe`.
    """
    if not text.startswith(MARK):
        return text
    return read_recipe(Path(text.removeprefix(MARK)).expanduser()).name
