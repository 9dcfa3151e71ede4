"""Check an export again: files, operators, blocks, answers, whole rollouts.

    python -m export.verify runs/int4
    python -m export.verify runs/int4 --limit 500 --data data/sudoku-6x6

Six checks, from exact to statistical:

    files       manifest, sizes, SHA-256, structure of the flatbuffer, host tensors
    legality    nothing that the target refuses or computes wrong
    operators   every matrix product alone on the runtime, to its derived bound
    blocks      every network on a state of a trajectory, against the simulation, to a bound
                derived from the simulation's own sensitivity
    answers     the expected answers in the manifest, exactly
    rollouts    the first --limit puzzles on runtime and simulation: equal answers, equal cells,
                fidelity, with 95 % intervals; fails if the runtime solves significantly fewer
                or more puzzles (exact McNemar test, p < 0.01)

The simulation is built from the model that the manifest names (--model names another copy of
it). An exported decoder has files, legality, operators and answers, and

    tokens      the first --limit puzzles on the runtime: every token and logit against the
                simulation, to a bound derived in the same way

Exit code 0 if all checks pass, 1 if one fails, 2 if something is missing or damaged.
"""

import argparse
import sys
from collections.abc import Sequence

from export.options import artifact_parser
from export.targets import Target
from trm_jax.command_line import exit_code, natural_int
from trm_jax.data.calibration import add_calibration_folder

LIMIT = 64


def parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    p = artifact_parser("export.verify", __doc__, "puzzles (default: bundled)")
    p.add_argument(
        "--limit",
        type=natural_int,
        default=LIMIT,
        metavar="N",
        help="puzzles of the rollouts (%(default)s)",
    )
    add_calibration_folder(p, "the data set that it was calibrated on (--data, or bundled)")
    p.add_argument("--model", metavar="NAME|PATH", help="the model it was made from")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = parser().parse_args(argv)

    def action() -> int:
        from export.artifact.verification import run_checks  # imports jax: after parsing
        from export.decoder.manifest import is_decoder_export
        from export.decoder.verification import run_decoder_checks

        passed = True
        check = run_decoder_checks if is_decoder_export(args.folder) else run_checks
        for result in check(
            args.folder,
            limit=args.limit,
            data=args.data,
            calibration=args.calibration,
            task=args.task,
            model=args.model,
            target=Target(args.runtime) if args.runtime else None,
            threads=args.threads,
        ):
            word = "pass" if result.passed else "FAIL"
            sys.stdout.write(f"{word}  {result.name:<10} {result.text}\n")
            passed = passed and result.passed
        return 0 if passed else 1

    return exit_code(action, (OSError, ValueError, RuntimeError, ModuleNotFoundError))


if __name__ == "__main__":
    sys.exit(main())
