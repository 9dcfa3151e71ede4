"""Export a model under every scheme for a target, and say what it costs and what it answers there.

    python -m experiments.deploy --task sudoku
    python -m experiments.deploy --task maze --schemes fp32,int8,w4c-asym_a8da --limit 500 \\
        --out runs/deploy-maze

Every kind of target is a module of its own, with its options and its table:

    litert, litert-builtin, tflite-runtime, tflm, onnx
                                                    host/command.py: runs on this computer
    cortex-m55                                      cortex_m/command.py: memory and time on a board
    ethos-u                                         ethos_u/command.py: time on an NPU by Arm
    aihub                                           aihub/command.py: phones, by AI Hub

`--target NAME --help` says what a target does.
"""

import argparse
import itertools
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

from experiments.deploy.aihub import command as aihub_command
from experiments.deploy.cortex_m import command as cortex_m_command
from experiments.deploy.ethos_u import command as ethos_u_command
from experiments.deploy.host import command as host_command
from experiments.measurement.folders import DEPLOYMENT
from experiments.measurement.options import subject_parent
from trm_jax.command_line import REPEATED, exit_code, make_parser, user_path
from trm_jax.output.folder import check_named


def deploy_on_host(args: argparse.Namespace) -> None:
    """Deploy on a runtime of this computer."""
    from experiments.deploy.host.job import run_job  # imports jax: after parsing

    run_job(args)


def deploy_on_board(args: argparse.Namespace) -> None:
    """Deploy on a microcontroller."""
    from experiments.deploy.cortex_m.job import run_job  # imports jax: after parsing

    run_job(args)


def deploy_on_npu(args: argparse.Namespace) -> None:
    """Deploy on an Ethos-U."""
    from experiments.deploy.ethos_u.job import run_job  # imports jax: after parsing

    run_job(args)


def deploy_on_phones(args: argparse.Namespace) -> None:
    """Deploy through AI Hub."""
    from experiments.deploy.aihub.job import run_job  # imports jax: after parsing

    run_job(args)


class Deployment(NamedTuple):
    """A kind of target.

    Attributes:
      targets: values of --target.
      title: heading of its options; text: what it does.
      add_options: declares the options that only it has.
      run: deploys as the command line says; raises ValueError, OSError, RuntimeError or
        ModuleNotFoundError with words for the user.
    """

    targets: tuple[str, ...]
    title: str
    text: str
    add_options: Callable[[argparse._ArgumentGroup], None]
    run: Callable[[argparse.Namespace], None]


DEPLOYMENTS = (
    Deployment(
        host_command.TARGETS,
        host_command.TITLE,
        host_command.__doc__ or "",
        host_command.add_options,
        deploy_on_host,
    ),
    Deployment(
        cortex_m_command.TARGETS,
        cortex_m_command.TITLE,
        cortex_m_command.__doc__ or "",
        cortex_m_command.add_options,
        deploy_on_board,
    ),
    Deployment(
        ethos_u_command.TARGETS,
        ethos_u_command.TITLE,
        ethos_u_command.__doc__ or "",
        ethos_u_command.add_options,
        deploy_on_npu,
    ),
    Deployment(
        aihub_command.TARGETS,
        aihub_command.TITLE,
        aihub_command.__doc__ or "",
        aihub_command.add_options,
        deploy_on_phones,
    ),
)
BY_TARGET = {target: kind for kind in DEPLOYMENTS for target in kind.targets}
DEFAULT_TARGET = "litert"


def parser(target: str) -> argparse.ArgumentParser:
    """Declare the command line of a target."""
    kind = BY_TARGET[target]
    p = make_parser("experiments.deploy", kind.text, subject_parent("sudoku or maze"))
    p.add_argument(
        "--target",
        default=DEFAULT_TARGET,
        choices=sorted(BY_TARGET),
        help="what runs it (%(default)s)",
    )
    p.add_argument(
        "--out", type=user_path, metavar="DIR", help="default: runs/deploy-TASK-MODEL-TARGET"
    )
    kind.add_options(p.add_argument_group(kind.title))
    return p


def full_help() -> str:
    """Write the help of all targets."""
    parts = [__doc__ or "", parser(DEFAULT_TARGET).format_help()]
    for kind in DEPLOYMENTS:
        if DEFAULT_TARGET not in kind.targets:
            only = argparse.ArgumentParser(usage=argparse.SUPPRESS, add_help=False)
            kind.add_options(only.add_argument_group(kind.title))
            parts.append(only.format_help())
    return "\n".join(parts)


def target_of(argv: Sequence[str]) -> str | None:
    """Read --target off a command line; None where it is not said, or names nothing known."""
    pairs = [word.partition("=")[::2] for word in argv]
    said = [value for option, value in pairs if option == "--target" and value]
    said += [after for word, after in itertools.pairwise(argv) if word == "--target"]
    return said[-1] if said and said[-1] in BY_TARGET else None


def check_recursive(args: argparse.Namespace) -> None:
    """Check that a model is no decoder, whose exports have commands of their own.

    Raises:
      ValueError: it is one; says what can be done with it on this target.
    """
    from export.decoder.manifest import NO_BOARD  # imports jax: after parsing
    from trm_jax.decoder.loading import is_decoder

    if args.model is None or not is_decoder(args.model):
        return
    exports = {**dict.fromkeys(("litert", "tflm"), "tflite"), "onnx": "onnx"}
    program = exports.get(args.target)
    why = f": {NO_BOARD}" if args.target in cortex_m_command.TARGETS else ""
    option = " --target tflm" if args.target == "tflm" else ""
    raise ValueError(
        f"{args.model} is a decoder, and decoders are not deployed on {args.target}{why}; export it"
        f" for {args.target if program else 'a runtime of this computer'}: python -m"
        f" export.{program or 'tflite'} --model {args.model} --scheme fp32{option} --out DIR, then"
        " python -m export.verify DIR compares its tokens and times them"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    words = sys.argv[1:] if argv is None else list(argv)
    target = target_of(words)
    if target is None and {"-h", "--help"} & set(words):
        sys.stdout.write(full_help())
        sys.exit(0)
    args = parser(target or DEFAULT_TARGET).parse_args(words)
    run = BY_TARGET[args.target].run
    bad_input = (OSError, ValueError, RuntimeError, ModuleNotFoundError)

    def action() -> None:
        check_named(args.out, DEPLOYMENT)
        check_recursive(args)
        run(args)

    return exit_code(action, bad_input, REPEATED)


if __name__ == "__main__":
    sys.exit(main())
