"""The integer arithmetic of TFLite Micro in JAX: exact, jitted, batched. The way in.

    integer_encoding.py      what integers mean; multipliers
    integer_fixed.py         fixed point on int32: rounding, 64-bit products in halves
    integer_functions.py     exp, logistic, 1/x, 1/sqrt(x) of fixed-point numbers
    integer_linear.py        FULLY_CONNECTED, CONV_2D 1x1, BATCH_MATMUL
    integer_elementwise.py   QUANTIZE, DEQUANTIZE, ADD, MUL, MEAN
    integer_tables.py        LOGISTIC, RSQRT, DECODE
    integer_softmax.py       SOFTMAX
    integer_norm.py          RMSNorm as an island of float32
    integer_ops.py           what an operator is: the protocol, and TFLM's reading of it
    integer_block.py         a level and the heads of TRM-MLP, of these operators
    integer_swiglu.py        what both kinds of network share
    integer_attention.py     a level of TRM-Attention: widths by role, head by head
    integer_attention_*.py   its ranges, encodings and operators
    integer_ranges.py        ranges of all tensors along trajectories, encodings with headroom
    integer_carry.py         states, rows and injections between two calls
    integer_model.py         a model as a device holds it
    integer_reasoner.py      its whole rollout, as a Reasoner

Every operator equals the interpreter of the tflite-micro wheel 0.dev20261023 (8f6596d) bit for
bit; where its twice-rounded multiplier, the scale of RSQRT or the product of two activations'
scales differ between builds and revisions is said there. An operator is prepared on the host from
static encodings and applied to arrays.
"""

from quant.integer_encoding import Encoding
from quant.integer_model import IntegerModel, calibrated_model
from quant.integer_reasoner import IntegerReasoner, simulate_integers

__all__ = ["Encoding", "IntegerModel", "IntegerReasoner", "calibrated_model", "simulate_integers"]
