"""Uploaded models, executed: .tflite in LiteRT, .onnx in ONNX Runtime (server.py)."""

import time

import numpy as np


def execute(content: bytes, samples: dict[str, list[np.ndarray]]) -> tuple[dict, list, list[int]]:
    """Run a model on samples: outputs, layers (name, type), times in microseconds."""
    run, names, layers = _litert(content) if content[4:8] == b"TFL3" else _onnx(content)
    columns: dict[str, list[np.ndarray]] = {name: [] for name in names}
    times = []
    for values in zip(*samples.values(), strict=True):
        start = time.perf_counter()
        outputs = run(dict(zip(samples, values, strict=True)))
        times.append(max(1, int(1e6 * (time.perf_counter() - start))))
        for name, value in zip(names, outputs, strict=True):
            columns[name].append(np.array(value))
    return columns, layers, times


def _litert(content: bytes) -> tuple:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    inputs = {d["name"]: d["index"] for d in interpreter.get_input_details()}
    outputs = [d["index"] for d in interpreter.get_output_details()]
    layers = [(f"layer_{d['index']}", d["op_name"]) for d in interpreter._get_ops_details()]

    def run(values: dict[str, np.ndarray]) -> list[np.ndarray]:
        for name, value in values.items():
            interpreter.set_tensor(inputs[name], value)
        interpreter.invoke()
        return [interpreter.get_tensor(index) for index in outputs]

    return run, [f"output_{i}" for i in range(len(outputs))], layers  # renamed, as AI Hub does


def _onnx(content: bytes) -> tuple:
    import onnx
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    nodes = onnx.load_from_string(content).graph.node
    layers = [(node.name, node.op_type) for node in nodes]
    return (lambda values: session.run(names, values)), names, layers
