"""Export a model as ONNX: the block and head graphs of export.tflite, for ONNX Runtime and QNN.

    python -m export.onnx --model sudoku-trm-mlp-mini \
        --scheme w8c-sym_a8s-cells-fold --out runs/onnx-int8
    python -m export.onnx --model sudoku-trm-mlp-mini --scheme w4c-sym_a16s --out runs/onnx-w4a16

Into --out go block.onnx and head.onnx (HRM: block_L.onnx, block_H.onnx), host.safetensors and
manifest.json; export.verify, export.solve and experiments.deploy take the folder like any other.
Needs the packages of the extra: pip install 'trm-jax-edge[onnx]'.

Schemes, and what they become:

    fp32, fp16                    float; fp16 stores the weights as float16
    int8, int4_calibrated, ...    integer weights, expanded by DequantizeLinear (weight-only)
    w8c-sym_a8s-cells-fold        QDQ: uint8 activations over ranges of a puzzle's cells, uint8
                                  weights per channel; w7c-sym and fewer bits: int8 or int4
                                  weights. Ranges of all positions, w8c-sym_a8s, leave an MLP
                                  mixer without answers
    w4c-sym_a16s, w8c-sym_a16s    QDQ: uint16 activations; w4a16 is the form QNN takes for int4
"""

import argparse
import sys
from collections.abc import Sequence

from export.options import export_parser
from export.targets import Target
from export.tflite import run_export


def parser() -> argparse.ArgumentParser:
    """Declare the command line."""
    p = export_parser("export.onnx", __doc__)
    p.set_defaults(target=Target.ONNX.value, cut=None, accelerator=None)
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    return run_export(parser().parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
