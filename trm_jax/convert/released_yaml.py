"""all_config.yaml: what a release says of its architecture, read strictly.

The released trainer writes the table `arch:` of its command line. Of it the fields below decide the
model; each has one type and none is guessed. YAML is read without its traps: a key given twice, a
merge (`<<`) and a document larger than any configuration are refused, and 1e-5 is a number, as in
YAML 1.2.

Not here: what follows where a field is missing (torch_config.py).
"""

import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from trm_jax.typed_json import read_fields

Fields = dict[str, Any]
Say = Callable[[str], None]

YAML_FILE = "all_config.yaml"
MAX_BYTES = 2**20  # a released one has 1 kB

ARCHITECTURES = {"trm": "trm", "hrm": "hrm", "hrm_act_v1": "hrm"}
"""Module in `arch.name` (`recursive_reasoning.trm@Class`) -> architecture."""


@dataclass(frozen=True, kw_only=True)
class ReleasedArch:
    """Keys of `arch:` that decide the model; None: not stated."""

    name: str | None = None
    H_cycles: int | None = None
    L_cycles: int | None = None
    H_layers: int | None = None
    L_layers: int | None = None
    hidden_size: int | None = None
    num_heads: int | None = None
    expansion: float | int | None = None
    pos_encodings: str | None = None
    mlp_t: bool | None = None
    puzzle_emb_ndim: int | None = None
    puzzle_emb_len: int | None = None
    halt_max_steps: int | None = None
    halt_exploration_prob: float | int | None = None
    rms_norm_eps: float | int | None = None
    rope_theta: float | int | None = None
    no_ACT_continue: bool | None = None
    forward_dtype: str | None = None


KEYS = tuple(field.name for field in dataclasses.fields(ReleasedArch))
NO_PART = ("loss",)  # of the model: read by the trainer alone


class StrictLoader(yaml.SafeLoader):
    """Plain values only, every key once."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Refuse merges, which multiply what they are given; find keys given twice."""
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if "<<" in keys:
            raise yaml.constructor.ConstructorError(problem="a merge (<<) is not read")
        if len(set(keys)) < len(keys):
            twice = next(key for key in keys if keys.count(key) > 1)
            raise yaml.constructor.ConstructorError(
                problem=f"the key {twice[:40]!r} is given twice"
            )


StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+"),
    list("-+0123456789"),
)


def read_yaml(file: Path, say: Say = lambda text: None) -> Fields:
    """Read the architecture fields of a released all_config.yaml, by our names.

    Args:
      say: is told of keys that are not read.

    Raises:
      ValueError: not YAML, no `arch:` table, a value of the wrong type, or an architecture
        this project does not have.
    """
    try:
        arch = _arch(file)
        stated = {key: arch[key] for key in KEYS if key in arch}
        for key, value in stated.items():
            if value is None:
                raise ValueError(f"field {key} must have a value, got null")
        released = read_fields(ReleasedArch, stated)
    except (OSError, ValueError) as error:
        raise ValueError(f"{file} has no readable `arch:` table: {error}") from error
    if foreign := sorted(str(key)[:40] for key in arch.keys() - {*KEYS, *NO_PART}):
        say(f"{file.name}: keys of arch that are not read: {', '.join(foreign[:8])}")
    return _our_fields(released, file)


def _arch(file: Path) -> dict[Any, Any]:
    if file.stat().st_size > MAX_BYTES:
        raise ValueError(f"it has {file.stat().st_size} bytes, a configuration about 1000")
    try:
        document = yaml.load(file.read_text(encoding="utf-8"), StrictLoader)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except (yaml.YAMLError, ValueError, TypeError, OverflowError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        said = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ValueError(f"it is not YAML{line}: {said}") from error
    arch = document.get("arch") if isinstance(document, dict) else None
    if not isinstance(arch, dict):
        raise ValueError("there is none")
    return arch


def _our_fields(released: ReleasedArch, file: Path) -> Fields:
    """Rename the stated fields, and name the architecture."""
    fields: Fields = {key: v for key in KEYS if (v := getattr(released, key)) is not None}
    if "pos_encodings" in fields:
        fields["positions"] = fields.pop("pos_encodings")
    if "mlp_t" in fields:
        fields["mixer"] = "mlp" if fields.pop("mlp_t") else "attention"
    if (name := fields.pop("name", None)) is not None:
        module = name.split("@")[0].split(".")[-1]
        if module not in ARCHITECTURES:
            names = ", ".join(sorted(ARCHITECTURES))
            raise ValueError(f"{file}: architecture {name[:60]!r} unknown; known: {names}")
        fields["architecture"] = ARCHITECTURES[module]
    return fields
