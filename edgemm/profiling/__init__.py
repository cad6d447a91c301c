"""Profiling: where the time goes in a bundle, beside plain ONNX Runtime on the same graphs. Torch-free."""
