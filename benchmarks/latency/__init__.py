"""One supervision step of exported models: LiteRT against ONNX Runtime."""
