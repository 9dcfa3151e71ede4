"""Print what a model needs on a device under every scheme: memory, work, energy, budgets.

    python -m experiments.footprint
    python -m experiments.footprint --models arc-trm-att,sudoku-trm-mlp-mini \\
        --schemes fp32,w4c-asym_a8s_carry8 --out runs/footprint

Models are presets (all published configurations if not named) or model directories; nothing is
run, everything follows from shapes, so no checkpoint is needed. Four tables: GFLOPs per H-cycle,
step and puzzle with linear layers and attention apart; stored bytes and peak memory (full load,
one block streamed, weights executed from flash) against 4 and 8 MiB; energy by the paper's
figure and by a model with stated assumptions (export/footprint/energy.py); and each figure of the
paper beside ours with the difference explained (Tables 1-6 and 15, App. G and H).

Into --out go footprint.jsonl (one row per model and scheme), footprint.csv and footprint.md.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.footprint import paper_check, tables
from experiments.footprint import rows as footprint_rows
from experiments.render import tables as render_tables
from experiments.render.console import make_console
from trm_jax.checkpoints import model_files
from trm_jax.command_line import exit_code
from trm_jax.config import PRESETS, Config, preset


def parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    p = argparse.ArgumentParser(
        prog="python -m experiments.footprint",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument(
        "--models",
        default=",".join(footprint_rows.PUBLISHED),
        metavar="NAME,..",
        help="presets or model directories (%(default)s)",
    )
    p.add_argument(
        "--schemes", default=",".join(footprint_rows.SCHEMES), metavar="NAME,..", help="%(default)s"
    )
    p.add_argument(
        "--out", type=Path, metavar="DIR", default=Path("runs") / "footprint", help="%(default)s"
    )
    return p


def config_of(name: str) -> Config:
    """Find a configuration by preset or model directory.

    Raises:
      ValueError: neither, or a damaged directory.
    """
    if name not in PRESETS and (Path(name) / model_files.CONFIG_FILE).is_file():
        return model_files.load_model(Path(name))[0]
    return preset(name)


def run(models: str, schemes: str, out: Path) -> None:
    """Count what a command line names, print it and write all files.

    Raises:
      ValueError, OSError: unknown names, or nothing can be written.
    """
    configs = {name: config_of(name) for name in (text.strip() for text in models.split(","))}
    rows = footprint_rows.records(configs, [scheme.strip() for scheme in schemes.split(",")])
    footprint_rows.write(out, rows)
    made = [*tables.all_tables(rows), paper_check.table(paper_check.checks())]
    (out / "footprint.csv").write_text(render_tables.to_csv(rows), encoding="utf-8")
    text = "\n".join([*map(render_tables.to_markdown, made), tables.energy_note(), ""])
    (out / "footprint.md").write_text(text, encoding="utf-8")
    console = make_console()
    render_tables.print_tables(made, console)
    console.print(f"rows and tables: {out}", soft_wrap=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = parser().parse_args(argv)
    return exit_code(lambda: run(args.models, args.schemes, args.out), (OSError, ValueError))


if __name__ == "__main__":
    sys.exit(main())
