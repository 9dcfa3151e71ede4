"""TFLite Micro's integer arithmetic in JAX, bit for bit: exact, jitted, batched.

Kernels at the bottom, operators on them, the network described once. Read in this order:

    encoding.py              what integers mean; fixed-point multipliers
    kernels/                 the arithmetic: fixed_point, matmul, elementwise, lookup, softmax, norm
    tensor_names.py          how tensors are called, and their width by role
    operators.py             what an operator is: the protocol, and TFLM's reading of it
    attention_operators.py   the operators that attention needs beside those
    network.py               a level and its read-out, described with operators
    calibration.py           ranges of all tensors along trajectories, encodings with headroom
    carry.py                 states, embedding rows and injections between two calls
    model.py                 a model as a device holds it
    reasoner.py              its whole rollout, as a Reasoner
    saturation.py            how often integers saturate in a rollout
    data_flow.py             what every product multiplies; bits of its accumulator

Every operator equals the interpreter of the tflite-micro wheel 0.dev20261023 (8f6596d) bit for
bit; the kernels say where builds or revisions differ: in the twice-rounded multiplier, in the scale
of RSQRT, in the product of two activations' scales.

Not here: int8 weights with float activations (quant/dot_general.py), graphs for a device (export).
"""

from quant.integer.encoding import Encoding
from quant.integer.model import IntegerModel, calibrated_model
from quant.integer.reasoner import IntegerReasoner, simulate_integers

__all__ = ["Encoding", "IntegerModel", "IntegerReasoner", "calibrated_model", "simulate_integers"]
