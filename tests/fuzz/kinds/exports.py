"""Exports: graph files alone, whole folders, puzzles that are solved with one."""

import hashlib
import importlib.util
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.fuzz import oracles
from tests.fuzz.contract import InputKind, Unreadable, run_program
from tests.fuzz.damage import Draw, choose, damage_bytes
from tests.fuzz.documents import mutate_folder, mutate_text

MANIFEST, HOST = "manifest.json", "host.safetensors"
PROGRAM_ERRORS = (OSError, ValueError, RuntimeError, ModuleNotFoundError)


def needs(*packages: str) -> Callable[[], str]:
    """Make the reason why a kind cannot run: a package that is not installed."""

    def missing() -> str:
        lacking = [name for name in packages if importlib.util.find_spec(name) is None]
        return f"{', '.join(lacking)} not installed" if lacking else ""

    return missing


def make_export(scheme: str, target: str) -> Callable[[Path], None]:
    """Make the maker of a tiny export."""

    def make(folder: Path) -> None:
        from export.targets import Target
        from tests.support.tiny import export as tiny

        tiny.make(folder / "export", tiny.configs()["mlp"], scheme, Target(target))

    return make


# graph files


def make_graphs(suffix: str, scheme: str, target: str) -> Callable[[Path], None]:
    """Make the maker of an export's graph files, alone."""

    def make(folder: Path) -> None:
        make_export(scheme, target)(folder)
        for file in (folder / "export").iterdir():
            if file.suffix == suffix:
                file.rename(folder / file.name)
            else:
                file.unlink()
        (folder / "export").rmdir()

    return make


def read_tflite_file(folder: Path) -> Any:
    from export.graph.tflite_reader import read_tflite

    return summary(read_tflite((folder / "model.tflite").read_bytes()))


def tflite_says(folder: Path) -> Any:
    """Write what was read and read it again: nothing that the file said may be lost on the way."""
    from export.graph.tflite_reader import read_tflite
    from export.graph.tflite_writer import write_tflite

    model = read_tflite((folder / "model.tflite").read_bytes())
    return summary(read_tflite(write_tflite(model)))


def summary(model: Any) -> Any:
    """Write a model as plain values."""
    graphs = [
        (
            graph.name,
            [tensor_values(tensor) for tensor in graph.tensors],
            [op_values(op) for op in graph.ops],
            list(graph.inputs.items()),
            list(graph.outputs.items()),
        )
        for graph in model.graphs
    ]
    return graphs, model.description, dict(model.metadata)


def tensor_values(tensor: Any) -> Any:
    quant = tensor.quant and (
        tensor.quant.scale.tolist(),
        tensor.quant.zero_point.tolist(),
        tensor.quant.axis,
    )
    data = None if tensor.data is None else hashlib.sha256(tensor.data.tobytes()).hexdigest()
    return tensor.name, tensor.shape, tensor.dtype.value, data, quant


def op_values(op: Any) -> Any:
    return op.code, op.version, op.inputs, op.outputs, sorted(op.options.items()), op.custom_options


def read_onnx_files(folder: Path) -> Any:
    from export.graph.onnx_file import read_onnx

    files = {name: (folder / name).read_bytes() for name in ("block.onnx", "head.onnx")}
    return summary(read_onnx(files))


def onnx_says(folder: Path) -> Any:
    """Read the file by onnx alone: what it says must be what the writer would write of it."""
    import onnx

    from export.graph.onnx_file import read_onnx, write_onnx

    files = {name: (folder / name).read_bytes() for name in ("block.onnx", "head.onnx")}
    model = read_onnx(files)
    written = write_onnx(model)
    for name, content in files.items():
        given, ours = onnx.ModelProto.FromString(content), onnx.ModelProto.FromString(written[name])
        if meaning(given) != meaning(ours):
            return f"{name} says more than what was read"
    return summary(model)


def meaning(proto: Any) -> Any:
    """Write what decides the numbers of an ONNX model: versions, nodes, tensors, metadata."""
    from onnx import numpy_helper

    graph = proto.graph
    tensors = sorted(
        (t.name, t.data_type, tuple(t.dims), numpy_helper.to_array(t).tobytes())
        for t in graph.initializer
    )
    nodes = [
        (
            n.op_type,
            n.domain,
            list(n.input),
            list(n.output),
            sorted(a.SerializeToString() for a in n.attribute),
        )
        for n in graph.node
    ]
    signature = [
        [(v.name, v.type.SerializeToString()) for v in side] for side in (graph.input, graph.output)
    ]
    opsets = sorted((o.domain, o.version) for o in proto.opset_import)
    odd = (len(proto.functions), len(graph.sparse_initializer), len(graph.quantization_annotation))
    props = sorted((p.key, p.value) for p in proto.metadata_props)
    return graph.name, proto.ir_version, opsets, tensors, nodes, signature, odd, props


# whole exports


def mutate_export(folder: Path, rng: Draw) -> str:
    """Mutate an export; a part of the time the manifest's sizes and hashes are made to fit."""
    said = mutate_folder(folder / "export", rng, documents=0.8)
    file = folder / "export" / MANIFEST
    if rng.random() < 0.5:
        return said
    try:
        values = json.loads(file.read_text())
        for name, facts in values["files"].items():
            content = (folder / "export" / name).read_bytes()
            facts |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        file.write_text(json.dumps(values))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return said
    return f"{said}, hashes made to fit"


