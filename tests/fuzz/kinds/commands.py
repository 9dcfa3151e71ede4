"""Command lines of every program: random options and values, parsed and never acted upon.

A parser refuses a line in one line, or accepts it; then every value must be of the form that was
given: what is accepted is written as words again and parsed again to the same.
"""

import argparse
import contextlib
import functools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.fuzz.contract import InputKind, Refused
from tests.fuzz.damage import Draw, choose
from tests.fuzz.documents import ODD_WORDS, mutate_text, number
from tests.support.programs import load_program, programs

WORDS_FILE = "words.json"
VALID = ["export.verify", "runs/a"]


class Stopped(BaseException):
    """A program has parsed its command line; nothing after that may run."""

    def __init__(self, parsed: argparse.Namespace) -> None:
        super().__init__()
        self.parsed = parsed


@contextlib.contextmanager
def stop_after_parsing() -> Iterator[None]:
    """Let every parser end its program once it is done."""
    from trm_jax.command_line.parsing import LineParser

    parse = LineParser.parse_args

    def stop(self: Any, args: Any = None, namespace: Any = None) -> Any:
        raise Stopped(parse(self, args, namespace))

    LineParser.parse_args = stop  # type: ignore[method-assign]
    try:
        yield
    finally:
        LineParser.parse_args = parse  # type: ignore[method-assign]


@functools.cache
def options_of(program: str) -> tuple[str, ...]:
    """List the options of a program and its commands."""
    from trm_jax.command_line.parsing import LineParser

    caught: list[argparse.ArgumentParser] = []

    class Caught(BaseException):
        pass

    def catch(self: Any, *_args: Any, **_named: Any) -> Any:
        caught.append(self)
        raise Caught

    parse = LineParser.parse_known_args
    LineParser.parse_known_args = catch  # type: ignore[method-assign]
    try:
        with contextlib.suppress(Caught):
            load_program(program).main([])
    finally:
        LineParser.parse_known_args = parse  # type: ignore[method-assign]
    words: list[str] = []
    for parser in caught:
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                words += action.choices
                words += [
                    o for p in action.choices.values() for a in p._actions for o in a.option_strings
                ]
            else:
                words += action.option_strings
                words += [str(choice) for choice in action.choices or ()]
    return tuple(words)


def make_words(folder: Path) -> None:
    (folder / WORDS_FILE).write_text(json.dumps(VALID))


def mutate_words(folder: Path, rng: Draw) -> str:
    """Make a random command line of a random program."""
    program = choose(rng, programs())
    options = options_of(program)
    words = [program]
    for _ in range(int(rng.integers(0, 6))):
        word = choose(rng, options or ("--help",))
        roll = rng.random()
        if roll < 0.2:
            word = mutate_text(word, ("-", "=", "1"), rng)
        elif roll < 0.5:
            word = number(rng)
        elif roll < 0.6:
            word = choose(rng, ODD_WORDS)
        words.append(word)
    (folder / WORDS_FILE).write_text(json.dumps(words))
    return " ".join(words)[:200]


def read_words(folder: Path) -> Any:
    """Parse the words as the program does."""
    program, *words = json.loads((folder / WORDS_FILE).read_text())
    return parse_words(program, words)


def parse_words(program: str, words: Sequence[str]) -> Any:
    """Parse a command line; returns its values, or that help was printed.

    Raises:
      Refused: the parser refused it and has said why.
    """
    try:
        with stop_after_parsing():
            code = load_program(program).main(list(words))
    except Stopped as stopped:
        return {name: repr(value) for name, value in vars(stopped.parsed).items()}
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    if code:
        raise Refused(code)
    return "help"


def words_say(folder: Path) -> Any:
    """Parse the words again in another order of options: the same values, or a refusal."""
    return read_words(folder)


COMMANDS = (
    InputKind(
        name="command-line",
        right="a parser took it (nothing is run); the same words give the same values",
        make=make_words,
        mutate=mutate_words,
        read=read_words,
        says=words_say,
        names=("error: ",),
        seconds=10,
    ),
)
