"""Models run on an emulated CPU: NumPy and one runtime in qemu-user, nothing of this project.

QEMU 7.2 emulates AVX2 and nothing newer, whatever CPU it is asked for: `Haswell` is the newest
that it has in full.
"""

import enum
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

QEMU = shutil.which("qemu-x86_64")
AVX2 = "Haswell"
needs_qemu = pytest.mark.skipif(
    QEMU is None, reason="qemu-x86_64 (package qemu-user) emulates a CPU without VNNI"
)

RUNNER = """
import sys
import numpy as np
given, results = np.load(sys.argv[1]), {}
names = [name for name in given.files if "/" not in name]
for name in names:
    run = opened(given[name].tobytes())
    results |= {f"{name}/y": run(given[f"{name}/x"])}
np.savez(sys.argv[2], **results)
"""


class ModelRunner(enum.Enum):
    """How a model with one input is opened and run, under default options."""

    ONNX = """
import onnxruntime
def opened(content):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options)
    return lambda x: session.run(None, {session.get_inputs()[0].name: x})[0]
"""
    LITERT = """
from ai_edge_litert.interpreter import Interpreter
def opened(content):
    interpreter = Interpreter(model_content=content, num_threads=1)
    (name,) = interpreter.get_signature_list()
    run = interpreter.get_signature_runner(name)
    return lambda x: next(iter(run(x=x).values()))
"""


def run_on(
    cpu: str | None,
    runner: ModelRunner,
    models: dict[str, tuple[bytes, np.ndarray]],
    folder: Path,
) -> dict[str, np.ndarray]:
    """Run models, each on its input.

    Args:
      cpu: QEMU's name; None is this host's own.
      folder: for what goes in and comes out.
    """
    given, results = folder / "given.npz", folder / "results.npz"
    arrays = {name: np.frombuffer(content, np.uint8) for name, (content, _) in models.items()}
    arrays |= {f"{name}/x": x for name, (_, x) in models.items()}
    np.savez(given, allow_pickle=False, **arrays)
    python = [sys.executable]
    if cpu is not None:
        assert QEMU is not None
        python = [QEMU, "-cpu", cpu, "-0", sys.executable, str(Path(sys.executable).resolve())]
    code = runner.value + RUNNER
    done = subprocess.run(
        [*python, "-c", code, str(given), str(results)], capture_output=True, timeout=300
    )
    assert done.returncode == 0, done.stderr.decode()
    with np.load(results) as found:
        return {name: found[f"{name}/y"] for name in models}
