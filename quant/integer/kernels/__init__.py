"""TFLite Micro's kernels in JAX, bit for bit, one file per kind of operator.

    apart.py         kernels in loops of their own, which saves time on CPUs
    fixed_point.py   rounding, 64-bit products in halves; exp, logistic, 1/x, 1/sqrt(x)
    matmul.py        FULLY_CONNECTED, CONV_2D 1x1, BATCH_MATMUL
    elementwise.py   QUANTIZE, DEQUANTIZE, ADD, MUL, MEAN
    lookup.py        LOGISTIC, RSQRT, DECODE
    softmax.py       SOFTMAX
    norm.py          RMSNorm as a float32 section

A kernel is prepared on the host from static encodings and applied to arrays. Kernels know only
quant/integer/encoding.py.
"""
