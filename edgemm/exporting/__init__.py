"""A trained model to a bundle."""
