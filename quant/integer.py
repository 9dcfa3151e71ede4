"""The integer arithmetic of TFLite Micro in JAX: exact, jitted, batched. The way in.

    integer_encoding.py      what integers mean; multipliers
    integer_fixed.py         fixed point on int32: rounding, 64-bit products in halves
    integer_functions.py     exp, logistic, 1/x, 1/sqrt(x) of fixed-point numbers
    integer_linear.py        FULLY_CONNECTED, CONV_2D 1x1, BATCH_MATMUL
    integer_elementwise.py   QUANTIZE, DEQUANTIZE, ADD, MUL, MEAN
    integer_tables.py        LOGISTIC, RSQRT, DECODE
    integer_softmax.py       SOFTMAX
    integer_norm.py          RMSNorm as an island of float32
    integer_block.py         a level of TRM-MLP, of these

Every operator equals the interpreter of the tflite-micro wheel 0.dev20261023 (8f6596d) bit for
bit; where its twice-rounded multiplier or the scale of RSQRT differ between builds and revisions is
said there. An operator is prepared on the host from static encodings and applied to arrays.
"""

from quant.integer_block import encodings_of, integer_level, kernels_of, reach_of_level
from quant.integer_encoding import Encoding

__all__ = ["Encoding", "encodings_of", "integer_level", "kernels_of", "reach_of_level"]
