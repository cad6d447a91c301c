"""The model as data: nodes, the edges between them, and when each runs. No numpy, no files, no torch."""
