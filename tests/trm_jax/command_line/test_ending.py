"""How programs end: exit codes, and the words that go with them."""

import os
import subprocess
import sys

import pytest

from tests.support.programs import environment
from trm_jax.command_line import REPEATED, RESUMED, exit_code
from trm_jax.command_line.ending import NVIDIA


def raising(error: BaseException):
    def action() -> None:
        raise error

    return action


@pytest.mark.parametrize(("returned", "code"), [(None, 0), (0, 0), (1, 1)])
def test_what_the_work_returns_is_the_exit_code(returned, code, capsys):
    assert exit_code(lambda: returned, (ValueError,), RESUMED) == code
    assert capsys.readouterr().err == ""


def test_bad_input_is_2_and_says_why(capsys):
    assert exit_code(raising(FileNotFoundError("no such thing")), (OSError,), RESUMED) == 2
    assert capsys.readouterr().err == "error: no such thing\n"


def test_an_error_is_one_line_of_bounded_length(capsys):
    assert exit_code(raising(ValueError("one\n  two\n\nthree")), (ValueError,)) == 2
    assert capsys.readouterr().err == "error: one two three\n"
    text = "config.json: " + "x" * 5000 + "; export again"
    assert exit_code(raising(ValueError(text)), (ValueError,)) == 2
    said = capsys.readouterr().err
    assert len(said) == len("error: ") + 600 + 1
    assert said.startswith("error: config.json: xxx")
    assert said.endswith("x; export again\n")
    assert " ... " in said


def test_an_error_without_words_is_named(capsys):
    assert exit_code(raising(ValueError()), (ValueError,)) == 2
    assert capsys.readouterr().err == "error: ValueError\n"


def test_stopped_is_130_and_says_how_to_go_on(capsys):
    assert exit_code(raising(KeyboardInterrupt()), (ValueError,), REPEATED) == 130
    assert capsys.readouterr().err == REPEATED + "\n"


def test_our_own_errors_pass_through():
    with pytest.raises(ZeroDivisionError):
        exit_code(raising(ZeroDivisionError()), (ValueError,), RESUMED)


class XlaRuntimeError(RuntimeError):
    """As XLA's: known by its name, so that nothing imports jax to name it."""


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 7.45 GiB"),
        MemoryError(),
        XlaRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 8 bytes.\nmore\nlines"),
    ],
)
def test_too_little_memory_is_one_line_that_says_what_to_reduce(error, capsys):
    assert exit_code(raising(error), ()) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: not enough memory: ")
    assert "--batch-size or --limit" in line


def test_a_program_s_own_words_about_memory_stand(capsys):
    assert exit_code(raising(MemoryError("raise --accumulate")), (MemoryError,)) == 2
    assert capsys.readouterr().err == "error: raise --accumulate\n"


def test_the_name_that_xla_s_error_is_known_by():
    import jax

    assert jax.errors.JaxRuntimeError.__name__ in {"XlaRuntimeError", "JaxRuntimeError"}


def test_other_errors_of_xla_are_ours():
    with pytest.raises(XlaRuntimeError):
        exit_code(raising(XlaRuntimeError("INTERNAL: a bug")), (ValueError,))


@pytest.mark.parametrize("module", ["trm_jax.no_such", "somebody_s_package"])
def test_a_missing_module_of_ours_keeps_its_traceback(module):
    error = ModuleNotFoundError(f"No module named {module!r}", name=module)
    with pytest.raises(ModuleNotFoundError):
        exit_code(raising(error), (ModuleNotFoundError,))


def shell(line: str) -> subprocess.CompletedProcess[str]:
    settings = {**environment(), "PYTHON": sys.executable}
    return subprocess.run(
        ["bash", "-c", line], env=settings, capture_output=True, text=True, timeout=120
    )


WRITER = (
    "$PYTHON -c 'import sys; from trm_jax.command_line import exit_code as run;"
    " sys.exit(run(lambda: {}, (OSError,)))'"
)
LINES = WRITER.format(r'[print("x" * 99) for _ in range(10**5)] and 0')
LAST = WRITER.format(r'print("x" * 10**4)')
SHORT = WRITER.format(r'print("x")')


@pytest.mark.parametrize("writer", [LINES, LAST, SHORT, "$PYTHON -m experiments.sweep --help"])
def test_a_reader_that_goes_away_ends_the_program_quietly(writer):
    done = shell(f"{writer} | head -c 1; exit ${{PIPESTATUS[0]}}")
    assert done.stderr == ""
    assert done.returncode in (0, 141)


def test_many_lines_to_a_closed_pipe_are_141():
    assert shell(f"{LINES} | head -n 1; exit ${{PIPESTATUS[0]}}").returncode == 141


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("writer", [LAST, SHORT])
def test_output_that_cannot_be_written_is_an_error(writer):
    done = shell(f"{writer} > /dev/full")
    assert (done.returncode, done.stderr) == (2, "error: No space left on device\n")


def test_errors_of_the_system_name_their_file_without_a_number(capsys, tmp_path):
    assert exit_code(lambda: (tmp_path / "a").read_text() and 0, (OSError,)) == 2
    assert capsys.readouterr().err == f"error: {tmp_path / 'a'}: No such file or directory\n"


def test_a_broken_pipe_of_a_network_is_no_end_of_output(capfd):
    assert exit_code(raising(BrokenPipeError("connection lost")), (OSError,)) == 2
    assert capfd.readouterr().err == "error: connection lost\n"


@pytest.mark.parametrize("platform", ["cuda", "tpu", "no-such"])
def test_a_platform_that_is_not_here_is_named(platform: str) -> None:
    if platform == "cuda" and os.path.exists(NVIDIA):
        pytest.skip("this machine has CUDA")
    code = "import jax; from trm_jax.command_line import exit_code\n"
    code += "raise SystemExit(exit_code(lambda: jax.jit(lambda: 0)() and None, (ValueError,)))"
    settings = environment() | {"JAX_PLATFORMS": platform}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=settings, check=False
    )
    assert (done.returncode, done.stderr.splitlines()[-1]) == (
        2,
        f"error: JAX_PLATFORMS={platform} names a platform that JAX does not find here; unset it",
    )
