"""Train a reasoner from scratch by the released recipe, in segments that resume exactly.

    python -m experiments.train --preset sudoku-trm-mlp-mini --data data/sudoku-6x6 \\
        --total-steps 1500 --batch-size 64 --lr 1e-3 --weight-decay 0.1 --out runs/mlp
    python -m experiments.train --preset sudoku-trm-mlp-mini --data data/sudoku-6x6 \\
        --total-steps 1500 --batch-size 64 --lr 1e-3 --weight-decay 0.1 --out runs/mlp \\
        --resume --max-minutes 30

DATA is a folder in the released .npy layout (`python -m trm_jax.data.sudoku generate ...`).
OUT gets spec.json, rows.jsonl (one row of metrics every --log-every steps), state/ (to resume
from; written every --save-every steps and at the end of a segment), model/ (EMA weights, what
`experiments.sweep --model` takes) and curve.png. The last --valid training puzzles are not
trained on; the test split is never read.

Every draw is a function of (seed, step): a run that was stopped or killed and resumed passes
through the same states as one that was not. Ctrl-C and SIGTERM end a segment like --max-minutes:
the state is saved. --start MODEL begins from the weights of an earlier run (a curriculum).
"""

import argparse
import dataclasses
import sys
from pathlib import Path

from experiments.training import Pace, Spec, run
from experiments.training_data import default_augmentation
from trm_jax.config import preset
from trm_jax.train import Recipe


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = argparse.ArgumentParser(
        prog="python -m experiments.train", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    p.add_argument("--preset", required=True, help="model configuration (trm_jax/config.py)")
    p.add_argument("--data", required=True, help="folder with a train split")
    p.add_argument("--out", required=True, type=Path, help="folder of the run")
    p.add_argument("--resume", action="store_true", help="go on with the run in OUT")
    p.add_argument("--augmentation", help="none, maze, sudoku-2x3, ... (default: by the preset)")
    p.add_argument("--valid", type=int, default=256, help="puzzles held back (%(default)s)")
    p.add_argument("--start", metavar="MODEL", help="weights to start from (a model folder)")
    p.add_argument("--max-minutes", type=float, default=float("inf"), help="end of the segment")
    for name in ("log_every", "valid_every", "save_every"):
        p.add_argument("--" + name.replace("_", "-"), type=int, default=getattr(Pace, name))
    for field in dataclasses.fields(Recipe):
        flag = "--" + field.name.replace("_", "-")
        if isinstance(field.default, bool):
            p.add_argument(flag, action="store_true", help="see trm_jax/train.py")
            continue
        kind = float if isinstance(field.default, float) else int
        required = field.default is dataclasses.MISSING
        default = None if required else field.default
        p.add_argument(flag, type=kind, required=required, default=default)
    return p


def main(argv: list[str] | None = None) -> int:
    """Run the program; 0 when the run is complete or the segment ended, 2 on bad input."""
    args = parser().parse_args(argv)
    try:
        recipe = Recipe(**{f.name: getattr(args, f.name) for f in dataclasses.fields(Recipe)})
        named = args.augmentation or default_augmentation(preset(args.preset))
        spec = Spec(
            preset=args.preset, data=args.data, augmentation=named, valid=args.valid,
            start=args.start, recipe=recipe,
        )  # fmt: skip
        pace = Pace(
            log_every=args.log_every, valid_every=args.valid_every, save_every=args.save_every,
            max_minutes=args.max_minutes,
        )  # fmt: skip
        done = run(spec, pace, args.out, resume=args.resume)
    except (ValueError, FileNotFoundError, FloatingPointError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    if not done:
        sys.stderr.write("segment ended; the same command with --resume goes on\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
