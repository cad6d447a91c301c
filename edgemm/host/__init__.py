"""The plugin host: records that hooks yield, and who provides them. Knows nothing of models."""
