"""Films of the desk, with their truth: questions, what is painted and said for each, and the files. Knows nothing of models."""
