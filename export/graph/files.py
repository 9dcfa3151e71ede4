"""The files of an export's graphs: one .tflite for most runtimes, one .onnx per graph for others.

Large constants that several .onnx files read lie beside them, once (onnx_weights.py).

A format is a `GraphFormat`: how graphs are named, put into its operators, written and read. Not
here: the host's tensors and the manifest (artifact/manifest.py); their names are, so that this
file knows all names of a folder.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import ModuleType

from export.graph import tflite_reader, tflite_writer
from export.graph.ir import GraphModel
from export.graph.onnx_translate import translate_model
from export.targets import FileFormat, Target
from trm_jax.command_line import install_text

MODEL_FILE, HOST_FILE, MANIFEST_FILE = "model.tflite", "host.safetensors", "manifest.json"

ONNX_HOW_TO = f"ONNX needs the packages of an extra: {install_text('onnx')}"


@dataclass(frozen=True, kw_only=True)
class GraphFormat:
    """A file format of graphs.

    Attributes:
      names: names of the files that hold some graphs, by the graphs' names.
      convert: graphs of TFLite's operators -> the format's; raises ValueError for what it lacks.
    """

    names: Callable[[Iterable[str]], tuple[str, ...]]
    convert: Callable[[GraphModel], GraphModel]
    write: Callable[[GraphModel], dict[str, bytes]]
    read: Callable[[Mapping[str, bytes]], GraphModel]


def convert_graphs(model: GraphModel, target: Target) -> GraphModel:
    """Put graphs of TFLite's operators into those of the format that a target reads.

    Raises:
      ValueError: an operator that the format lacks; the message names it.
    """
    return FORMATS[target.facts.file_format].convert(model)


def write_files(model: GraphModel, target: Target) -> dict[str, bytes]:
    """Write the model files of an export: name -> bytes.

    Raises:
      ValueError: the model cannot be written in that format.
      ModuleNotFoundError: the format's packages are not installed; the message says how to.
    """
    return FORMATS[target.facts.file_format].write(model)


def read_files(contents: Mapping[str, bytes], target: Target) -> GraphModel:
    """Read what `write_files` wrote.

    Raises:
      ValueError: damaged.
      ModuleNotFoundError: as `write_files`.
    """
    return FORMATS[target.facts.file_format].read(contents)


def name_files(graphs: Iterable[str], target: Target) -> tuple[str, ...]:
    """Name the files of an export's graphs; weights may lie beside them (onnx_weights.py)."""
    return FORMATS[target.facts.file_format].names(graphs)


def check_format(exported: Target, runtime: Target) -> None:
    """Check that a runtime reads what was exported for a target.

    Raises:
      ValueError: it reads another format; the message says what to export instead.
    """
    if exported.facts.file_format is not runtime.facts.file_format:
        raise ValueError(
            f"an export for {exported.value} is not in the format that {runtime.value} reads;"
            f" export again with --target {runtime.value}"
        )


def import_onnx_file() -> ModuleType:
    """Import what reads and writes ONNX.

    Raises:
      ModuleNotFoundError: the package is missing.
    """
    try:
        from export.graph import onnx_file
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"{error}. {ONNX_HOW_TO}") from error
    return onnx_file


FORMATS = {
    FileFormat.TFLITE: GraphFormat(
        names=lambda graphs: (MODEL_FILE,),
        convert=lambda model: model,
        write=lambda model: {MODEL_FILE: tflite_writer.write_tflite(model)},
        read=lambda contents: tflite_reader.read_tflite(contents[MODEL_FILE]),
    ),
    FileFormat.ONNX: GraphFormat(
        names=lambda graphs: tuple(f"{graph}.onnx" for graph in graphs),
        convert=translate_model,
        write=lambda model: import_onnx_file().write_onnx(model),
        read=lambda contents: import_onnx_file().read_onnx(contents),
    ),
}
