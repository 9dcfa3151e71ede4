"""Export a model: quantised as simulated, lowered for a runtime, tried, with a manifest.

    python -m export.tflite --model sudoku-trm-mlp-mini --scheme int4_calibrated \\
        --target litert --out runs/int4
    python -m export.tflite --model maze-trm-att-mini --scheme w8c-sym_a8s \\
        --target tflite-runtime --out runs/maze-int8

Into --out go model.tflite, host.safetensors (embeddings and initial states, for the host loop)
and manifest.json. What the target would refuse, or compute wrong without a word, is refused
here, with what to use instead. `python -m export.verify DIR` checks an export again,
`python -m export.solve DIR PUZZLE` uses it.

Schemes are the paper's names or long ones (quant/scheme.py): int8 and int4_calibrated store
integers and multiply in float32, w8c-sym_a8da multiplies int8 by int8 with dynamic ranges (the
fast one on hosts), w8c-sym_a8s-cells-fold with calibrated ranges of the cells. Roles may differ:
--scheme mixer=w8c-sym_a8da,channel=w4c-asym_a8da,head=w8c-sym_a8da.

    python -m export.tflite --model sudoku-trm-mlp-mini --scheme w8c-sym_a8s-cells_tflm \\
        --target ethos-u --accelerator ethos-u55-256 --batch-size 1 --out runs/ethos-u

TFLM's interpreter checks the graphs, then Arm's compiler Vela puts them on an NPU
(docs/deploy-ethos-u.md).

    python -m export.tflite --model maze-ar-mini --scheme w8c-sym_a8da --out runs/maze-tokens

A decoder becomes two graphs, prefill and decode (docs/tokens-deploy.md).
"""

import argparse
import sys
from collections.abc import Sequence

from export.ethos_u.accelerators import DEFAULT_ACCELERATOR, Accelerator
from export.options import EXPORT, export_parser, take_halting
from export.targets import Target
from trm_jax.command_line import exit_code
from trm_jax.data.calibration import read_calibration
from trm_jax.output.folder import check_named, writing_whole

NPU = Target.ETHOS_U.value


def parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    p = export_parser("export.tflite", __doc__)
    p.add_argument(
        "--target",
        default="litert",
        choices=[t.value for t in Target],
        help="what will run it (%(default)s)",
    )
    p.add_argument(
        "--accelerator",
        choices=[a.value for a in Accelerator],
        help=f"of --target {NPU} ({DEFAULT_ACCELERATOR.value})",
    )
    p.add_argument(
        "--cut",
        metavar="CUT",
        help="attention in integers for a board, in graphs that"
        " share one arena: heads=1,tokens=100,queries=100",
    )
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    p = parser()
    args = p.parse_args(argv)
    is_npu = Target(args.target).facts.is_npu
    if args.accelerator and not is_npu:
        p.error(f"--accelerator is of --target {NPU}, not of --target {args.target}")
    if args.cut and is_npu:
        p.error(f"--cut is of --target {Target.TFLM.value}, not of --target {args.target}")
    if is_npu and args.batch_size != 1:
        p.error(f"--target {NPU} solves one puzzle at a time; leave --batch-size at 1")
    if is_npu:
        args.accelerator = args.accelerator or DEFAULT_ACCELERATOR.value
    return run_export(args)


def run_export(args: argparse.Namespace) -> int:
    """Export, say what was made or what is wrong; returns the exit code."""

    def action() -> None:
        check_named(args.out, EXPORT)
        from export.job import ExportJob, export_and_describe  # imports jax: after parsing

        job = ExportJob(
            model=args.model,
            task=args.task,
            scheme=args.scheme,
            target=Target(args.target),
            out=args.out,
            data=args.data,
            batch=args.batch_size,
            steps=args.steps,
            cut=args.cut,
            halting=take_halting(args),
            accelerator=Accelerator(args.accelerator) if args.accelerator else None,
            calibration=read_calibration(args),
            positions=args.positions,
        )
        with writing_whole(args.out, EXPORT):
            text = export_and_describe(job)
        sys.stdout.write(text + "\n")

    return exit_code(action, (OSError, ValueError, RuntimeError, ModuleNotFoundError))


if __name__ == "__main__":
    sys.exit(main())
