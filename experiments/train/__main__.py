"""Train a reasoner from scratch by the released recipe, in segments that resume exactly.

    python -m experiments.train --preset sudoku-trm-mlp-mini --data data/sudoku-6x6 \\
        --total-steps 1500 --batch-size 64 --lr 1e-3 --weight-decay 0.1 --out runs/mlp
    python -m experiments.train --preset sudoku-trm-mlp-mini --data data/sudoku-6x6 \\
        --total-steps 1500 --batch-size 64 --lr 1e-3 --weight-decay 0.1 --out runs/mlp \\
        --resume --max-minutes 30
    python -m experiments.train --preset sudoku-trm-mlp --data data/sudoku-hard \\
        --total-steps 65000 --out runs/full --max-minutes 25 --compact-out runs/carried

DATA is a folder in the released .npy layout (`python -m trm_jax.data.sudoku generate ...`).
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
from pathlib import Path

import jax

import experiments.train.minimal_install  # noqa: F401 - first: annotations without jaxtyping
from experiments.train.data import default_augmentation
from experiments.train.loop import Pace
from experiments.train.runner import Compact, TrainSpec, default_dtype, run
from trm_jax.checkpoints.compact_state import MIB, TOTAL_BYTES
from trm_jax.config import preset
from trm_jax.models.attention import AttentionKernel
from trm_jax.training.optim import Recipe

OUT_OF_MEMORY = "RESOURCE_EXHAUSTED"  # how XLA's message begins


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = argparse.ArgumentParser(
        prog="python -m experiments.train",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    p.add_argument("--preset", required=True, help="model configuration (trm_jax/config.py)")
    p.add_argument("--data", required=True, help="folder with a train split")
    p.add_argument("--out", required=True, type=Path, help="folder of the run")
    p.add_argument("--resume", action="store_true", help="go on with the run in OUT")
    p.add_argument("--augmentation", help="none, maze, sudoku-2x3, ... (default: by the preset)")
    p.add_argument("--valid", type=int, default=256, help="puzzles held back (%(default)s)")
    p.add_argument("--start", metavar="MODEL", help="weights to start from (a model folder)")
    p.add_argument("--dtype", choices=("float32", "bfloat16"), help="of the forward pass")
    p.add_argument(
        "--attention",
        type=AttentionKernel,
        choices=list(AttentionKernel),
        default=AttentionKernel.XLA,
        help="kernel of softmax attention (%(default)s)",
    )
    p.add_argument(
        "--halt-max-steps", type=int, metavar="N", help="supervision steps (the preset's)"
    )
    p.add_argument(
        "--max-minutes",
        type=float,
        default=float("inf"),
        help="end of the segment, compiling included",
    )
    p.add_argument("--max-steps", type=int, help="end of the segment, counted in updates")
    p.add_argument("--compact-in", type=Path, metavar="DIR", help="begin with this compact state")
    p.add_argument("--compact-out", type=Path, metavar="DIR", help="leave a compact state behind")
    p.add_argument(
        "--compact-limit", type=float, default=TOTAL_BYTES / MIB, help="MiB of it (%(default)s)"
    )
    for name in ("log_every", "valid_every", "save_every"):
        p.add_argument("--" + name.replace("_", "-"), type=int, default=getattr(Pace, name))
    for field in dataclasses.fields(Recipe):
        add_field(p, field)
    return p


def add_field(p: argparse.ArgumentParser, field: dataclasses.Field) -> None:
    """Add a hyper-parameter as an option."""
    flag, default = "--" + field.name.replace("_", "-"), field.default
    if isinstance(default, bool):
        p.add_argument(flag, action="store_true", help="see trm_jax/training/optim.py")
    elif isinstance(default, enum.Enum):
        kind = type(default)
        p.add_argument(flag, type=kind, choices=list(kind), default=default)
    elif default is dataclasses.MISSING:
        p.add_argument(flag, type=int, required=True)
    else:
        p.add_argument(flag, type=type(default), default=default)


def continuation(argv: list[str]) -> str:
    """Write the command that goes on: what was given, without --compact-in, with --resume."""
    words, skip = [], False
    for word in argv:
        if not skip and word != "--compact-in" and not word.startswith("--compact-in="):
            words.append(word)
        skip = word == "--compact-in"
    words += [] if "--resume" in words else ["--resume"]
    return "python -m experiments.train " + shlex.join(words)


def main(argv: list[str] | None = None) -> int:
    """Run the program; 0 when the run is complete or the segment ended, 2 on bad input."""
    argv = sys.argv[1:] if argv is None else argv
    args = parser().parse_args(argv)
    try:
        if args.resume and args.compact_in:
            raise ValueError(
                "--compact-in begins a new run and --resume goes on with one: not both"
            )
        recipe = Recipe(**{f.name: getattr(args, f.name) for f in dataclasses.fields(Recipe)})
        named = args.augmentation or default_augmentation(preset(args.preset))
        spec = TrainSpec(
            preset=args.preset,
            data=args.data,
            augmentation=named,
            valid=args.valid,
            start=args.start,
            dtype=args.dtype or default_dtype(),
            recipe=recipe,
            halt_max_steps=args.halt_max_steps,
        )
        pace = Pace(
            log_every=args.log_every,
            valid_every=args.valid_every,
            save_every=args.save_every,
            max_minutes=args.max_minutes,
            max_steps=args.max_steps,
        )
        compact = Compact(
            take=args.compact_in, leave=args.compact_out, limit=round(args.compact_limit * MIB)
        )
        done = run(
            spec, pace, args.out, resume=args.resume, compact=compact, attention=args.attention
        )
    except FloatingPointError as error:
        sys.stderr.write(
            f"error: {error}\nThe newest state in {args.out / 'state'} is from before; resumed, the"
            " run would come here again: begin anew with a lower --lr, or --start from its model\n"
        )
        return 2
    except jax.errors.JaxRuntimeError as error:
        if OUT_OF_MEMORY not in str(error):
            raise
        sys.stderr.write(
            f"error: {error}\nThe slots do not fit into the device's memory: --accumulate"
            f" {2 * args.accumulate} takes half as many at a time; begin anew with it\n"
        )
        return 2
    except (ValueError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    if not done:
        sys.stderr.write(f"segment ended; this goes on with it:\n{continuation(argv)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
