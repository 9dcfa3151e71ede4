"""Train a reasoner from scratch by the released recipe, in segments that resume exactly.

    python -m experiments.train --preset sudoku-trm-mlp-mini --data data/sudoku-6x6 \\
        --total-steps 1500 --batch-size 64 --lr 1e-3 --weight-decay 0.1 --out runs/mlp
    python -m experiments.train --preset sudoku-trm-mlp-mini --data data/sudoku-6x6 \\
        --total-steps 1500 --batch-size 64 --lr 1e-3 --weight-decay 0.1 --out runs/mlp \\
        --resume --max-minutes 30
    python -m experiments.train --preset sudoku-trm-mlp --data data/sudoku-hard \\
        --total-steps 65000 --out runs/full --max-minutes 25 --compact-out runs/carried

DATA is a folder in the released .npy layout (`python -m trm_jax.data.sudoku generate ...`).
Presets that end in -ar-mini are decoders, which answer one token after the other: --order says in
which order (docs/tokens.md), --optimizer adamw suits them, options of the recursion are refused.

    python -m experiments.train --preset sudoku-ar-mini --data data/sudoku-6x6 --order scan \\
        --total-steps 4000 --batch-size 16 --lr 2e-3 --optimizer adamw --out runs/ar

OUT gets spec.json, rows.jsonl (one row of metrics every --log-every steps), state/ and windows/
(to resume from; written every --save-every steps and at the end of a segment), model/ (EMA
weights, what `experiments.sweep --model` takes) and curve.png. The last --valid training puzzles
are not trained on; the test split is never read. --start MODEL begins from the weights of an
earlier run (a curriculum).

Every draw is a function of (seed, step): a run that was stopped or killed and resumed passes
through the same states as one that was not. Ctrl-C and SIGTERM end a segment like --max-minutes:
the state is saved, and the command that goes on is printed. --compact-out DIR also writes the
state as files of at most 15 MiB, 56 MiB in all, to be carried to another machine, where
--compact-in DIR begins a new OUT with it (what is rounded: trm_jax/checkpoints/compact_state.py).

The network computes in float32 on CPU and in bfloat16 on accelerators (--dtype), parameters are
float32; slots are spread over all local devices. --attention cudnn takes cuDNN's fused kernel for
softmax attention where there is an NVIDIA GPU (in bfloat16); it is no part of the run, which may
go on without it, and never taken unasked. The first line says what is used. jax, flax, optax,
orbax-checkpoint and numpy are all it needs, by PYTHONPATH from a checkout.
"""

import argparse
import dataclasses
import enum
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from experiments.measurement.folders import TRAINING
from experiments.train.job import Pace
from trm_jax.checkpoints.file_parts import MIB, TOTAL_BYTES
from trm_jax.command_line import (
    exit_code,
    make_parser,
    member_of,
    natural_float,
    natural_int,
    number_in,
    positive_float,
    positive_int,
    seed_int,
    user_path,
)
from trm_jax.config import PRESETS, AttentionKernel
from trm_jax.decoder.config import DECODER_PRESETS, TraceOrder
from trm_jax.output.folder import check_named
from trm_jax.output.kinds import COMPACT_STATE
from trm_jax.training.recipe import Optimizer, Recipe

PACES = {
    "log_every": "write a row of metrics",
    "valid_every": "validate",
    "save_every": "save the state",
}
"""Intervals of a `Pace`, and what is done then."""

HYPER_PARAMETERS: dict[str, tuple[Callable[[str], Any], str]] = {
    "total_steps": (positive_int, "updates of the whole run"),
    "batch_size": (positive_int, "slots: puzzles of one update"),
    "lr": (natural_float, "learning rate of the network"),
    "puzzle_emb_lr": (natural_float, "learning rate of the puzzle table"),
    "weight_decay": (natural_float, "decay of the network's parameters"),
    "puzzle_emb_weight_decay": (natural_float, "decay of the puzzle table"),
    "warmup_steps": (natural_int, "updates over which the learning rate rises"),
    "lr_min_ratio": (number_in(float, 0, 1), "share of the learning rate left at the end"),
    "b1": (number_in(float, 0, 1), "decay of the optimiser's first moment"),
    "b2": (number_in(float, 0, 1), "decay of the optimiser's second moment"),
    "ema": (number_in(float, 0, 1), "decay of the averaged weights, which are the model"),
    "seed": (seed_int, "of every draw"),
    "stagger": (bool, "fill the slots one after the other instead of all at once"),
    "accumulate": (positive_int, "turns in which an update's slots are computed"),
    "optimizer": (Optimizer, "how gradients become a direction"),
    "adam_eps": (natural_float, "added to the root of the second moment; not adam_atan2's"),
    "q_weight": (natural_float, "weight of the halting losses beside the tokens' loss"),
}
"""Fields of a `Recipe`: the type of the option and what it says."""


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = make_parser("experiments.train", __doc__)
    p.add_argument(
        "--preset",
        required=True,
        choices=sorted([*PRESETS, *DECODER_PRESETS]),
        metavar="NAME",
        help="model configuration (trm_jax/config.py, trm_jax/decoder/config.py)",
    )
    p.add_argument("--data", required=True, metavar="DIR", help="folder with a train split")
    p.add_argument("--task", metavar="NAME", help="what the puzzles are (the preset's)")
    p.add_argument("--out", required=True, type=user_path, metavar="DIR", help="folder of the run")
    p.add_argument("--resume", action="store_true", help="go on with the run in OUT")
    p.add_argument(
        "--augmentation",
        metavar="NAME",
        help="none, maze, sudoku-2x3, ... (default: by the preset)",
    )
    p.add_argument(
        "--valid",
        type=natural_int,
        default=256,
        metavar="N",
        help="puzzles held back (%(default)s)",
    )
    p.add_argument("--start", metavar="MODEL", help="weights to start from (a model folder)")
    p.add_argument(
        "--order",
        type=member_of(TraceOrder, "order"),
        choices=list(TraceOrder),
        help="in which order a decoder answers (scan)",
    )
    add_network(p)
    add_segment(p)
    for field in dataclasses.fields(Recipe):
        add_field(p, field)
    return p


