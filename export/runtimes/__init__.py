"""Running a graph: one contract over every runtime.

Read in this order: contract.py (what all have in common), litert.py, onnx_runtime.py
and onnx_kernels.py (what this CPU makes of integer products), child_process.py (tflite-runtime and
TFLM in processes of their own) and its other end worker.py, registry.py (from a target to its
runtime).
"""
