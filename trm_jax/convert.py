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
import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Column, Table

from trm_jax.checkpoint import STORAGE, load_model, save_model
from trm_jax.config import PRESETS, Config, preset
from trm_jax.data.hub import PREFIX as HUB
from trm_jax.data.hub import resolve
from trm_jax.program import exit_code
from trm_jax.published import PUBLISHED, describe
from trm_jax.torch_config import YAML_FILE, Fields, read_yaml, resolve_config
from trm_jax.torch_files import read_tensors, write_torch
from trm_jax.torch_names import from_torch, to_torch
from trm_jax.types import Weights

CANDIDATES = ("*.safetensors", "*.pt", "*.bin", "checkpoint", "step_*")
"""What a directory's checkpoint may be called."""

FLAGS = {
    "--H-cycles": "H_cycles",
    "--L-cycles": "L_cycles",
    "--heads": "num_heads",
    "--seq-len": "seq_len",
    "--prefix-len": "puzzle_emb_len",
}


@dataclass(frozen=True, kw_only=True)
class Hints:
    """What the tensors do not show.

    Attributes:
      preset: name of the expected configuration.
      fields: single fields (`FLAGS`); they win.
    """

    preset: str | None = None
    fields: tuple[tuple[str, int], ...] = ()


NO_HINTS = Hints()


def find_file(path: Path) -> Path:
    """Find the one checkpoint of a directory; a file is itself.

    Raises:
      FileNotFoundError: there is none.
      ValueError: there are several.
    """
    if path.is_file():
        return path
    files = sorted({file for pattern in CANDIDATES for file in path.glob(pattern)})
    if not files:
        raise FileNotFoundError(f"no checkpoint in {path}; looked for {', '.join(CANDIDATES)}")
    if len(files) > 1:
        raise ValueError(f"several checkpoints in {path}, name one: {[f.name for f in files]}")
    return files[0]


def load_torch(source: str, hints: Hints = NO_HINTS) -> tuple[Config, Weights, dict[str, object]]:
    """Read a released checkpoint from wherever it is.

    Args:
      source: file, directory, short name (`PUBLISHED`) or `hf:owner/name/file[@revision]`.
      hints: what the tensors do not show.

    Returns:
      Configuration, weights, and notes on the origin (source, file, sha256) as metadata.

    Raises:
      OSError: not found, or not to be downloaded.
      ValueError: not a checkpoint, or not of the expected configuration.
      ModuleNotFoundError: needs torch.
    """
    entry = PUBLISHED.get(source)
    where = entry.source if entry else source
    file = find_file(resolve(where))
    expected = preset(hints.preset) if hints.preset else entry.config if entry else None
    told = _yaml_fields(where, file, expected)
    tensors = read_tensors(file)
    config = resolve_config(tensors, expected, told, dict(hints.fields))
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    notes: dict[str, object] = {"source": source, "file": file.name, "sha256": digest}
    return config, from_torch(tensors, config), notes


def _yaml_fields(where: str, file: Path, expected: Config | None) -> Fields:
    """Read the all_config.yaml beside the file; from the Hub only if nothing else tells."""
    if where.startswith(HUB) and expected is None:
        base, _, revision = where.partition("@")
        sibling = f"{base.rpartition('/')[0]}/{YAML_FILE}"
        try:
            return read_yaml(resolve(sibling + ("@" + revision if revision else "")))
        except OSError as error:
            raise ValueError(f"give a --preset: none is known, and {error}") from error
    beside = file.with_name(YAML_FILE)
    return read_yaml(beside) if beside.is_file() else {}


def convert(source: str, out: Path, hints: Hints, storage: str) -> str:
    """Write the model directory of a released checkpoint and say what it is."""
    config, weights, notes = load_torch(source, hints)
    save_model(out, config, weights, notes, storage)
    kind, mixer = type(config).__name__.removesuffix("Config"), config.mixer.value
    return (
        f"{out}: {kind} ({mixer}), hidden {config.hidden_size}, vocabulary {config.vocab_size},"
        f" {config.seq_len} cells, H_cycles {config.H_cycles}, L_cycles {config.L_cycles},"
        f" {config.num_puzzle_identifiers} puzzle identifiers"
    )


def convert_back(source: str, out: Path) -> str:
    """Write a model directory in the released format and say so."""
    config, weights = load_model(resolve(source))
    tensors = to_torch(config, weights)
    write_torch(out, tensors)
    return f"{out}: {len(tensors)} tensors, keep {YAML_FILE} or a preset's name beside it"


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
