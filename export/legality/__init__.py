"""What a runtime computes right: measured tables, and a refusal before a device refuses.

Read in this order: tflite_table.py (operators and types of the TFLite runtimes), onnx_table.py
(those of ONNX Runtime), check.py (holds a model against its target's table; the message says
what to use instead).
"""
