"""Read a released checkpoint into a configuration and weights, and write one back."""

import logging
import os
from pathlib import Path

from trm_jax.checkpoints.model_files import hash_file, load_model, save_model
from trm_jax.config import PRESET_TASKS, Config, preset
from trm_jax.convert.hints import NO_HINTS, Hints
from trm_jax.convert.name_table import from_torch, to_torch
from trm_jax.convert.published import PUBLISHED
from trm_jax.convert.released_yaml import YAML_FILE, Fields, Say, read_yaml
from trm_jax.convert.torch_config import FLAG, PRESET, TENSORS, UNUSED, resolve_config
from trm_jax.convert.torch_files import INDEX, read_shard_names, read_tensors, write_torch
from trm_jax.data.facts import PuzzleFacts, settle_facts
from trm_jax.data.hub import PREFIX as HUB
from trm_jax.data.hub import resolve
from trm_jax.tasks.table import agreed_task
from trm_jax.types import Weights

CANDIDATES = ("*.safetensors", "*.pt", "*.pth", "*.ckpt", "*.bin", "checkpoint", "step_*")
"""What a directory's checkpoint may be called."""

LOG = logging.getLogger(__name__)


def find_file(path: Path) -> Path:
    """Find the one checkpoint of a directory, or the index of its shards; a file is itself.

    Raises:
      FileNotFoundError: there is none.
      ValueError: there are several.
    """
    if path.is_file():
        return path
    files = {file for pattern in CANDIDATES for file in path.glob(pattern) if file.is_file()}
    for index in sorted(path.glob(f"*{INDEX}")):
        files -= {path / name for name in read_shard_names(index)}
        files.add(index)
    if not files:
        raise FileNotFoundError(f"no checkpoint in {path}; looked for {', '.join(CANDIDATES)}")
    if len(files) > 1:
        names = sorted(file.name for file in files)
        raise ValueError(f"several checkpoints in {path}, name one: {names}")
    return files.pop()


def load_torch(
    source: str, hints: Hints = NO_HINTS, say: Say = LOG.warning, report: Say = lambda text: None
) -> tuple[Config, Weights, dict[str, object]]:
    """Read a released checkpoint from wherever it is.

    Args:
      source: file, directory, short name (`PUBLISHED`) or `hf:owner/name/file[@revision]`.
      hints: what the tensors do not show.
      say: is told what was chosen, rounded, or taken from the released code; a warning of the log
        by default.
      report: is told every field of the configuration, its value, and who told it.

    Returns:
      Configuration, weights, and notes on the origin (source, file, sha256) as metadata.

    Raises:
      OSError: not found, or not to be downloaded.
      ValueError: not a checkpoint, or not of the expected configuration.
    """
    entry = PUBLISHED.get(source)
    where = entry.source if entry else source
    file = find_file(resolve(where))
    expected = preset(hints.preset) if hints.preset else entry.config if entry else None
    if where.startswith(HUB) and file.name.endswith(INDEX):
        for name in read_shard_names(file):
            resolve(_beside(where, name))
    told = _yaml_fields(where, file, expected, say)
    tensors = read_tensors(file, hints.entry, say)
    resolved = resolve_config(tensors, expected, told, dict(hints.fields))
    for teller, fields in resolved.told_by().items():
        tell = report if teller.startswith((TENSORS, YAML_FILE, FLAG, PRESET, UNUSED)) else say
        tell(f"from {teller}: {fields}")
    notes: dict[str, object] = {"source": source, "file": file.name, "sha256": hash_file(file)}
    return resolved.config, from_torch(tensors, resolved.config), notes


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


def _yaml_fields(where: str, file: Path, expected: Config | None, say: Say) -> Fields:
    """Read the all_config.yaml beside the file; from the Hub only if nothing else tells."""
    if where.startswith(HUB) and expected is None:
        try:
            return read_yaml(resolve(_beside(where, YAML_FILE)), say)
        except OSError as error:
            raise ValueError(f"give a --preset: none is known, and {error}") from error
    beside = file.with_name(YAML_FILE)
    return read_yaml(beside, say) if os.path.lexists(beside) else {}


def _beside(where: str, name: str) -> str:
    """Name a file of the Hub beside another."""
    base, _, revision = where.partition("@")
    return f"{base.rpartition('/')[0]}/{name}" + ("@" + revision if revision else "")


def convert(source: str, out: Path, hints: Hints, storage: str, task: str | None = None) -> str:
    """Write the model directory of a released checkpoint and say what it is.

    Args:
      task: what it solves, where neither the preset nor the table of public checkpoints says.

    Returns:
      A line on the model, then one for each source of fields of its configuration, and one for
      everything that was chosen, rounded or left out.

    Raises:
      OSError, ValueError: as `load_torch`; or another task than is known.
    """
    solves = agreed_task(task, recorded_task(source, hints), source)
    said: list[str] = []
    config, weights, notes = load_torch(source, hints, said.append, said.append)
    name = solves.name if solves else None
    puzzles = known_facts(config, name)
    save_model(out, config, weights, notes, storage, task=name, puzzles=puzzles)
    kind, mixer = type(config).__name__.removesuffix("Config"), config.mixer.value
    about = (
        f"{out}: {kind} ({mixer}), hidden {config.hidden_size}, vocabulary {config.vocab_size},"
        f" {config.seq_len} cells, H_cycles {config.H_cycles}, L_cycles {config.L_cycles},"
        f" {config.num_puzzle_identifiers} puzzle identifiers"
    )
    return "\n  ".join([about, *said])


def known_facts(config: Config, task: str | None) -> PuzzleFacts | None:
    """Say what a checkpoint's puzzles are, where task and sizes leave no choice; else None.

    What is left open (boxes of 6x6 Sudoku, say) is asked for where it is needed.
    """
    if task is None:
        return None
    rows = config.num_puzzle_identifiers
    try:
        return settle_facts(task, config.seq_len, "the checkpoint", num_identifiers=rows)
    except ValueError:
        return None


def convert_back(source: str, out: Path) -> str:
    """Write a model directory in the released format and say so."""
    config, weights = load_model(resolve(source))
    tensors = to_torch(config, weights)
    write_torch(out, tensors)
    return f"{out}: {len(tensors)} tensors, keep {YAML_FILE} or a preset's name beside it"
