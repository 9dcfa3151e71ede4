"""The frame of a program: how it parses, shows progress and ends.

A program's module declares its options with light imports, and imports its work inside the action
that `exit_code` runs: jax, flax and matplotlib take seconds to import, and --help or a mistyped
option needs none of them (tests/test_startup.py).

Read `parsing.py` (parsers, types of numbers, old spellings), `ending.py` (how work ends: words and
exit code), `interrupts.py` (Ctrl-C), `compiled.py` (compiled programs, kept from run to run),
`allocator.py` (freed memory, kept for the next buffer),
`extras.py` (what to install for a package that is missing), `resources.py` (cores and free memory),
`terminal.py` (streams without block characters, progress, lists). Not here: the options of one
program.
"""

from trm_jax.command_line.ending import REPEATED, RESUMED, STOPPED, exit_code
from trm_jax.command_line.extras import install_text
from trm_jax.command_line.parsing import (
    add_out,
    given_options,
    host_and_port,
    make_parent,
    make_parser,
    member_of,
    natural_float,
    natural_int,
    number_in,
    positive_float,
    positive_int,
    seed_int,
    split_names,
    take_out,
    user_path,
)
from trm_jax.command_line.resources import free_memory, usable_processors
from trm_jax.command_line.terminal import Advance, print_records, progress_bar

__all__ = [
    "REPEATED",
    "RESUMED",
    "STOPPED",
    "Advance",
    "add_out",
    "exit_code",
    "free_memory",
    "given_options",
    "host_and_port",
    "install_text",
    "make_parent",
    "make_parser",
    "member_of",
    "natural_float",
    "natural_int",
    "number_in",
    "positive_float",
    "positive_int",
    "print_records",
    "progress_bar",
    "seed_int",
    "split_names",
    "take_out",
    "usable_processors",
    "user_path",
]