def read_export(folder: Path) -> Any:
    from export.artifact.manifest import dump_manifest
    from export.artifact.open import open_artifact

    export = open_artifact(folder / "export")
    return json.loads(dump_manifest(export.manifest)), oracles.digests(export.host)


def export_says(folder: Path) -> Any:
    manifest = oracles.document(folder, f"export/{MANIFEST}")
    return manifest, oracles.float_tensors(folder / "export" / HOST)


# puzzles

PUZZLES = ("1..4 .4.1 4.1. .1.4", "1234341221434321", "................", "1..4\n3412\n2143\n4321")


def make_solver(folder: Path) -> None:
    """Export a tiny model of 4x4 Sudoku."""
    import dataclasses

    from export.lowering.storage import plan_for
    from export.pipeline import write_artifact
    from export.targets import Target
    from quant.scheme import parse
    from quant.simulation import simulate
    from tests.support.samples import random_batch, random_weights
    from tests.support.tiny.sweep import CONFIG
    from trm_jax.data.facts import settle_facts
    from trm_jax.loading import LoadedModel
    from trm_jax.tasks.table import task_named

    config = dataclasses.replace(CONFIG, L_layers=1)
    model = LoadedModel(
        name="tiny",
        origin="tiny",
        task=task_named("sudoku"),
        config=config,
        weights=random_weights(config),
        facts=settle_facts("sudoku", config.seq_len, "tiny"),
    )
    plan, batch = plan_for(parse("fp32"), Target.LITERT), random_batch(config, 2)
    simulation = simulate(model, plan.precision, [batch], steps=1)
    write_artifact(folder / "export", model, plan, simulation, batch, batch=1, steps=1)
    (folder / "puzzle.txt").write_text(PUZZLES[0])


def mutate_puzzle(folder: Path, rng: Draw) -> str:
    pieces = (".", "0", "1", "4", "5", "/", "#", "S", "A", "\r\n", "|", "+")
    text = mutate_text(choose(rng, PUZZLES), pieces, rng)
    data = text.encode("utf-8")
    if rng.random() < 0.2:
        data, _ = damage_bytes(data, rng)
    (folder / "puzzle.txt").write_bytes(data)
    return repr(data[:200])


def read_puzzle(folder: Path) -> Any:
    """Solve the puzzle; what counts is the question that was understood."""
    from export.solve import main

    printed = run_program(main, [folder / "export", folder / "puzzle.txt", "--steps", "1"])
    question = printed.split("\n\n")[0]
    return "".join(re.findall("[.1-9A-Z?]", question))


def puzzle_says(folder: Path) -> Any:
    try:
        text = "".join((folder / "puzzle.txt").read_bytes().decode().split())
    except UnicodeDecodeError as error:
        raise Unreadable(str(error)) from error
    if not re.fullmatch("[.0-4]{16}", text):
        raise Unreadable(text)
    return text.replace("0", ".")


WORDS = ("graph", "tensor", "field", "manifest", "format", "signature", "TFLite", "ONNX", "opset")
tflite, onnx_, solver = (
    needs("ai_edge_litert"),
    needs("onnx", "onnxruntime"),
    needs("ai_edge_litert"),
)

EXPORTS = (
    *(
        InputKind(
            name=name,
            right="written and read again it is the same: nothing of the file is lost",
            make=make_graphs(".tflite", scheme, target),
            mutate=mutate_folder,
            read=read_tflite_file,
            says=tflite_says,
            names=WORDS,
            missing=tflite,
            share=0.2,
        )
        for name, scheme, target in (
            ("tflite", "w4c-sym_a8da", "litert"),
            ("tflite-integer", "w8c-sym_a8s_tflm", "tflm"),
        )
    ),
    InputKind(
        name="onnx",
        right="onnx reads nothing from it that is not in what was read",
        make=make_graphs(".onnx", "w8c-sym_a8s", "onnx"),
        mutate=mutate_folder,
        read=read_onnx_files,
        says=onnx_says,
        names=WORDS,
        missing=onnx_,
        share=0.3,
    ),
    *(
        InputKind(
            name=name,
            right="the manifest, read by json, and the host's tensors say the same",
            make=make_export(scheme, target),
            mutate=mutate_export,
            read=read_export,
            says=export_says,
            bad_input=PROGRAM_ERRORS,
            names=WORDS,
            missing=missing,
            share=0.3,
        )
        for name, scheme, target, missing in (
            ("export", "w8c-sym_a8s_tflm", "tflm", needs("ai_edge_litert", "tflite_micro")),
            ("export-onnx", "w8c-sym", "onnx", onnx_),
        )
    ),
    InputKind(
        name="puzzle",
        right="the question that is printed is the text, symbol by symbol",
        make=make_solver,
        mutate=mutate_puzzle,
        read=read_puzzle,
        says=puzzle_says,
        bad_input=PROGRAM_ERRORS,
        names=("symbols", "cells", "puzzle", "Sudoku", "sudoku"),
        missing=solver,
        share=0.1,
    ),
)
