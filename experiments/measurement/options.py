"""The command-line options that the programs share, each declared once, and what they say.

    subject_parent      --task --model                       sweep, ablate, deploy
    measurement_parent  --preset --data --limit --batch-size --dtype --seed --out --resume
                                                             sweep, ablate, arc
    add_batch_size      --batch-size                         recipe
    add_schemes         --schemes                            sweep, arc, footprint, deploy's targets
    add_data            --data                               deploy's targets
    add_halt            --halt                               deploy's targets
    add_calibration     --calibration --calibration-puzzles  sweep, ablate, recipe, deploy's targets
                                                             (trm_jax/data/calibration.py)

A program adds its own options, and may leave a default open where it depends on another option.
Nothing here imports jax: a command line is parsed, and its help printed, before anything heavy is
loaded. Not here: what is chosen where an option is silent (choices.py).
"""

import argparse
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trm_jax.command_line import natural_int, positive_int, seed_int, user_path
from trm_jax.config import PRESETS

DEFAULT_LIMIT = 200  # the bundled models under eight schemes in less than 3 minutes on 2 cores
QUICK_LIMIT = 16  # of a --quick run
DEVICE_RULES = "never, q[:B], qc[:B], rules or unchanged[:K]"
"""Rules of halting where the states of a step's H-cycles are not at hand."""
ALL_RULES = DEVICE_RULES.replace(" or", ",") + " or residual:B"
AUTO = "auto"
BATCH_NOTE = "what free memory allows, at most 50 on a CPU; --resume keeps the number"
DTYPES = (AUTO, "float32", "bfloat16", "float16")


@dataclass(frozen=True, kw_only=True)
class CommonOptions:
    """What sweep, ablate and arc are asked for alike.

    Attributes:
      task: name of a task; model: name, path or source of a model, None: the bundled one.
      preset: configuration of a PyTorch checkpoint, where its tensors do not show it.
      data: folder of a data set, None: the bundled one.
      limit: evaluate the first so many, 0: all, None: as many as the program takes.
      batch_size: puzzles computed together, None: auto.
      dtype: one of DTYPES.
      out: folder of the results, None: named after task and model.
      resume: go on with the rows in `out`.
    """

    task: str
    model: str | None
    preset: str | None
    data: Path | None
    limit: int | None
    batch_size: int | None
    dtype: str
    seed: int
    out: Path | None
    resume: bool


def read_common(args: argparse.Namespace) -> CommonOptions:
    """Take the shared options out of a parsed command line."""
    names = [field.name for field in dataclasses.fields(CommonOptions)]
    return CommonOptions(**{name: getattr(args, name) for name in names})


def subject_parent(tasks: str = "sudoku, maze or arc") -> argparse.ArgumentParser:
    """Declare --task and --model.

    Args:
      tasks: that the program takes, for its help.
    """
    p = argparse.ArgumentParser(add_help=False)
    p.add_argument("--task", required=True, metavar="NAME", help=tasks)
    p.add_argument(
        "--model",
        metavar="NAME|PATH|hf:...",
        help=(
            "bundled or public name, model directory, PyTorch checkpoint, or hf:owner/name/file"
            " (default: the task's bundled model)"
        ),
    )
    return p


def measurement_parent(
    out: str,
    *,
    limit: int | None = DEFAULT_LIMIT,
    limit_of: str = "puzzles",
    limit_note: str = "%(default)s",
    batch_note: str = BATCH_NOTE,
    seed: int = 0,
    seed_of: str,
) -> argparse.ArgumentParser:
    """Declare what is measured on, how much at a time, in which arithmetic, and where it goes.

    Args:
      out: folder that is taken where --out is silent, for the help.
      limit, limit_of, limit_note: default of --limit, what it counts, and why that many.
      batch_note: what `--batch-size auto` takes.
      seed, seed_of: default of --seed, and what it decides.
    """
    p = argparse.ArgumentParser(add_help=False)
    _add_measured(p, limit, f"first N {limit_of}; 0 is all ({limit_note})")
    add_batch_size(p, batch_note)
    p.add_argument(
        "--dtype",
        choices=DTYPES,
        default=AUTO,
        help="arithmetic of schemes that name none (auto: float32 on CPU, else bfloat16)",
    )
    p.add_argument(
        "--seed", type=seed_int, default=seed, metavar="N", help=f"of {seed_of} (%(default)s)"
    )
    p.add_argument("--out", type=user_path, metavar="DIR", help=f"default: {out}")
    p.add_argument("--resume", action="store_true", help="go on with the rows in --out")
    return p


def _add_measured(p: argparse.ArgumentParser, limit: int | None, limit_help: str) -> None:
    """Declare what is measured on: --preset, --data, --limit."""
    p.add_argument("--preset", choices=sorted(PRESETS), help="of a PyTorch checkpoint")
    p.add_argument(
        "--data",
        type=user_path,
        metavar="DIR",
        help="data set in the released layout (default: the bundled one)",
    )
    p.add_argument("--limit", type=natural_int, default=limit, metavar="N", help=limit_help)


def add_batch_size(container: argparse._ActionsContainer, note: str = BATCH_NOTE) -> None:
    """Declare --batch-size, whose default is auto.

    Args:
      note: what auto takes.
    """
    container.add_argument(
        "--batch-size",
        type=batch_size,
        metavar="N|auto",
        help=f"puzzles computed together; auto: {note} (default: auto)",
    )


def batch_size(text: str) -> int | None:
    """Read a whole number from 1, or auto as None; raises argparse.ArgumentTypeError."""
    return None if text == AUTO else positive_int(text)


def add_schemes(
    container: argparse._ActionsContainer, schemes: Sequence[str], note: str = ""
) -> None:
    """Declare --schemes: names joined by commas.

    Args:
      schemes: where the option is silent.
      note: what else may be named.
    """
    container.add_argument(
        "--schemes",
        default=",".join(schemes),
        metavar="NAME,...",
        help=f"{note}default: %(default)s",
    )


def add_halt(container: argparse._ActionsContainer, what: str, rules: str = ALL_RULES) -> None:
    """Declare --halt of one rule; halting.py:choose_halting reads it.

    Args:
      what: the rule is of, for the help.
      rules: that the program takes.
    """
    container.add_argument(
        "--halt",
        metavar="RULE",
        help=f"{what}: {rules} (default: rules where the task has some, else never)",
    )


def add_data(container: argparse._ActionsContainer) -> None:
    """Declare --data of a program that takes puzzles for one model."""
    container.add_argument(
        "--data",
        type=user_path,
        metavar="DIR",
        help="puzzles in the released layout (default: bundled)",
    )
