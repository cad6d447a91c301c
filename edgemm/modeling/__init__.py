"""The torch side: make a model of plugins or of one's own nn.Module, train it, evaluate it."""
