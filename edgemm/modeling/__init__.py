"""Making a model: of plugins that a model.toml names, or of one's own nn.Module, and keeping it. Torch, but for reading the model.toml."""
