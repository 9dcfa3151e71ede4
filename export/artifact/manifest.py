"""manifest.json: what an export is, byte by byte, and what it must answer.

    DIR/model.tflite       the graphs; weights inside. For ONNX one file per graph instead:
                           block.onnx, head.onnx
    DIR/host.safetensors   what the host loop needs: embed_tokens, embed_pos (learned positions
                           only), H_init, L_init, puzzle_emb
    DIR/manifest.json      this record as JSON; written last, so a folder without it is unfinished

Expected answers are the simulation's, on puzzles where the runtime of the exporting host gave
the same; a runtime that gives others computes something else.

Not here: filling a manifest (export/pipeline.py), and checking files against it (open.py).
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from export.graph.files import HOST_FILE, MANIFEST_FILE, name_files
from export.graph.onnx_weights import WEIGHTS_FILE
from export.targets import Target
from quant.scheme import CarryPrecision
from trm_jax import config as configs
from trm_jax.config import Config
from trm_jax.data.calibration import CalibrationFacts
from trm_jax.data.facts import PuzzleFacts
from trm_jax.halting import Halting, parse_halting
from trm_jax.typed_json import parse_json, read_fields

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class FileFacts:
    """Size and hash of a file."""

    bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class HaltedAnswers:
    """Answers at the step at which a rule halts a puzzle; rows are the expected puzzles.

    Attributes:
      halting: name of the rule (trm_jax/halting).
      steps: supervision steps of each.
      states: as in `Expected`.
    """

    halting: str
    steps: tuple[int, ...]
    tokens: tuple[tuple[int, ...], ...]
    states: tuple[tuple[int, int], ...] = ()

    @property
    def rule(self) -> Halting:
        """The rule itself."""
        return parse_halting(self.halting)


@dataclass(frozen=True, kw_only=True)
class Expected:
    """Puzzles and the answers of the simulation; rows are puzzles.

    Attributes:
      steps: supervision steps.
      confirmed_by: runtime that gave the same answers during the export, or empty.
      states: CRC-32 of the bytes of z_H and z_L after the last step, by puzzle, where they are
        integers (host_state.state_checksum); empty where they are floats.
      halted: the same puzzles under the export's default rule of halting; None where that is
        never to halt, and in exports of earlier versions.
    """

    steps: int
    inputs: tuple[tuple[int, ...], ...]
    puzzle_identifiers: tuple[int, ...]
    tokens: tuple[tuple[int, ...], ...]
    confirmed_by: str
    states: tuple[tuple[int, int], ...] = ()
    halted: HaltedAnswers | None = None


@dataclass(frozen=True, kw_only=True)
class IntegerFacts:
    """What decides the integers of a graph, and how close they come to overflow.

    Attributes:
      bits: of activations and carry.
      headroom: factor that the calibrated ranges were widened by.
      encodings: tensor -> (scale, zero point); rows of embeddings are `e`.
      accumulator_bits: product -> bits that its sums can need at most, sign included; an int32
        overflows above 32, and products above it have int64 sums.
      saturated: tensor -> integers at the ends of their type while puzzles were solved in the
        simulation, for as many steps as the expected answers; only tensors with any.
      saturated_puzzles: how many puzzles that were; 0: not counted.
    """

    bits: int
    headroom: float
    encodings: Mapping[str, tuple[float, int]]
    accumulator_bits: Mapping[str, int]
    saturated: Mapping[str, int] = field(default_factory=dict)
    saturated_puzzles: int = 0


class StoredFiles:
    """What follows from the files that a manifest lists.

    Attributes:
      target, operators, files: fields of the manifest.
    """

    target: Target
    operators: Mapping[str, Mapping[str, int]]
    files: Mapping[str, FileFacts]

    @property
    def model_files(self) -> tuple[str, ...]:
        """Names of the files that hold the graphs."""
        shared = (WEIGHTS_FILE,) if WEIGHTS_FILE in self.files else ()
        return (*name_files(self.operators, self.target), *shared)

    @property
    def model_bytes(self) -> int:
        """Size of the files that hold the graphs."""
        return sum(self.files[name].bytes for name in self.model_files)

    @property
    def total_bytes(self) -> int:
        """Size on disk without the manifest."""
        return sum(facts.bytes for facts in self.files.values())


@dataclass(frozen=True, kw_only=True)
class Manifest(StoredFiles):
    """Everything about an export that its files do not say.

    Attributes:
      model: name of the source; source: where it was loaded from; parameters_sha256: of the
        parameters as they were quantised.
      task: a name of trm_jax.tasks, or empty where it is unknown.
      puzzles: what the puzzles are (trm_jax/data/facts.py); None in exports of earlier versions.
      scheme, plan: names that decode themselves.
      batch: puzzles per call.
      ranges: calibrated ends of the inputs and outputs of static products, by site.
      weight_bytes: constants of the graphs as their files hold them, scales and zero points
        included.
      operators: graph -> operator -> how often.
      files: name -> facts.
      integers: None where activations are floats.
      calibration: the puzzles that the scheme was calibrated on; None where it needs none, and in
        exports of earlier versions.
    """

    model: str
    source: str
    parameters_sha256: str
    task: str
    config: Config
    scheme: str
    plan: str
    carry: CarryPrecision
    target: Target
    batch: int
    ranges: Mapping[str, tuple[tuple[float, float], tuple[float, float]]]
    weight_bytes: int
    operators: Mapping[str, Mapping[str, int]]
    files: Mapping[str, FileFacts]
    expected: Expected
    integers: IntegerFacts | None
    puzzles: PuzzleFacts | None = None
    calibration: CalibrationFacts | None = None


def facts_of(content: bytes) -> FileFacts:
    """Measure a file."""
    return FileFacts(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def dump_manifest(manifest: Manifest) -> str:
    """Write a manifest as JSON."""
    values = dataclasses.asdict(manifest)
    values |= {
        "format": FORMAT,
        "config": configs.to_dict(manifest.config),
        "carry": manifest.carry.value,
        "target": manifest.target.value,
    }
    return json.dumps(values, indent=1) + "\n"


def parse_manifest(text: str) -> Manifest:
    """Read a manifest.

    Raises:
      ValueError: not the manifest of an export; the message says what is wrong.
    """
    try:
        values = parse_json(text)
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            raise ValueError(f"format must be {FORMAT}; this version reads no other")
        if "kind" in values:
            raise ValueError(
                f"it is of a {values['kind']}; python -m export.verify and export.solve take it"
            )
        manifest = read_fields(Manifest, {k: v for k, v in values.items() if k != "format"})
        _check_manifest(manifest)
    except ValueError as error:
        raise ValueError(f"not the manifest of an export: {error}") from error
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a folder.

    Raises:
      FileNotFoundError: none there.
      ValueError: damaged.
    """
    file = folder / MANIFEST_FILE
    if not file.is_file():
        raise FileNotFoundError(
            f"no {MANIFEST_FILE} in {folder}: not an export, or an unfinished one;"
            " `python -m export.tflite --out DIR` makes one"
        )
    try:
        return parse_manifest(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file}: {error}; export again") from error


