"""Larger graphs out of the graphs of an export: an H-cycle, a supervision step, one call each.

    cycle   x, z_H, z_L -> z_H, z_L              one H-cycle (the paper's exported unit, App. L)
    step    x, z_H, z_L -> z_H, z_L, logits, q   all H-cycles of a step and the read-out

x is the injection, the embedded puzzle. The graphs that the export holds are called again and
again, so the integers are the export's own; constants are shared by all calls. For what runs one
graph per file and counts a call as one (AI Hub); elsewhere the host loop (artifact/solver.py) is
smaller and can halt. Graphs may have TFLite's operators or ONNX's.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from export.graph.ir import Graph, GraphModel, Op, Tensor, drop_unused, rename_tensors
from export.graph.onnx_translate import OUT
from export.lowering.model import blocks_of
from trm_jax.config import Config


def cycle_graph(model: GraphModel, config: Config) -> Graph:
    """Make the graph of one H-cycle."""
    return _unrolled(model, config, "cycle", 1, read_out=False)


def step_graph(model: GraphModel, config: Config) -> Graph:
    """Make the graph of a supervision step."""
    return _unrolled(model, config, "step", config.H_cycles, read_out=True)


def _unrolled(
    model: GraphModel, config: Config, name: str, cycles: int, *, read_out: bool
) -> Graph:
    caller = Caller(model, name)
    update_L, update_H = blocks_of(config)
    state = model.graph(update_L).tensor(model.graph(update_L).inputs["z"]).shape
    x, z_H, z_L = (caller.input(name, state) for name in ("x", "z_H", "z_L"))
    for h in range(cycles):
        injection = caller.add(z_H, x, f"H_{h}/injection")
        for i in range(config.L_cycles):
            z_L = caller.call(update_L, f"H_{h}/L_{i}", z=z_L, injection=injection)["z"]
        z_H = caller.call(update_H, f"H_{h}/z_H", z=z_H, injection=z_L)["z"]
    outputs = {"z_H": z_H, "z_L": z_L}
    if read_out:
        outputs |= caller.call("head", "head", z_H=z_H)
    return caller.finish(outputs)


class Caller:
    """A graph that calls the graphs of a model."""

    def __init__(self, model: GraphModel, name: str) -> None:
        self.model, self.name = model, name
        self.tensors: dict[str, Tensor] = {}
        self.ops: list[Op] = []
        codes = {op.code for graph in model.graphs for op in graph.ops}
        self._add = "Add" if "Add" in codes else "ADD"

    def input(self, name: str, shape: tuple[int, ...]) -> str:
        """Declare an input."""
        self.tensors[name] = Tensor(name=name, shape=shape)
        return name

    def add(self, a: str, b: str, name: str) -> str:
        """Add two states."""
        self.tensors[name] = dataclasses.replace(self.tensors[a], name=name)
        self.ops.append(Op(code=self._add, inputs=(a, b), outputs=(name,)))
        return name

    def call(self, signature: str, path: str, **inputs: str) -> dict[str, str]:
        """Insert a graph; returns its outputs by their names in the signature."""
        graph = self.model.graph(signature)
        given = {graph.inputs[name]: tensor for name, tensor in inputs.items()}
        names = {
            t.name: given.get(t.name) or self.add_tensor(t, signature, path) for t in graph.tensors
        }
        self.ops += rename_tensors(graph, names).ops
        return {name: names[tensor] for name, tensor in graph.outputs.items()}

    def finish(self, outputs: Mapping[str, str]) -> Graph:
        """Close the graph; outputs get their names in the signature, with OUT after a taken one.

        Readers of a file identify tensors by name, and one name must not mean two of them.
        """
        inputs = {name: name for name in ("x", "z_H", "z_L")}
        graph = Graph(
            name=self.name,
            tensors=tuple(self.tensors.values()),
            ops=tuple(self.ops),
            inputs=inputs,
            outputs=outputs,
        )
        names = {tensor: name + OUT * (name in inputs) for name, tensor in outputs.items()}
        return drop_unused(rename_tensors(graph, names))

    def add_tensor(self, tensor: Tensor, signature: str, path: str) -> str:
        """Add a tensor: a constant once, unless another graph means something else by its name."""
        name = tensor.name if tensor.data is not None else f"{path}/{tensor.name}"
        other = self.tensors.get(name)
        if tensor.data is not None and other is not None and not _same(other, tensor):
            name = f"{signature}/{tensor.name}"
        self.tensors.setdefault(name, dataclasses.replace(tensor, name=name))
        return name


def _same(a: Tensor, b: Tensor) -> bool:
    return a.dtype is b.dtype and a.data is not None and np.array_equal(a.data, b.data)  # type: ignore[arg-type]
