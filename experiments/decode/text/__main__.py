"""Measure what schemes do to a decoder of text: perplexity, likeliest tokens, greedy answers.

    python -m experiments.decode.text --model smollm2
    python -m experiments.decode.text --model hf:Qwen/Qwen2.5-0.5B-Instruct \\
        --schemes fp32,w8c-sym,w4c-sym-gptq_a16s_carry8 --text notes.txt --ask "What is 2 + 3?"

A text is read from left to right through the KV cache that the scheme keeps (int8 under
`..._carry8`): the perplexity of its tokens, and how often the likeliest next token is the one of
full precision. Then the model answers questions greedily, and its tokens are compared with those of
full precision up to the first that differs. Static schemes and GPTQ are calibrated on
another text, which is never evaluated.

Texts and questions come with the program (experiments/decode/text/passages.py); intervals take
tokens as independent, which tokens of one text are not quite. Into --out go text.jsonl (a row per
scheme), text.json, text.csv and text.md with the answers. A killed run goes on with --resume, which
also adds schemes.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.measurement.folders import TEXT
from experiments.measurement.options import add_schemes
from trm_jax.command_line import RESUMED, exit_code, make_parser, natural_int, user_path
from trm_jax.output.folder import check_named

SCHEMES = ("fp32", "w8c-sym", "w4c-sym", "w4c-sym_carry8", "w4c-sym_a16s_carry8")


def parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    p = make_parser("experiments.decode.text", __doc__)
    p.add_argument(
        "--model",
        required=True,
        metavar="NAME|PATH|hf:...",
        help="smollm2, a release's folder, hf:owner/name[@revision], or a .gguf file",
    )
    add_schemes(p, SCHEMES)
    p.add_argument(
        "--text", type=user_path, metavar="FILE", help="UTF-8 text to read (default: one of ours)"
    )
    p.add_argument(
        "--ask",
        action="append",
        metavar="TEXT",
        help="question to answer; may be given several times (default: six of ours)",
    )
    for name, default, text in (
        ("--limit", 512, "first N tokens of the text; 0 is all"),
        ("--max-new-tokens", 32, "of every answer; 0 asks nothing"),
    ):
        note = f"{text} (%(default)s)"
        p.add_argument(name, type=natural_int, default=default, metavar="N", help=note)
    p.add_argument(
        "--out",
        type=user_path,
        metavar="DIR",
        default=Path("runs") / "decode-text",
        help="folder of the results (%(default)s)",
    )
    p.add_argument("--resume", action="store_true", help="go on with the rows in --out")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = parser().parse_args(argv)

    def action() -> None:
        check_named(args.out, TEXT, resume=args.resume)
        if args.ask and not args.max_new_tokens:
            raise ValueError("--max-new-tokens 0 asks nothing; leave --ask out, or raise it")
        from experiments.decode.text.study import measure_texts  # imports jax: after parsing

        measure_texts(args)

    return exit_code(action, (OSError, ValueError, ModuleNotFoundError), RESUMED)


if __name__ == "__main__":
    sys.exit(main())
