"""Read a released checkpoint into a configuration and weights, and write one back."""

import hashlib
from pathlib import Path

from trm_jax.checkpoints.model_files import load_model, save_model
from trm_jax.config import PRESET_TASKS, Config, preset
from trm_jax.convert.hints import NO_HINTS, Hints
from trm_jax.convert.name_table import from_torch, to_torch
from trm_jax.convert.published import PUBLISHED
from trm_jax.convert.torch_config import YAML_FILE, Fields, read_yaml, resolve_config
from trm_jax.convert.torch_files import read_tensors, write_torch
from trm_jax.data.hub import PREFIX as HUB
from trm_jax.data.hub import resolve
from trm_jax.tasks.table import agreed_task
from trm_jax.types import Weights

CANDIDATES = ("*.safetensors", "*.pt", "*.bin", "checkpoint", "step_*")
"""What a directory's checkpoint may be called."""


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


def recorded_task(source: str, hints: Hints) -> str | None:
    """Return the task of a known checkpoint or of the hinted preset; None where neither says.

    Raises:
      ValueError: an unknown preset.
    """
    if source in PUBLISHED:
        return PUBLISHED[source].task
    if hints.preset is None:
        return None
    preset(hints.preset)
    return PRESET_TASKS.get(hints.preset)


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


def convert(source: str, out: Path, hints: Hints, storage: str, task: str | None = None) -> str:
    """Write the model directory of a released checkpoint and say what it is.

    Args:
      task: what it solves, where neither the preset nor the table of public checkpoints says.

    Raises:
      OSError, ValueError, ModuleNotFoundError: as `load_torch`; or another task than is known.
    """
    solves = agreed_task(task, recorded_task(source, hints), source)
    config, weights, notes = load_torch(source, hints)
    save_model(out, config, weights, notes, storage, task=solves.name if solves else None)
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
