"""The file format of a target: .tflite for most, one .onnx per graph for ONNX Runtime and QNN."""

from collections.abc import Mapping
from types import ModuleType

from export.graph import tflite_reader, tflite_writer
from export.graph.ir import GraphModel
from export.targets import Target

MODEL_FILE, HOST_FILE, MANIFEST_FILE = "model.tflite", "host.safetensors", "manifest.json"

ONNX_HOW_TO = "ONNX needs the packages of an extra: pip install 'trm-jax-edge[onnx]'"


def write_files(model: GraphModel, target: Target) -> dict[str, bytes]:
    """Write the model files of an export: name -> bytes.

    Raises:
      ValueError: the model cannot be written in that format.
      ModuleNotFoundError: the format's packages are not installed; the message says how to.
    """
    if target is Target.ONNX:
        return onnx_file().write_onnx(model)
    return {MODEL_FILE: tflite_writer.write_tflite(model)}


def read_files(contents: Mapping[str, bytes], target: Target) -> GraphModel:
    """Read what `write_files` made.

    Raises:
      ValueError: damaged.
      ModuleNotFoundError: as `write_files`.
    """
    if target is Target.ONNX:
        return onnx_file().read_onnx(contents)
    return tflite_reader.read_tflite(contents[MODEL_FILE])


def check_format(made_for: Target, runtime: Target) -> None:
    """Refuse a runtime that reads another format.

    Raises:
      ValueError: the message says what to export instead.
    """
    if (made_for is Target.ONNX) != (runtime is Target.ONNX):
        raise ValueError(
            f"an export for {made_for.value} is not in the format that {runtime.value} reads;"
            f" export again with --target {runtime.value}"
        )


def onnx_file() -> ModuleType:
    """Import what reads and writes ONNX.

    Raises:
      ModuleNotFoundError: the package is missing.
    """
    try:
        from export.graph import onnx_file
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"{error}. {ONNX_HOW_TO}") from error
    return onnx_file
