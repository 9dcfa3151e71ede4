"""From an export for TFLM to a package for a board: sources, flash file, sizes, a README.

    python -m export.tflite --model sudoku-trm-mlp-mini --scheme fp32 --target tflm \\
        --batch-size 1 --out runs/tflm
    python -m export.micro runs/tflm --out runs/board

Into the folder go

    FOLDER/g_GRAPH_model_data.h/.cc, trm_op_resolver.h, trm_package.h/.cc    (cortex_m/sources.py)
    FOLDER/flash.bin      row file (cortex_m/row_file.py), test vectors (cortex_m/test_vectors.py)
    FOLDER/package.json   sizes: arena measured and margin, states, flash; operators; hashes
    FOLDER/README.md      how to build, load and use it

The firmware halts as the export was tried (export.tflite --halt): by the rules of the puzzles where
they are known, else never, and its self-test holds right answers under that rule. An export whose
answers are all wrong is refused, and so is an exported decoder (docs/tokens-deploy.md).

The arena is measured by TFLM's host interpreter (cortex_m/arena.py). Not here: making the export
(tflite.py), the firmware (firmware/).
"""

import argparse
import sys
from collections.abc import Sequence

from export.options import PACKAGE, take_halting
from trm_jax.command_line import add_out, exit_code, make_parser, take_out, user_path
from trm_jax.output.folder import check_named, writing_whole


def parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    p = make_parser("export.micro", __doc__)
    p.add_argument("export", type=user_path, help="folder of an export for tflm, batch 1")
    add_out(p, "folder of the package")
    p.add_argument(
        "--halt",
        metavar="RULE",
        help="what the firmware begins with: never, or the rule of the export (its own)",
    )
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    p = parser()
    args = p.parse_args(argv)
    folder = take_out(p, args)

    def action() -> None:
        check_named(folder, PACKAGE)
        # imports jax: after parsing
        from export.artifact.open import open_artifact
        from export.cortex_m.arena import MARGIN
        from export.cortex_m.package import (
            check_answers,
            choose_halting,
            count_vectors,
            make_package,
            package_files,
            reserved_arena_bytes,
            save_package,
        )
        from export.decoder.manifest import check_not_decoder

        check_not_decoder(args.export)
        package = make_package(choose_halting(open_artifact(args.export), take_halting(args)))
        check_answers(package)
        with writing_whole(folder, PACKAGE):
            save_package(package, folder)
        sys.stdout.write(
            f"{folder}: {len(package_files(package))} files, arena"
            f" {reserved_arena_bytes(package.arena)} bytes of which {MARGIN} margin,"
            f" states {package.state_bytes} bytes; halts by {package.rows.depth.halting.name},"
            f" self-test of {count_vectors(package)} puzzles\n"
        )

    return exit_code(action, (ValueError, RuntimeError, OSError))


if __name__ == "__main__":
    sys.exit(main())
