"""Is it still the same model? Parity, test vectors, verification."""
