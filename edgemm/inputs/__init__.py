"""What a model takes: kinds of input, from a raw value to a graph's tensors."""
