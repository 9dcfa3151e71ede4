"""From an export for TFLM to a package for a board: sources, flash file, sizes, words.

    python -m export.tflite --model sudoku-trm-mlp-mini --scheme fp32 --target tflm --batch 1 \\
        --out runs/tflm
    python -m export.micro runs/tflm runs/board

Into the folder go

    FOLDER/g_GRAPH_model_data.h/.cc, trm_op_resolver.h, trm_package.h/.cc    (cortex_m/sources.py)
    FOLDER/flash.bin      row file (cortex_m/row_file.py) and test vectors
    (cortex_m/test_vectors.py)
    FOLDER/package.json   sizes: arena measured and margin, states, flash; operators; hashes
    FOLDER/README.md      how to build, load and ask it

The arena is measured by TFLM's host interpreter (cortex_m/arena.py). Left out: making the export
(pipeline.py), the firmware (firmware/).
"""

import argparse
import sys
from pathlib import Path

from export.artifact.open import open_artifact
from export.cortex_m.arena import MARGIN
from export.cortex_m.package import (
    make_package,
    package_files,
    reserved_arena_bytes,
    save_package,
)
from trm_jax.command_line import exit_code


def main(argv: list[str] | None = None) -> int:
    """Write a package."""
    parser = argparse.ArgumentParser(
        prog="python -m export.micro",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("export", type=Path, help="folder of an export for tflm, batch 1")
    parser.add_argument("folder", type=Path, help="folder of the package")
    arguments = parser.parse_args(argv)

    def action() -> None:
        package = make_package(open_artifact(arguments.export))
        save_package(package, arguments.folder)
        sys.stdout.write(
            f"{arguments.folder}: {len(package_files(package))} files, arena"
            f" {reserved_arena_bytes(package.arena)} bytes of which {MARGIN} margin,"
            f" states {package.state_bytes} bytes\n"
        )

    return exit_code(action, (ValueError, RuntimeError, OSError))


if __name__ == "__main__":
    sys.exit(main())
