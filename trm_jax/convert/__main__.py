"""Convert released PyTorch checkpoints of TRM and HRM to this project's format, and back.

    python -m trm_jax.convert step_21700 --out runs/sudoku --preset sudoku-trm-att
    python -m trm_jax.convert trm-mlp-sudoku-alphaxiv --out runs/sudoku-mlp
    python -m trm_jax.convert hf:owner/name/file@revision --out runs/model --preset maze-trm-att
    python -m trm_jax.convert runs/sudoku --out step_1 --to-torch
    python -m trm_jax.convert --list

SOURCE is a file (`step_N`, .pt, .bin, .ckpt, .safetensors), a directory with one such file or with
an index of shards, a short name of --list, or a file on the Hugging Face Hub. What the tensors do
not show (cycle counts, heads, dtype, ...) comes from --preset, from an all_config.yaml beside the
file, or from flags; nothing is assumed, and it is printed who told each field. Of a file with
several models the average (EMA) is taken, or the one that --entry names. The task comes from the
preset, from the table of public checkpoints, or from --task. Nothing pickled in a file is executed,
and PyTorch is needed for --to-torch alone.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from trm_jax.command_line import (
    add_out,
    exit_code,
    make_parser,
    natural_float,
    natural_int,
    print_records,
    take_out,
)
from trm_jax.config import PRESETS, STORAGE, Positions
from trm_jax.convert.hints import FLAGS, Hints
from trm_jax.convert.published import describe
from trm_jax.output.folder import check_named, writing_whole
from trm_jax.output.kinds import MODEL
from trm_jax.output.lock import locked_beside
from trm_jax.output.ownership import check_file_place
from trm_jax.tasks.table import TASKS

YES_NO = {"true": True, "false": False}


def parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    p = make_parser("trm_jax.convert", __doc__)
    p.add_argument("source", nargs="?", help="file, directory, short name, or hf:owner/name/file")
    add_out(p, "model directory (with --to-torch: a file)")
    p.add_argument("--preset", choices=sorted(PRESETS), help="the expected configuration")
    p.add_argument("--task", choices=list(TASKS), help="what it solves (the preset's)")
    add_fields(p)
    p.add_argument("--entry", metavar="NAME", help="which model of a file that holds several")
    p.add_argument("--storage", choices=STORAGE, default="float32", help="dtype in the new file")
    p.add_argument("--to-torch", action="store_true", help="write the released format instead")
    p.add_argument("--list", action="store_true", help="print the known public checkpoints")
    return p


def check_target(out: Path, *, is_file: bool) -> None:
    """Refuse what must not or cannot be written, before anything is read.

    Args:
      is_file: whether OUT is a file in the released format and not a model directory.

    Raises:
      OSError: the message says what to do.
    """
    if is_file:
        check_file_place(out)
    else:
        check_named(out, MODEL)


def check_back(p: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse options that say how a checkpoint is read where a model is written as one.

    A model directory says all of it itself.
    """
    names = {"preset", "task", "entry", "storage", *FLAGS.values()}
    given = [
        action.option_strings[0]
        for action in p._actions
        if action.dest in names and getattr(args, action.dest) != action.default
    ]
    if given:
        p.error(f"--to-torch writes a model as its folder says; leave {', '.join(given)} out")


def add_fields(p: argparse.ArgumentParser) -> None:
    """Declare an option for every field that tensors do not show."""
    choices = {
        "positions": [each.value for each in Positions],
        "forward_dtype": list(STORAGE),
        "no_ACT_continue": list(YES_NO),
    }
    reals = ("rms_norm_eps", "rope_theta", "halt_exploration_prob")
    for flag, field in FLAGS.items():
        if field in choices:
            p.add_argument(flag, dest=field, choices=choices[field], help=f"set {field}")
        else:
            kind = natural_float if field in reals else natural_int
            p.add_argument(flag, dest=field, type=kind, metavar="N", help=f"set {field}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    p = parser()
    args = p.parse_args(argv)
    if not args.list:
        if args.source is None:
            p.error("give SOURCE and --out (or --list)")
        take_out(p, args)
    if args.to_torch:
        check_back(p, args)
    given = {f: v for f in FLAGS.values() if (v := getattr(args, f)) is not None}
    if "no_ACT_continue" in given:
        given["no_ACT_continue"] = YES_NO[given["no_ACT_continue"]]
    hints = Hints(preset=args.preset, fields=tuple(given.items()), entry=args.entry)

    def action() -> None:
        if args.list:
            print_records(describe())
            return
        check_target(args.out, is_file=args.to_torch)
        from trm_jax.convert.load import convert, convert_back  # imports jax: after parsing

        if args.to_torch:
            with locked_beside(args.out, MODEL.program):
                message = convert_back(args.source, args.out)
        else:
            with writing_whole(args.out, MODEL):
                message = convert(args.source, args.out, hints, args.storage, args.task)
        sys.stdout.write(message + "\n")

    return exit_code(action, (OSError, ValueError, ModuleNotFoundError))


if __name__ == "__main__":
    sys.exit(main())
