"""How programs end: exit codes, and the words that go with them."""

import pytest

from trm_jax.command_line import REPEATED, RESUMED, exit_code


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


def test_stopped_is_130_and_says_how_to_go_on(capsys):
    assert exit_code(raising(KeyboardInterrupt()), (ValueError,), REPEATED) == 130
    assert capsys.readouterr().err == REPEATED + "\n"


def test_our_own_errors_pass_through():
    with pytest.raises(ZeroDivisionError):
        exit_code(raising(ZeroDivisionError()), (ValueError,), RESUMED)
