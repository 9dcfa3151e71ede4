"""Opens an exported decoder and trusts nothing: a damaged one is a ValueError before any runtime.

In order, as for recursive models (artifact/open.py): the manifest, sizes and SHA-256 of all files,
the graphs with their shapes and metadata, the rows of the embeddings.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from export.artifact.open import check_made_of, read_graphs
from export.decoder.graphs import DECODE, PREFILL, CacheTensor, cache_tensors
from export.decoder.host import DecoderHost
from export.decoder.manifest import DecoderManifest, read_decoder_manifest
from export.graph.files import HOST_FILE
from export.graph.ir import DType, Graph, GraphModel
from export.runtimes.contract import Runtime
from trm_jax.checkpoints.tensor_files import load_tensors
from trm_jax.decoder.config import decoder_to_dict
from trm_jax.tasks.table import task_named
from trm_jax.tasks.tokens.form import TokenForm

EMBEDDINGS = "embed_tokens"
SIGNED = {DType.UINT8: DType.INT8}
"""Integers of ONNX's graphs are moved to unsigned types (graph/onnx_translate.py)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class DecoderExport:
    """An exported decoder that was read and checked."""

    manifest: DecoderManifest
    model: GraphModel
    embeddings: Float[np.ndarray, "vocab emb"]

    @property
    def form(self) -> TokenForm:
        """What its tokens mean."""
        facts = self.manifest.puzzles
        return task_named(facts.task).token_form(facts)

    def host(self, runtime: Runtime) -> DecoderHost:
        """Put the loop around the graphs on a runtime."""
        m = self.manifest
        return DecoderHost(
            config=m.config,
            runtime=runtime,
            embeddings=self.embeddings,
            cache=cache_of(self.model),
            prompt=m.prompt,
            positions=m.positions,
        )


def cache_of(model: GraphModel) -> dict[str, CacheTensor]:
    """Read the tensors of the cache off what decode takes; a format may have its own integers."""
    graph = model.graph(DECODE)
    taken = {name: graph.tensor(tensor) for name, tensor in graph.inputs.items()}
    return {
        name: CacheTensor(tensor.shape, tensor.dtype)
        for name, tensor in taken.items()
        if name not in ("x", "position")
    }


def open_decoder(folder: Path) -> DecoderExport:
    """Read and check an exported decoder.

    Raises:
      OSError: a file is missing.
      ValueError: a file is damaged, or does not belong to this manifest.
      ModuleNotFoundError: its format's packages are not installed.
    """
    manifest = read_decoder_manifest(folder)
    model = read_graphs(folder, manifest, lambda model: check_decoder_graphs(model, manifest))
    host = load_tensors(folder / HOST_FILE)
    shape = (manifest.config.vocab_size, manifest.config.hidden_size)
    shapes = {name: value.shape for name, value in host.items()}
    if shapes != {EMBEDDINGS: shape}:
        raise ValueError(f"{HOST_FILE} holds {shapes}, expected {EMBEDDINGS} of {shape}")
    embeddings = np.asarray(host[EMBEDDINGS], np.float32)
    if not np.isfinite(embeddings).all():
        raise ValueError(f"{HOST_FILE}: {EMBEDDINGS} is not finite")
    export = DecoderExport(manifest=manifest, model=model, embeddings=embeddings)
    if len(export.form.vocabulary) != manifest.config.vocab_size:
        raise ValueError(
            f"{manifest.puzzles.title} is written with {len(export.form.vocabulary)} tokens, the"
            f" manifest has vocab_size={manifest.config.vocab_size}"
        )
    return export


def check_decoder_graphs(model: GraphModel, manifest: DecoderManifest) -> None:
    """Check that a model has the graphs of its manifest.

    Raises:
      ValueError: graphs, shapes, types or metadata differ; the message shows both sides.
    """
    c = manifest.config
    cache = cache_tensors(c, manifest.positions, manifest.carry)
    logits = {"logits": CacheTensor((1, 1, c.vocab_size), DType.FLOAT32)}
    position = CacheTensor((1,), DType.INT32)
    for name, tokens, more in ((PREFILL, manifest.prompt, {}), (DECODE, 1, logits)):
        graph = model.graph(name)
        x = CacheTensor((1, tokens, c.hidden_size), DType.FLOAT32)
        _check_ends(graph, "takes", graph.inputs, {"x": x, "position": position, **cache})
        _check_ends(graph, "gives", graph.outputs, more | cache)
    check_made_of(model, decoder_to_dict(c), manifest.parameters_sha256)


def _check_ends(
    graph: Graph, verb: str, names: Mapping[str, str], expected: Mapping[str, CacheTensor]
) -> None:
    ends = {key: graph.tensor(tensor) for key, tensor in names.items()}
    found = {
        key: CacheTensor(tensor.shape, SIGNED.get(tensor.dtype, tensor.dtype))
        for key, tensor in ends.items()
    }
    if found != expected:
        raise ValueError(f"graph {graph.name!r} {verb} {found}, expected {expected}")
