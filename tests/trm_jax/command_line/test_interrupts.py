"""Ctrl-C at any moment of a program: one line and 130, wherever its main thread is."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.programs import environment
from trm_jax.command_line import interrupts

GENERATE = ("trm_jax.data.sudoku", "generate", "--num-train", "100000", "--workers", "2")
IN_A_CALLBACK = """
import gc, signal, sys, time
from trm_jax.command_line import exit_code

def _xla_gc_callback(phase, info):
    signal.raise_signal(signal.SIGINT)
    gc.callbacks.clear()

def action():
    gc.callbacks.append(_xla_gc_callback)
    gc.collect()
    time.sleep(60)

sys.exit(exit_code(action, ()))
"""
IN_AN_IMPORT = """
import sys
from trm_jax.command_line import exit_code

def action():
    import slow_module
    import time
    time.sleep(60)

sys.exit(exit_code(action, ()))
"""
SLOW_MODULE = """
import signal
try:
    signal.raise_signal(signal.SIGINT)
    [i for i in range(10**5)]
except BaseException:
    raise ImportError("initialization failed")
"""


@pytest.mark.parametrize("code", [IN_A_CALLBACK, IN_AN_IMPORT], ids=["callback", "import"])
def test_an_interrupt_is_heard_where_python_would_lose_it(code: str, tmp_path: Path) -> None:
    (tmp_path / "slow_module.py").write_text(SLOW_MODULE)
    path = os.pathsep.join((str(tmp_path), environment()["PYTHONPATH"]))
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**environment(), "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert (done.returncode, done.stderr) == (130, "stopped\n")


@pytest.mark.slow
@pytest.mark.parametrize("wait", [0.3, 1.0, 3.0])
def test_a_program_and_its_processes_end_in_one_line(wait: float, tmp_path: Path) -> None:
    started = subprocess.Popen(
        [sys.executable, "-m", *GENERATE, "--out", str(tmp_path / "out")],
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    time.sleep(wait)
    os.killpg(started.pid, signal.SIGINT)
    _, said = started.communicate(timeout=60)
    assert (started.returncode, said) == (130, "stopped\n")
    assert not list(tmp_path.rglob("*.npy"))


def test_a_library_leaves_signals_alone() -> None:
    code = (
        "import signal, trm_jax.command_line;"
        "print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout == "True\n"


def test_what_is_deaf_is_found_along_the_stack() -> None:
    assert not interrupts.is_deaf(sys._getframe())

    def __del__() -> bool:
        return interrupts.is_deaf(sys._getframe())

    assert __del__()
