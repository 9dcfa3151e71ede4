"""Convert released PyTorch checkpoints of TRM and HRM to this project's format, and back.

    python -m trm_jax.convert step_21700 runs/sudoku --preset sudoku-trm-att
    python -m trm_jax.convert trm-mlp-sudoku-alphaxiv runs/sudoku-mlp
    python -m trm_jax.convert hf:owner/name/file@revision runs/model --preset maze-trm-att
    python -m trm_jax.convert runs/sudoku step_1 --to-torch
    python -m trm_jax.convert --list

SOURCE is a file (`step_N`, .pt, .bin, .safetensors), a directory with one such file, a short
name of --list, or a file on the Hugging Face Hub. Cycle counts are not in the tensors: they
come from --preset, from an all_config.yaml beside the file, or from flags. Pickled code in a
.pt file is never executed.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Column, Table

from trm_jax.checkpoints.model_files import STORAGE
from trm_jax.command_line import exit_code
from trm_jax.config import PRESETS
from trm_jax.convert.load import FLAGS, Hints, convert, convert_back
from trm_jax.convert.published import describe


def list_published() -> Table:
    """Lay the known public checkpoints out as a table."""
    name = Column("name", no_wrap=True)  # it is what one copies
    result = Table(
        name, Column("where", overflow="fold"), "claimed by its authors", title="public checkpoints"
    )
    for row in describe():
        result.add_row(*row)
    return result


def parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    p = argparse.ArgumentParser(
        prog="python -m trm_jax.convert",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("source", nargs="?", help="file, directory, short name, or hf:owner/name/file")
    p.add_argument("out", nargs="?", type=Path, help="model directory (with --to-torch: a file)")
    p.add_argument("--preset", choices=sorted(PRESETS), help="the expected configuration")
    for flag, field in FLAGS.items():
        p.add_argument(flag, dest=field, type=int, metavar="N", help=f"set {field}")
    p.add_argument("--storage", choices=STORAGE, default="float32", help="dtype in the new file")
    p.add_argument("--to-torch", action="store_true", help="write the released format instead")
    p.add_argument("--list", action="store_true", help="print the known public checkpoints")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    p = parser()
    args = p.parse_args(argv)
    console = Console()
    if args.list:
        console.print(list_published())
        return 0
    if args.source is None or args.out is None:
        p.error("give SOURCE and OUT (or --list)")
    given = tuple((f, v) for f in FLAGS.values() if (v := getattr(args, f)) is not None)
    hints = Hints(preset=args.preset, fields=given)

    def action() -> None:
        if args.to_torch:
            message = convert_back(args.source, args.out)
        else:
            message = convert(args.source, args.out, hints, args.storage)
        console.print(message, highlight=False, soft_wrap=True)

    return exit_code(action, (OSError, ValueError, ModuleNotFoundError))


if __name__ == "__main__":
    sys.exit(main())
