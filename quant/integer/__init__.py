"""The integer arithmetic of TFLite Micro in JAX: exact, jitted, batched. The way in.

    encoding.py      what integers mean; multipliers
    kernels/fixed_point.py         fixed point on int32: rounding, 64-bit products in halves
    kernels/fixed_point.py     exp, logistic, 1/x, 1/sqrt(x) of fixed-point numbers
    kernels/matmul.py        FULLY_CONNECTED, CONV_2D 1x1, BATCH_MATMUL
    kernels/elementwise.py   QUANTIZE, DEQUANTIZE, ADD, MUL, MEAN
    kernels/lookup.py        LOGISTIC, RSQRT, DECODE
    kernels/softmax.py       SOFTMAX
    kernels/norm.py          RMSNorm as an island of float32
    operators.py           what an operator is: the protocol, and TFLM's reading of it
    network.py         a level and the heads of TRM-MLP, of these operators
    network.py        what both kinds of network share
    network.py     a level of TRM-Attention: widths by role, head by head
    integer_attention_*.py   its ranges, encodings and operators
    calibration.py        ranges of all tensors along trajectories, encodings with headroom
    carry.py         states, rows and injections between two calls
    model.py         a model as a device holds it
    reasoner.py      its whole rollout, as a Reasoner

Every operator equals the interpreter of the tflite-micro wheel 0.dev20261023 (8f6596d) bit for
bit; where its twice-rounded multiplier, the scale of RSQRT or the product of two activations'
scales differ between builds and revisions is said there. An operator is prepared on the host from
static encodings and applied to arrays.
"""

from quant.integer.encoding import Encoding
from quant.integer.model import IntegerModel, calibrated_model
from quant.integer.reasoner import IntegerReasoner, simulate_integers

__all__ = ["Encoding", "IntegerModel", "IntegerReasoner", "calibrated_model", "simulate_integers"]
