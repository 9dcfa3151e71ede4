"""Finds the model in what people save: one state_dict among wrappers, averages and optimisers.

A file is a tree of dicts. A state_dict of these models is a dict with the names of name_table.py,
whatever wrappers put in front of them or between (`module.`, `_orig_mod.`, `model.`, in any order).
It is labelled with its keys in the tree and with the prefixes that are no wrapper:

    {"H_init": ...}                                     ""
    {"model": {...}, "ema": {"shadow": {...}}}          "model", "ema.shadow"
    {"state_dict": {"model.inner.H_init": ...}, ...}    "state_dict"        (Lightning)
    {"ema_model.H_init": ..., "online_model.H_init"}    "ema_model", "online_model"

Of several the average (EMA) is taken, as the releases do; two that are both averages, or none, are
for the user to choose between (`--entry`). What was taken is said.

Not here: containers and their numbers (torch_files.py).
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Say = Callable[[str], None]
Label = tuple[str, ...]
Leaves = dict[str, Any]

ROOTS = frozenset(
    (
        "H_init",
        "L_init",
        "embed_tokens",
        "embed_pos",
        "lm_head",
        "q_head",
        "puzzle_emb",
        "H_level",
        "L_level",
    )
)
"""First parts of the names of the table."""

WRAPPERS = frozenset(
    ("_orig_mod", "module", "_forward_module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
)
"""Parts that wrappers of a module put anywhere into a name."""

FRONTS = frozenset(("model", "inner", "net", "network"))
"""Parts that stand before a name and mean nothing: the releases' own and trainers'."""

SIGNATURE = "embed_tokens.embedding_weight"
NOT_AVERAGED = frozenset(("H_init", "L_init", "puzzle_emb.weights"))
"""What the releases' average leaves out: buffers, which it takes from the model."""

COUNTERS = frozenset(("n_averaged", "initted", "step", "num_updates"))
"""Tensors of averaging wrappers that are no weights."""

AVERAGE = re.compile(r"(^|[^a-z])(ema|shadow|swa|averaged?)([^a-z]|$)")
OTHER = re.compile(r"^(optim|lr_sched|exp_avg|grad)")
"""Keys under which no weights are: moments of an optimiser have the names of the weights."""

HOW = "`python -m trm_jax.convert` takes another with --entry NAME"
MAX_DEPTH = 6
MAX_DICTS = 10_000
SHOWN = 6


def choose(tree: Any, entry: str | None, is_tensor: Callable[[Any], bool], say: Say) -> Leaves:
    """Choose the state_dict of a file.

    Args:
      tree: what the file holds.
      entry: the label that the user names, or one part of it; None: the only one, or the average.
      is_tensor: tells leaves that hold numbers.
      say: is told what was taken and what was left out.

    Returns:
      Short names (those of the table) and leaves.

    Raises:
      ValueError: none, or several and no rule; or a name occurs twice.
    """
    found = find_entries(tree, is_tensor)
    if not found:
        raise ValueError(_nothing(tree, is_tensor))
    label = _pick(list(found), entry)
    leaves, shown = found[label], show(label)
    averaged = is_average(label)
    if label:
        say(f"weights are those of {shown!r}" + (", an average (EMA)" if averaged else ""))
    if others := [show(other) or "(top)" for other in found if other != label]:
        say(f"not taken: {', '.join(map(repr, others))} ({HOW})")
    if averaged:
        leaves = _complete(leaves, [found[other] for other in found if not is_average(other)], say)
    used = {part for other in found for part in other}
    if isinstance(tree, Mapping) and (left := _left_out(tree, used, leaves)):
        say(f"not read: {', '.join(left[:SHOWN])}" + (", ..." if len(left) > SHOWN else ""))
    return leaves


def find_entries(tree: Any, is_tensor: Callable[[Any], bool]) -> dict[Label, Leaves]:
    """Find every state_dict of these models in a tree, by its label.

    Raises:
      ValueError: a name occurs twice in one.
    """
    found: dict[Label, Leaves] = {}
    for path, names in _dicts(tree):
        for prefix, leaves in _groups(names, is_tensor).items():
            if SIGNATURE in leaves:
                found[path + prefix] = leaves
    return found


