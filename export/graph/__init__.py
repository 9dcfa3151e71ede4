"""Operator graphs as records, and the two file formats they are stored in.

Read in this order:

    ir.py              tensors, operators, graphs, models
    builder.py         a graph, operator by operator
    schedule.py        the order of operators, so that less is alive at once
    tflite_schema.py   what reading and writing a .tflite share
    tflite_writer.py   to .tflite bytes
    tflite_reader.py   from .tflite bytes that may be damaged
    onnx_translate.py  from TFLite's operators to ONNX's
    onnx_file.py       .onnx bytes
    files.py           which format a target reads, and the names of an export's files

Not here: how a model becomes a graph (export/lowering).
"""

from typing import TYPE_CHECKING

from trm_jax.face import lazy_names

if TYPE_CHECKING:
    from export.graph.builder import GraphBuilder
    from export.graph.ir import Graph, GraphModel
    from export.graph.tflite_reader import read_tflite
    from export.graph.tflite_writer import write_tflite

__all__ = ["Graph", "GraphBuilder", "GraphModel", "read_tflite", "write_tflite"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "export.graph.ir": ("Graph", "GraphModel"),
        "export.graph.builder": ("GraphBuilder",),
        "export.graph.tflite_reader": ("read_tflite",),
        "export.graph.tflite_writer": ("write_tflite",),
    },
)
