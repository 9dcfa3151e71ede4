"""Answer tasks of reasoning-gym by a decoder of text under schemes, and train adapters on them.

    python -m experiments.decode.reasoning --model smollm2 --reasoning-gym chain_sum --limit 50
    python -m experiments.decode.reasoning --model smollm2 --reasoning-gym chain_sum --limit 24 \\
        --schemes fp32 --lora-steps 30 --out runs/sums
    python -m experiments.decode.reasoning --model smollm2 --reasoning-gym chain_sum,leg_counting \\
        --adapter runs/sums/adapter

Items are drawn by --seed and scored by the package itself (pip install 'trm-jax-edge[reasoning]'):
a whole score is a right answer, and some tasks give a part for an answer with other words around
it. Answers are greedy. Beside them stands what the right answer costs the model, in nats a token.

--lora-steps trains low-rank adapters on other items of the tasks, on the weights of the one scheme
in --schemes, and saves them in PEFT's layout in OUT/adapter; --adapter reads such a folder. Items
are then answered with and without the adapter.

Into --out go study.json, answers.jsonl (a row per task and policy), the texts (TASK-POLICY.csv) and
the tables. A killed run goes on with --resume, which also adds schemes.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.measurement.folders import STUDY
from experiments.measurement.options import add_schemes
from trm_jax.command_line import (
    RESUMED,
    exit_code,
    make_parser,
    positive_float,
    positive_int,
    seed_int,
    user_path,
)
from trm_jax.output.folder import check_named

TASKS = "chain_sum,simple_equations,letter_counting,leg_counting"
INSTRUCTION = "Give the answer alone."
NUMBERS = (
    ("--limit", 50, "items of each task that are answered"),
    ("--max-new-tokens", 32, "of every answer"),
    ("--batch-size", 8, "items at a time"),
)


def parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    p = make_parser("experiments.decode.reasoning", __doc__)
    p.add_argument(
        "--model",
        required=True,
        metavar="NAME|PATH|hf:...",
        help="smollm2, a release's folder, hf:owner/name[@revision], or a .gguf file",
    )
    p.add_argument("--reasoning-gym", default=TASKS, metavar="NAME,...", help="tasks (%(default)s)")
    add_schemes(p, ("fp32", "w8c-sym", "w4c-sym"))
    for name, default, text in NUMBERS:
        note = f"{text} (%(default)s)"
        p.add_argument(name, type=positive_int, default=default, metavar="N", help=note)
    p.add_argument(
        "--instruction",
        default=INSTRUCTION,
        metavar="TEXT",
        help="behind every question (%(default)s)",
    )
    p.add_argument("--seed", type=seed_int, default=0, metavar="N", help="of the items (0)")
    _add_adapters(p)
    p.add_argument(
        "--out",
        type=user_path,
        metavar="DIR",
        default=Path("runs") / "decode-reasoning",
        help="folder of the results (%(default)s)",
    )
    p.add_argument("--resume", action="store_true", help="go on with the rows in --out")
    return p


def _add_adapters(p: argparse.ArgumentParser) -> None:
    """Declare where adapters come from."""
    group = p.add_argument_group("adapters")
    either = group.add_mutually_exclusive_group()
    either.add_argument(
        "--lora-steps", type=positive_int, metavar="N", help="train adapters for N updates"
    )
    either.add_argument(
        "--adapter", type=user_path, metavar="DIR", help="answer also with these, in PEFT's layout"
    )
    group.add_argument(
        "--rank", type=positive_int, default=8, metavar="X", help="of adapters (%(default)s)"
    )
    group.add_argument(
        "--adapter-lr", type=positive_float, default=1e-3, metavar="X", help="rate (%(default)s)"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = parser().parse_args(argv)

    def action() -> None:
        check_named(args.out, STUDY, resume=args.resume)
        from experiments.decode.reasoning.study import measure_reasoning  # after parsing

        measure_reasoning(args)

    return exit_code(action, (OSError, ValueError, ModuleNotFoundError), RESUMED)


if __name__ == "__main__":
    sys.exit(main())