def short_name(name: str) -> tuple[Label, str]:
    """Split a name into the prefixes that are no wrapper and its name in the table.

    A name without any part of the table stays whole.
    """
    parts = [part for part in name.split(".") if part not in WRAPPERS]
    root = next((i for i, part in enumerate(parts) if part in ROOTS), None)
    if root is None:
        return (), name
    return tuple(p for p in parts[:root] if p not in FRONTS), ".".join(parts[root:])


def is_average(label: Label) -> bool:
    """Return whether a label names an average of weights."""
    return any(AVERAGE.search(part.lower()) for part in label)


def show(label: Label) -> str:
    """Write a label as `--entry` takes it."""
    return ".".join(label)


def _dicts(tree: Any) -> Iterator[tuple[Label, Mapping[Any, Any]]]:
    """Walk over the dicts of a tree, each once."""
    waiting: list[tuple[Label, Any]] = [((), tree)]
    seen: set[int] = set()
    while waiting and len(seen) < MAX_DICTS:
        path, node = waiting.pop(0)
        if not isinstance(node, Mapping) or id(node) in seen:
            continue
        seen.add(id(node))
        yield path, node
        if len(path) < MAX_DEPTH:
            inside = ((key, value) for key, value in node.items() if isinstance(key, str))
            waiting += [((*path, key), value) for key, value in inside if not OTHER.match(key)]


def _groups(names: Mapping[Any, Any], is_tensor: Callable[[Any], bool]) -> dict[Label, Leaves]:
    """Sort the entries of a dict by the prefixes that are no wrapper."""
    groups: dict[Label, Leaves] = {}
    origin: dict[tuple[Label, str], str] = {}
    for name, leaf in names.items():
        if not isinstance(name, str) or name in COUNTERS:
            continue
        prefix, short = short_name(name)
        has_root = short.partition(".")[0] in ROOTS
        if isinstance(leaf, Mapping) or not (has_root or is_tensor(leaf)):
            continue  # a number, a text, a list beside the weights
        if (prefix, short) in origin:
            raise ValueError(
                f"{short} occurs twice, with and without prefixes: {origin[prefix, short]!r} and"
                f" {name!r}"
            )
        origin[prefix, short] = name
        groups.setdefault(prefix, {})[short] = leaf
    return groups


def _pick(labels: list[Label], entry: str | None) -> Label:
    """Apply the rule of the module docstring."""
    listed = ", ".join(repr(show(label)) for label in labels)
    if entry is not None:
        fitting = [label for label in labels if entry == show(label) or entry in label]
        fitting = [label for label in fitting if entry == show(label)] or fitting
        if len(fitting) != 1:
            raise ValueError(f"--entry {entry} names {len(fitting)} of its entries: {listed}")
        return fitting[0]
    averages = [label for label in labels if is_average(label)]
    for rule in (labels, averages):
        if len(rule) == 1:
            return rule[0]
    kind = "averages" if averages else "models"
    raise ValueError(f"it holds several {kind}: {listed}; name one ({HOW})")


def _complete(leaves: Leaves, models: list[Leaves], say: Say) -> Leaves:
    """Add to an average what it leaves out, from the one model beside it."""
    if len(models) != 1:
        return leaves
    missing = sorted(models[0].keys() - leaves.keys())
    if not missing or not set(missing) <= NOT_AVERAGED:
        return leaves
    say(f"not averaged, so taken from the model: {', '.join(missing)}")
    return {**leaves, **{name: models[0][name] for name in missing}}


def _left_out(tree: Mapping[Any, Any], used: set[str], leaves: Leaves) -> list[str]:
    """List what is beside the models at the top of the file."""
    known = {str(name) for name in tree if short_name(str(name))[1] in leaves}
    return [str(name)[:40] for name in tree if str(name) not in {*known, *used}]


def _nothing(tree: Any, is_tensor: Callable[[Any], bool]) -> str:
    """Say what a file holds instead of a state_dict."""
    if not isinstance(tree, Mapping):
        kind = getattr(tree, "said", f"a {type(tree).__name__}")
        return f"it holds {kind}, not a state_dict of tensors"
    names = [str(name)[:40] for name in tree]
    listed = ", ".join(sorted(names)[:8]) or "nothing"
    own = any(name.startswith("params/") for name in names)
    hint = " (names like params/L_level/... are this project's own, converted format)"
    return f"not a state_dict of TRM or HRM: no matrix {SIGNATURE}; found {listed}, ..." + (
        hint if own else ""
    )
