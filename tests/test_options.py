"""The options of all programs: one spelling and one meaning each, a text each, numbers in range."""

import argparse
import collections
from typing import NamedTuple

import pytest

from tests.support.programs import load_program, programs
from trm_jax.command_line.parsing import OLD_SPELLINGS, LineParser, user_path


class Declared(NamedTuple):
    """An option or plain word that a program declares."""

    program: str
    action: argparse.Action

    @property
    def names(self) -> list[str]:
        return list(self.action.option_strings) or [self.action.dest]


class Parsed(Exception):
    """A program has come to parsing."""


def parsers_of(program: str, *words: str) -> list[argparse.ArgumentParser]:
    """Catch the parser of a program as it begins to parse; its commands' parsers too."""
    caught: list[argparse.ArgumentParser] = []

    def catch(self, *_args, **_named):
        caught.append(self)
        raise Parsed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LineParser, "parse_known_args", catch)
        with pytest.raises(Parsed):
            load_program(program).main(list(words))
    kinds = [a for a in caught[0]._actions if isinstance(a, argparse._SubParsersAction)]
    return caught + [parser for kind in kinds for parser in kind.choices.values()]


TARGETS = ("litert", "cortex-m55", "aihub")  # one of each kind of deployment


def all_parsers() -> list[argparse.ArgumentParser]:
    plain = [parser for name in programs() for parser in parsers_of(name)]
    return plain + [
        parser for t in TARGETS for parser in parsers_of("experiments.deploy", "--target", t)
    ]


PARSERS = all_parsers()
DECLARED = [
    Declared(parser.prog, action)
    for parser in PARSERS
    for action in parser._actions
    if action.help != argparse.SUPPRESS
]


def plain(option: str) -> str:
    """Take away what differs between spellings of one word."""
    return option.lower().strip("-").replace("-", "").replace("_", "").removesuffix("s")


SINGULAR_AND_PLURAL = {
    ("--batch-size", "--batch-sizes"),  # one; several that are timed beside each other
    ("--model", "--models"),  # one, or names joined by commas
    ("--preset", "--presets"),
    ("--program", "--programs"),
    ("--question", "--questions"),  # which one of a task; how many of each
    ("--scheme", "--schemes"),
    ("--shape", "--shapes"),  # of a maze; of matrix products
    ("--task", "--tasks"),  # a name; the folder that ARC's tasks are taken from
}


def test_every_program_parses_in_the_common_way():
    assert len(PARSERS) > 30
    assert {type(parser) for parser in PARSERS} == {LineParser}
    assert not any(parser.allow_abbrev for parser in PARSERS)


def test_an_option_has_one_spelling():
    spellings = collections.defaultdict(set)
    for declared in DECLARED:
        for option in declared.action.option_strings:
            spellings[plain(option)].add(option)
    several = {tuple(sorted(names)) for names in spellings.values() if len(names) > 1}
    assert several - {("--help",), ("-h",)} == SINGULAR_AND_PLURAL


def test_options_are_lower_case_words_joined_by_hyphens():
    options = {name for each in DECLARED for name in each.action.option_strings}
    assert {o for o in options if o != o.lower() or "_" in o} == set()


def test_old_spellings_are_declared_by_no_program_that_has_the_new_one():
    for parser in PARSERS:
        own = set(parser._option_string_actions)
        assert not [o for o, n in OLD_SPELLINGS.items() if {o, n} <= own], parser.prog
    new = {name for each in DECLARED for name in each.action.option_strings}
    assert set(OLD_SPELLINGS.values()) <= new


MEANINGS = {
    "--adapter": {"DIR", "NAME|DIR"},  # of decoders of puzzles one is bundled
    "--batch-size": {"N", "N|auto"},  # where a rule chooses, it can be asked for by name
    "--data": {"DIR", "TASK=DIR", "PATH"},  # the report's: for each task; full_size: CSV files too
    "--halt": {"RULE", "RULE,.."},  # the sweep compares several
    "--model": {"NAME|PATH", "NAME|PATH|hf:...", "TASK=NAME"},
    "--models": {"A,B,...", "NAME,.."},
    "--out": {"DIR", "PATH", "DIR|PAGE.html"},
}
"""Options whose value has several forms, and which."""


def forms_of(option: str) -> set[str | None]:
    """List what an option takes, program by program: nothing, or a value by its metavar."""
    actions = [each.action for each in DECLARED if option in each.action.option_strings]
    return {
        "" if action.nargs == 0 else action.metavar
        for action in actions
        if not action.choices  # names, each program its own
    }


def test_an_option_takes_the_same_kind_of_value_everywhere():
    options = {name for each in DECLARED for name in each.action.option_strings}
    several = {option: found for option in options if len(found := forms_of(option)) > 1}
    assert several == MEANINGS


@pytest.mark.parametrize("each", DECLARED, ids=lambda each: f"{each.program} {each.names[0]}")
def test_every_option_says_what_it_is(each: Declared):
    """More than its default: a text without words explains nothing."""
    text = each.action.help or ""
    words = text.replace("%(default)s", "").replace("%(default)g", "").strip("() ")
    assert words, "no help text"


NUMBERS = ("-5", "nan", "1.5x", "99999999999999999999")
FLOATS_AND_COUNTS = [
    each
    for each in DECLARED
    if each.action.option_strings and each.action.type not in (None, user_path)
]


@pytest.mark.parametrize(
    "each", FLOATS_AND_COUNTS, ids=lambda each: f"{each.program} {each.names[0]}"
)
def test_numbers_are_checked_as_they_are_parsed(each: Declared):
    """No program takes a bare int or float: every number has a range, NaN is in none."""
    read = each.action.type
    assert read not in (int, float)
    assert callable(read)
    for text in NUMBERS[:3]:
        with pytest.raises((argparse.ArgumentTypeError, ValueError)):
            read(text)
