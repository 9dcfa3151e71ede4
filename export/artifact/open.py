"""Opens an export and trusts nothing: a damaged one is a ValueError before any interpreter.

In order: the manifest must be well formed; sizes and SHA-256 of all files must be its; the graphs'
files must parse, fit their own buffers and have the graphs, shapes and metadata of the
configuration; the host tensors must have their shapes. What a runtime is given later is written
again from what was read.

Not here: what the operators compute (legality/check.py, check_operators.py).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from export.artifact.manifest import (
    FileFacts,
    IntegerFacts,
    Manifest,
    StoredFiles,
    facts_of,
    read_manifest,
)
from export.graph.files import HOST_FILE, read_files
from export.graph.ir import DType, GraphModel
from export.lowering.model import METADATA, blocks_of
from trm_jax.checkpoints.tensor_files import load_tensors
from trm_jax.config import Config, Positions, to_dict
from trm_jax.data.facts import PuzzleFacts, settle_facts
from trm_jax.halting import BY_RULES, NEVER, Halting
from trm_jax.halting.rules import Rules
from trm_jax.loading import Puzzles, check_config_fits, check_facts_fit, load_puzzles
from trm_jax.tasks.table import need_task, task_named
from trm_jax.tasks.task import Task
from trm_jax.typed_json import parse_json

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Export:
    """An export that was read and checked."""

    manifest: Manifest
    model: GraphModel
    host: Mapping[str, np.ndarray]

    @property
    def config(self) -> Config:
        return self.manifest.config

    def need_task(self, asked: str | None = None) -> Task:
        """Return the task.

        Args:
          asked: its name on the command line; it wins over the manifest, which earlier versions
            filled in by a guess.

        Raises:
          ValueError: unknown, or nobody says it.
        """
        name = asked or self.manifest.task
        return need_task(task_named(name) if name else None, f"export {self.manifest.model}")

    @property
    def rules(self) -> Rules | None:
        """The check of an answer against its puzzle; None where none is known."""
        facts = self.manifest.puzzles
        return None if facts is None else self.need_task().rules(facts)

    @property
    def default_halting(self) -> Halting:
        """How a solver halts unless told otherwise: by the rules, where they are known."""
        return NEVER if self.rules is None else BY_RULES

    def load_puzzles(self, folder: Path | None, task: Task) -> Puzzles:
        """Load puzzles that the export can read.

        Args:
          folder: as `trm_jax.loading.load_puzzles` takes it; None is the bundled ones.
          task: what they are (`need_task`).

        Raises:
          FileNotFoundError: missing.
          ValueError: of another task or size, or nothing bundled fits.
        """
        puzzles = load_puzzles(task, folder, cells=self.config.seq_len)
        check_config_fits(self.manifest.model, self.config, puzzles)
        check_facts_fit(self.need_facts(task), f"export {self.manifest.model}", puzzles)
        return puzzles

    def need_facts(self, task: Task) -> PuzzleFacts:
        """Return what the puzzles are; of exports of earlier versions, what leaves no choice.

        Args:
          task: what they are (`need_task`).

        Raises:
          ValueError: another task than the export's, or something must be said.
        """
        name, facts = f"export {self.manifest.model}", self.manifest.puzzles
        if facts is None:
            rows = self.config.num_puzzle_identifiers
            return settle_facts(task.name, self.config.seq_len, name, num_identifiers=rows)
        if facts.task != task.name:
            raise ValueError(f"{name} is for {facts.title}, not for {task.name}")
        return facts


def open_artifact(folder: Path | str) -> Export:
    """Read and check an export.

    Raises:
      FileNotFoundError: a file is missing.
      ValueError: a file is damaged, or does not belong to this manifest.
      ModuleNotFoundError: its format's packages are not installed.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    model = read_graphs(folder, manifest, lambda model: check_model(model, manifest))
    host = load_tensors(folder / HOST_FILE)
    check_host(host, manifest.config)
    return Export(manifest=manifest, model=model, host=host)


def read_graphs(
    folder: Path, manifest: StoredFiles, check: Callable[[GraphModel], None]
) -> GraphModel:
    """Read the graphs of an export, after sizes and hashes of all its files.

    Args:
      check: that they are those of the manifest.

    Raises:
      FileNotFoundError: a file is missing.
      ValueError: a file is damaged, or the check fails; the message names the file.
    """
    names = (*manifest.model_files, HOST_FILE)
    contents = {name: read_content(folder / name, manifest.files) for name in names}
    del contents[HOST_FILE]
    try:
        model = read_files(contents, manifest.target)
        check(model)
    except ValueError as error:
        raise ValueError(f"{folder / manifest.model_files[0]}: {error}") from error
    return model


