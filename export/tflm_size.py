"""How large TFLM's code is on a Cortex-M55, by operator: an estimate for who has not linked it.

Measured one operator at a time: the firmware linked with RESHAPE, and with RESHAPE and one other
(TFLM 90b983c, CMSIS-NN 4ab83cc, gcc 12.2 -O2, unused sections left out; BUILD.md, Firmware). What
operators share is counted for each of them: the sums for fp32 and tflm_int4_int16 are 7 and 11 %
larger than what is linked. Without an entry an operator is an error, not nothing.
"""

import dataclasses

from export.firmware_build import Counted, Linked
from export.graph import Model
from export.tflm_sources import methods_of

BASE = 28_656  # bytes: interpreter, allocator, planner, and RESHAPE
VARIABLES = 2_640  # bytes at most: the resolver, tables that are filled at the start
OPERATORS = {
    "AddReshape": 0,
    "AddAdd": 11_960,
    "AddBatchMatMul": 13_480,
    "AddConcatenation": 5_960,
    "AddConv2D": 24_792,
    "AddCos": 3_776,
    "AddDecode": 23_016,
    "AddDequantize": 1_456,
    "AddFullyConnected": 15_688,
    "AddLogistic": 7_656,
    "AddMean": 7_024,
    "AddMul": 12_864,
    "AddQuantize": 3_552,
    "AddRsqrt": 4_968,
    "AddSin": 3_800,
    "AddSlice": 4_016,
    "AddSoftmax": 11_296,
    "AddSplit": 2_344,
    "AddTranspose": 3_704,
}
"""Method of the resolver -> bytes of code and constants."""


def with_tflm(linked: Linked, model: Model) -> Linked:
    """Add what of TFLM a model needs to a firmware that was linked without it.

    Raises:
      ValueError: an operator whose size was not measured.
    """
    methods = methods_of([model])
    if missing := [name for name in methods if name not in OPERATORS]:
        raise ValueError(
            f"no measured size for {', '.join(missing)}; --tflm-lib counts what is linked"
        )
    return dataclasses.replace(
        linked,
        code=linked.code + BASE + sum(OPERATORS[name] for name in methods),
        statics=linked.statics + VARIABLES,
        counted=Counted.ESTIMATED,
    )