def add_network(p: argparse.ArgumentParser) -> None:
    """Declare what the network computes in and with, and where it departs from the preset."""
    p.add_argument("--dtype", choices=("float32", "bfloat16"), help="of the forward pass")
    p.add_argument(
        "--attention",
        type=member_of(AttentionKernel, "kernel"),
        choices=list(AttentionKernel),
        default=AttentionKernel.XLA,
        help="kernel of softmax attention (%(default)s)",
    )
    p.add_argument(
        "--fit-data",
        action="store_true",
        help="cells, tokens and puzzle rows of the data instead of the preset's",
    )
    p.add_argument(
        "--halt-max-steps",
        type=positive_int,
        metavar="N",
        help="supervision steps after which a puzzle leaves its slot (the preset's)",
    )
    p.add_argument(
        "--halt-exploration",
        type=number_in(float, 0, 1),
        metavar="P",
        help="share of the slots that must do a random number of steps first (the preset's)",
    )


def add_segment(p: argparse.ArgumentParser) -> None:
    """Declare where a segment ends, compact states, and how often something is written."""
    p.add_argument(
        "--max-minutes",
        type=positive_float,
        default=float("inf"),
        metavar="M",
        help="end of the segment, compiling included (no end)",
    )
    p.add_argument(
        "--max-steps", type=positive_int, metavar="N", help="end of the segment, counted in updates"
    )
    p.add_argument(
        "--compact-in", type=user_path, metavar="DIR", help="begin with this compact state"
    )
    p.add_argument(
        "--compact-out", type=user_path, metavar="DIR", help="leave a compact state behind"
    )
    p.add_argument(
        "--compact-limit",
        type=positive_float,
        default=TOTAL_BYTES / MIB,
        metavar="M",
        help="MiB that it may take (%(default)g)",
    )
    for name, text in PACES.items():
        p.add_argument(
            "--" + name.replace("_", "-"),
            type=positive_int,
            default=getattr(Pace, name),
            metavar="N",
            help=f"{text} every so many updates (%(default)s)",
        )


def add_field(p: argparse.ArgumentParser, field: dataclasses.Field) -> None:
    """Add a hyper-parameter as an option."""
    flag, default = "--" + field.name.replace("_", "-"), field.default
    kind, text = HYPER_PARAMETERS[field.name]
    if isinstance(default, bool):
        p.add_argument(flag, action="store_true", help=text)
    elif isinstance(default, enum.Enum):
        named, choices = member_of(type(default), field.name), list(type(default))
        p.add_argument(
            flag, type=named, choices=choices, default=default, help=f"{text} (%(default)s)"
        )
    elif default is dataclasses.MISSING:
        p.add_argument(flag, type=kind, required=True, metavar="N", help=text)
    else:
        value = "N" if isinstance(default, int) else "X"
        p.add_argument(
            flag, type=kind, default=default, metavar=value, help=f"{text} (%(default)s)"
        )


def continuation(argv: list[str]) -> str:
    """Write the command that goes on: what was given, without --compact-in, with --resume."""
    words, skip = [], False
    for word in argv:
        if not skip and word != "--compact-in" and not word.startswith("--compact-in="):
            words.append(word)
        skip = word == "--compact-in"
    words += [] if "--resume" in words else ["--resume"]
    return "python -m experiments.train " + shlex.join(words)


def check_compact(leave: Path | None, out: Path) -> None:
    """Check where a compact state is to be left, before the training that it will be of.

    Raises:
      OSError: the folder cannot be written, or holds something else.
    """
    if leave is None:
        return
    check_named(leave, COMPACT_STATE)
    if leave.resolve() == out.resolve():
        raise FileExistsError(f"--compact-out and --out are both {out}; name another folder")


def train_preset(args: argparse.Namespace) -> bool:
    """Train a segment of the kind of model that the preset is; returns whether the run is complete.

    Raises:
      ValueError, OSError, FloatingPointError, MemoryError: as the two kinds' own programs.
    """
    if args.preset in DECODER_PRESETS:
        from experiments.train.decoder import train_decoder

        return train_decoder(args, parser().get_default)
    if args.order is not None:
        raise ValueError(
            f"--order is for decoders ({', '.join(DECODER_PRESETS)}); {args.preset} answers all"
            " cells at once"
        )
    from experiments.train.runner import train

    return train(args)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; 0 when the run is complete or the segment ended, 2 on bad input."""
    argv = sys.argv[1:] if argv is None else list(argv)
    args = parser().parse_args(argv)

    def action() -> None:
        check_named(args.out, TRAINING, resume=args.resume)
        check_compact(args.compact_out, args.out)
        # after parsing, for it imports jax; annotations without jaxtyping come first
        import experiments.train.minimal_install  # noqa: F401

        if not train_preset(args):
            sys.stderr.write(f"segment ended; this goes on with it:\n{continuation(argv)}\n")

    return exit_code(action, (ValueError, OSError, FloatingPointError, MemoryError))


if __name__ == "__main__":
    sys.exit(main())
