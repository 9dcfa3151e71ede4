"""Parsers of all programs: one line on bad input, one spelling of an option, numbers in range.

A mistake on a command line is one line on standard error and exit code 2: what was wrong, what was
likely meant, and where all options are listed. Options are never abbreviated, for an abbreviation
changes its meaning when a program gets another option. Not here: the options of a program.
"""

import argparse
import enum
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from trm_jax.command_line.ending import discard_output
from trm_jax.command_line.terminal import adapt_streams
from trm_jax.names import did_you_mean, unknown_name

Member = TypeVar("Member", bound=enum.Enum)

OLD_SPELLINGS = {
    "--batch": "--batch-size",
    "--H-cycles": "--h-cycles",
    "--H_cycles": "--h-cycles",
    "--L-cycles": "--l-cycles",
    "--L_cycles": "--l-cycles",
    "--heads": "--num-heads",
    "--aug": "--num-aug",
}
"""Spellings of earlier versions. A parser that has the new one and not the old takes both."""

LARGEST = 2**31 - 1  # of a count; what passes it is a slip, and overflows in NumPy and XLA
LONGEST = 320  # characters of an error, before the words on --help
LARGEST_PORT = 2**16 - 1
LARGEST_SEED = 2**32 - 1  # of numpy.random.RandomState


class LineParser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **kwargs})

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:
        """Parse as argparse does, old spellings too; an unknown option is refused first."""
        adapt_streams()
        known = self._all_options()
        words = [_today(word, known) for word in (sys.argv[1:] if args is None else args)]
        if unknown := next((option for option in _options(words) if option not in known), None):
            self.error(f"unknown option {unknown};{did_you_mean(unknown, known)}".rstrip(";"))
        found, rest = super().parse_known_args(words, namespace)
        if rest and getattr(found, "old_out", rest) is None and not rest[0].startswith("-"):
            # argparse settles an optional plain word before the options that it stood behind
            found.old_out = user_path(rest.pop(0))
        return found, rest

    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one line and exit with 2."""
        line = re.sub(r"^argument (\S+): must ", r"\1 must ", " ".join(message.split()))
        line = re.sub(r"(\S{60})\S+", r"\1...", line)  # a word that fell into the wrong place
        line = line if len(line) <= LONGEST else line[: LONGEST - 3] + "..."
        self.exit(2, f"error: {line}; {self.prog} --help lists all options\n")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """Exit; the reader of a long help may be gone, as `head` is."""
        try:
            sys.stdout.flush()
        except OSError:
            discard_output()
        super().exit(status, message)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            known = [getattr(each, "value", each) for each in action.choices]
            kind = action.dest.rstrip("s").replace("_", " ")
            raise argparse.ArgumentError(action, unknown_name(kind, str(value), map(str, known)))

    def _all_options(self) -> set[str]:
        """Collect the options, those of commands too: the command's own parser looks again."""
        kinds = [a for a in self._actions if isinstance(a, argparse._SubParsersAction)]
        parsers = [self, *(parser for kind in kinds for parser in kind.choices.values())]
        return {option for parser in parsers for option in parser._option_string_actions}


def make_parser(
    program: str, description: str | None, *parents: argparse.ArgumentParser
) -> LineParser:
    """Make a parser that prints a module's docstring as it stands.

    Args:
      program: dotted name, as `python -m` takes it.
      parents: options that the program shares with others.
    """
    return LineParser(
        prog=f"python -m {program}",
        description=description,
        parents=list(parents),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def make_parent() -> LineParser:
    """Make a parser of options that several parsers or commands take as their parent."""
    return LineParser(add_help=False)


def number_in(
    kind: type[int] | type[float], least: float | int, most: float | int | None = None
) -> Callable[[str], Any]:
    """Make the type of an option that takes a number in a range, both ends included.

    Returns:
      What reads the number; it raises argparse.ArgumentTypeError with the range and the text.
    """
    name = "a whole number" if kind is int else "a number"
    reach = "0 or more" if least == 0 else f"at least {least}"
    if most is not None:
        reach = f"{least} to {most}"
    limit = most if most is not None else LARGEST if kind is int else sys.float_info.max

    def read(text: str) -> int | float:
        try:
            value = kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"must be {name}, got {text!r}") from None
        if not least <= value <= limit:  # NaN fails every comparison
            too_large = most is None and value > limit
            raise argparse.ArgumentTypeError(
                f"must be {f'at most {limit}' if too_large else reach}, got {text}"
            )
        return value

    return read


