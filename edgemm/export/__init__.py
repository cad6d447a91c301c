"""From a trained model to a bundle: split, export to ONNX, calibrate, quantize, compile, check parity, write."""