def check_made_of(model: GraphModel, config: Mapping[str, object], parameters_sha256: str) -> None:
    """Check the metadata of a model: what it was made of.

    Raises:
      ValueError: another configuration or other parameters than its manifest's.
    """
    texts = {key: model.metadata.get(name, b"") for key, name in METADATA.items()}
    if parse_json(texts["config"] or b"null") != config:
        raise ValueError("the model was made for another configuration than its manifest's")
    if texts["parameters"] != parameters_sha256.encode():
        raise ValueError("the model holds other parameters than its manifest says")


def check_model(model: GraphModel, manifest: Manifest) -> None:
    """Check that a model has the graphs of its manifest.

    Raises:
      ValueError: graphs, shapes or metadata differ; the message shows both sides.
    """
    expected = signatures(manifest.config, manifest.batch)
    graphs = {graph.name for graph in model.graphs}
    if missing := sorted(set(expected) - graphs):
        raise ValueError(f"the model has graphs {sorted(graphs)}, {missing} are missing")
    dtype = state_type(manifest)
    for name, signature in expected.items():
        graph = model.graph(name)
        for verb, names in (("takes", graph.inputs), ("gives", graph.outputs)):
            tensors = {key: graph.tensor(tensor) for key, tensor in names.items()}
            shapes = {key: tensor.shape for key, tensor in tensors.items()}
            if shapes != signature[verb] or any(t.dtype is not dtype for t in tensors.values()):
                raise ValueError(
                    f"graph {name!r} {verb} {shapes}, expected {dtype.value.lower()}"
                    f" {signature[verb]}"
                )
    if manifest.integers is not None:
        check_encodings(model, manifest.integers)
    check_made_of(model, to_dict(manifest.config), manifest.parameters_sha256)


def state_type(manifest: Manifest) -> DType:
    """Choose the element type of inputs and outputs of the graphs."""
    bits = None if manifest.integers is None else manifest.integers.bits
    return {None: DType.FLOAT32, 16: DType.INT16, 8: DType.INT8}[bits]


def check_encodings(model: GraphModel, integers: IntegerFacts) -> None:
    """Check grids of inputs and outputs: states pass from graph to graph as they are.

    Raises:
      ValueError: a scale or zero point differs; the message shows both sides.
    """
    names = {"z": "z", "z_H": "z", "injection": "injection", "logits": "lm_head", "q": "q_head"}
    for graph in model.graphs:  # stages have grids of their own between them (firmware/tflm)
        for end, tensor in (*graph.inputs.items(), *graph.outputs.items()):
            if end not in names:
                continue
            quant = graph.tensor(tensor).quant
            encoding = quant and (float(quant.scale[0]), int(quant.zero_point[0]))
            expected = integers.encodings.get(names[end])
            if encoding != expected:
                raise ValueError(
                    f"{end} of graph {graph.name!r} means {encoding}, its manifest says {expected}"
                )


def signatures(config: Config, batch: int) -> dict[str, dict[str, Shapes]]:
    """List inputs and outputs of the host loop's graphs: graph -> takes, gives -> shapes."""
    state = (batch, config.num_positions, config.hidden_size)
    block = {"takes": {"z": state, "injection": state}, "gives": {"z": state}}
    logits = (batch, config.seq_len, config.vocab_size)
    head = {"takes": {"z_H": state}, "gives": {"logits": logits, "q": (batch, 2)}}
    return {**dict.fromkeys(blocks_of(config), block), "head": head}


def check_host(host: Mapping[str, np.ndarray], config: Config) -> None:
    """Check the tensors of the host loop.

    Raises:
      ValueError: names or shapes differ, or a value is not finite.
    """
    emb = config.hidden_size
    expected: Shapes = {
        "embed_tokens": (config.vocab_size, emb),
        "H_init": (emb,),
        "L_init": (emb,),
        "puzzle_emb": (config.num_puzzle_identifiers, config.puzzle_emb_ndim),
    }
    if config.positions is Positions.LEARNED:
        expected["embed_pos"] = (config.num_positions, emb)
    shapes = {name: value.shape for name, value in host.items()}
    if shapes != expected:
        raise ValueError(f"{HOST_FILE} holds {shapes}, expected {expected}")
    for name, value in host.items():
        if not np.isfinite(value.astype(np.float32)).all():
            raise ValueError(f"{HOST_FILE}: {name} is not finite")


def read_content(file: Path, files: Mapping[str, FileFacts]) -> bytes:
    """Read a file of an export.

    Args:
      files: what its manifest says of all of them.

    Raises:
      FileNotFoundError: missing.
      ValueError: another size or hash than the manifest's.
    """
    if not file.is_file():
        raise FileNotFoundError(f"{file} is missing; export again")
    content, expected = file.read_bytes(), files[file.name]
    facts = facts_of(content)
    if facts.bytes != expected.bytes:
        raise ValueError(f"{file} has {facts.bytes} bytes, its manifest says {expected.bytes}")
    if facts.sha256 != expected.sha256:
        raise ValueError(
            f"{file} was changed: SHA-256 {facts.sha256[:16]}..., its manifest says"
            f" {expected.sha256[:16]}...; export again"
        )
    return content
