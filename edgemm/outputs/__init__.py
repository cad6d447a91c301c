"""What a model says: kinds of output, from a graph's tensors to what a program reads."""