def _check_manifest(manifest: Manifest) -> None:
    c, expected = manifest.config, manifest.expected
    names = {*manifest.model_files, HOST_FILE}
    if set(manifest.files) != names or any(Path(name).name != name for name in names):
        raise ValueError(f"files must be {sorted(names)}, got {sorted(manifest.files)}")
    if manifest.batch < 1:
        raise ValueError(f"batch must be at least 1, got {manifest.batch}")
    if manifest.weight_bytes < 0:
        raise ValueError(f"weight_bytes must be 0 or more, got {manifest.weight_bytes}")
    if manifest.puzzles is not None and manifest.puzzles.cells != c.seq_len:
        raise ValueError(f"puzzles.grid must have {c.seq_len} cells, got {manifest.puzzles.grid}")
    if manifest.puzzles is not None and manifest.puzzles.task != manifest.task:
        raise ValueError(f"task is {manifest.task!r}, puzzles.task {manifest.puzzles.task!r}")
    _check_expected(expected, c)
    if manifest.integers is not None:
        _check_integers(manifest.integers)


def _check_expected(expected: Expected, c: Config) -> None:
    if expected.steps < 1:
        raise ValueError(f"expected.steps must be at least 1, got {expected.steps}")
    rows = (*expected.inputs, *expected.tokens)
    if any(len(row) != c.seq_len or not _is_below(row, c.vocab_size) for row in rows):
        raise ValueError(f"expected puzzles must have {c.seq_len} tokens below {c.vocab_size}")
    if not _is_below(expected.puzzle_identifiers, c.num_puzzle_identifiers):
        raise ValueError(
            f"expected.puzzle_identifiers must be below {c.num_puzzle_identifiers}, got"
            f" {list(expected.puzzle_identifiers)[:8]}"
        )
    lengths = {len(expected.inputs), len(expected.tokens), len(expected.puzzle_identifiers)}
    if len(lengths) != 1:
        raise ValueError(f"expected inputs, tokens and identifiers differ in number: {lengths}")
    if len(expected.states) not in (0, len(expected.inputs)):
        raise ValueError(f"{len(expected.states)} states for {len(expected.inputs)} puzzles")
    if expected.halted is not None:
        _check_halted(expected.halted, expected, c)


def _check_halted(halted: HaltedAnswers, expected: Expected, c: Config) -> None:
    _ = halted.rule  # refuses other names
    if any(len(row) != c.seq_len or not _is_below(row, c.vocab_size) for row in halted.tokens):
        raise ValueError(f"expected.halted must have {c.seq_len} tokens below {c.vocab_size}")
    if any(not 1 <= steps <= expected.steps for steps in halted.steps):
        raise ValueError(f"expected.halted.steps must be 1 to {expected.steps}, got {halted.steps}")
    num = len(expected.inputs)
    lengths = {len(halted.steps), len(halted.tokens), len(halted.states) or num}
    if lengths != {num}:
        raise ValueError(f"expected.halted has {lengths} answers for {num} puzzles")


def _check_integers(integers: IntegerFacts) -> None:
    if integers.bits not in (8, 16):
        raise ValueError(f"integers.bits must be 8 or 16, got {integers.bits}")
    if not integers.headroom > 0:
        raise ValueError(f"integers.headroom must be positive, got {integers.headroom}")
    for name, (scale, _) in integers.encodings.items():
        if not scale > 0:
            raise ValueError(f"integers.encodings.{name} must have a positive scale, got {scale}")


def _is_below(row: tuple[int, ...], vocab_size: int) -> bool:
    return all(0 <= token < vocab_size for token in row)
