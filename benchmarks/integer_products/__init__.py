"""Forms of an 8-bit product in ONNX Runtime: which are right on this CPU, and how fast."""
