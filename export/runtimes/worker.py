"""The other side of child_process.py; runs with NumPy and one runtime, nothing of this project.

    PYTHON worker.py tflite-runtime|tflm

Messages both ways: 8 bytes, the length (little endian), then an .npz archive.

    load    model (uint8) and threads, or for TFLM, which has neither signatures nor threads,
            file:GRAPH (uint8), in:GRAPH and out:GRAPH (names in order), arena -> ready, or error
    call    signature, in:NAME of every input -> out:NAME of every output, or error

It ends when its input does.
"""

import io
import os
import sys

import numpy as np


def receive(stream):
    """Read a message, or None at the end of the stream."""
    head = stream.read(8)
    if len(head) < 8:
        return None
    with np.load(io.BytesIO(stream.read(int.from_bytes(head, "little")))) as archive:
        return dict(archive)


def send(stream, **values):
    """Write a message."""
    out = io.BytesIO()
    np.savez(out, **values)
    stream.write(len(out.getvalue()).to_bytes(8, "little") + out.getvalue())
    stream.flush()


def fields(message, kind):
    """Pick the entries `kind:NAME` by name."""
    return {k[len(kind) + 1 :]: v for k, v in message.items() if k.startswith(kind + ":")}


def load_tflite(message):
    """Make a function per signature of a model in tflite-runtime."""
    from tflite_runtime.interpreter import Interpreter  # pyright: ignore[reportMissingImports]

    interpreter = Interpreter(
        model_content=message["model"].tobytes(), num_threads=int(message["threads"])
    )

    def runner(name):
        run = interpreter.get_signature_runner(name)
        return lambda inputs: run(**inputs)

    return {name: runner(name) for name in interpreter.get_signature_list()}


def load_tflm(message):
    """Make a function per graph in TFLM."""
    from tflite_micro import runtime

    def runner(name, content):
        interpreter = runtime.Interpreter.from_bytes(
            content.tobytes(), arena_size=int(message["arena"])
        )
        inputs, outputs = ([str(x) for x in message[f"{end}:{name}"]] for end in ("in", "out"))

        def run(values):
            for i, key in enumerate(inputs):
                interpreter.set_input(values[key], i)
            if interpreter.invoke():
                raise RuntimeError("it failed as it ran")
            return {key: interpreter.get_output(i) for i, key in enumerate(outputs)}

        return run

    return {name: runner(name, content) for name, content in fields(message, "file").items()}


def main(kind):
    """Serve one model."""
    requests, replies = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a runtime prints must not lie between messages
    runners = {}
    while (message := receive(requests)) is not None:
        try:
            if "signature" not in message:
                runners = {"tflite-runtime": load_tflite, "tflm": load_tflm}[kind](message)
                send(replies, ready=True)
            else:
                outputs = runners[str(message["signature"])](fields(message, "in"))
                send(replies, **{f"out:{name}": value for name, value in outputs.items()})
        except Exception as error:  # whatever it is, the other side must hear of it
            send(replies, error=f"{type(error).__name__}: {error}")
    os._exit(0)  # TFLM's interpreters may hang as they are torn down


if __name__ == "__main__":
    main(sys.argv[1])