def natural_int(text: str) -> int:
    """Read a whole number from 0; raises argparse.ArgumentTypeError for another text."""
    return number_in(int, 0)(text)


def positive_int(text: str) -> int:
    """Read a whole number from 1; raises argparse.ArgumentTypeError for another text."""
    return number_in(int, 1)(text)


def split_names(text: str) -> tuple[str, ...]:
    """Read names joined by commas, with blanks or without, none twice."""
    return tuple(dict.fromkeys(name.strip() for name in text.split(",")))


def seed_int(text: str) -> int:
    """Read a seed, which NumPy takes to 2**32 - 1; raises argparse.ArgumentTypeError."""
    return number_in(int, 0, LARGEST_SEED)(text)


def positive_float(text: str) -> float:
    """Read a number above 0; infinity is none.

    Raises:
      argparse.ArgumentTypeError: another text.
    """
    value = number_in(float, 0)(text)
    if value == 0:
        raise argparse.ArgumentTypeError(f"must be positive, got {text}")
    return value


def user_path(text: str) -> Path:
    """Read a path, `~` and `~NAME` expanded (`type` of every option that names one).

    Raises:
      argparse.ArgumentTypeError: there is none, or no such user.
    """
    if not text.strip() or "\0" in text:
        raise argparse.ArgumentTypeError(f"must be the name of a file or folder, got {text!r}")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise argparse.ArgumentTypeError(f"{text}: {error}") from error


def natural_float(text: str) -> float:
    """Read a number from 0; raises argparse.ArgumentTypeError for another text."""
    return number_in(float, 0)(text)


def host_and_port(text: str) -> str:
    """Read HOST:PORT; raises argparse.ArgumentTypeError for another text."""
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 1 <= int(port) <= LARGEST_PORT:
        raise argparse.ArgumentTypeError(
            f"must be HOST:PORT with a port of 1 to {LARGEST_PORT}, got {text!r}"
        )
    return text


def member_of(kind: type[Member], what: str) -> Callable[[str], Member]:
    """Make the type of an option that names a member of an Enum by its value.

    Args:
      what: the members are, for the message.

    Returns:
      What finds the member; it raises argparse.ArgumentTypeError for another name.
    """

    def read(text: str) -> Member:
        members = {str(member.value): member for member in kind}
        if text not in members:
            raise argparse.ArgumentTypeError(unknown_name(what, text, members))
        return members[text]

    return read


def given_options(
    parser: argparse.ArgumentParser, args: argparse.Namespace, names: Sequence[str]
) -> list[str]:
    """List which of some options have another value than where a command line is silent.

    Args:
      parser: what parsed the command line.
      names: as attributes of `args`.
    """
    return [name for name in names if getattr(args, name) != parser.get_default(name)]


def add_out(parser: argparse.ArgumentParser, help_text: str) -> None:
    """Declare --out of a program whose earlier versions took it as its last plain word.

    The word is still taken, where it was documented; `take_out` reads either.
    """
    parser.add_argument("old_out", nargs="?", type=user_path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=user_path, metavar="PATH", help=help_text)


def take_out(parser: argparse.ArgumentParser, args: argparse.Namespace) -> Path:
    """Return what --out says, or the plain word of earlier versions; ends the program if neither.

    Returns:
      The path; `args.out` holds it too.
    """
    if args.out is not None and args.old_out is not None:
        parser.error(f"unexpected {str(args.old_out)!r}: --out already says {str(args.out)!r}")
    if args.out is None:
        args.out = args.old_out
    if args.out is None:
        parser.error("the following arguments are required: --out")
    return args.out


def _options(words: Sequence[str]) -> list[str]:
    """List the options among the words of a command line, without their values."""
    words = words[: words.index("--")] if "--" in words else words
    return [word.split("=")[0] for word in words if word.startswith("--") and " " not in word]


def _today(word: str, known: set[str]) -> str:
    """Write an option in today's spelling."""
    option, equals, value = word.partition("=")
    new = OLD_SPELLINGS.get(option)
    return new + equals + value if new in known and option not in known else word
